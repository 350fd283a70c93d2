"""Checks the content of checkpoints: tensors and plain values, which torch reads back without running code."""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from rk.capabilities import SupportsLoadStateDict, SupportsStateDict, supports
from rk.errors import RunFailed
from rk.protocols import State
from rk.recipe.model import Spec
from rk.values import Part, Value

_PLAIN = (type(None), bool, int, float, complex, str, bytes, Tensor, nn.Parameter, torch.Size, torch.dtype)
_SEQUENCES = (list, tuple, set)
_MAPPINGS = (dict, OrderedDict)


def check_state(state: object, owner: str) -> None:
    """Checks that a component's state can be read back, before it is written.

    Args:
        state: What its ``state_dict`` returned.
        owner: The component, as the message names it.

    Raises:
        RunFailed: Naming the place in the state and the type of the first value that cannot be read back.
    """
    if not isinstance(state, Mapping):
        raise RunFailed(f"{owner}: state_dict() must return a dict, got {type(state).__name__}")
    found = next(_unreadable(state, ""), None)
    if found is not None:
        place, value = found
        kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
        raise RunFailed(
            f"{owner}: state_dict(){place} is a {kind}, which a checkpoint cannot hold",
            "keep tensors, numbers, strings, and lists, tuples and dicts of them: float(x), str(path), list(queue)",
        )


def _unreadable(value: Value, place: str) -> Iterator[tuple[str, Value]]:
    """Yields place and value of whatever torch would refuse to read."""
    kind = type(value)
    if kind in _PLAIN:
        return
    if kind in _MAPPINGS:
        for key, item in value.items():
            if type(key) not in _PLAIN and type(key) is not tuple:
                yield f"{place}: the key {key!r}", key
            yield from _unreadable(item, f"{place}[{key!r}]")
    elif kind in _SEQUENCES:
        for i, item in enumerate(value):
            yield from _unreadable(item, f"{place}[{i}]")
    elif not _reads_back(value):
        yield place, value


def _reads_back(value: Value) -> bool:
    """Whether torch reads this value back: a type that is not known here."""
    buffer = io.BytesIO()
    try:
        torch.save(value, buffer)
        buffer.seek(0)
        torch.load(buffer, weights_only=True)
    except Exception:  # pickle, zip and torch each raise their own
        return False
    return True


def state_of(component: Part, spec: Spec) -> State:
    """Returns the state of a component, which a checkpoint can hold. Raises `RunFailed` when it cannot."""
    if not supports(component, SupportsStateDict):
        return {}
    state = component.state_dict()
    check_state(state, f"{spec.component.kind} {spec.component.name} ({spec.component.distribution})")
    return state


def load_state(component: Part, state: State) -> None:
    """Gives a component its state back, if it takes one."""
    if supports(component, SupportsLoadStateDict):
        component.load_state_dict(state)

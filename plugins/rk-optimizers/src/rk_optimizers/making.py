"""How the optimizers of pytorch-optimizer are made from the parameters of a learner."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch

from rk.errors import suggest

if TYPE_CHECKING:
    from torch.optim.optimizer import ParamsT

Options = Mapping[str, Any]  # Any: whatever an optimizer takes that a recipe can express

OF_MATRICES = ("adago", "adamuon", "muon", "muonclip", "normuon")
"""Algorithms whose groups say whether they hold matrices."""
_CREATES_GRAPH = "it needs gradients of gradients, which rk does not keep"
_MODEL = "it takes a whole model and updates it within the backward pass"
_CLOSURE = "it computes the loss again within its step"
_STATE = "its state holds more than tensors and plain values, which a checkpoint cannot"
_PROCESSES = "it communicates between processes by itself"
UNFIT = {
    "a2grad": "it has no learning rate",
    "spectralsphere": "it fails at weights that are not matrices",
    "adahessian": _CREATES_GRAPH,
    "sophiah": _CREATES_GRAPH,
    "adalomo": _MODEL,
    "adammini": _MODEL,
    "lomo": _MODEL,
    "alig": _CLOSURE,
    "bsam": _CLOSURE,
    "lbfgs": _CLOSURE,
    "adashift": _STATE,
    "conda": _STATE,
    "scalableshampoo": _STATE,
    "scion": _STATE,
    "scionlight": _STATE,
    "demo": _PROCESSES,
    "distributedmuon": _PROCESSES,
}
"""Algorithms of pytorch-optimizer that cannot be used, and why."""


def algorithms() -> list[str]:
    """Returns the names of the algorithms that can be used."""
    from pytorch_optimizer import get_supported_optimizers

    return sorted(set(get_supported_optimizers()) - UNFIT.keys())


def optimizer_class(algorithm: str) -> type[torch.optim.Optimizer]:
    """Returns the class of an algorithm of pytorch-optimizer.

    Raises:
        ValueError: When there is none of that name, or it cannot be used.
    """
    from pytorch_optimizer import load_optimizer

    if (reason := UNFIT.get(algorithm)) is not None:
        raise ValueError(f"algorithm {algorithm!r} cannot be used: {reason}")
    names = algorithms()
    if algorithm not in names:
        raise ValueError(f"there is no algorithm {algorithm!r}; {suggest(algorithm, names, 'there are')}")
    found: type[torch.optim.Optimizer] = load_optimizer(algorithm)
    return found


def checked_options(cls: type[torch.optim.Optimizer], options: Options) -> dict[str, Any]:
    """Returns the options as `cls` takes them; names of torch's dtypes become dtypes.

    Raises:
        ValueError: When there is no such option, it is of another type than its default, or one is missing.
    """
    offered = _parameters(cls)
    result: dict[str, Any] = {}
    for name, value in options.items():
        if name not in offered:
            raise ValueError(f"{cls.__name__} has no option {name!r}; {suggest(name, list(offered), 'it has')}")
        result[name] = _converted(name, value, offered[name])
    lacking = [n for n, default in offered.items() if default is inspect.Parameter.empty and n not in options]
    if lacking:
        raise ValueError(f"{cls.__name__} needs the option {lacking[0]!r}")
    return result


def _parameters(cls: type) -> dict[str, Any]:
    """Returns the options of an optimizer and their defaults, less parameters and rate."""
    found = list(inspect.signature(cls).parameters.values())[1:]
    named = [p for p in found if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    required = inspect.Parameter.empty
    return {p.name: p.default for p in named if p.name != "lr" and (p.default is required or not callable(p.default))}


def _converted(name: str, value: Any, default: Any) -> Any:
    if isinstance(default, torch.dtype):
        dtype = getattr(torch, value, None) if isinstance(value, str) else None
        if not isinstance(dtype, torch.dtype):
            raise ValueError(f"option {name} must be the name of a dtype such as bfloat16, got {value!r}")
        return dtype
    if isinstance(default, bool):
        fits, wanted = isinstance(value, bool), "true or false"
    elif isinstance(default, int | float):
        fits, wanted = isinstance(value, int | float) and not isinstance(value, bool), "a number"
    elif isinstance(default, str):
        fits, wanted = isinstance(value, str | list | tuple), "a text"
    elif isinstance(default, tuple):
        fits, wanted = isinstance(value, list | tuple), f"a list such as {list(default)}"
    else:
        fits, wanted = True, ""
    if not fits:
        raise ValueError(f"option {name} must be {wanted}, got {value!r}")
    return tuple(value) if isinstance(value, list) else value


def make(algorithm: str, params: ParamsT, **options: Any) -> torch.optim.Optimizer:
    """Returns the optimizer `algorithm` over `params`; of matrices and others in groups, where it needs that."""
    cls = optimizer_class(algorithm)
    return cls(_by_shape(params) if algorithm in OF_MATRICES else params, **options)


def _by_shape(params: ParamsT) -> list[dict[str, Any]]:
    """Returns groups of matrices and groups of all others, whose update is that of AdamW."""
    groups: list[dict[str, Any]] = []
    for group in _groups(params):
        for matrices in (True, False):
            chosen = [p for p in group["params"] if (p.ndim >= 2) == matrices]
            if chosen:
                groups.append({**group, "params": chosen, "use_muon": matrices})
    return groups


def _groups(params: ParamsT) -> Iterable[dict[str, Any]]:
    given: list[Any] = list(params)
    return given if given and isinstance(given[0], dict) else [{"params": given}]

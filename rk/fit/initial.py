"""The weights that a new run begins with, taken from another run: `init_from`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from torch import Tensor, nn

from rk.errors import UserError, counted
from rk.fit.checkpoint import weights_file
from rk.fit.weights import load_weights, read_weights
from rk.recipe.model import InitFrom
from rk.runs import RunFolder

MAX_SHOWN = 8
"""Names of weights that begin anew which are shown one by one."""
_MODEL = "model."
"""What some learners put before the names of their model's weights."""


def take_weights(learner: nn.Module, init: InitFrom) -> Iterator[str]:
    """Gives `learner` the weights of another run, by their names, where the shapes agree.

    Args:
        learner: All that is learned; its other weights stay.
        init: The run, and which weights are taken.

    Yields:
        What was taken and what begins anew, in lines for the user.

    Raises:
        UserError: When no weight fits.
        RunFailed: When the run's weights cannot be read.
    """
    folder = RunFolder(init.run.folder)
    theirs = read_weights(weights_file(folder))
    own = learner.state_dict()
    tensors = [name for name, value in own.items() if isinstance(value, Tensor)]
    taken, fresh = {}, []
    for name in tensors:
        if _wanted(name, init):
            found = _find(_renamed(name, init.rename), theirs)
            if isinstance(found, Tensor) and found.shape == own[name].shape:
                taken[name] = found
                continue
            has = f"the run has {tuple(found.shape)}" if isinstance(found, Tensor) else "the run has no such weight"
            fresh.append(f"{name} {tuple(own[name].shape)} begins anew: {has}")
        else:
            fresh.append(f"{name} {tuple(own[name].shape)} begins anew, as the recipe says")
    if not taken:
        raise UserError(
            f"init_from: no weight of {folder.label} fits: it has {_some(theirs)}; here there are {_some(tensors)}",
            "init_from.rename says what a name is called in that run",
        )
    load_weights(learner, own | taken)
    yield f"init_from: {len(taken)} of {counted(len(tensors), 'weight')} are those of {folder.label}"
    yield from (f"init_from: {line}" for line in fresh[:MAX_SHOWN])
    if len(fresh) > MAX_SHOWN:
        yield f"init_from: {len(fresh) - MAX_SHOWN} more begin anew"


def _wanted(name: str, init: InitFrom) -> bool:
    def matches(patterns: list[str]) -> bool:
        return any(fnmatchcase(name, p) or fnmatchcase(name.removeprefix(_MODEL), p) for p in patterns)

    return (not init.only or matches(init.only)) and not matches(init.skip)


def _renamed(name: str, rename: Mapping[str, str]) -> str:
    for here in sorted(rename, key=len, reverse=True):
        if name.startswith(here):
            return rename[here] + name[len(here) :]
        if name.startswith(_MODEL + here):
            return rename[here] + name[len(_MODEL + here) :]
    return name


def _find(name: str, theirs: Mapping[str, Any]) -> Any:
    """Returns the value of that name; learners of another kind may put ``model.`` before it, or leave it out."""
    names = (name, _MODEL + name, name.removeprefix(_MODEL))
    return next((theirs[n] for n in names if n in theirs), None)


def _some(names: Any) -> str:
    found = list(names)
    return ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")

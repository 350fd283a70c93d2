"""Checks of what components return, where the host first receives it: which method returned what, and what it must be.

Nothing here runs at every step. The first batch, the first step and the first batch of a split are
looked at; what is wrong is the plugin's mistake, and the message names the plugin.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeGuard

import torch
from torch import Tensor

from rk.blame import component_of, who
from rk.errors import RunFailed, printable
from rk.plugins import BUILTIN
from rk.protocols import Batch, Outputs, Share
from rk.values import Part, PlainDict

if TYPE_CHECKING:
    from typing_extensions import TypeIs

_SHOWN = 80
"""Characters of a wrong value that a message repeats."""


def wrong(by: Part, method: str, value: object, expected: str) -> NoReturn:
    """Raises `RunFailed`: `method` of the component `by` returned `value`, which must be `expected`."""
    raise RunFailed(f"{who(by)}: {method}() returned {described(value)}; it must return {expected}")


def described(value: object) -> str:
    """Returns what a value is, in one line: a tensor by its dtype and shape, others by their type and text."""
    if value is None or isinstance(value, bool):
        return str(value)
    if isinstance(value, Tensor):
        return f"a tensor of {str(value.dtype).removeprefix('torch.')}, shape {tuple(value.shape)}"
    if isinstance(value, tuple | list) and len(value) <= 4:
        return f"a {type(value).__name__} of ({', '.join(map(described, value))})"
    if isinstance(value, Mapping | set | tuple | list):
        return f"{type(value).__name__} of {len(value)}"
    try:
        text = printable(repr(value), _SHOWN)
    except Exception:
        return type(value).__name__
    return text if type(value).__name__ in text else f"{type(value).__name__} ({text})"


# -- data --------------------------------------------------------------------------------------------------------------


def check_splits(data: Part) -> tuple[str, ...]:
    """Returns the names of the splits."""
    splits = getattr(data, "splits", ())
    if isinstance(splits, str) or not isinstance(splits, Sequence) or not all(isinstance(s, str) for s in splits):
        raise RunFailed(f"{who(data)}: splits is {described(splits)}; it must be a tuple of names")
    if reserved := {"run"} & {*splits}:
        raise RunFailed(f"{who(data)}: splits has {min(reserved)!r}, the name of results of the whole run")
    return tuple(splits)


def check_batches(data: Part, split: str) -> int | None:
    """Returns the number of batches of `split`, None where it has no end."""
    count = data.batches(split)
    if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 0):
        wrong(data, "batches", count, "a number of batches, or None for no end")
    return count


def check_batch(data: Part, batch: object, method: str = "batch") -> Batch:
    """Returns the batch: names of fields to tensors, or to anything where the name ends in ``_meta``."""
    if not _is_named(batch):
        wrong(data, method, batch, "a dict of field names to tensors")
    for name, value in batch.items():
        if not isinstance(value, Tensor) and not name.endswith("_meta"):
            raise RunFailed(
                f"{who(data)}: {method}() returned {described(value)} as {name!r}; "
                "a field is a tensor, and a plain value has a name that ends in _meta"
            )
    return batch


def check_answers(data: Part, answers: object) -> list[PlainDict]:
    """Returns one dict per example."""
    if isinstance(answers, Mapping | str) or not isinstance(answers, Sequence) or not all(map(_is_named, answers)):
        wrong(data, "answers", answers, "a list with one dict of names to plain values for each example")
    return [dict(answer) for answer in answers]


# -- learners ----------------------------------------------------------------------------------------------------------


def check_outputs(learner: Part, outputs: object, method: str = "predict") -> Outputs:
    """Returns the outputs of a learner: names to tensors. A learner of rk's own answers for its model."""
    if not _is_named(outputs):
        wrong(_author(learner), method, outputs, "a dict of output names to tensors")
    for name, value in outputs.items():
        if not isinstance(value, Tensor) and not name.endswith("_meta"):
            raise RunFailed(
                f"{who(_author(learner))}: {method}() returned {described(value)} as {name!r}; an output is a tensor"
            )
    return outputs


_OBJECTIVE = (
    "(total, count), or (total, count, weight), or a dict of such terms by name: a scalar tensor, what it is a sum of, "
    "and a number"
)


def check_objective(by: Part, objective: Any, method: str = "forward") -> Mapping[str, tuple[Tensor, Any]] | None:
    """Returns the named terms of an objective, each ``(total, count)`` or with a weight; None where there is none."""
    if objective is None:
        return None
    terms = objective if isinstance(objective, Mapping) else {"loss": objective}
    if not terms or not all(isinstance(name, str) and _is_term(term) for name, term in terms.items()):
        wrong(by, method, objective, _OBJECTIVE)
    return terms


def check_share(by: Part, share: object, method: str = "__call__") -> Share:
    """Returns a metric's value for one batch."""
    if not _is_share(share):
        wrong(by, method, share, "(total, count): a scalar tensor and what it is a sum over")
    return share


def check_number(by: Part, value: Any, method: str = "compute") -> float:
    """Returns a metric's number."""
    if not _is_number(value):
        wrong(by, method, value, "a number")
    return float(value)


# -- algorithms --------------------------------------------------------------------------------------------------------


def check_learner(trainer: Part, learner: object) -> torch.nn.Module:
    """Returns what `setup` has built."""
    if not isinstance(learner, torch.nn.Module):
        wrong(trainer, "setup", learner, "the learner, an nn.Module")
    if not callable(getattr(learner, "predict", None)):
        raise RunFailed(f"{who(trainer)}: setup() returned {type(learner).__name__}, which has no method predict()")
    return learner


def check_step(trainer: Part, scalars: object) -> bool:
    """Checks what a step returned: a dict of names to scalars, or None at the end.

    Returns:
        False: the next step need not be checked. ``fresh = fresh and check_step(trainer, scalars)`` in a loop.
    """
    if scalars is not None and not (_is_named(scalars) and all(map(_is_number, scalars.values()))):
        wrong(trainer, "step", scalars, "a dict of names to scalars, or None when there is nothing left to learn")
    return False


def check_optimizer(factory: Part, optimizer: object) -> torch.optim.Optimizer:
    """Returns the optimizer that a factory has made."""
    if not isinstance(optimizer, torch.optim.Optimizer):
        wrong(factory, "__call__", optimizer, "a torch.optim.Optimizer")
    return optimizer


def check_rate(schedule: Part, rate: Any) -> float:
    """Returns the learning rate that a schedule gives."""
    if not _is_number(rate):
        wrong(schedule, "__call__", rate, "a learning rate, a number")
    return float(rate)


# -- what leaves a run -------------------------------------------------------------------------------------------------


def check_paths(by: Part, paths: object, method: str) -> list[Path]:
    """Returns the files that were written."""
    if isinstance(paths, str | Path | Mapping) or not isinstance(paths, Iterable):
        wrong(by, method, paths, "the list of files that it wrote")
    found = list(paths)
    for path in found:
        if not isinstance(path, str | Path):
            wrong(by, method, found, "the list of files that it wrote")
        if not Path(path).exists():
            raise RunFailed(f"{who(by)}: {method}() returned {path}, which does not exist")
    return [Path(path) for path in found]


def check_numbers(by: Part, numbers: object, method: str) -> dict[str, float]:
    """Returns the numbers of an analysis."""
    if not _is_named(numbers) or not all(map(_is_number, numbers.values())):
        wrong(by, method, numbers, "a dict of names to numbers")
    return {name: float(value) for name, value in numbers.items()}


# -- what values are ---------------------------------------------------------------------------------------------------


def _author(learner: Part) -> Part:
    """Returns whose answer a learner gives: that of its model, where the learner is rk's own."""
    model = getattr(learner, "model", None)
    own = component_of(model) if model is not None else None
    return model if own is not None and type(learner).__module__.partition(".")[0] == BUILTIN else learner


def _is_named(value: object) -> TypeIs[Mapping[str, Any]]:
    return isinstance(value, Mapping) and all(isinstance(name, str) for name in value)


def _is_number(value: Any) -> bool:  # Any: of whatever kind; float() decides
    """Whether it is one real number; numpy's and tensors of one element are."""
    if isinstance(value, str | bytes) or value is None:
        return False
    if isinstance(value, Tensor):
        return value.numel() == 1 and not value.is_complex()
    try:
        float(value)
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def _is_term(value: object) -> bool:
    if isinstance(value, tuple | list) and len(value) == 3:
        return _is_number(value[2]) and _is_share(value[:2])
    return _is_share(value)


def _is_share(value: object) -> TypeGuard[Share]:
    if not isinstance(value, tuple | list) or len(value) != 2:
        return False
    total, count = value
    return isinstance(total, Tensor) and total.numel() == 1 and _is_number(count)

"""Failures in the user's terms: no memory, a dead worker, a first batch that does not fit the components."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from rk.blame import blame
from rk.errors import RkError, RunFailed, UserError
from rk.protocols import Batch
from rk.recipe.model import Recipe, Spec

_NO_MEMORY = ("can't allocate memory", "out of memory", "not enough memory", "Storage size calculation overflowed")
_MISFITS = (RuntimeError, ValueError, TypeError, AttributeError, LookupError, NotImplementedError, AssertionError)
"""Exceptions that torch and components raise for values of the wrong shape or kind."""
_MAX_FIELDS = 12


class FirstBatchError(UserError):
    """The first batch does not go through the components of the recipe."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the error means that memory ran out, on the host or on a GPU."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _NO_MEMORY)


def is_of_compiler(error: BaseException) -> bool:
    """Whether `torch.compile` failed, not what it compiles."""
    return type(error).__module__.startswith(("torch._dynamo", "torch._inductor"))


def not_compiled(error: BaseException) -> RkError:
    """Returns the message of a run whose objective cannot be compiled here."""
    reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return UserError(f"fit.compile: torch.compile failed: {reason[:300]}", "fit.compile=false")


def out_of_memory(error: BaseException, begun: bool, kept: str | None) -> RkError:
    """Returns the message of a run that ran out of memory.

    Args:
        error: What was raised.
        begun: Whether a step had been taken.
        kept: The text that names the checkpoint that is kept.
    """
    reason = " ".join(str(error).split())[:200]
    hint = "a smaller data.batch_size, with a larger fit.accumulate for the same batch per update"
    hint = f"{hint}; {kept}" if kept else hint
    return (RunFailed if begun else UserError)(f"out of memory: {reason or type(error).__name__}", hint)


def first_batch_error(error: BaseException, recipe: Recipe, fields: Batch) -> BaseException:
    """Returns the error for a failure before the end of the first step; `error` itself, if it is not a misfit.

    Args:
        error: What was raised.
        recipe: The recipe of the failed run.
        fields: The fields that had been seen by then.
    """
    if isinstance(error, RkError) or not isinstance(error, _MISFITS):
        return error
    text = " ".join(str(error).split())[:500]
    lines = [f"the first batch fails in {_place(error, recipe)}: {type(error).__name__}: {text}"]
    if fields:
        lines.append(f"  fields: {', '.join(_shown(fields))}")
    made = FirstBatchError("\n".join(lines), _hint(text, recipe))
    made.__cause__ = error
    return made


def misfit(error: Exception, fields: Batch) -> BaseException:
    """Returns the error for fields that a program gave and a learner cannot answer; `error` itself for another one."""
    if isinstance(error, RkError) or not isinstance(error, _MISFITS):
        return error
    text = " ".join(str(error).split())[:500]
    shown = ", ".join(_shown(fields)) or "no tensor"
    return UserError(
        f"the run cannot answer these fields: {type(error).__name__}: {text}",
        f"given: {shown}; `rk show data NAME` lists the fields of the run's data",
    )


def _hint(text: str, recipe: Recipe) -> str:
    if "does not require grad" in text and recipe.model is not None:
        model, trainer = recipe.model.component.name, recipe.learning.component.name
        return (
            f"nothing that {trainer} trains takes part in this loss; "
            f"`rk list trainer --fits model={model}` lists the trainers for {model}"
        )
    return "`rk validate RECIPE` shows what provides and what reads each field; RK_TRACEBACK=1 shows the traceback"


def _shown(fields: Batch) -> Iterable[str]:
    for name, value in list(fields.items())[:_MAX_FIELDS]:
        if isinstance(value, Tensor):
            yield f"{name} {str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"


def _place(error: BaseException, recipe: Recipe) -> str:
    """Returns the component whose code raised the error, by the traceback, with file and line."""
    found = blame(error)
    if found is not None:
        return f"{found.owner} ({Path(found.where).name})"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        for spec in recipe.specs():
            if _is_code_of(spec, frame.filename):
                component = spec.component
                where = f"{Path(frame.filename).name}:{frame.lineno}"
                return f"{component.kind} {component.name} ({component.distribution}, {where})"
    own = recipe.learning.component
    return f"{own.kind} {own.name} ({own.distribution})"


def _is_code_of(spec: Spec, filename: str) -> bool:
    module = sys.modules.get(spec.component.target.partition(":")[0])
    return module is not None and getattr(module, "__file__", None) == filename

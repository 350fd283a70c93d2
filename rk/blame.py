"""Finds whose code raised an exception: the component, and its method, by the traceback.

Nothing is wrapped during a run: the frames of a traceback are enough.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any

from rk.errors import RkError, RunFailed, UserError, printable
from rk.lacking import lacking, missing_module
from rk.plugins import BUILTIN, Component
from rk.record import record

TRACEBACK_VARIABLE = "RK_TRACEBACK"
"""Shows the traceback of a bug."""

_LOADED: dict[type, Component] = {}
"""The classes of components that this process has imported."""


@record
class Blame:
    """The place where a plugin's code raised: ``rk-odd: model net: forward()``, at a file and line."""

    component: Component
    owner: str
    where: str

    @property
    def distribution(self) -> str:
        return self.component.distribution


def remember(cls: type, component: Component) -> None:
    """Notes that `cls` is the class of `component`."""
    _LOADED[cls] = component


def component_of(thing: object) -> Component | None:
    """Returns the component that `thing` is an object of, or is itself; None for anything else."""
    cls = thing if isinstance(thing, type) else type(thing)
    return next((_LOADED[base] for base in cls.__mro__ if base in _LOADED), None)


def who(thing: object) -> str:
    """Returns how an object is called in a message: ``rk-odd: model net``, or its plugin and class."""
    component = component_of(thing)
    if component is not None:
        return f"{component.distribution}: {component.kind} {component.name}"
    cls = thing if hasattr(thing, "__qualname__") else type(thing)  # a function as it is
    owner = _owner_of(getattr(sys.modules.get(cls.__module__), "__file__", None) or "")
    return f"{owner.distribution}: {cls.__qualname__}" if owner is not None else f"{cls.__module__}.{cls.__qualname__}"


def blame(error: BaseException) -> Blame | None:
    """Returns the deepest place in the traceback of `error`, or of what led to it, that is a plugin's."""
    seen: BaseException | None = error
    while seen is not None:
        frames = list(_frames(seen.__traceback__))
        for i, (frame, line) in reversed(list(enumerate(frames))):
            component = _owner_of(frame.f_code.co_filename)
            if component is not None:
                owner = _title([f for f, _ in frames[: i + 1]], component)
                return Blame(component, owner, f"{frame.f_code.co_filename}:{line}")
        seen = seen.__cause__ or seen.__context__
    return None


def explain(error: BaseException, advice: str = f"{TRACEBACK_VARIABLE}=1 shows the traceback") -> RkError:
    """Returns the message for an unexpected exception: which component raised it, where, and what to do.

    Args:
        error: What was raised.
        advice: What to do about a bug.
    """
    found = blame(error)
    if found is not None and isinstance(error, ImportError) and missing_module(error) is not None:
        lack = lacking(found.owner, found.component.entry, error)
        if lack.hint is not None:
            return lack
    text = f"{type(error).__name__}: {printable(' '.join(str(error).split()))}".removesuffix(": ")
    if found is None and (path := _impossible_path(error)) is not None:
        return UserError(f"no such file or folder: {path}")
    if found is not None:
        hint = f"this is a bug of {found.distribution}, not your input; {advice}"
        return RunFailed(f"{found.owner} {_did(error, text)}\n  at {found.where}", hint)
    last = [f"{frame.f_code.co_filename}:{line}" for frame, line in _frames(error.__traceback__)][-1:]
    hint = f"this is a bug, not your input; {advice}"
    return RunFailed(f"{text}\n  at {last[0] if last else '?'}", hint)


def _impossible_path(error: BaseException) -> str | None:
    """Returns what no file system has a file for: a name that is too long, links in a circle; None for other errors."""
    if isinstance(error, OSError) and error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
        return f"{printable(str(error.filename), 100)} ({error.strerror})"
    if isinstance(error, RuntimeError) and str(error).startswith("Symlink loop"):
        return printable(str(error), 100)
    return None


def _did(error: BaseException, text: str) -> str:
    if isinstance(error, SystemExit):
        return f"called sys.exit({'' if error.code is None else printable(repr(error.code))})"
    return f"raised {text}"


def _frames(traceback: TracebackType | None) -> Iterator[tuple[FrameType, int]]:
    while traceback is not None:
        yield traceback.tb_frame, traceback.tb_lineno
        traceback = traceback.tb_next


def _title(frames: list[FrameType], component: Component) -> str:
    """Returns the component whose code the last frame is in, and the function; the component may only have called it.

    Of a function that no component has called, only the distribution is certain.
    """
    code = frames[-1].f_code
    for frame in reversed(frames):
        own = component_of(_self_of(frame))
        if own is not None and own.plugin == component.plugin:
            name = code.co_name if frame is frames[-1] else code.co_qualname
            return f"{own.distribution}: {own.kind} {own.name}: {name}()"
    return f"{component.distribution}: {code.co_qualname}()"


def _self_of(frame: FrameType) -> Any:
    names = frame.f_code.co_varnames[: frame.f_code.co_argcount]
    return frame.f_locals.get(names[0]) if names and names[0] in ("self", "cls") else None


def _owner_of(filename: str) -> Component | None:
    """Returns a component of the plugin that the file is of; None for files of rk and of libraries."""
    best: tuple[int, Component] | None = None
    for cls, component in _LOADED.items():
        if component.plugin == BUILTIN:
            continue
        for root in _roots(cls, component):
            if (filename == root or filename.startswith(root + os.sep)) and (best is None or len(root) > best[0]):
                best = len(root), component
    return best[1] if best is not None else None


def _roots(cls: type, component: Component) -> Iterator[str]:
    """Yields the files and folders that are the plugin's: the package with its hooks, the module with the class."""
    for name in {component.entry.module, component.target.partition(":")[0], cls.__module__}:
        parts = name.split(".")
        if parts[0] in ("rk", "torch", "builtins"):
            continue
        for cut in range(1, len(parts) + 1):
            module = sys.modules.get(".".join(parts[:cut]))
            if file := getattr(module, "__file__", None):  # a namespace, which many may share, has none
                yield from map(str, getattr(module, "__path__", ()))
                yield file

"""Small classes of named values, made without generating code.

`dataclasses` compiles up to six methods for each class, about 0.6 ms in all. The start-up path has forty such classes,
and importing click takes 35 ms. A record does the same by looping over its fields.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar, dataclass_transform

C = TypeVar("C", bound=type)


class _Made:
    """A default that is created for each record."""

    def __init__(self, factory: Callable[[], Any]) -> None:
        self.factory = factory


def made(*, default_factory: Callable[[], Any]) -> Any:
    """Declares a default that is created for each record: ``items: list = made(default_factory=list)``."""
    return _Made(default_factory)


@dataclass_transform(field_specifiers=(made,))
def record(cls: C) -> C:
    """Gives `cls` the constructor, equality, hash and repr of its annotated fields, those of its bases first.

    Fields named in the class attribute `_not_compared` count neither for equality nor for the hash.
    """
    names = dict.fromkeys(getattr(cls, "_fields", ()))
    names |= dict.fromkeys(n for n in inspect.get_annotations(cls) if not n.startswith("_"))
    compared = tuple(n for n in names if n not in getattr(cls, "_not_compared", ()))
    given = {"_fields": tuple(names), "_compared": compared, "__init__": _init, "__eq__": _eq, "__hash__": _hash}
    if "__repr__" not in cls.__dict__:
        given["__repr__"] = _repr
    for name, value in given.items():
        setattr(cls, name, value)
    return cls


def _init(self: Any, *values: Any, **named: Any) -> None:
    cls = type(self)
    state = self.__dict__
    if len(values) > len(cls._fields):
        raise TypeError(f"{cls.__name__} takes {len(cls._fields)} values, {len(values)} were given")
    state.update(zip(cls._fields, values, strict=False))
    for name, value in named.items():
        if name not in cls._fields or name in state:
            raise TypeError(f"{cls.__name__} has no field {name!r}, or it was given twice")
        state[name] = value
    for name in cls._fields:
        if name not in state:
            default = getattr(cls, name, _MISSING)
            if default is _MISSING:
                raise TypeError(f"{cls.__name__} needs {name}")
            if isinstance(default, _Made):
                state[name] = default.factory()


_MISSING = object()


def _eq(self: Any, other: Any) -> Any:  # Any: a bool, or NotImplemented
    if type(self) is not type(other):
        return NotImplemented
    return all(getattr(self, n) == getattr(other, n) for n in self._compared)


def _hash(self: Any) -> int:
    return hash((type(self), *(getattr(self, n) for n in self._compared)))


def _repr(self: Any) -> str:
    return f"{type(self).__name__}({', '.join(f'{n}={getattr(self, n)!r}' for n in self._fields)})"

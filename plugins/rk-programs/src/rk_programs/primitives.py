"""What a function of a language is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rk_programs.types import Rows


@dataclass(frozen=True)
class Primitive:
    """A function of a language.

    Attributes:
        name: What terms call it.
        takes: Names of the types of its arguments.
        gives: Name of the type of its result.
        call: Computes it from plain values; None where it is undefined.
        rows: Computes it for many examples at once: an array of (terms, examples, width) per argument and the capacity
            of lists give one of (terms, examples, width). Without it, `call` is called for each example.
        lazy: Whether it takes arguments that are undefined, such as the branch of a condition that is not taken.
    """

    name: str
    takes: tuple[str, ...]
    gives: str
    call: Callable[..., Any]
    rows: Callable[..., Rows] | None = None
    lazy: bool = False

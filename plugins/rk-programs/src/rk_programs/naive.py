"""The enumeration again, plain and recursive: what tests and benchmarks compare `enumeration.py` with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rk_programs.dsl import Dsl
from rk_programs.terms import Term, variable
from rk_programs.types import BOUND

Values = tuple[Any, ...]


def all_terms(dsl: Dsl, takes: Sequence[str], kind: str, size: int, literals: Sequence[int] = ()) -> Iterator[Term]:
    """Yields every term of a type and a size, equivalent ones too."""
    if size == 1:
        yield from (variable(i) for i, other in enumerate(takes) if other == kind)
        yield from (Term(p.name) for p in dsl.primitives.values() if not p.takes and p.gives == kind)
        if kind == "int":
            yield from (Term(str(literal)) for literal in literals)
        return
    for primitive in dsl.primitives.values():
        if primitive.gives == kind and primitive.takes:
            for args in _argument_lists(dsl, takes, primitive.takes, size - 1, literals):
                yield Term(primitive.name, args)


def _argument_lists(
    dsl: Dsl, takes: Sequence[str], kinds: Sequence[str], total: int, literals: Sequence[int]
) -> Iterator[tuple[Term, ...]]:
    if not kinds:
        if total == 0:
            yield ()
        return
    for size in range(1, total - len(kinds) + 2):
        for first in all_terms(dsl, takes, kinds[0], size, literals):
            for rest in _argument_lists(dsl, takes, kinds[1:], total - size, literals):
                yield (first, *rest)


def smallest_terms(
    dsl: Dsl,
    takes: Sequence[str],
    examples: Sequence[Sequence[Any]],
    kind: str,
    max_size: int,
    capacity: int,
    literals: Sequence[int] = (),
) -> dict[Values, int]:
    """Returns values on all examples -> the size of the smallest term with these values, undefined ones left out.

    A value that is a list longer than `capacity`, or an integer beyond `BOUND`, makes all that is built from it
    undefined, as in the enumeration.
    """
    found: dict[Values, int] = {}
    for size in range(1, max_size + 1):
        for term in all_terms(dsl, takes, kind, size, literals):
            values = tuple(_value(dsl, term, inputs, capacity) for inputs in examples)
            if any(value is not None for value in values):
                found.setdefault(values, size)
    return found


def _value(dsl: Dsl, term: Term, inputs: Sequence[Any], capacity: int) -> Any:
    number = term.variable
    if number is not None:
        return inputs[number]
    primitive = dsl.primitives.get(term.head)
    if primitive is None:
        return term.literal
    arguments = [_value(dsl, argument, inputs, capacity) for argument in term.args]
    if not primitive.lazy and any(argument is None for argument in arguments):
        return None
    value = primitive.call(*arguments)
    if value is None:
        return None
    return value if (len(value) <= capacity if isinstance(value, tuple) else abs(value) <= BOUND) else None

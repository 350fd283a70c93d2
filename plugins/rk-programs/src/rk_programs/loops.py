"""Programs that call themselves once, run as loops: sums and quotients of large numbers need no deep calls.

The form is ``(if0 x<i> base step)`` where `step` has one ``(rec ...)`` in it. The inputs of the calls are made one
after the other until x<i> is 0, and the values from there back: linear recursion.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rk_programs.primitives import Primitive
from rk_programs.terms import Term, subterms, variable
from rk_programs.types import BOUND

MAX_STEPS = 20_000
"""How often a loop runs at most, and at most as often as its inputs sum to: each call takes smaller ones. A program
that needs more is undefined there."""

Run = Callable[[tuple[Any, ...]], Any]
"""Takes the inputs and returns the value, None where it is undefined."""


@dataclass(frozen=True)
class Loop:
    """A program of this form, ready to run.

    Attributes:
        counter: Number of the input that ends the loop when it is 0.
        base: Gives the value there.
        following: Gives the inputs of the next call, one function each.
        back: Takes the inputs of a call, the value of the next one behind them, and gives its value.
        by: What each call adds to the value of the next one, where that is all that it does.
        moves: What each call adds to each input of the next one, where that is all that it does and the counter
            loses 1. Where both are known, nothing is repeated.
    """

    counter: int
    base: Run
    following: tuple[Run, ...]
    back: Run
    by: int | None
    moves: tuple[int, ...] | None

    def __call__(self, inputs: tuple[Any, ...]) -> Any:
        """Returns the value of the program; None where it is undefined or does not end."""
        if self.moves is not None and self.by is not None and None not in inputs:
            times = inputs[self.counter]
            end = [max(0, value + times * move) for value, move in zip(inputs, self.moves, strict=True)]
            value = self.base(tuple(end))
            return None if value is None else _bounded(max(0, value + self.by * times))
        calls: list[tuple[Any, ...]] = []
        most = min(MAX_STEPS, sum(value for value in inputs if isinstance(value, int)))
        while inputs[self.counter] != 0:
            if len(calls) == most or None in inputs:
                return None
            calls.append(inputs)
            inputs = tuple([one(inputs) for one in self.following])
        value = self.base(inputs)
        for call in reversed(calls):
            if value is None:
                return None
            value = _bounded(self.back((*call, value)))
        return value


def _bounded(value: Any) -> Any:
    """Returns a value, None for an integer beyond `BOUND`: it is undefined in the enumeration too."""
    return None if isinstance(value, int) and abs(value) > BOUND else value


def as_loop(program: Term, arity: int, primitives: Mapping[str, Primitive]) -> Loop | None:
    """Returns a program as a loop; None where it has another form.

    Args:
        program: Any term.
        arity: How many inputs it has.
        primitives: The functions that it may call.
    """
    if program.head != "if0" or program.args[0].variable is None:
        return None
    test, base, step = program.args
    again = [part for part in subterms(step) if part.head == "rec"]
    if len(again) != 1 or any(part.head == "rec" for part in subterms(base)) or test.variable is None:
        return None
    back = _with_value(step, again[0], variable(arity))
    if any(part.head == "if0" for part in subterms(step)):  # a branch that is not taken must not be run
        return None
    counter = test.variable
    moves = [_added(argument, i) for i, argument in enumerate(again[0].args)]
    return Loop(
        counter,
        compiled(base, primitives),
        tuple(compiled(argument, primitives) for argument in again[0].args),
        compiled(back, primitives),
        _added(back, arity),
        tuple(move or 0 for move in moves) if None not in moves and moves[counter] == -1 else None,
    )


def compiled(term: Term, primitives: Mapping[str, Primitive]) -> Run:
    """Returns a function that computes a term without `rec`: None as soon as a part is undefined."""
    number = term.variable
    if number is not None:
        return lambda inputs: inputs[number]
    if not term.args:
        constant = term.literal if term.head not in primitives else primitives[term.head].call()
        return lambda inputs: constant
    arguments = [compiled(argument, primitives) for argument in term.args]
    if term.head == "if0":
        test, zero, other = arguments

        def chosen(inputs: tuple[Any, ...]) -> Any:
            value = test(inputs)
            return None if value is None else zero(inputs) if value == 0 else other(inputs)

        return chosen
    primitive = primitives[term.head]

    def called(inputs: tuple[Any, ...]) -> Any:
        values = [one(inputs) for one in arguments]
        return None if not primitive.lazy and None in values else primitive.call(*values)

    return called


def _with_value(term: Term, part: Term, value: Term) -> Term:
    """Returns `term` with `value` in the place of `part`."""
    if term == part:
        return value
    return Term(term.head, tuple(_with_value(argument, part, value) for argument in term.args))


def _added(term: Term, number: int) -> int | None:
    """Returns what nested `incr` or nested `decr0` add to a variable, 0 for the variable; None for another term."""
    added = 0
    while term.variable is None:
        step = {"incr": 1, "decr0": -1}.get(term.head, 0)
        if not step or step * added < 0:  # (incr (decr0 0)) is 1
            return None
        added, term = added + step, term.args[0]
    return added if term.variable == number else None

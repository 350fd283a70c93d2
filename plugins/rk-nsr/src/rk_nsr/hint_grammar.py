"""HINT: arithmetic expressions with precedence and brackets, and what they mean.

Li, Huang, Hong, Zhu, Wu and Zhu, "A Minimalist Dataset for Systematic Generalization of Perception, Syntax, and
Semantics", ICLR 2023, arXiv:2103.01403.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

Words = tuple[str, ...]

DIGITS = tuple("0123456789")
PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2}
SYMBOLS = (*DIGITS, *PRECEDENCE, "(", ")")
ARITIES = (*(0 for _ in DIGITS), *(2 for _ in PRECEDENCE), 0, 0)
FUNCTIONS: dict[str, Callable[[int, int], int]] = {
    "+": lambda x, y: x + y,
    "-": lambda x, y: max(0, x - y),
    "*": lambda x, y: x * y,
    "/": lambda x, y: -(-x // y),
}
"""Subtraction ends at 0, division is rounded up; nothing is divided by 0."""


@dataclass(frozen=True)
class Expression:
    """A symbol and what it is applied to.

    Attributes:
        symbol: A digit or an operator.
        args: None, or two.
    """

    symbol: str
    args: tuple[Expression, ...] = ()


def values(one: Expression) -> list[int]:
    """Returns the values of all parts, that of the whole last. Raises `ZeroDivisionError`."""
    if not one.args:
        return [int(one.symbol)]
    left, right = (values(argument) for argument in one.args)
    return [*left, *right, FUNCTIONS[one.symbol](left[-1], right[-1])]


def infix(one: Expression) -> Words:
    """Returns the symbols of an expression, with the brackets that it needs and no others."""
    if not one.args:
        return (one.symbol,)
    own = PRECEDENCE[one.symbol]
    left, right = one.args
    sides = [
        (left, PRECEDENCE.get(left.symbol, 3) < own),
        (right, PRECEDENCE.get(right.symbol, 3) <= own),
    ]
    before, after = (("(", *infix(side), ")") if closed else infix(side) for side, closed in sides)
    return (*before, one.symbol, *after)


def parsed(words: Sequence[str]) -> Expression:
    """Returns the expression that symbols are written for, brackets that are not needed too.

    Raises:
        ValueError: When there is none; the message says what was expected.
    """
    found, rest = _parsed(tuple(words), 0)
    if rest:
        raise ValueError(f"expected an operator or the end, got {rest[0]!r}")
    return found


def _parsed(words: Words, least: int) -> tuple[Expression, Words]:
    """Returns an expression of operators of precedence above `least`, and what is behind it."""
    if not words or (words[0] not in DIGITS and words[0] != "("):
        raise ValueError(f"expected a digit or '(', got {repr(words[0]) if words else 'the end'}")
    if words[0] == "(":
        found, rest = _parsed(words[1:], 0)
        if not rest or rest[0] != ")":
            raise ValueError(f"expected an operator or ')', got {repr(rest[0]) if rest else 'the end'}")
        rest = rest[1:]
    else:
        found, rest = Expression(words[0]), words[1:]
    while rest and PRECEDENCE.get(rest[0], 0) > least:
        operator = rest[0]
        right, rest = _parsed(rest[1:], PRECEDENCE[operator])
        found = Expression(operator, (found, right))
    return found, rest


def expressions(draws: random.Random, operators: int) -> Iterator[Expression]:
    """Yields random expressions with so many operators, endlessly: each split of the operators is equally likely."""
    while True:
        yield _random(draws, operators)


def _random(draws: random.Random, operators: int) -> Expression:
    if not operators:
        return Expression(draws.choice(DIGITS))
    left = draws.randrange(operators)
    sides = _random(draws, left), _random(draws, operators - 1 - left)
    return Expression(draws.choice(tuple(PRECEDENCE)), sides)


def sampled(
    draws: random.Random, operators: int, count: int, least: int, most: int, without: set[Words]
) -> list[tuple[Words, int]]:
    """Returns different expressions as symbols, with their values.

    As in the published generator, from three operators on no value is 0, and no value fills more than 5 % of them.

    Args:
        draws: The source of chance.
        operators: Operators of each.
        count: How many.
        least: The largest value of any part is at least this.
        most: And at most this.
        without: Expressions that are left out.
    """
    found: dict[Words, int] = {}
    often: dict[int, int] = {}
    for one in expressions(draws, operators):
        if len(found) == count:
            break
        try:
            parts = values(one)
        except ZeroDivisionError:
            continue
        value, largest = parts[-1], max(parts)
        if not least <= largest <= most or (operators >= 3 and not value):
            continue
        words = infix(one)
        if words in found or words in without or often.get(value, 0) > max(1, 0.05 * count):
            continue
        found[words] = value
        often[value] = often.get(value, 0) + 1
    return list(found.items())


def singles() -> list[tuple[Words, int]]:
    """Returns the ten expressions that are a digit."""
    return [((digit,), int(digit)) for digit in DIGITS]


def pairs() -> list[tuple[Words, int]]:
    """Returns all expressions of two digits that have a value."""
    return [
        ((x, operator, y), FUNCTIONS[operator](int(x), int(y)))
        for x in DIGITS
        for operator in PRECEDENCE
        for y in DIGITS
        if operator != "/" or y != "0"
    ]

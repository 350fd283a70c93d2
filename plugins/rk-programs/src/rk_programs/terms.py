"""Terms: what programs are made of, with their size, as text and back."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_TOKEN = re.compile(r"\s*([()]|[^\s()]+)")
_VARIABLE = re.compile(r"x(\d+)")
_LITERAL = re.compile(r"-?\d+")


@dataclass(frozen=True, slots=True)
class Term:
    """A function applied to terms. Without arguments it is a constant, a literal or a variable ``x0``, ``x1``, ...

    Attributes:
        head: Name of the function; the text of a literal; or a variable.
        args: What it is applied to.
    """

    head: str
    args: tuple[Term, ...] = ()

    @property
    def size(self) -> int:
        """How many heads it has: the description length of the term in symbols."""
        return 1 + sum(argument.size for argument in self.args)

    @property
    def variable(self) -> int | None:
        """The number of the variable, None for anything else."""
        found = None if self.args else _VARIABLE.fullmatch(self.head)
        return None if found is None else int(found[1])

    @property
    def literal(self) -> int | None:
        """The integer that the head is the text of, None for anything else."""
        return int(self.head) if not self.args and _LITERAL.fullmatch(self.head) else None

    def __str__(self) -> str:
        return f"({' '.join((self.head, *map(str, self.args)))})" if self.args else self.head


def parse(text: str) -> Term:
    """Returns the term of a text such as ``(++ (singleton 5) x0)``: the reverse of ``str``.

    Raises:
        ValueError: When the text is not one term; the message has the column.
    """
    tokens = [(match[1], match.start(1) + 1) for match in _TOKEN.finditer(text)]
    term, end = _parse(tokens, 0, len(text) + 1)
    if end < len(tokens):
        raise ValueError(f"column {tokens[end][1]}: expected the end, got {tokens[end][0]!r}")
    return term


def _parse(tokens: Sequence[tuple[str, int]], at: int, end: int) -> tuple[Term, int]:
    if at == len(tokens):
        raise ValueError(f"column {end}: expected a term, got the end")
    token, column = tokens[at]
    if token == ")":
        raise ValueError(f"column {column}: expected a term, got ')'")
    if token != "(":
        return Term(token), at + 1
    if at + 1 == len(tokens) or tokens[at + 1][0] in "()":
        raise ValueError(f"column {column}: expected the name of a function after '('")
    head, at = tokens[at + 1][0], at + 2
    args = []
    while at < len(tokens) and tokens[at][0] != ")":
        argument, at = _parse(tokens, at, end)
        args.append(argument)
    if at == len(tokens):
        raise ValueError(f"column {end}: expected ')', got the end")
    return Term(head, tuple(args)), at + 1


def variable(number: int) -> Term:
    """Returns the variable ``x<number>``."""
    return Term(f"x{number}")


def subterms(term: Term) -> Iterator[Term]:
    """Yields the term and everything in it, from the outside in."""
    yield term
    for argument in term.args:
        yield from subterms(argument)


def substitute(term: Term, values: Sequence[Term]) -> Term:
    """Returns `term` with each variable ``x<i>`` replaced by ``values[i]``."""
    number = term.variable
    if number is not None:
        return values[number]
    return Term(term.head, tuple(substitute(argument, values) for argument in term.args)) if term.args else term

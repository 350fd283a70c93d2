"""Library learning: functions that make a set of programs shorter, by minimum description length.

The description length of programs is the number of their symbols, plus that of the bodies of the functions they call.
A candidate is what two subterms have in common, with a variable for each place where they differ (anti-unification;
Plotkin 1970). The one that saves most becomes a function, the programs are rewritten, and so on: DreamCoder's
compression (Ellis et al., arXiv:2006.08381), restricted to functions without functions as arguments.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rk_programs.dsl import Dsl
from rk_programs.terms import Term, substitute, subterms, variable


@dataclass(frozen=True)
class Abstraction:
    """A function that was learned.

    Attributes:
        name: What terms call it.
        takes: Types of its arguments.
        body: A term over ``x0``, ``x1``, ...
        saved: By how many symbols it made programs and library shorter.
    """

    name: str
    takes: tuple[str, ...]
    body: Term
    saved: int

    def __str__(self) -> str:
        arguments = " ".join(f"x{i}" for i in range(len(self.takes)))
        return f"({self.name} {arguments}) = {self.body}" if self.takes else f"{self.name} = {self.body}"


def description_length(programs: Iterable[Term], library: Iterable[Abstraction] = ()) -> int:
    """Returns the symbols of programs and of the bodies of functions, one more for each function's name."""
    return sum(term.size for term in programs) + sum(1 + one.body.size for one in library)


def learn_library(
    dsl: Dsl,
    programs: Sequence[Term],
    *,
    max_functions: int = 3,
    max_arity: int = 2,
    prefix: str = "f",
    linear: bool = False,
) -> tuple[list[Abstraction], list[Term]]:
    """Returns functions that make `programs` shorter, and the programs written with them; adds them to the language.

    Args:
        dsl: The language; it gets the functions by `define`.
        programs: Terms of the language. Variables of programs never occur in a function but as its arguments.
        max_functions: Most functions; fewer where no further one saves anything.
        max_arity: Most arguments of a function.
        prefix: Names begin with it; numbers follow.
        linear: Whether a function uses each argument once: what `rk_programs.chains` can enumerate.
    """
    written, library = list(programs), list[Abstraction]()
    for _ in range(max_functions):
        best = _best(written, max_arity, linear)
        if best is None:
            break
        body, saved = best
        number = len(library)
        while f"{prefix}{number}" in dsl.primitives:
            number += 1
        takes = _argument_types(dsl, body)
        made = Abstraction(f"{prefix}{number}", takes, body, saved)
        dsl.define(made.name, takes, body)
        library.append(made)
        written = [rewrite(term, made.name, body) for term in written]
    return library, written


def expand(term: Term, library: Sequence[Abstraction]) -> Term:
    """Returns the term without functions of the library: the reverse of rewriting."""
    bodies = {one.name: one.body for one in library}
    args = tuple(expand(argument, library) for argument in term.args)
    if term.head in bodies:
        return expand(substitute(bodies[term.head], args), library)
    return Term(term.head, args)


def rewrite(term: Term, name: str, body: Term) -> Term:
    """Returns the shortest way to write `term` with the function ``name``."""
    known: dict[int, tuple[Term, int]] = {}  # each subterm once: matches overlap in long chains

    def written(part: Term) -> tuple[Term, int]:
        if id(part) not in known:
            args = [written(argument) for argument in part.args]
            plain = Term(part.head, tuple(arg for arg, _ in args)) if args else part
            best = plain, 1 + sum(size for _, size in args)
            bound: dict[int, Term] = {}
            if _matches(body, part, bound):
                given = [written(bound[i]) for i in range(len(bound))]
                size = 1 + sum(size for _, size in given)
                if size < best[1]:
                    best = Term(name, tuple(arg for arg, _ in given)), size
            known[id(part)] = best
        return known[id(part)]

    return written(term)[0]


def _matches(pattern: Term, term: Term, bound: dict[int, Term]) -> bool:
    """Whether `term` is `pattern` with terms for its variables, which `bound` gets."""
    number = pattern.variable
    if number is not None:
        return bound.setdefault(number, term) == term
    return (
        pattern.head == term.head
        and len(pattern.args) == len(term.args)
        and all(_matches(p, t, bound) for p, t in zip(pattern.args, term.args, strict=True))
    )


def _best(programs: Sequence[Term], max_arity: int, linear: bool) -> tuple[Term, int] | None:
    """Returns the body that saves most, and how much; None where none saves anything."""
    parts = list(dict.fromkeys(part for term in programs for part in subterms(term) if part.args))
    bodies: dict[Term, None] = {}
    for i, one in enumerate(parts):
        for other in parts[i:]:
            if one.head == other.head and len(one.args) == len(other.args):
                body, arity = common(one, other, linear=linear)
                if arity <= max_arity and body.size - arity >= 2:
                    bodies[body] = None
    before, best = description_length(programs), None
    for body in bodies:
        after = sum(rewrite(term, "?", body).size for term in programs) + 1 + body.size
        if before - after > (0 if best is None else best[1]):
            best = body, before - after
    return best


def common(one: Term, other: Term, *, linear: bool = False) -> tuple[Term, int]:
    """Returns what two terms have in common, with ``x0``, ``x1``, ... for the rest, and how many variables that has.

    Equal pairs of differences get the same variable: the least general generalisation. With `linear`, each difference
    has a variable to itself. A variable of the terms is a difference too: a function has no access to the inputs of the
    program that calls it.
    """
    pairs: dict[tuple[Term, Term] | int, Term] = {}

    def general(a: Term, b: Term) -> Term:
        if a.head == b.head and len(a.args) == len(b.args) and a.variable is None and a.head != "rec":
            return Term(a.head, tuple(general(x, y) for x, y in zip(a.args, b.args, strict=True)))
        return pairs.setdefault(len(pairs) if linear else (a, b), variable(len(pairs)))

    body = general(one, other)
    return body, len(pairs)


def _argument_types(dsl: Dsl, body: Term) -> tuple[str, ...]:
    """Returns the types of the variables of a body, from where they stand."""
    found: dict[int, str] = {}

    def visit(term: Term) -> None:
        if term.args:
            for kind, argument in zip(dsl.primitives[term.head].takes, term.args, strict=True):
                if argument.variable is not None:
                    found[argument.variable] = kind
                visit(argument)

    visit(body)
    return tuple(found[i] for i in range(len(found)))

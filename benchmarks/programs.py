"""rk-programs: enumeration by size against a plain recursive one, and library learning, one thread.

    python benchmarks/programs.py               all parts
    python benchmarks/programs.py enumeration   only this one

Both enumerations make the same terms of `list-dsl`; the ratio is of times in one run. Library learning is compared with
Stitch (Bowers et al., POPL 2023) where `pip install stitch-core` has been done.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable

from rk_programs.enumeration import Enumeration
from rk_programs.library import description_length, learn_library
from rk_programs.list_dsl import ListDsl
from rk_programs.naive import smallest_terms
from rk_programs.terms import Term, parse

PROGRAMS = [
    "(++ x0 (singleton (car (reverse x0))))",
    "(cons (car (reverse x0)) (cdr (reverse (cons (car x0) (cdr (reverse x0))))))",
    "(cdr (++ x0 (singleton (car x0))))",
    "(cons (car x0) x0)",
    "(++ x0 (++ x0 (++ x0 x0)))",
    "(++ x0 (++ x0 x0))",
    "(++ (++ x0 (singleton (car (reverse x0)))) (++ x0 (singleton (car (reverse x0)))))",
    "(reverse (++ x0 (singleton (car (reverse x0)))))",
    "(cdr (++ (reverse x0) (singleton (car (reverse x0)))))",
]
FUNCTIONS: dict[str, Callable[[tuple[int, ...]], tuple[int, ...]]] = {
    "echo": lambda x: x + x[-1:],
    "shift": lambda x: x[1:] + x[:1],
    "around": lambda x: x * 4,
    "swap first and last": lambda x: x[-1:] + x[1:-1] + x[:1],
}


def main() -> None:
    parts = {"enumeration": enumeration, "searches": searches, "library": library}
    for name in sys.argv[1:] or parts:
        parts[name]()


def enumeration() -> None:
    """Prints the time of all terms up to a size, both ways."""
    language, examples = ListDsl(), _lists(8)
    print(f"{'size':>4} {'values':>8} {'plain s':>9} {'rows s':>8} {'ratio':>7}   enumeration, 8 examples")
    for size in (4, 5, 6, 7):
        plain, expected = _timed(lambda size=size: smallest_terms(language, ["list"], examples, "list", size, 10))
        rows, found = _timed(lambda size=size: _all(language, examples, size))
        assert found == len(expected), (found, len(expected))
        print(f"{size:>4} {found:>8} {plain:>9.3f} {rows:>8.3f} {plain / rows:>7.1f}")


def _all(language: ListDsl, examples: list[tuple[tuple[int, ...]]], size: int) -> int:
    made = Enumeration(language, ["list"], examples, capacity=10)
    return sum(len(level.origins) for _ in range(size) for kind, level in made.grow().items() if kind == "list")


def searches() -> None:
    """Prints the time until a program is found."""
    print(f"{'function':<20} {'size':>4} {'terms':>8} {'s':>7} {'terms/s':>9}   searches, 12 examples")
    for name, function in FUNCTIONS.items():
        examples = _lists(12)
        outputs = [function(*inputs) for inputs in examples]
        longest = max(len(output) for output in outputs)
        made = Enumeration(ListDsl(), ["list"], examples, capacity=longest)
        seconds, found = _timed(lambda made=made, outputs=outputs: made.search("list", outputs, max_size=12))
        assert found is not None and found.share > 0.999
        print(f"{name:<20} {found.term.size:>4} {made.tried:>8} {seconds:>7.3f} {made.tried / seconds:>9,.0f}")


def library() -> None:
    """Prints how many symbols a library saves, and how long it takes to find."""
    programs = [parse(text) for text in PROGRAMS]
    seconds, (functions, written) = _timed(lambda: learn_library(ListDsl(), programs))
    before, after = description_length(programs), description_length(written, functions)
    print(f"library: {before} symbols, {after} with {len(functions)} functions, {seconds:.3f} s")
    for one in functions:
        print(f"  {one}")
    try:
        from stitch_core import compress
    except ImportError:
        print("Stitch is not installed: pip install stitch-core")
        return
    texts = [f"(lam {_as_stitch(term)})" for term in programs]
    seconds, result = _timed(lambda: compress(texts, iterations=3, max_arity=2, silent=True))
    print(f"Stitch: {len(result.abstractions)} functions, {seconds:.3f} s")
    for one in result.abstractions:
        print(f"  ({one.name}) = {one.body}")


def _as_stitch(term: Term) -> str:
    if term.variable is not None:
        return "$0"
    return f"({' '.join((term.head, *map(_as_stitch, term.args)))})" if term.args else term.head


def _lists(count: int) -> list[tuple[tuple[int, ...]]]:
    draws = random.Random(0)
    return [(tuple(draws.sample(range(1, 40), draws.randint(2, 5))),) for _ in range(count)]


def _timed(function: Callable[[], object]) -> tuple[float, object]:
    begin = time.process_time()
    result = function()
    return time.process_time() - begin, result


if __name__ == "__main__":
    main()

"""rk-programs: enumeration by size against a plain recursive one, and library learning, one thread.

    python benchmarks/programs.py               all parts
    python benchmarks/programs.py enumeration   only this one

Both enumerations make the same terms of `list-dsl`; the ratio is of times in one run. Library learning is compared with
Stitch (Bowers et al., POPL 2023) where `pip install "rk-programs[stitch]"` has been done; both count symbols alike.
"""

from __future__ import annotations

import random
import re
import sys
import time
from collections.abc import Callable
from typing import Any

from rk_programs.enumeration import Enumeration
from rk_programs.library import description_length, learn_library
from rk_programs.list_dsl import ListDsl
from rk_programs.naive import smallest_terms
from rk_programs.terms import Term, parse, substitute

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
    """Prints how many symbols a library saves, and how long it takes to find, beside Stitch where it is installed."""
    try:
        from stitch_core import StitchException, compress
    except ImportError:
        compress = None
        print('Stitch is not installed: pip install "rk-programs[stitch]"')
    print(
        f"{'programs':>8} {'symbols':>8} {'ours':>8} {'s':>8} {'Stitch':>8} {'s':>8} {'s/s':>6}   library, 3 functions"
    )
    for count in (9, 20, 40):
        programs = _programs(count)
        seconds, (functions, written) = _timed(lambda programs=programs: learn_library(ListDsl(), programs))
        before, after = description_length(programs), description_length(written, functions)
        line = f"{count:>8} {before:>8} {after:>8} {seconds:>8.3f}"
        if compress is not None:
            line += _rival(compress, StitchException, programs, seconds)
        print(line)


def _rival(compress: Callable[..., Any], failure: type[Exception], programs: list[Term], seconds: float) -> str:
    """Returns the columns of Stitch: symbols, its time, and our time over it."""
    texts = [f"(lam {_as_stitch(term)})" for term in programs]
    try:
        rival, found = _timed(lambda: compress(texts, iterations=3, max_arity=2, silent=True))
    except failure as error:  # 0.1.29 stops at an assertion of its own for some sets of programs
        return f"   fails: {str(error).splitlines()[0][:60]}"
    bodies = [one.body for one in found.abstractions]
    size = sum(map(_symbols, found.rewritten)) + sum(1 + _symbols(body) for body in bodies)
    return f" {size:>8} {rival:>8.3f} {seconds / max(rival, 1e-6):>6.1f}"


def _programs(count: int) -> list[Term]:
    """Returns the nine programs, and random ones of these within each other."""
    draws, nine = random.Random(0), [parse(text) for text in PROGRAMS]
    both = [substitute(outer, [inner]) for outer in nine for inner in nine]
    return [*nine, *draws.sample(both, count - len(nine))]


def _symbols(text: str) -> int:
    """Returns how many symbols a program of Stitch has, counted as ours."""
    return len([token for token in re.findall(r"[^\s()]+", text) if token != "lam"])


def _as_stitch(term: Term) -> str:
    if term.variable is not None:
        return "$0"
    return f"({' '.join((term.head, *map(_as_stitch, term.args)))})" if term.args else term.head


def _lists(count: int) -> list[tuple[tuple[int, ...]]]:
    draws = random.Random(0)
    return [(tuple(draws.sample(range(1, 40), draws.randint(2, 5))),) for _ in range(count)]


def _timed(function: Callable[[], Any]) -> tuple[float, Any]:
    begin = time.process_time()
    result = function()
    return time.process_time() - begin, result


if __name__ == "__main__":
    main()

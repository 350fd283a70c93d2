"""The success rate of rk-cola's methods where the right paths are known: no model, no weights, a minute.

python benchmarks/cola_methods.py [seeds]        200 seeds by default

A path of 28 layers is right if it leaves out layer 12 and runs layer 7 twice: one skip and one repeat, of the 524 edits
that there are. Printed is the share of searches that find a right path among 100, for the two spaces and two numbers of
repeats. A tree sees what was right, and cannot use it before it has found the first right path.
"""

from __future__ import annotations

import sys

from rk_cola.mcts import Finding, Method, TreeSearch
from rk_cola.rivals import Beam, RandomPaths
from rk_cola.spaces import Edits, Limits, Segments
from rk_lm.layered import Path

DEPTH, PATHS = 28, 100
SPACES = {
    "edits, up to 4 repeats": lambda: Edits(limits(max_repeats=4)),
    "edits, 1 repeat": lambda: Edits(limits(max_repeats=1)),
    "segments": lambda: Segments(limits()),
}
METHODS = {
    "mcts": lambda space, seed: TreeSearch(space, DEPTH, seed),
    "random": lambda space, seed: RandomPaths(space, seed),
    "beam": lambda space, seed: Beam(space, seed),
}


def main() -> None:
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    print(f"{seeds} searches of {PATHS} paths: share that finds a path without layer 12 and with layer 7 twice")
    print("".join([f"{'':<24}", *(f"{name:>10}" for name in METHODS)]))
    for name, make in SPACES.items():
        shares = [sum(finds(method(make(), str(seed))) for seed in range(seeds)) / seeds for method in METHODS.values()]
        print("".join([f"{name:<24}", *(f"{share:>10.0%}" for share in shares)]))


def limits(**settings: int) -> Limits:
    return Limits(depth=DEPTH, max_length=42, **settings)


def is_right(path: Path) -> bool:
    return 12 not in path and path.count(7) == 2


def finds(method: Method) -> bool:
    """Whether a right path is among the first that `method` proposes."""
    for _ in range(PATHS + 1):
        path = method.propose()
        if path is None:
            return False
        if is_right(path):
            return True
        method.observe(Finding(False, -1.0))
    return False


if __name__ == "__main__":
    main()

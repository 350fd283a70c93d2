"""Paths as text, and properties of a path."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

from rk_lm.layered import Path


def path_text(path: Path) -> str:
    """Returns a path as its ascending runs.

    Examples:
        >>> path_text((0, 1, 2, 1, 2, 4))
        '0-2 1-2 4'
    """
    runs: list[list[int]] = []
    for layer in path:
        if runs and layer == runs[-1][1] + 1:
            runs[-1][1] = layer
        else:
            runs.append([layer, layer])
    return " ".join(f"{a}-{b}" if b > a else str(a) for a, b in runs)


def read_path(text: str) -> Path:
    """Returns the path that `path_text` has written. Raises ValueError for any other text."""
    path: list[int] = []
    for run in text.split():
        first, _, last = run.partition("-")
        path += range(int(first), int(last or first) + 1)
    return tuple(path)


def pareto(paths: Iterable[tuple[Path, bool]]) -> list[tuple[Path, bool]]:
    """Returns the paths that none beats in accuracy and length: the shortest of all, and the shortest right one."""
    ordered = sorted(paths, key=lambda one: (len(one[0]), not one[1], one[0]))
    front: list[tuple[Path, bool]] = []
    for path, valid in ordered:
        if not front or (valid and not front[-1][1]):
            front.append((path, valid))
    return front


def layer_entropy(paths: Iterable[Path]) -> float:
    """Returns the entropy, in nats, of how often each layer is used in all `paths` together; NaN over none."""
    uses = Counter(layer for path in paths for layer in path)
    total = sum(uses.values())
    return sum(n / total * math.log(total / n) for n in uses.values()) if total else math.nan

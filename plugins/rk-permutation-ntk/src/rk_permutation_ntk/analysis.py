"""The analysis `permutation`: the limit's means and deviation, and how many members it takes, by number of bits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Annotated, get_args

import torch
from annotated_types import Ge, Gt, Lt
from rk_kernels.linalg import Normal, gradient_descent_ensemble
from rk_kernels.mlp_kernel import MLPKernel
from torch import Tensor

from rk.charts import COLORS, chart, save
from rk.sampling import generator
from rk.writing import write_csv
from rk_permutation_ntk.data import Permutation
from rk_permutation_ntk.limit import drawn
from rk_permutation_ntk.metrics import bits_of
from rk_permutation_ntk.theory import Parametrization, limit, members_for_all, members_needed

AUTHORS = {5: 43, 10: 69, 15: 103, 20: 117, 25: 157, 30: 175}
"""Members that the authors' networks took for 90% of vectors with two ones, one trial each: results of their code."""
CHUNK = 32
"""Members that are drawn at once."""

Row = tuple[int, str, float, float, float, int, int, float, int, int]
"""As `COLUMNS`."""
COLUMNS = (
    "bits",
    "parametrization",
    "mean-1",
    "mean-0",
    "std",
    "members",
    "members-all",
    "stop",
    "stop-min",
    "stop-max",
)


class PermutationAnalysis:
    """How many members are needed for so many bits: by the formula, and by the authors' experiment in the limit.

    The experiment adds members until the share of exact vectors reaches the accuracy, here with members that are drawn
    from the exact limit. Stopping at the first success makes it optimistic: it ends, on average, before the formula.
    With two ones and an accuracy of 0.9, the authors' own counts are drawn beside it. Writes ``permutation.csv`` and
    ``permutation.png``.

    Args:
        bits: Numbers of bits.
        ones: Ones of the test vectors; with two, the most members are needed.
        accuracy: Share of the vectors that are exact.
        repeats: Experiments for each number of bits; 0: the formula alone.
        seed: Of the draws.

    Examples:
        rk analyze permutation --bits [5,10,20] --repeats 10
    """

    def __init__(
        self,
        bits: tuple[Annotated[int, Ge(2)], ...] = (5, 10, 15, 20, 25, 30),
        ones: Annotated[int, Ge(2)] = 2,
        accuracy: Annotated[float, Gt(0), Lt(1)] = 0.9,
        repeats: Annotated[int, Ge(0)] = 3,
        seed: int = 0,
    ) -> None:
        if not bits or min(bits) < ones:
            raise ValueError(f"bits must be numbers of at least {ones}, the number of ones, got {list(bits)}")
        self.bits = tuple(sorted(set(bits)))
        self.ones = ones
        self.accuracy = accuracy
        self.repeats = repeats
        self.seed = seed

    def analyze(self, out: Path) -> dict[str, float]:
        """Returns the members by the formula and those at which the experiments stopped, on average."""
        rows = [self._row(bits, kind) for kind in get_args(Parametrization) for bits in self.bits]
        write_csv(out / "permutation.csv", COLUMNS, rows, digits=5)
        self._draw(rows, out / "permutation.png")
        found: dict[str, float] = {}
        for bits, kind, *_, needed, _, stop, _, _ in rows:
            found |= {f"{kind}/{bits}/members": needed} | ({f"{kind}/{bits}/stop": stop} if self.repeats else {})
        return found

    def _row(self, bits: int, kind: Parametrization) -> Row:
        theory = limit(bits, self.ones, kind)
        needed = members_needed(bits, self.ones, self.accuracy, kind)
        everything = members_for_all(bits, self.accuracy, kind)
        stops = [self._stop(bits, kind, self.seed + i) for i in range(self.repeats)] or [0]
        numbers = (theory.mean_1, theory.mean_0, theory.variance**0.5)
        return bits, kind, *numbers, needed, everything, fmean(stops), min(stops), max(stops)

    def _stop(self, bits: int, kind: Parametrization, seed: int) -> int:
        """Returns the first number of members with which the share of exact vectors is reached."""
        data = Permutation(seed, bits, ones=(self.ones,))
        data.prepare()
        train, test = (data.batch(split, 0) for split in data.splits)
        distribution = of_networks(train["inputs"], train["targets"], test["inputs"], kind)
        right = test["targets"] > 0
        total, members = torch.zeros_like(distribution.mean), 0
        random = generator(seed, bits, kind)
        while True:
            for one in drawn(distribution, CHUNK, random).unbind(1):
                total, members = total + one, members + 1
                if float((bits_of(total / members) == right).all(1).double().mean()) >= self.accuracy:
                    return members

    def _draw(self, rows: Sequence[Row], path: Path) -> None:
        with chart(5.2, 3.6) as (figure, axis):
            for color, kind in zip(COLORS, get_args(Parametrization), strict=False):
                own = [row for row in rows if row[1] == kind]
                at = [row[0] for row in own]
                axis.plot(at, [row[5] for row in own], color=color, label=f"{kind}: formula")
                if self.repeats:
                    mean = [row[7] for row in own]
                    ends = [[row[7] - row[8] for row in own], [row[9] - row[7] for row in own]]
                    axis.errorbar(
                        at, mean, ends, fmt="o", color=color, capsize=2, label=f"{kind}: stopped in the limit"
                    )
            authors = {bits: count for bits, count in AUTHORS.items() if bits in self.bits}
            if authors and self.ones == 2 and self.accuracy == 0.9:
                axis.plot(list(authors), list(authors.values()), "x", color=COLORS[3], label="authors' networks")
            axis.set(xlabel="bits", ylabel=f"members for {100 * self.accuracy:g}%", yscale="log")
            axis.legend()
            save(figure, path)


def of_networks(train: Tensor, targets: Tensor, test: Tensor, kind: Parametrization) -> Normal:
    """Returns what a two-layer relu network answers, by the kernels of any inputs.

    Args:
        train: (n, features).
        targets: (n, outputs).
        test: (m, features).
        kind: Of the networks.
    """
    nngp, ntk = (MLPKernel(depth=1, kind=name, w_std=1.0, b_std=0.0, learned=False) for name in ("nngp", "ntk"))
    tangent = ntk if kind == "ntk" else nngp
    return gradient_descent_ensemble(
        nngp(train), nngp(test, train), nngp(test), tangent(train), tangent(test, train), targets.double()
    )

"""The analysis `members-needed`: how many members of an ensemble decide as all of them do."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import torch
from annotated_types import Gt, Lt
from torch import Tensor

from rk import Run, UserError
from rk.authoring import answers
from rk.charts import COLORS, chart, save
from rk.sampling import generator
from rk.writing import write_csv
from rk_permutation_ntk.metrics import TOLERANCE
from rk_permutation_ntk.theory import fewest

DRAWS = 400
"""Draws for each example."""
HINT = "members-needed takes runs of the model ensemble, or of the trainer limiting-ensemble"


class MembersNeeded:
    """How often the mean over few members decides as the mean over all of them, measured and by normal theory.

    A decision is the sign of a value less the threshold, or, where targets are classes, which one is highest. An
    example is decided when all of its decisions are. Theory takes the mean and the covariance over members: the mean
    over M others is normal with a covariance that is M times smaller, and over M of the N that were measured, by a
    further 1 - M / N. Works for any run with answers of members, whatever it learned. Values on the threshold itself,
    within 1e-4, decide nothing and are left out. Writes ``members-needed.csv`` and ``members-needed.png``.

    Args:
        run: A run of an ensemble.
        split: Whose examples are decided.
        share: Of the examples, to be decided as by all members.
        threshold: Of values.

    Examples:
        rk analyze members-needed --run last --share 0.99
    """

    def __init__(
        self,
        run: Run,
        split: str = "test",
        share: Annotated[float, Gt(0), Lt(1)] = 0.9,
        threshold: float = 0.0,
    ) -> None:
        self.run = run
        self.split = split
        self.share = share
        self.threshold = threshold

    def analyze(self, out: Path) -> dict[str, float]:
        """Returns the members that theory gives for the share; for half of the members, what it gives and the truth."""
        gaps = self._gaps()
        members = gaps.shape[1]
        if members < 2:
            raise UserError(f"members-needed: the ensemble must have 2 members or more, got {members}", HINT)
        sizes = sorted({round(2 ** (i / 2)) for i in range(100) if 2 ** (i / 2) <= members / 2} | {members // 2})
        theory = Theory(gaps)
        rows = [(n, theory.share(n), theory.share(n, whole=members), measured(gaps, n)) for n in sizes]
        needed = fewest(lambda n: theory.share(n) >= self.share or n >= 2**40)
        write_csv(out / "members-needed.csv", ("members", "others", "of-these", "measured"), rows, digits=5)
        with chart(4.6, 3.2) as (figure, axis):
            axis.plot(sizes, [r[1] for r in rows], color=COLORS[0], label="theory: other members")
            axis.plot(sizes, [r[2] for r in rows], "--", color=COLORS[1], label="theory: some of these")
            axis.plot(sizes, [r[3] for r in rows], "o", color=COLORS[1], label="measured: some of these")
            axis.axhline(self.share, color=COLORS[7], linewidth=0.8)
            axis.set(xscale="log", xlabel="members", ylabel=f"decided as by all {members}", ylim=(0, 1.03))
            axis.legend()
            save(figure, out / "members-needed.png")
        return {"members": needed, "half/predicted": rows[-1][2], "half/measured": rows[-1][3]}

    def _gaps(self) -> Tensor:
        """Returns how far each member is on the side on which all are, (examples, members, decisions)."""
        found = []
        for batch, outputs in answers(self.run, self.split, needs=("targets",), hint=HINT):
            joined = {**batch, **outputs}
            field = "member_values" if joined["targets"].is_floating_point() else "member_logits"
            if field not in joined:
                raise UserError(f"members-needed: the run must answer with {field}", HINT)
            members = joined[field].double()
            if field == "member_values":
                gap = (members - self.threshold).flatten(2)
                gap = gap * gap.mean(1, keepdim=True).sign()
                found.append(gap * (gap.mean(1, keepdim=True) > TOLERANCE))
            else:
                winner = members.mean(1, keepdim=True).argmax(-1, keepdim=True).expand(*members.shape[:-1], 1)
                others = torch.ones_like(members, dtype=torch.bool).scatter(-1, winner, False)
                gap = members.gather(-1, winner) - members
                found.append(gap[others].unflatten(0, (*members.shape[:-1], -1)))
        return torch.cat(found).cpu()


class Theory:
    """Means over members as normal vectors of the mean and the covariance that the members have.

    Args:
        gaps: (examples, members, decisions); decisions of zeros count for nothing.
    """

    def __init__(self, gaps: Tensor) -> None:
        self.mean = gaps.mean(1, keepdim=True)
        self.none = (gaps == 0).all(1, keepdim=True)
        weights = torch.randn(DRAWS, gaps.shape[1], dtype=gaps.dtype, generator=generator("members-needed"))
        # a sum of members with normal weights has their covariance, dependences between decisions included
        self.noise = weights / math.sqrt(gaps.shape[1] - 1) @ (gaps - self.mean)

    def share(self, members: int, whole: float = math.inf) -> float:
        """Returns the share of examples of which every decision is that of all.

        Args:
            members: Members whose mean decides.
            whole: How many they are chosen from.
        """
        deviation = math.sqrt((1 - members / whole) / members)
        return float(((self.mean + deviation * self.noise > 0) | self.none).all(2).double().mean())


def measured(gaps: Tensor, members: int) -> float:
    """Returns the share of examples that groups of so many members decide as all do, over all disjoint groups."""
    groups = gaps.shape[1] // members
    means = gaps[:, : groups * members].unflatten(1, (groups, members)).mean(2)
    return float(((means > 0) | (gaps == 0).all(1).unsqueeze(1)).all(2).double().mean())

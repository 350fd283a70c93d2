"""The share of sequences that are right up to each step: the curve of the paper's state-tracking figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import torch
from annotated_types import Ge
from jaxtyping import Float, Int
from torch import Tensor

from rk import Run, UserError
from rk.authoring import answers, titles
from rk.charts import chart, draw_lines, save
from rk.fields import IGNORED
from rk.writing import write_csv


class PrefixAccuracy:
    """The share of sequences whose first t answers are all right, for each t, of one or several runs.

    Takes runs of any model that answers at each step, on data with a target for each step. Steps with the target -100
    count for nothing, and are left out where no sequence has another.

    Args:
        runs: The runs, each a curve.
        split: The split of the examples; a split of long sequences shows how far the answers hold.
        batches: The most batches to take; null takes all.
        trained_length: Marked in the figure: the length of the sequences in training.

    Raises:
        ValueError: When there is no run.

    Examples:
        rk analyze prefix-accuracy --runs [last] --split test-96
    """

    def __init__(
        self,
        runs: list[Run],
        split: str = "test",
        batches: Annotated[int, Ge(1)] | None = None,
        trained_length: Annotated[int, Ge(1)] | None = None,
    ) -> None:
        if not runs:
            raise ValueError("runs must not be empty")
        self.runs = runs
        self.split = split
        self.limit = batches
        self.trained_length = trained_length

    def analyze(self, out: Path) -> dict[str, float]:
        """Writes `prefix-accuracy.csv` and a figure into `out`; returns how many whole sequences each run has right."""
        curves = dict(zip(titles(self.runs), map(self._curve, self.runs), strict=True))
        rows = ((name, t, share) for name, curve in curves.items() for t, share in enumerate(curve, 1))
        write_csv(out / "prefix-accuracy.csv", ("run", "answers", "accuracy"), rows)
        self._draw(curves, out / "prefix-accuracy.png")
        return {name: curve[-1] for name, curve in curves.items()}

    def _curve(self, run: Any) -> list[float]:
        right, asked, count = torch.zeros(0), torch.zeros(0), 0
        for batch, outputs in answers(run, self.split, self.limit):
            logits, targets = outputs.get("logits"), batch.get("targets")
            if logits is None or targets is None or logits.ndim != 3 or targets.shape != logits.shape[:2]:
                raise UserError(
                    f"{run.folder.label} does not answer at each step",
                    "prefix-accuracy takes runs whose logits and targets are per step",
                )
            if count and targets.shape[1] != len(right):
                raise UserError(f"{run.folder.label}: sequences of {self.split} differ in length", "take another split")
            prefixes, questions = right_prefixes(logits, targets), (targets != IGNORED).sum(0).cpu()
            right = right + prefixes if count else prefixes
            asked = asked + questions if count else questions
            count += len(targets)
        return (right[asked > 0] / count).tolist()

    def _draw(self, curves: dict[str, list[float]], path: Path) -> None:
        with chart(6, 3.2) as (figure, axis):
            draw_lines(axis, curves, linewidth=2)
            if self.trained_length is not None:
                axis.axvline(self.trained_length, color="#6b7280", linestyle=":", linewidth=1)
                axis.text(self.trained_length, 1.03, " longest in training", color="#6b7280", fontsize=8)
            axis.set_xlabel("answers")
            axis.set_ylabel("all right so far")
            axis.set_ylim(-0.02, 1.1)
            axis.legend(loc="center right")
            save(figure, path)


def right_prefixes(
    logits: Float[Tensor, "batch time classes"], targets: Int[Tensor, "batch time"]
) -> Float[Tensor, "time"]:
    """Returns how many sequences have their first t answers right, for each t; targets of -100 count for nothing."""
    right = (logits.argmax(-1) == targets) | (targets == IGNORED)
    return right.long().cumprod(1).sum(0).double().cpu()

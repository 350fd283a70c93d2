"""The accuracy of each step's guess, which shows whether a chain does more than its first block."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
from annotated_types import Ge

from rk import Run
from rk.authoring import answers
from rk.charts import COLORS, chart, draw_lines, plain, save
from rk.writing import write_csv


class BlockAccuracy:
    """The accuracy of what each step of a walk guesses, on the states that the walk itself came to.

    Block 1 sees pure noise beside the input: what it reaches is what a block can do alone.

    Args:
        run: A run of `noprop-dt`, `noprop-ct`, `noprop-fm`, or of a baseline over the same model.
        seed: Seeds the noise.
        split: The split of the examples.
        batches: The most batches to take; null takes all.

    Examples:
        rk analyze block-accuracy --run last
    """

    def __init__(
        self, run: Run, seed: int = 0, split: str = "test", batches: Annotated[int, Ge(1)] | None = None
    ) -> None:
        self.run = run
        self.seed = seed
        self.split = split
        self.limit = batches

    def analyze(self, out: Path) -> dict[str, float]:
        """Writes `block-accuracy.csv` and a figure into `out`; returns the accuracy of each step and of the answer."""
        hits, answered, count = torch.zeros(0), 0, 0
        needs, hint = ("guesses", "logits", "targets"), "block-accuracy takes runs of noprop models"
        for batch, outputs in answers(self.run, self.split, self.limit, seed=self.seed, needs=needs, hint=hint):
            targets = batch["targets"]
            of_steps = (outputs["guesses"].argmax(-1) == targets.unsqueeze(1)).sum(0).double().cpu()
            hits = of_steps if not count else hits + of_steps
            answered += int((outputs["logits"].argmax(-1) == targets).sum())
            count += len(targets)
        accuracies = (hits / count).tolist()
        write_csv(out / "block-accuracy.csv", ("step", "accuracy"), enumerate(accuracies, 1))
        self._draw(accuracies, answered / count, out / "block-accuracy.png")
        return {f"step-{i}": accuracy for i, accuracy in enumerate(accuracies, 1)} | {"answer": answered / count}

    def _draw(self, accuracies: list[float], answer: float, path: Path) -> None:
        with chart(5, 3) as (figure, axis):
            axis.axhline(answer, color=COLORS[1], linestyle="--", label="answer of the chain")
            draw_lines(axis, {"guess of a step": accuracies}, marker="o")
            axis.set_xlabel("step")
            axis.set_ylabel(f"accuracy ({plain(self.split)})")
            save(figure, path)

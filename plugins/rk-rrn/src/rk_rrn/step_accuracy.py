"""The callback `step-accuracy`: how well each step answers, also for each difficulty."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
from annotated_types import Ge
from jaxtyping import Float, Int
from torch import Tensor

from rk import FitContext
from rk.authoring import Recorder, answers
from rk.writing import write_csv


class StepAccuracy(Recorder):
    """Measures after each validation how many targets each step of a model gets right, and draws the curves at the end.

    For any model that gives `step_logits` of (batch, steps, ..., classes). Data with a method ``buckets(batch)``, which
    gives a whole number for each example, such as its number of givens or jumps, has a curve for each; `bucket_name`
    names the number. An example counts by the share of its targets that are right, or, with `whole`, only if all are.

    The run then has `step-accuracy.csv` of the last measurement, a line for each step and a column for each bucket, and
    the figure `step-accuracy`.

    Args:
        split: Where it is measured.
        limit: The most batches to take; null takes all.
        whole: Whether all targets of an example must be right.
        ignore_index: Targets of this value count for nothing.
        most_buckets: Of more different numbers than this, neighbouring ones share a curve.

    Examples:
        callbacks: [{name: step-accuracy, split: val, whole: true}]
    """

    name = "step-accuracy"
    stem = "step-accuracy"

    def __init__(
        self,
        split: str = "val",
        limit: Annotated[int, Ge(1)] | None = None,
        whole: bool = False,
        ignore_index: int = -100,
        most_buckets: Annotated[int, Ge(1)] = 6,
    ) -> None:
        super().__init__(split)
        self.limit = limit
        self.whole = whole
        self.ignore_index = ignore_index
        self.most_buckets = most_buckets
        self._curves: dict[str, list[float]] = {}

    def measure(self, fit: FitContext) -> list[float]:
        """Returns (lowest number, highest number, examples, accuracy of each step) for all examples and each bucket."""
        rows, numbers = [], []
        hint = "step-accuracy is made for rrn and other models that answer after each step"
        for batch, outputs in answers(fit, self.split, self.limit, needs=("step_logits", "targets"), hint=hint):
            rows.append(example_accuracy(outputs["step_logits"], batch["targets"], self.whole, self.ignore_index).cpu())
            if hasattr(fit.data, "buckets"):
                numbers.append(fit.data.buckets(batch).cpu())
        accuracy = torch.cat(rows)
        chosen = [(0.0, 0.0, torch.ones(len(accuracy), dtype=torch.bool))]
        if numbers:
            number = torch.cat(numbers)
            chosen += [
                (low, high, (number >= low) & (number <= high)) for low, high in spans(number, self.most_buckets)
            ]
        measured: list[float] = []
        for low, high, which in chosen:
            means = accuracy[which].mean(0).tolist()
            measured += [float(low), float(high), float(which.sum()), *(round(x, 6) for x in means)]
        return [float(accuracy.shape[1]), *measured]

    def curves(self, fit: FitContext) -> dict[str, list[float]]:
        """Returns the last measurement: the accuracy of each step, by the name of what it is over."""
        steps, *rest = self.record.rows[-1]
        width = int(steps) + 3
        name = getattr(fit.data, "bucket_name", "bucket")
        found = {}
        for start in range(0, len(rest), width):
            low, high, count, *means = rest[start : start + width]
            span = f"{low:g}" if low == high else f"{low:g} to {high:g}"
            found["all" if not start else f"{name} {span}, {count:g} examples"] = means
        return found

    def fit_end(self, fit: FitContext) -> None:
        """Writes the table and the figure."""
        self._curves = self.curves(fit) if self.record.rows else {}
        super().fit_end(fit)

    def table(self, path: Path) -> None:
        """Writes a line for each step and a column for each curve."""
        lines = ([step, *values] for step, values in enumerate(zip(*self._curves.values(), strict=True), 1))
        write_csv(path, ["step", *self._curves], lines)

    def draw(self, fit: FitContext, path: Path) -> None:
        from rk.charts import chart, draw_lines, save  # matplotlib: loaded only to draw

        with chart(6.4, 3.2) as (figure, axis):
            draw_lines(axis, self._curves)
            axis.set(xlabel="step", ylabel="solved" if self.whole else "accuracy", ylim=(-0.02, 1.02))
            axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
            save(figure, path)


def example_accuracy(
    step_logits: Float[Tensor, "batch steps *positions classes"],
    targets: Int[Tensor, "batch *positions"],
    whole: bool,
    ignore_index: int,
) -> Float[Tensor, "batch steps"]:
    """Returns the share of each example's targets that each step gets right; with `whole`, 1 if it is all, else 0."""
    wanted = targets.flatten(1) if targets.dim() > 1 else targets.unsqueeze(1)
    answered = step_logits.argmax(-1).flatten(2) if targets.dim() > 1 else step_logits.argmax(-1).unsqueeze(2)
    counts = (wanted != ignore_index).unsqueeze(1)
    right = (answered == wanted.unsqueeze(1)) & counts
    if whole:
        return (right | ~counts).all(2).float()
    return right.sum(2) / counts.sum(2).clamp(min=1)


def spans(numbers: Int[Tensor, "examples"], most: int) -> list[tuple[int, int]]:
    """Returns at most `most` spans (lowest, highest) that have all numbers, each about the same number of values."""
    values = numbers.unique().tolist()
    size = -(-len(values) // most)
    return [(values[i], values[min(i + size, len(values)) - 1]) for i in range(0, len(values), size)]

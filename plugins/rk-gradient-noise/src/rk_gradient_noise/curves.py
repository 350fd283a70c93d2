"""The callback `member-curves`: how well each member of an ensemble does over the run, as a table and as a picture."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge

from rk import UserError
from rk.errors import suggest
from rk.fit.context import FitContext
from rk.fit.evaluate import evaluating, split_batches
from rk.fit.stream import to_device
from rk.runs import RunFolder
from rk_gradient_noise.metrics import MemberAccuracy

FILE = "members.csv"


@dataclass
class Curves:
    """Accuracies over a run.

    Attributes:
        steps: Where they were measured.
        accuracies: At each of these steps, that of every member.
    """

    steps: list[int] = field(default_factory=list)
    accuracies: list[list[float]] = field(default_factory=list)

    def write(self, path: Path) -> None:
        """Writes one line per step: the step, then a column per member."""
        with path.open("w", newline="", encoding="utf-8") as file:
            lines = csv.writer(file)
            members = range(len(self.accuracies[0])) if self.accuracies else ()
            lines.writerow(["step", *(f"member {k}" for k in members)])
            lines.writerows([step, *row] for step, row in zip(self.steps, self.accuracies, strict=True))

    @classmethod
    def read(cls, path: Path) -> Curves:
        """Reads what `write` has written. Raises `UserError` for any other file."""
        try:
            with path.open(newline="", encoding="utf-8") as file:
                _, *rows = csv.reader(file)
            return cls([int(row[0]) for row in rows], [[float(x) for x in row[1:]] for row in rows])
        except (OSError, ValueError, IndexError) as error:
            raise UserError(f"{path} cannot be read: {error}") from None


class MemberCurves:
    """Measures the accuracy of every member of an ensemble at each validation, and draws the curves at the end.

    The run then has `members.csv`, a column per member, and the figure `members`. `rk analyze member-curves` draws two
    runs side by side.

    Args:
        split: Where it is measured.
        limit: Takes at most so many batches; null takes all.
    """

    def __init__(self, split: str = "val", limit: Annotated[int, Ge(1)] | None = None) -> None:
        self.split = split
        self.limit = limit
        self.curves = Curves()

    def fit_start(self, fit: FitContext) -> None:
        splits = getattr(fit.data, "splits", ())
        if self.split not in splits:
            raise UserError(
                f"member-curves: the data has no split {self.split!r}", suggest(self.split, splits, "splits")
            )

    def validated(self, fit: FitContext, metrics: Mapping[str, float]) -> None:
        accuracy = MemberAccuracy()
        with evaluating(fit.learner, fit.recipe.fit.seed), fit.runtime.autocast():
            for i in range(split_batches(fit.data, self.split, self.limit)):
                batch = to_device(fit.data.batch(self.split, i), fit.runtime.device)
                outputs = fit.learner.predict(batch)
                if "member_logits" not in outputs:
                    raise UserError(
                        "member-curves: the model gives no member_logits, so it has no members to measure",
                        "it is made for deep-mlp-ensemble and models like it",
                    )
                accuracy.update(member_logits=outputs["member_logits"], targets=batch["targets"])
        self.curves.steps.append(fit.step)
        self.curves.accuracies.append([round(x, 6) for x in accuracy.accuracies().tolist()])

    def fit_end(self, fit: FitContext) -> None:
        from rk_gradient_noise.drawing import draw

        if not self.curves.steps or not fit.runtime.is_main:
            return
        folder = RunFolder(fit.folder)
        self.curves.write(folder.path / FILE)
        folder.figures.mkdir(exist_ok=True)
        draw({fit.recipe.name.rpartition("/")[2]: self.curves}, folder.figures / "members.png")

    def state_dict(self) -> dict[str, Any]:
        return {"steps": list(self.curves.steps), "accuracies": [list(row) for row in self.curves.accuracies]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.curves = Curves(list(state["steps"]), [list(row) for row in state["accuracies"]])

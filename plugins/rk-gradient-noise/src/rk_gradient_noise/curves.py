"""The callback `member-curves`: how well each member of an ensemble does over the run, as a table and as a figure."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from annotated_types import Ge

from rk import FitContext
from rk.authoring import Recorder, answers, title
from rk_gradient_noise.metrics import MemberAccuracy

FILE = "members.csv"


class MemberCurves(Recorder):
    """Measures the accuracy of every member of an ensemble at each validation, and draws the curves at the end.

    The run then has `members.csv`, a column per member, and the figure `members`. `rk analyze member-curves` draws two
    runs side by side.

    Args:
        split: Where it is measured.
        limit: The most batches to take; null takes all.

    Examples:
        callbacks: [{name: member-curves, split: val}]
    """

    name = "member-curves"
    stem = "members"
    column = "member"

    def __init__(self, split: str = "val", limit: Annotated[int, Ge(1)] | None = None) -> None:
        super().__init__(split)
        self.limit = limit

    def measure(self, fit: FitContext) -> list[float]:
        """Returns the accuracy of every member."""
        needs, hint = ("member_logits", "targets"), "member-curves is made for deep-mlp-ensemble and models like it"
        accuracy = MemberAccuracy()
        for batch, outputs in answers(fit, self.split, self.limit, needs=needs, hint=hint):
            accuracy.update(member_logits=outputs["member_logits"], targets=batch["targets"])
        return [round(x, 6) for x in accuracy.accuracies().tolist()]

    def draw(self, fit: FitContext, path: Path) -> None:
        from rk_gradient_noise.drawing import draw

        draw({title(fit): self.record}, path)

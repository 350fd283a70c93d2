from __future__ import annotations

from pathlib import Path

from rk.training import train_inside


class Widths:
    """The accuracy that students of some widths reach.

    Args:
        widths: Units of each student.
    """

    def __init__(self, widths: tuple[int, ...] = (2, 8)) -> None:
        self.widths = widths

    def analyze(self, out: Path) -> dict[str, float]:
        found = {}
        for width in self.widths:
            changes = (f"model.hidden_sizes=[{width}]", "callbacks=[{name: interrupt, at: 9}]")
            inner = train_inside("strain-students/student", changes, name=f"width-{width}", within=out)
            found[f"accuracy/{width}"] = inner.metrics["test/accuracy"]
        return found

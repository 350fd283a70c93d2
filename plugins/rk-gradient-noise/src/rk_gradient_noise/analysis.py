"""The analysis `member-curves`: one or two runs of an ensemble, side by side."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import Annotated

from annotated_types import Ge, Le

from rk import Run, UserError
from rk.authoring import Record, titles
from rk_gradient_noise.curves import FILE
from rk_gradient_noise.drawing import draw


class MemberCurvesAnalysis:
    """The accuracy of every member of an ensemble over a run, beside that of another run.

    Args:
        run: A run with the callback `member-curves`.
        baseline: Another one, such as the same without noise.
        at_least: The accuracy that counts as success.

    Examples:
        rk analyze gradient-noise/member-curves --run last --at-least 0.85
    """

    def __init__(self, run: Run, baseline: Run | None = None, at_least: Annotated[float, Ge(0), Le(1)] = 0.9) -> None:
        self.runs = {"run": run} if baseline is None else {"run": run, "baseline": baseline}
        self.at_least = at_least

    def analyze(self, out: Path) -> dict[str, float]:
        """Draws `members.png`; returns the best and the mean of the last accuracies, and the share of successes."""
        panels: dict[str, Record] = {}
        results: dict[str, float] = {}
        names = titles([*self.runs.values()], [*self.runs])
        for (role, run), name in zip(self.runs.items(), names, strict=True):
            panels[name] = _record(run)
            last = panels[name].rows[-1]
            results |= {
                f"{role}/best": max(last),
                f"{role}/mean": fmean(last),
                f"{role}/success": fmean(x >= self.at_least for x in last),
            }
        draw(panels, out / "members.png")
        return results


def _record(run: Run) -> Record:
    path = run.folder.path / FILE
    if not path.is_file():
        raise UserError(
            f"{run.folder.label} has no {FILE}", "it is written at the end of a run with the callback member-curves"
        )
    return Record.read(path)

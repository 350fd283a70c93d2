"""The analysis `kernel-curves`: the learning curves of several runs of `kernel-curve` in one figure."""

from __future__ import annotations

from pathlib import Path

from rk import Run, UserError
from rk.authoring import titles
from rk_kernels.curves import Curve, draw_curves
from rk_kernels.kernel_curve import FILE


class KernelCurves:
    """Draws the learning curves of several runs of the search `kernel-curve` side by side, with their exponents.

    Args:
        runs: The runs, each a curve.

    Examples:
        rk analyze kernel-curves --runs '[runs/one, runs/other]'
    """

    def __init__(self, runs: list[Run]) -> None:
        self.runs = runs

    def analyze(self, out: Path) -> dict[str, float]:
        """Draws `curves.png`; returns the exponent of each run."""
        curves = dict(zip(titles(self.runs), map(_curve, self.runs), strict=True))
        draw_curves(curves, "training rows", "mean squared error", out / "curves.png")
        return {f"{name}/exponent": curve.law.exponent for name, curve in curves.items()}


def _curve(run: Run) -> Curve:
    path = run.folder.path / FILE
    if not path.is_file():
        raise UserError(f"{run.folder.label} has no {FILE}", "it is written by the search kernel-curve")
    return Curve.read(path, run.recipe.search.params.get("expected"))

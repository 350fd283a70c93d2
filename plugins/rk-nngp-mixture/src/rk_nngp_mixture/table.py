"""The analysis `mixture-table`: the mixtures beside the Gaussian process, on several sets and splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Annotated, Any

import torch
from annotated_types import Ge, Le
from rk_kernels.drawing import draw_coverage
from rk_kernels.metrics import LEVELS, coverage
from rk_kernels.predictive import central_probability, log_density
from rk_kernels.uci import UCI, Name
from torch import Tensor

from rk.charts import COLORS, chart, save
from rk.writing import write_csv
from rk_nngp_mixture.selection import METHODS, Grid, Method, answer, select

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLES = {"gp": "NNGP", "inverse-gamma": "inverse gamma", "burr": "Burr XII"}


Row = Mapping[str, Any]
"""Numbers of a method on a split of a set, with the names of all three."""


class MixtureTable:
    """NLL, error and calibration of the NNGP and of its scale mixtures on UCI sets, over splits.

    Hyperparameters are those of highest evidence on a grid that all methods share (the paper's, somewhat wider); tests
    are looked at once.

    Args:
        datasets: Which sets.
        num_splits: How many of the ten splits.
        train_limit: The most training rows; mixtures differ more with few rows. null takes all.

    Examples:
        rk analyze mixture-table --datasets [yacht,servo] --num-splits 5
    """

    renamed = {"n_splits": "num_splits"}

    def __init__(
        self,
        datasets: tuple[Name, ...] = ("servo", "yacht", "autompg", "housing", "stock", "energy"),
        num_splits: Annotated[int, Ge(2), Le(10)] = 5,
        train_limit: Annotated[int, Ge(4)] | None = None,
    ) -> None:
        self.datasets = datasets
        self.num_splits = num_splits
        self.train_limit = train_limit

    def analyze(self, out: Path) -> dict[str, float]:
        """Writes `splits.csv`, `table.md` and `calibration.png`; returns each set's NLL less the NNGP's."""
        found = [(name, split, self._split(name, split)) for name in self.datasets for split in range(self.num_splits)]
        rows = [
            {"dataset": name, "split": split, "method": method, **numbers(*judged)}
            for name, split, methods in found
            for method, judged in methods.items()
        ]
        write_csv(out / "splits.csv", [*rows[0]], ([*row.values()] for row in rows), digits=6)
        (out / "table.md").write_text(markdown(rows, self.datasets), encoding="utf-8")
        self._draw(rows, {m: torch.cat([methods[m][1] for _, _, methods in found]) for m in METHODS}, out)
        return {
            f"{name}/{method}": fmean(differences(rows, name, method))
            for name in self.datasets
            for method in METHODS[1:]
        }

    def _split(self, name: Name, split: int) -> dict[Method, tuple[Tensor, Tensor, Tensor]]:
        """Returns for each method the densities, the probabilities reached and the squared errors of the test rows."""
        data = UCI(name, seed=0, split=split, train_limit=self.train_limit)
        data.prepare()
        train, test = data.batch("train", 0), data.batch("test", 0)
        y = train["targets"][:, 0]
        mean, deviation = y.mean(), y.std(correction=0)
        x, z = train["inputs"].double(), test["inputs"].double()
        found: dict[Method, tuple[Tensor, Tensor, Tensor]] = {}
        for method, chosen in select(x, (y - mean) / deviation, Grid()).items():
            fields = answer(chosen, x, z, mean, deviation)
            errors = (fields["values"] - test["targets"]).square()
            density = log_density(**fields, targets=test["targets"])
            found[method] = density, central_probability(**fields, targets=test["targets"]).flatten(), errors
        return found

    def _draw(self, rows: Sequence[Row], reached: Mapping[Method, Tensor], out: Path) -> None:
        with chart(8.6, 3.6, columns=2, width_ratios=[1.4, 1]) as (figure, left, right):
            draw_differences(left, rows, self.datasets)
            draw_coverage(right, {TITLES[m]: r for m, r in reached.items()})
            save(figure, out / "calibration.png")


def numbers(density: Tensor, reached: Tensor, errors: Tensor) -> dict[str, float]:
    """Returns the NLL, the RMSE and the calibration error of one split."""
    levels = torch.tensor(LEVELS, dtype=torch.float64)
    return {
        "nll": -float(density.mean()),
        "rmse": float(errors.mean().sqrt()),
        "calibration_error": float((coverage(reached, levels) - levels).abs().mean()),
    }


def differences(rows: Sequence[Row], dataset: str, method: Method) -> list[float]:
    """Returns the method's NLL less the Gaussian process's, split by split."""
    nll = {(r["split"], r["method"]): r["nll"] for r in rows if r["dataset"] == dataset}
    return [nll[split, m] - nll[split, "gp"] for split, m in nll if m == method]


def markdown(rows: Sequence[Row], datasets: Sequence[str]) -> str:
    """Returns means over splits with their standard errors, a line for each set, as a Markdown table."""
    head = ["set", *(f"{TITLES[m]} {what}" for what in ("NLL", "RMSE") for m in METHODS)]
    head += [f"{TITLES[m]} - NNGP, NLL" for m in METHODS[1:]]
    lines = [head, ["---"] * len(head)]
    for name in datasets:
        cells = [name]
        for what in ("nll", "rmse"):
            for method in METHODS:
                cells.append(shown([r[what] for r in rows if (r["dataset"], r["method"]) == (name, method)]))
        lines.append([*cells, *(shown(differences(rows, name, method)) for method in METHODS[1:])])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def shown(values: Sequence[float]) -> str:
    """Returns the mean and its standard error."""
    return f"{fmean(values):.3f} ± {stdev(values) / len(values) ** 0.5:.3f}"


def draw_differences(axis: Axes, rows: Sequence[Row], datasets: Sequence[str]) -> None:
    """Draws each mixture's NLL less the Gaussian process's, with standard errors; below zero, the mixture is better."""
    axis.axhline(0, color="#7b8794", linewidth=1)
    for i, (method, color) in enumerate(zip(METHODS[1:], COLORS[1:], strict=False)):
        values = [differences(rows, name, method) for name in datasets]
        x = [place + 0.18 * (2 * i - 1) for place in range(len(datasets))]
        errors = [stdev(v) / len(v) ** 0.5 for v in values]
        axis.errorbar(
            x, [fmean(v) for v in values], errors, fmt="o", color=color, markersize=5, capsize=3, label=TITLES[method]
        )
    axis.set_xticks(range(len(datasets)), datasets)
    axis.set_ylabel("NLL less the NNGP's")
    axis.grid(alpha=0.18, axis="y")
    axis.legend(fontsize=8)

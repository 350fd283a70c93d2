"""The analysis `approximation-table`: errors of the construction by width and temperature, beside its controls."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Annotated

import torch
from annotated_types import Ge

from rk.writing import write_csv
from rk_single_layer_transformer.construction import Construction, Settings
from rk_single_layer_transformer.drawing import draw_table
from rk_single_layer_transformer.functions import Name
from rk_single_layer_transformer.model import SingleLayerTransformer
from rk_single_layer_transformer.sequences import ContinuousSequences
from rk_single_layer_transformer.sup_error import answered, lower_bounds

SPACING = {2: 0.25, 4: 0.1, 8: 0.05, 16: 0.03}
"""Modes of a cosine series -> distance of its knots; others take 0.4 / modes."""
BETA = {2: 6.0, 4: 8.0, 8: 10.0, 16: 14.0}
"""Modes of a cosine series -> inverse temperature of its copy heads; others take 14."""
REFERENCE = {
    "lstsq 16": (0.163, 0.0311),
    "lstsq 64": (0.034, 0.0056),
    "lstsq 256": (0.026, 0.0035),
    "lstsq 1024": (0.015, 0.0011),
    "cosine 2": (0.185, 0.044),
    "cosine 4": (0.116, 0.020),
    "cosine 8": (0.066, 0.009),
    "cosine 16": (0.036, 0.0045),
    "no attention": (0.584, 0.204),
    "no positions, bound": (0.5, 0.219),
}
"""Sup and RMS errors of `max-sin` when the construction was first tried, with one choice of hinges each."""

Row = dict[str, float | str]


class ApproximationTable:
    """Builds the network in many sizes, and shows errors and predicted bounds beside those of its controls.

    Errors are on the grid. The controls are the construction without attention, and the least error of any network
    without positions (Eq. 10) or without attention (Eq. 11).

    Args:
        function: What is approximated.
        num_steps: Length of the sequences.
        widths: Random hinges per position, for least squares.
        betas: Inverse temperatures that the copy error is measured at, with the last of `widths`.
        modes: Modes of the cosine series; `[]` for none.
        seeds: Choices of samples and hinges for each width; errors are means.
        train_samples: Samples of each least squares.
        grid: Points along each axis; null: as the data has them.

    Examples:
        rk analyze approximation-table --function max-sin --widths [16,64,256,1024]
    """

    def __init__(
        self,
        function: Name = "max-sin",
        num_steps: Annotated[int, Ge(2)] = 2,
        widths: tuple[Annotated[int, Ge(1)], ...] = (16, 64, 256, 1024),
        betas: tuple[float, ...] = (2.0, 4.0, 6.0, 8.0, 10.0, 14.0),
        modes: tuple[Annotated[int, Ge(1)], ...] = (2, 4, 8),
        seeds: Annotated[int, Ge(1)] = 3,
        train_samples: Annotated[int, Ge(1)] = 4000,
        grid: Annotated[int, Ge(2)] | None = None,
    ) -> None:
        self.function = function
        self.num_steps = num_steps
        self.widths = widths
        self.betas = betas
        self.modes = modes
        self.seeds = seeds
        self.train_samples = train_samples
        self.grid = grid

    @torch.no_grad()
    def analyze(self, out: Path) -> dict[str, float]:
        """Writes `table.md`, `errors.csv`, `betas.csv` and `errors.png`; returns sup and RMS error of each row."""
        values = self._data(0).values_on_grid()
        assert values is not None  # there is a function
        bounds = lower_bounds(values, 1)
        rows = [self._row(f"lstsq {w}", Settings(width=w, beta=14.0)) for w in self.widths]
        rows += [self._row(f"cosine {k}", cosine_settings(k), seeds=1) for k in self.modes]
        rows += [self._row("no attention", Settings(width=self.widths[-1]), attention=False)]
        for name in ("no positions", "no attention"):
            key = name.replace(" ", "-")
            rows += [{"row": f"{name}, bound", "sup": bounds[f"{key}-bound"], "rmse": bounds[f"{key}-rmse-bound"]}]
        betas = [self._row(f"{beta:g}", Settings(width=self.widths[-1], beta=beta), seeds=1) for beta in self.betas]
        columns = ("row", "hidden-units", "sup", "rmse", "error-bound", "copy-error", "copy-bound", "ffn-error")
        for name, table in (("errors.csv", rows), ("betas.csv", betas)):
            write_csv(out / name, columns, [[row.get(c, "") for c in columns] for row in table], digits=6)
        reference = REFERENCE if (self.function, self.num_steps) == ("max-sin", 2) else {}
        (out / "table.md").write_text(markdown(rows, betas, reference), encoding="utf-8")
        self._draw(rows, betas, out / "errors.png")
        return {
            f"{r['row']}/{name}".replace(", ", "-").replace(" ", "-"): float(r[name])
            for r in rows
            for name in ("sup", "rmse")
        }

    def _data(self, seed: int) -> ContinuousSequences:
        return ContinuousSequences(
            seed=seed,
            function=self.function,
            num_steps=self.num_steps,
            train_samples=self.train_samples,
            grid=self.grid,
        )

    def _row(self, name: str, settings: Settings, seeds: int | None = None, attention: bool = True) -> Row:
        """Returns the means over seeds of the errors and bounds of one construction."""
        found = [self._built(settings, seed, attention) for seed in range(seeds or self.seeds)]
        return {"row": name, **{key: fmean(one[key] for one in found) for key in found[0]}}

    def _built(self, settings: Settings, seed: int, attention: bool) -> dict[str, float]:
        data = self._data(seed)
        model = SingleLayerTransformer(
            num_features=1, num_outputs=1, num_steps=self.num_steps, attention=attention, ffn_width=1
        )
        construction = Construction(model, Settings(**{**vars(settings), "seed": seed}), data.domain)
        batch, (inputs, targets) = data.batch("train", 0), data.points()
        construction.write(batch["inputs"].double(), batch["targets"].double(), data.map)
        error = (answered(_Answering(model), inputs, torch.device("cpu")) - targets).abs()
        measured = {"sup": float(error.max()), "rmse": float(error.square().mean().sqrt())}
        return measured | construction.promise(inputs, targets)

    def _draw(self, rows: Sequence[Row], betas: Sequence[Row], path: Path) -> None:
        def curve(table: Sequence[Row], x: str, y: str) -> list[tuple[float, float]]:
            return [(float(row[x]), max(float(row[y]), 1e-17)) for row in table]

        kinds = {
            "least squares": [r for r in rows if str(r["row"]).startswith("lstsq")],
            "cosine series": [r for r in rows if str(r["row"]).startswith("cosine")],
        }
        by_width = {
            f"{kind}, {label}": curve(table, "hidden-units", y)
            for kind, table in kinds.items()
            if table
            for y, label in (("sup", "sup error"), ("rmse", "RMS error"))
        }
        controls = {str(r["row"]): float(r["sup"]) for r in rows if r["row"] in ("no attention", "no positions, bound")}
        lines = {f"{name} (sup error)": value for name, value in controls.items() if value > 0}
        by_beta = {
            label: curve(betas, "row", y)
            for y, label in (
                ("sup", "sup error"),
                ("error-bound", "sup error, bound"),
                ("ffn-error", "with exact copies"),
                ("copy-error", "copy error"),
                ("copy-bound", "copy error, bound"),
            )
        }
        draw_table(by_width, lines, by_beta, path)


class _Answering(torch.nn.Module):
    """A model as a learner."""

    def __init__(self, model: SingleLayerTransformer) -> None:
        super().__init__()
        self.model = model

    def predict(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Returns the model's answers."""
        return {"values": self.model(inputs=batch["inputs"])["values"]}


def cosine_settings(modes: int) -> Settings:
    """Returns the settings of a cosine series in the table."""
    return Settings(
        ffn="cosine", modes=modes, hinge_spacing=SPACING.get(modes, 0.4 / modes), beta=BETA.get(modes, 14.0)
    )


def markdown(rows: Sequence[Row], betas: Sequence[Row], reference: dict[str, tuple[float, float]]) -> str:
    """Returns both tables in Markdown."""
    lines = ["| construction | hidden units | sup error | its bound | RMS error | reference: sup, RMS |"]
    lines += ["| --- | --- | --- | --- | --- | --- |"]
    for row in rows:
        units = f"{int(row['hidden-units'])}" if "hidden-units" in row else ""
        bound = f"{row['error-bound']:.3g}" if "error-bound" in row else ""
        known = reference.get(str(row["row"]))
        beside = "" if known is None else f"{known[0]:g}, {known[1]:g}"
        lines.append(f"| {row['row']} | {units} | {row['sup']:.3g} | {bound} | {row['rmse']:.3g} | {beside} |")
    lines += ["", "| beta | copy error | its bound | sup error | its bound |", "| --- | --- | --- | --- | --- |"]
    lines += [
        f"| {r['row']} | {r['copy-error']:.3g} | {r['copy-bound']:.3g} | {r['sup']:.3g} | {r['error-bound']:.3g} |"
        for r in betas
    ]
    return "\n".join(lines) + "\n"

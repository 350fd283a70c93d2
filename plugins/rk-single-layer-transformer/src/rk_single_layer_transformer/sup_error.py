"""The callback `sup-error`: where a model is wrong, beside the least errors without positions or attention."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rk import FitContext, UserError
from rk.authoring import evaluating
from rk.writing import write_csv
from rk_single_layer_transformer.bounds import from_view, without_positions
from rk_single_layer_transformer.drawing import draw_errors

ROWS = 4096
"""Sequences that are answered at once."""


class SupErrorReport:
    """Measures a model's errors on the grid of `continuous-sequences`, and computes what weaker models cannot reach.

    At the end, the run has a table (`sup-error.csv`) of the errors of each position and a figure of where they are, for
    any model. Its results are lower bounds that follow from the function alone, for sup error and RMS error on the
    grid: `run/no-positions-bound` and `run/no-positions-rmse-bound` (Eq. 10); of networks whose answers depend on their
    own step alone, `run/no-attention-...` (Eq. 11); and on steps up to their own, `run/causal-...`. Samples from a file
    have no grid, and so no bounds.

    Examples:
        callbacks: [sup-error]
    """

    lower_is_better = ("no-positions-bound", "no-attention-bound", "causal-bound")

    def __init__(self) -> None:
        self.found: dict[str, float] = {}

    def fit_start(self, fit: FitContext) -> None:
        """Refuses data that have no points.

        Raises:
            rk.UserError: When the data is not `continuous-sequences`.
        """
        if not hasattr(fit.data, "points") or not hasattr(fit.data, "values_on_grid"):
            raise UserError("sup-error measures on a grid, and this data has none", "data={name: continuous-sequences}")

    def fit_end(self, fit: FitContext) -> None:
        """Measures, writes and draws."""
        values = fit.data.values_on_grid()
        self.found = {} if values is None else lower_bounds(values, fit.data.num_features)
        if not fit.runtime.is_main:
            return
        inputs, targets = fit.data.points()
        with evaluating(fit.learner, fit.recipe.fit.seed):
            errors = (answered(fit.learner, inputs, fit.runtime.device) - targets).abs()
        folder = Path(fit.folder)
        by_position = zip(errors.amax((0, 2)).tolist(), errors.square().mean((0, 2)).sqrt().tolist(), strict=True)
        write_csv(
            folder / "sup-error.csv", ("step", "sup error", "rmse"), [(i + 1, *e) for i, e in enumerate(by_position)]
        )
        (folder / "figures").mkdir(exist_ok=True)
        draw_errors(inputs, errors, self.found, folder / "figures" / "sup-error.png")

    def results(self) -> Mapping[str, float]:
        """Returns the lower bounds."""
        return self.found


def lower_bounds(values: Float[Tensor, "*grid time outputs"], num_features: int) -> dict[str, float]:
    """Returns the least errors of networks without positions, without attention, and with a view of the past alone.

    Args:
        values: The function on a grid with the same points along each axis, float64.
        num_features: Axes of a step.
    """
    n = values.shape[-2]
    pairs = {
        "no-positions": without_positions(values, num_features),
        "no-attention": from_view(values, num_features, [[i] for i in range(n)]),
        "causal": from_view(values, num_features, [range(i + 1) for i in range(n)]),
    }
    names = ("bound", "rmse-bound")
    return {f"{who}-{name}": pair[i] for who, pair in pairs.items() for i, name in enumerate(names)}


def answered(
    learner: nn.Module, inputs: Float[Tensor, "points time features"], device: torch.device
) -> Float[Tensor, "points time outputs"]:
    """Returns a learner's values, float64, for inputs in the dtype of its weights."""
    dtype = next((p.dtype for p in learner.parameters() if p.is_floating_point()), torch.float32)
    predict = learner.predict
    found = [predict({"inputs": part.to(device, dtype)})["values"].double().cpu() for part in inputs.split(ROWS)]  # type: ignore[operator]  # a learner has it
    return torch.cat(found)

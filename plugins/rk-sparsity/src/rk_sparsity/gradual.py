"""The callback `gradual-pruning`: the smallest weights are removed little by little while the others are trained."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le

from rk import FitContext, UserError
from rk_sparsity import scores
from rk_sparsity.engine import Sparsifier
from rk_sparsity.schedules import cubic
from rk_sparsity.topk import keep


class GradualPruning(Sparsifier):
    """Gradual magnitude pruning (arXiv:1710.01878, Eq. 1): density falls along a cubic curve.

    A weight that is removed stays removed.

    Args:
        density: Share of the weights that is kept in the end.
        distribution: `global` compares magnitudes over all layers, `uniform` removes the same share of each, `erk`
            leaves small layers more.
        begin: Share of the run's steps after which pruning begins.
        end: Share of the run's steps after which it ends; then the weights that are left are trained on.
        update_every: Steps between two removals.
        keep_least: How many weights each layer keeps at least, where magnitudes are compared over all layers.

    Examples:
        callbacks: [{name: gradual-pruning, density: 0.02}]
    """

    def __init__(
        self,
        density: Annotated[float, Gt(0), Le(1)] = 0.1,
        distribution: Literal["global", "uniform", "erk"] = "global",
        begin: Annotated[float, Ge(0), Le(1)] = 0.1,
        end: Annotated[float, Gt(0), Le(1)] = 0.75,
        update_every: Annotated[int, Ge(1)] = 20,
        keep_least: Annotated[int, Ge(0)] = 1,
        **weights: Any,
    ) -> None:
        if end <= begin:
            raise ValueError(f"end must be > begin, got {end} and {begin}")
        super().__init__(**weights)
        self.density = density
        self.distribution = distribution
        self.span = (begin, end)
        self.update_every = update_every
        self.keep_least = keep_least

    def fit_start(self, fit: FitContext) -> None:
        if fit.runtime.total_steps is None:
            raise UserError("gradual-pruning needs the length of the run", "set fit.max_steps or fit.max_epochs")
        super().fit_start(fit)

    def after_step(self, fit: FitContext) -> None:
        total = fit.runtime.total_steps or 1
        begin, end = (max(1, round(share * total)) for share in self.span)
        last = fit.step == end
        if begin <= fit.step <= end and (last or (fit.step - begin) % self.update_every == 0):
            density = cubic(fit.step, begin, end, self.density)
            score = scores.magnitude(self.known.weights)
            score = {name: s.masked_fill(~self.known.kept[name], -1.0) for name, s in score.items()}
            self.change(keep(score, density, self.distribution, self.keep_least))
        super().after_step(fit)

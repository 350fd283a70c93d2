"""The callback `n-of-m`: of every M weights along the input, N are kept (2:4 for sparse tensor cores)."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Lt

from rk import FitContext
from rk_sparsity.engine import Sparsifier, step_at
from rk_sparsity.groups import keep_n_of_m
from rk_sparsity.masks import Kept


class NOfM(Sparsifier):
    """Of every M neighbours along the input of a layer, keeps the N of the largest magnitude, and trains these.

    2:4 is the pattern that GPUs from compute capability 8.0 on multiply faster. Begin with a trained run
    (``init_from``), or let the dense network train first.

    Args:
        n: Weights that are kept of each group.
        m: Size of a group; it must divide the inputs of each layer.
        at: Share of the run's steps after which weights are removed. 0: before training.
        include: Regular expressions of the names of weights that are pruned; none: all matrices and convolutions,
            without embeddings.
        exclude: Regular expressions of the names of weights that stay dense.

    Examples:
        callbacks: [{name: n-of-m, n: 2, m: 4, at: 0.5}]
    """

    def __init__(
        self,
        n: Annotated[int, Ge(1)] = 2,
        m: Annotated[int, Ge(2)] = 4,
        at: Annotated[float, Ge(0), Lt(1)] = 0.0,
        include: tuple[str, ...] = (),
        exclude: tuple[str, ...] = (),
    ) -> None:
        if n >= m:
            raise ValueError(f"n must be < m, got {n} and {m}")
        super().__init__(include, exclude)
        self.n = n
        self.m = m
        self.at = at

    def fit_start(self, fit: FitContext) -> None:
        self.step = step_at(self.at, fit, "n-of-m")
        super().fit_start(fit)

    def first(self, fit: FitContext) -> Kept | None:
        chosen = self._chosen()  # a group that does not fit is reported now, not after hours
        return chosen if self.at == 0 else None

    def after_step(self, fit: FitContext) -> None:
        if fit.step == self.step:
            self.change(self._chosen())
        super().after_step(fit)

    def _chosen(self) -> Kept:
        return {name: keep_n_of_m(w.detach().abs(), self.n, self.m, name) for name, w in self.known.weights.items()}

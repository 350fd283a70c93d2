"""The callback `dynamic-sparsity`: a sparse network whose connections move while it is trained (SET, RigL, SNFS)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le
from torch import Tensor

from rk import FitContext, UserError
from rk_sparsity import scores
from rk_sparsity.engine import Sparsifier, rescale
from rk_sparsity.growth import replace
from rk_sparsity.masks import Kept
from rk_sparsity.schedules import changed
from rk_sparsity.topk import keep

_STREAM = 0x64796E616D6963
"""Keeps what is grown at random apart from all else that is drawn from `fit.seed`."""
_MOMENTUM = 0.9
"""Share of the last steps in the momentum of gradients by which SNFS grows."""


class DynamicSparsity(Sparsifier):
    """Sparse from the first step; from time to time the weakest weights are dropped, and as many are grown elsewhere.

    SET (arXiv:1707.04780) grows at random, RigL (arXiv:1911.11134) where the gradient is largest, SNFS
    (arXiv:1907.04840) where a mean of past gradients is (its redistribution over layers is left out). The weights begin
    at random positions and grow from zero. A step in which the mask changes makes no update, as in RigL's own code.

    Args:
        seed: Seeds the first masks and SET's growth.
        method: What decides where weights grow; `static` never changes the mask.
        density: Share of the weights that is kept.
        distribution: `erk` keeps more of small layers, `uniform` the same share of each.
        update_every: Steps between two changes of the mask.
        end: Share of the run's steps after which the mask stays.
        share: Share of the kept weights that the first change replaces.
        decay: How that share falls to 0.
        init_rescale: Whether the first weights are divided by the square root of their layer's density. At low
            densities this matters more than the method.

    Examples:
        callbacks: [{name: dynamic-sparsity, method: rigl, density: 0.02, update_every: 20, init_rescale: true}]
    """

    def __init__(
        self,
        seed: int,
        method: Literal["rigl", "set", "snfs", "static"] = "rigl",
        density: Annotated[float, Gt(0), Le(1)] = 0.1,
        distribution: Literal["erk", "uniform"] = "erk",
        update_every: Annotated[int, Ge(1)] = 100,
        end: Annotated[float, Gt(0), Le(1)] = 0.75,
        share: Annotated[float, Gt(0), Le(1)] = 0.3,
        decay: Literal["cosine", "linear", "constant"] = "cosine",
        init_rescale: bool = False,
        **weights: Any,
    ) -> None:
        super().__init__(**weights)
        self.seed = seed
        self.method = method
        self.density = density
        self.distribution = distribution
        self.update_every = update_every
        self.end = end
        self.share = share
        self.decay = decay
        self.init_rescale = init_rescale
        self._gradients: dict[str, Tensor] = {}
        self._due = False

    def fit_start(self, fit: FitContext) -> None:
        if self.method != "static" and not fit.runtime.rates():
            raise UserError(f"dynamic-sparsity: {type(fit.trainer).__name__} has no optimizer, so nothing grows again")
        if self.method != "static" and fit.runtime.total_steps is None:
            raise UserError("dynamic-sparsity needs the length of the run", "set fit.max_steps or fit.max_epochs")
        new = self._kept_state is None
        super().fit_start(fit)
        if new and self.init_rescale:
            rescale(self.known)

    def first(self, fit: FitContext) -> Kept:
        return keep(scores.random(self.known.weights, self.seed, _STREAM), self.density, self.distribution)

    def before_clip(self, named: Mapping[str, Tensor]) -> None:
        if self.method in ("rigl", "snfs") and self.fit.step < self._end(self.fit):
            due = self._is_due(self.fit)
            for name in [*self._reached(named)] if due or self.method == "snfs" else []:
                self._note(name)
        self._due |= self._is_due(self.fit)
        super().before_clip(named)

    def _reached(self, named: Mapping[str, Tensor]) -> Iterator[str]:
        """Yields the names of the masked weights that this update concerns."""
        updated = {id(p) for p in named.values()}
        for name, weight in self.known.weights.items():
            if weight.grad is not None and id(weight) in updated:
                yield name

    def _note(self, name: str) -> None:
        """Keeps the gradient of all weights, masked ones too: RigL's of this step, SNFS's momentum."""
        gradient = self.known.weights[name].grad
        if gradient is None:
            return
        past = self._gradients[name].to(gradient.device) if self.method == "snfs" and name in self._gradients else None
        self._gradients[name] = gradient.detach().clone() if past is None else past.mul_(_MOMENTUM).add_(gradient)

    def before_update(self, params: list[Tensor]) -> None:
        if self._is_due(self.fit):
            for p in params:
                p.grad = None  # optimizers leave out what has no gradient: weights, moments and decay

    def after_step(self, fit: FitContext) -> None:
        if self._due:
            self._move(fit)
            self._due = False
        super().after_step(fit)

    def _is_due(self, fit: FitContext) -> bool:
        """Whether the step that is being made changes the mask. `fit.step` counts those before it."""
        if self.method == "static" or fit.step == 0 or fit.step % self.update_every:
            return False
        return fit.step < self._end(fit)

    def _end(self, fit: FitContext) -> int:
        return round(self.end * (fit.runtime.total_steps or 0))

    def _move(self, fit: FitContext) -> None:
        share = changed(fit.step - 1, self._end(fit), self.share, self.decay)
        growth = self._growth(fit)
        known = self.known
        self.change({n: replace(known.kept[n], known.weights[n], score, share) for n, score in growth.items()})

    def _growth(self, fit: FitContext) -> Mapping[str, Tensor]:
        """Returns name -> score of growth of each weight that an optimizer updates."""
        if self.method == "set":
            return scores.random(self.known.weights, self.seed, _STREAM, fit.step)
        found = {name: gradient.abs() for name, gradient in self._gradients.items()}
        if self.method == "rigl":
            self._gradients = {}
        return found

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "gradients": dict(self._gradients)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self._gradients = dict(state.get("gradients", {}))

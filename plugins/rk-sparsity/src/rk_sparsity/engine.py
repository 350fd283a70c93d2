"""What all sparsity callbacks have in common: the masks, when they apply, what is logged and kept."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from rk import FitContext, UserError
from rk_sparsity.masks import Kept, Masks
from rk_sparsity.weights import Target, prunable, recurrent_weights


class Sparsifier:
    """Keeps masks over the weights of a learner; classes that extend it decide when the masks change.

    Gradients are masked before clipping, so those of masked weights do not count for the norm. Weights are masked after
    each step. Where a mask changes, optimizers forget what they remember of the weights concerned.

    Args:
        include: Regular expressions of the names of weights that are sparse; none: all matrices and convolutions,
            without embeddings.
        exclude: Regular expressions of the names of weights that stay dense.
        target: `all` of these, or only the `recurrent` weights among them: those of any RNN, LSTM or GRU; or of these
            only `input-to-hidden` or `hidden-to-hidden`.
    """

    def __init__(self, include: tuple[str, ...] = (), exclude: tuple[str, ...] = (), target: Target = "all") -> None:
        self.include, self.exclude, self.target = tuple(include), tuple(exclude), target
        self.allow_empty = False
        self.masks: Masks | None = None
        self.spent = 0.0
        self._kept_state: Mapping[str, Any] | None = None

    def fit_start(self, fit: FitContext) -> None:
        """Finds the weights; a new run begins with the masks of `first`."""
        self.fit = fit
        self.masks = Masks(prunable(fit.learner, self.include, self.exclude, self.target))
        if self._kept_state is not None:
            self.masks.load_state_dict(self._kept_state)
            return
        masks = self.first(fit)
        if masks is not None:
            self.change(masks)
        else:
            self.masks.set(self.masks.kept)

    def first(self, fit: FitContext) -> Kept | None:
        """Returns the masks that a new run begins with; None: all weights are kept."""
        return None

    def before_clip(self, named: Mapping[str, Tensor]) -> None:
        self.known.mask_gradients(named.values())

    def after_step(self, fit: FitContext) -> None:
        self.known.apply()
        self.spent += self.known.density
        if fit.step % fit.recipe.fit.log_every == 0:
            fit.log({"density": self.known.density})

    @property
    def known(self) -> Masks:
        """The masks, once the run has begun."""
        if self.masks is None:
            raise RuntimeError("the masks are made when the run begins")
        return self.masks

    def change(self, kept: Kept) -> None:
        """Takes other masks, masks the weights, and lets optimizers forget those that were dropped or grown.

        Raises:
            rk.UserError: When a layer keeps nothing: it would answer with a constant. A recurrent layer may lose all
                weights from state to state; with `allow_empty`, any layer may.
        """
        before = self.known.kept
        self.known.set(kept)
        kinds = recurrent_weights(self.fit.learner)
        empty = [name for name in self.known.empty() if kinds.get(name) != "hidden-to-hidden"]
        if empty and not self.allow_empty:
            raise UserError(
                f"no weight of {empty[0]} is kept: the layer would answer with a constant",
                "raise the density, keep_least, or choose distribution=erk",
            )
        self.known.apply()
        changed = {name: before[name] ^ self.known.kept[name] for name in kept}
        self.known.forget(self.fit.optimizers.values(), changed)

    def results(self) -> dict[str, float]:
        """Returns the density in the end, the share of weights that were ever kept, and the mean density of all steps.

        The last is the share of a dense training's multiplications with weights that remain.
        """
        known = self.known
        steps = max(1, self.fit.step)
        return {"density": known.density, "explored": known.explored, "mean-density": self.spent / steps}

    def state_dict(self) -> dict[str, Any]:
        return {} if self.masks is None else {**self.masks.state_dict(), "spent": self.spent}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if not state:
            return
        self._kept_state = {"kept": state["kept"], "ever": state["ever"]}
        self.spent = float(state["spent"])
        if self.masks is not None:
            self.masks.load_state_dict(self._kept_state)


def step_at(share: float, fit: FitContext, name: str) -> int:
    """Returns the step at a share of the run, at least 1 where the share is above 0.

    Raises:
        rk.UserError: When the run has no known length.
    """
    if share == 0:
        return 0
    total = fit.runtime.total_steps
    if total is None:
        raise UserError(f"{name} needs the length of the run", "set fit.max_steps or fit.max_epochs")
    return max(1, round(share * total))


def rescale(masks: Masks) -> None:
    """Divides the weights of each layer by the square root of its density.

    So the variance of what a layer gives at the start is that of the dense layer (Evci et al. 2022, arXiv:2010.03533).
    """
    with torch.no_grad():
        for name, share in masks.densities().items():
            if 0 < share < 1:
                masks.weights[name].div_(math.sqrt(share))

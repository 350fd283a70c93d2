"""The callback `n-of-m`: of every M weights along the input, N are kept (2:4 for sparse tensor cores)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Lt
from torch import Tensor

from rk import FitContext
from rk_sparsity.engine import Sparsifier, step_at
from rk_sparsity.groups import keep_n_of_m
from rk_sparsity.masks import Kept


class NOfM(Sparsifier):
    """Of every M neighbours along the input of a layer, keeps the N of the largest magnitude, and trains these.

    2:4 is the pattern that GPUs from compute capability 8.0 on multiply faster; the exporter `sparse-safetensors`
    writes it for them. With `magnitude`, begin with a trained run (``init_from``), or let the
    dense network train first. `sr-ste` learns the pattern from the first step on: weights that are not kept are zero in
    the forward pass alone, and the update reaches all of them (arXiv:2102.04010).

    Args:
        n: Weights that are kept of each group.
        m: Size of a group; it must divide the inputs of each layer.
        at: Share of the run's steps after which weights are removed. 0: before training.
        method: `magnitude` chooses the weights once; `sr-ste` again after each update, with gradients straight through.
        decay: How fast `sr-ste` pulls weights that are not kept to zero, in units of the gradient: it is multiplied by
            the learning rate.

    Examples:
        callbacks: [{name: n-of-m, n: 2, m: 4, at: 0.5}]
    """

    def __init__(
        self,
        n: Annotated[int, Ge(1)] = 2,
        m: Annotated[int, Ge(2)] = 4,
        at: Annotated[float, Ge(0), Lt(1)] = 0.0,
        method: Literal["magnitude", "sr-ste"] = "magnitude",
        decay: Annotated[float, Ge(0)] = 2e-4,
        **weights: Any,
    ) -> None:
        if n >= m:
            raise ValueError(f"n must be < m, got {n} and {m}")
        super().__init__(**weights)
        self.n = n
        self.m = m
        self.at = at
        self.method = method
        self.decay = decay
        self._pruned: dict[str, Tensor] = {}
        self._whole: set[str] = set()
        self._followed: list[torch.optim.Optimizer] = []

    def fit_start(self, fit: FitContext) -> None:
        self.step = step_at(self.at, fit, "n-of-m")
        super().fit_start(fit)
        self._pruned = {name: value.to(self.known.weights[name]) for name, value in self._pruned.items()}

    def first(self, fit: FitContext) -> Kept | None:
        chosen = self._chosen(self.known.weights)  # a group that does not fit is reported now, not after hours
        if self.at > 0:
            return None
        if self.method == "sr-ste":
            self._prune(chosen)
        return chosen

    def before_clip(self, named: Mapping[str, Tensor]) -> None:
        if not self._pruned:
            super().before_clip(named)
            return
        for optimizer in self.fit.optimizers.values():  # a trainer may make some within a step
            if optimizer not in self._followed:
                optimizer.register_step_post_hook(lambda *_: self._choose_again())
                self._followed.append(optimizer)
        updated = {id(p) for p in named.values()}
        for name, weight in self.known.weights.items():
            if weight.grad is not None and id(weight) in updated:
                self._make_whole(name, weight.grad)

    @torch.no_grad()
    def _make_whole(self, name: str, gradient: Tensor) -> None:
        """Puts the values of pruned weights back for the update, and their decay into the gradient.

        The gradient was taken where they are zero; it reaches them as it is (the straight-through estimator).
        """
        gradient.add_(self._pruned[name].to(gradient.dtype), alpha=self.decay)
        if name not in self._whole:  # else an update was left out, as a scaler does where a gradient is infinite
            self.known.weights[name].add_(self._pruned[name])
            self._whole.add(name)

    def _choose_again(self) -> None:
        """Keeps the N largest of each group as they are after the update. Optimizers forget nothing."""
        if self._whole:
            self._prune(self._chosen(self._whole))
            self._whole = set()

    def after_step(self, fit: FitContext) -> None:
        if fit.step == self.step and self.method == "sr-ste":
            self._prune(self._chosen(self.known.weights))
        elif fit.step == self.step:
            self.change(self._chosen(self.known.weights))
        self._choose_again()
        super().after_step(fit)

    @torch.no_grad()
    def _prune(self, kept: Kept) -> None:
        """Sets the weights that are not kept to zero, and remembers their values."""
        for name, mask in kept.items():
            self._pruned[name] = self.known.weights[name].detach().masked_fill(mask, 0)
        self.known.set(kept)
        self.known.apply()

    def _chosen(self, names: Iterable[str]) -> Kept:
        weights = self.known.weights
        return {name: keep_n_of_m(weights[name].detach().abs(), self.n, self.m, name) for name in names}

    def state_dict(self) -> dict[str, Any]:
        state = super().state_dict()
        return {**state, "pruned": dict(self._pruned)} if self._pruned else state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self._pruned = dict(state.get("pruned", {}))

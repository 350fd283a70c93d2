"""The masks of some weights: kept through updates, optimizers and checkpoints. Every method works on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor, nn

from rk import UserError

Kept = dict[str, Bool[Tensor, "*shape"]]
"""Name of a weight -> True where it is kept, of the weight's shape."""


class Masks:
    """Masks over weights, all True at first.

    Weights are set to zero in place. They are not replaced by products of weight and mask, so fused kernels, tied
    weights and exporters see ordinary tensors.

    Args:
        weights: Name -> what is masked.

    Attributes:
        weights: As given.
        kept: Name -> mask.
        ever: Name -> True where a weight was ever kept (the ITOP rate is its share).
        density: Share of the weights that is kept.
    """

    def __init__(self, weights: Mapping[str, nn.Parameter]) -> None:
        self.weights = dict(weights)
        self.kept: Kept = {n: torch.ones_like(w, dtype=torch.bool) for n, w in self.weights.items()}
        self.ever: Kept = {n: torch.zeros_like(kept) for n, kept in self.kept.items()}
        self._update()

    def set(self, kept: Mapping[str, Tensor]) -> None:
        """Takes other masks. Weights are masked by `apply`."""
        for name, mask in kept.items():
            self.kept[name] = mask.to(self.weights[name].device)
            self.ever[name] = self.ever[name] | self.kept[name]
        self._update()

    def _update(self) -> None:
        self._list: list[Tensor] = [*self.weights.values()]
        self._numbers = [self.kept[n].to(w.dtype) for n, w in self.weights.items()]
        self.density = sum(int(kept.sum()) for kept in self.kept.values()) / self.size
        self._by_weight = {id(w): number for w, number in zip(self._list, self._numbers, strict=True)}

    @torch.no_grad()
    def apply(self) -> None:
        """Sets every weight that is not kept to zero."""
        torch._foreach_mul_(self._list, self._numbers)

    @torch.no_grad()
    def mask_gradients(self, params: Iterable[Tensor]) -> None:
        """Sets the gradients of weights that are not kept to zero; other parameters are left as they are."""
        found = [(p.grad, self._by_weight[id(p)]) for p in params if p.grad is not None and id(p) in self._by_weight]
        if found:
            gradients, masks = zip(*found, strict=True)
            torch._foreach_mul_([*gradients], [*masks])

    @torch.no_grad()
    def forget(self, optimizers: Iterable[torch.optim.Optimizer], stale: Mapping[str, Tensor]) -> None:
        """Sets what optimizers remember of some entries of weights, such as moments, to zero.

        Args:
            optimizers: All of the run.
            stale: Name -> True where it is forgotten.
        """
        for optimizer in optimizers:
            for name, where in stale.items():
                weight = self.weights[name]
                for value in optimizer.state.get(weight, {}).values():
                    if isinstance(value, Tensor) and value.shape == weight.shape:
                        value.masked_fill_(where, 0)

    @property
    def size(self) -> int:
        """How many weights are masked or kept."""
        return sum(w.numel() for w in self.weights.values())

    @property
    def explored(self) -> float:
        """Share of the weights that were ever kept, R_s of In-Time Over-Parameterization (arXiv:2102.02887)."""
        return sum(int(ever.sum()) for ever in self.ever.values()) / self.size

    def densities(self) -> dict[str, float]:
        """Returns the share that is kept of each weight."""
        return {name: float(kept.float().mean()) for name, kept in self.kept.items()}

    def empty(self) -> list[str]:
        """Returns the names of weights of which nothing is kept: their layers give a constant."""
        return [name for name, kept in self.kept.items() if not bool(kept.any())]

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        """Returns the masks as bits, eight to a byte."""
        return {"kept": _packed(self.kept), "ever": _packed(self.ever)}

    def load_state_dict(self, state: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Takes `state_dict`'s result. Raises `rk.UserError` when it is of other weights."""
        if {*state["kept"]} != {*self.weights}:
            raise UserError("the masks are those of other weights", "resume with the include and exclude of the run")
        for name, weight in self.weights.items():
            self.kept[name] = unpack(state["kept"][name], weight.shape).to(weight.device)
            self.ever[name] = unpack(state["ever"][name], weight.shape).to(weight.device)
        self._update()


def pack(mask: Bool[Tensor, "*shape"]) -> Tensor:
    """Returns a mask as bytes, the first entry in the highest bit of the first byte."""
    return torch.from_numpy(np.packbits(mask.flatten().cpu().numpy()))


def unpack(bits: Tensor, shape: torch.Size | tuple[int, ...]) -> Bool[Tensor, "*shape"]:
    """Returns the mask of `pack`."""
    count = int(np.prod(shape, dtype=np.int64))
    return torch.from_numpy(np.unpackbits(bits.cpu().numpy(), count=count).astype(bool)).view(tuple(shape))


def _packed(masks: Kept) -> dict[str, Tensor]:
    return {name: pack(mask) for name, mask in masks.items()}

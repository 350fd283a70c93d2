"""A causal language model as functions that can be composed: what the engine and everything above it needs of a model.

A path is a tuple of layer numbers, ``(0, 1, 3, 3, 4)``; it means (Li, Li and Zhou, arXiv:2507.07996, Sec. 3)

    F_P(x) = head(f_iK(... f_i1(embed(x))))

where a layer keeps its own mask and rotary embedding wherever in the path it stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

Path = tuple[int, ...]
"""Layer numbers in the order of their execution."""


@dataclass(frozen=True)
class Context:
    """The inputs of layers besides hidden states, for every row of a batch.

    Attributes:
        positions: Position of each token in its own sequence, (batch, time).
        masks: By type of attention: additive masks (batch, 1, time, time), or None where a layer masks by itself.
        rotary: By type of attention: cosines and sines, (batch, time, size) each.
    """

    positions: Int[Tensor, "batch time"]
    masks: dict[str, Tensor | None]
    rotary: dict[str, tuple[Tensor, Tensor]]

    def rows(self, index: Sequence[int] | Tensor) -> Context:
        """Returns the context of some rows, in the order of `index`; what all rows share is kept as it is."""
        index = torch.as_tensor(index, device=self.positions.device)
        return Context(
            _rows(self.positions, index),
            {name: None if mask is None else _rows(mask, index) for name, mask in self.masks.items()},
            {name: (_rows(cos, index), _rows(sin, index)) for name, (cos, sin) in self.rotary.items()},
        )


def _rows(tensor: Tensor, index: Tensor) -> Tensor:
    return tensor if len(tensor) == 1 and len(index) != 1 else tensor.index_select(0, index)


class LayeredModel(Protocol):
    """The interface that the engine calls. Any model whose hidden states keep their shape from layer to layer can offer
    it.

    Attributes:
        depth: Number of layers.
    """

    depth: int

    def embed(self, tokens: Int[Tensor, "batch time"]) -> Float[Tensor, "batch time d_model"]:
        """Returns the first hidden states."""
        ...

    def context(self, tokens: Int[Tensor, "batch time"], branches: Int[Tensor, "batch time"] | None = None) -> Context:
        """Returns masks and positions.

        Args:
            tokens: The batch, padded on the right: causal attention never looks there.
            branches: Which continuation a token belongs to, from 1; 0 is the prompt, which all continuations see, while
                none sees another; -1 is padding. None: every row is one plain sequence.
        """
        ...

    def layer(self, i: int, hidden: Float[Tensor, "batch time d_model"], context: Context) -> Tensor:
        """Returns the hidden states after layer `i`, whatever has run before it."""
        ...

    def head(self, hidden: Float[Tensor, "*rows d_model"]) -> Float[Tensor, "*rows vocab"]:
        """Returns the logits, final norm included."""
        ...


def run_path(model: LayeredModel, tokens: Int[Tensor, "batch time"], path: Path) -> Float[Tensor, "batch time vocab"]:
    """Returns the logits of all tokens after running `path` layer by layer, without a cache: the definition."""
    context = model.context(tokens)
    hidden = model.embed(tokens)
    for i in path:
        hidden = model.layer(i, hidden, context)
    return model.head(hidden)


def full_path(model: LayeredModel) -> Path:
    """Returns the path of the unmodified model."""
    return tuple(range(model.depth))


def positions_of(branches: Int[Tensor, "batch time"]) -> Int[Tensor, "batch time"]:
    """Returns each token's position in its own sequence: every continuation starts where the prompt ends."""
    time = torch.arange(branches.shape[1], device=branches.device)
    prompt = (branches == 0).sum(1, keepdim=True)
    starts = torch.ones_like(branches, dtype=torch.bool)
    starts[:, 1:] = branches[:, 1:] != branches[:, :-1]
    start = (starts * time).cummax(1).values  # of the token's own stretch
    return torch.where(branches == 0, time.expand_as(branches), prompt + time - start)


def branch_mask(
    branches: Int[Tensor, "batch time"], dtype: torch.dtype, window: int | None = None
) -> Float[Tensor, "batch 1 time time"]:
    """Returns the additive mask under which every token sees the prompt and its own continuation, up to itself.

    Args:
        branches: As `LayeredModel.context` takes them.
        dtype: That of the attention scores.
        window: With sliding attention, how many positions a token sees, itself included.
    """
    t = branches.shape[1]
    seen = torch.ones(t, t, dtype=torch.bool, device=branches.device).tril()
    key, query = branches.unsqueeze(1), branches.unsqueeze(2)
    seen = seen & ((key == 0) | (key == query))
    if window is not None:
        positions = positions_of(branches)
        seen = seen & (positions.unsqueeze(2) - positions.unsqueeze(1) < window)
    mask = torch.zeros(seen.shape, dtype=dtype, device=branches.device)
    return mask.masked_fill_(~seen, torch.finfo(dtype).min).unsqueeze(1)

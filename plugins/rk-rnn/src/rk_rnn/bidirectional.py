"""Two chains, one from each end (Schuster and Paliwal 1997; arXiv:1506.00019, Sec. 4.2)."""

# b batch, t time, d width of the model

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge
from jaxtyping import Bool, Float
from torch import Tensor, nn

from rk.protocols import Factory, SequenceLayer


class Bidirectional(nn.Module):
    """y_t = W_yh h_t + W_yz z_t + b: one layer reads forward, another of its kind, with its own weights, backward.

    It needs the whole sequence, so it has no state and does not stream.

    Args:
        d_model: Width of input and output.
        layer: The layer that reads; any causal one does.

    Examples:
        model: {name: sequence, layer: {name: bidirectional, layer: {name: gru}}, norm: none}

        >>> from rk_rnn.gru import GRU
        >>> Bidirectional(d_model=8, layer=GRU)(torch.randn(2, 5, 8)).shape
        torch.Size([2, 5, 8])
    """

    def __init__(self, *, d_model: Annotated[int, Ge(1)], layer: Factory[SequenceLayer]) -> None:
        super().__init__()
        self.ahead = layer(d_model=d_model)
        self.back = layer(d_model=d_model)
        self.out = nn.Linear(2 * d_model, d_model)

    def forward(self, x: Float[Tensor, "b t d"], mask: Bool[Tensor, "b t"] | None = None) -> Float[Tensor, "b t d"]:
        """Maps all steps; a step that `mask` leaves out is skipped in both directions."""
        # Turned around, padding comes first; it leaves a layer's state as it is, so the chain begins at the last step
        flipped = None if mask is None else mask.flip(1)
        both = torch.cat([self.ahead(x, mask), self.back(x.flip(1), flipped).flip(1)], -1)
        y = self.out(both)
        return y if mask is None else y.masked_fill(~mask.unsqueeze(-1), 0)

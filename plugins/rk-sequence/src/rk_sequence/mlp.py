"""The position-wise half of a block."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F


class GatedMLP(nn.Module):
    """SwiGLU: ``down(silu(gate(x)) * up(x))``, position by position (Shazeer, arXiv:2002.05202).

    Args:
        d_model: Width of the input and of the output.
        ratio: Weights as of a plain two-layer perceptron whose hidden layer is so many times as wide as the input.

    Attributes:
        fused_projections: Name of a projection whose outputs are (parts, width) -> its parts.
    """

    fused_projections: ClassVar[dict[str, int]] = {"gate_up": 2}

    def __init__(self, d_model: int, ratio: float) -> None:
        super().__init__()
        hidden = max(1, round(ratio * d_model * 2 / 3))  # three matrices in place of two
        self.gate_up = nn.Linear(d_model, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up(x).chunk(2, -1)
        return self.down(F.silu(gate) * up)

"""Softmax attention of every position over all positions, head by head."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

# b batch, t time, d width, h heads, c width of a head


class SoftmaxAttention(nn.Module):
    """Eq. 1: head h is softmax(E W_Q (E W_K)^T / sqrt(d_k)) E W_V; W_O joins the heads. No mask and no bias.

    Args:
        d_model: Width of the input and of the output.
        num_heads: Heads.
        head_dim: Width of a head, d_k.
    """

    def __init__(self, d_model: int, num_heads: int, head_dim: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.head_dim = head_dim
        self.query = nn.Linear(d_model, num_heads * head_dim, bias=False)
        self.key = nn.Linear(d_model, num_heads * head_dim, bias=False)
        self.value = nn.Linear(d_model, num_heads * head_dim, bias=False)
        self.out = nn.Linear(num_heads * head_dim, d_model, bias=False)

    def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        """Maps all positions, each over all."""
        query, key, value = (
            layer(x).unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.out(mixed.transpose(1, 2).flatten(2))

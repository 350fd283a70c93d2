"""The layer `plstm`: source, transition and mark gates on a line, in parallel or from state to state."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt
from jaxtyping import Bool, Float
from torch import Tensor, nn

from rk_plstm.ops import plstm_1d

# b batch, t time, d width, h heads, g gates of a head

Gates = Literal["input", "constant"]
"""Whether gates depend on the input, or are learned numbers."""


class HeadMap(nn.Module):
    """Queries, keys and values of each head, and what becomes of the heads' answers: norm and output.

    Args:
        in_channels: Width of what is mapped.
        out_channels: Width of what comes out.
        num_heads: Heads.
        head_dim: Width of a head; null: `in_channels` / `num_heads`.

    Raises:
        ValueError: When the heads do not divide the width and `head_dim` is null.
    """

    def __init__(self, in_channels: int, out_channels: int, num_heads: int, head_dim: int | None) -> None:
        super().__init__()
        if head_dim is None and in_channels % num_heads:
            raise ValueError(f"num_heads must divide a width of {in_channels}, got {num_heads}")
        self.num_heads = num_heads
        self.head_dim = in_channels // num_heads if head_dim is None else head_dim
        self.in_proj = nn.Linear(in_channels, 3 * num_heads * self.head_dim)
        self.scale = nn.Parameter(torch.ones(num_heads, self.head_dim))
        self.out_proj = nn.Linear(num_heads * self.head_dim, out_channels)
        for linear in (self.in_proj, self.out_proj):
            nn.init.normal_(linear.weight, std=(2 / (5 * linear.in_features)) ** 0.5)
            nn.init.zeros_(linear.bias)

    def project(self, x: Float[Tensor, "b *nodes d"]) -> tuple[Tensor, Tensor, Tensor]:
        """Returns queries, keys and values, each (b, heads, *nodes, head_dim)."""
        parts = self.in_proj(x).unflatten(-1, (3, self.num_heads, self.head_dim)).movedim(-2, 1)
        q, k, v = parts.unbind(-2)
        return q, k, v

    def forward(self, y: Float[Tensor, "b h *nodes c"]) -> Float[Tensor, "b *nodes d"]:
        """Returns the output of the heads' answers, each behind an RMS norm of its own."""
        y = nn.functional.rms_norm(y.movedim(1, -2), (self.head_dim,), eps=1e-5) * self.scale
        return self.out_proj(y.flatten(-2))


class GateMap(nn.Module):
    """Numbers for the gates of each head: a bias, and a linear map that begins as zero.

    Args:
        in_channels: Width of what is mapped.
        bias: What the numbers are at first, (heads, gates).
        gates: Whether they depend on the input.
    """

    def __init__(self, in_channels: int, bias: Float[Tensor, "h *g"], gates: Gates) -> None:
        super().__init__()
        self.bias = nn.Parameter(bias)
        self.weight = nn.Parameter(torch.zeros(bias.numel(), in_channels)) if gates == "input" else None

    def forward(self, x: Float[Tensor, "b *nodes d"]) -> Float[Tensor, "#b h *g *nodes"]:
        """Returns the numbers, with the nodes last; once for the whole batch where they do not depend on it."""
        if self.weight is None:
            numbers = self.bias.flatten().expand(1, *x.shape[1:-1], -1)
        else:
            numbers = x @ self.weight.T + self.bias.flatten()
        return numbers.movedim(-1, 1).contiguous().unflatten(1, self.bias.shape)  # products along nodes follow


class PLSTM(nn.Module):
    """pLSTM on a line (arXiv:2506.11997): a linear RNN with matrix states and source, transition and mark gates.

    ``C_t = T_t C_{t-1} + S_t k_t v_t^T``, ``y_t = (M_t q_t C_{t-1} + D_t (q_t k_t) v_t) / sqrt(d)``: a step reads what
    is before it, and itself through D alone. S, M and D are sigmoids, T is a tanh: it begins near 1, where nothing is
    forgotten, and may become negative, which tracks signs.

    Args:
        d_model: Width of input and output.
        num_heads: Heads, each with a state of (head_dim, head_dim).
        head_dim: Width of a head; null: `d_model` / `num_heads`.
        gates: Whether gates depend on the `input` or are `constant`, the control.
        transition: `signed`, a tanh; or `positive`, a sigmoid.
        source_bias: Of the sigmoid of S at first.
        mark_bias: Of that of M.
        direct_bias: Of that of D.
        transition_factor: T is the tanh of so many times ``1 + w x`` at first.
        chunk_size: Steps whose gate matrix is made at once.

    Raises:
        ValueError: When the heads do not divide `d_model` and `head_dim` is null.

    Examples:
        model: {name: sequence, layer: {name: plstm, num_heads: 4}, d_model: 64, num_layers: 2, mlp_ratio: 2}

        >>> PLSTM(d_model=16)(torch.randn(2, 9, 16)).shape
        torch.Size([2, 9, 16])
    """

    def __init__(
        self,
        *,
        d_model: int,
        num_heads: Annotated[int, Ge(1)] = 4,
        head_dim: Annotated[int, Ge(1)] | None = None,
        gates: Gates = "input",
        transition: Literal["signed", "positive"] = "signed",
        source_bias: float = -4.0,
        mark_bias: float = -4.0,
        direct_bias: float = -6.0,
        transition_factor: Annotated[float, Gt(0)] = 5.0,
        chunk_size: Annotated[int, Ge(1)] = 64,
    ) -> None:
        super().__init__()
        self.heads = HeadMap(d_model, d_model, num_heads, head_dim)
        bias = torch.tensor([1.0, source_bias, mark_bias, direct_bias]).repeat(num_heads, 1)
        self.gates = GateMap(d_model, bias, gates)
        self.signed = transition == "signed"
        self.transition_factor = transition_factor
        self.chunk_size = chunk_size

    def forward(self, x: Float[Tensor, "b t d"], mask: Bool[Tensor, "b t"] | None = None) -> Float[Tensor, "b t d"]:
        """Maps `x` to the same shape; `mask` is True where a step exists."""
        return self.scan(x, self.initial_state(len(x)), mask)[0]

    def initial_state(self, batch_size: int) -> Float[Tensor, "b h c c"]:
        """Returns zeros: nothing has been."""
        c = self.heads.head_dim
        return self.heads.scale.new_zeros(batch_size, self.heads.num_heads, c, c)

    def scan(
        self, x: Float[Tensor, "b t d"], state: Float[Tensor, "b h c c"], mask: Bool[Tensor, "b t"] | None = None
    ) -> tuple[Float[Tensor, "b t d"], Float[Tensor, "b h c c"]]:
        """Maps a further piece of any length; see `rk.protocols.StatefulSequenceLayer`."""
        transition, source, mark, direct = self.gate_values(x)
        if mask is not None:  # what does not exist leaves the state as it is
            exists = mask.unsqueeze(1)
            transition, source = torch.where(exists, transition, 1.0), source * exists
            transition, source, mark, direct = torch.broadcast_tensors(transition, source, mark, direct)
        q, k, v = self.heads.project(x)
        y, state = plstm_1d(q, k, v, transition, source, mark, direct, state, chunk=self.chunk_size)
        return self.heads(y), state

    def gate_values(self, x: Float[Tensor, "b t d"]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Returns T, S, M and D, each (b, heads, t), or (1, heads, t) of constant gates."""
        z, *others = self.gates(x).unbind(2)
        z = self.transition_factor * z
        source, mark, direct = (number.sigmoid() for number in others)
        return z.tanh() if self.signed else z.sigmoid(), source, mark, direct

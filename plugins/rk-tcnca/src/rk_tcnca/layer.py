"""The layer `tcnca`: dilated convolutions that reach far, in front of gated attention within chunks."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Lt
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from rk_tcnca.attention import Attend, ChunkCache, RotaryBias, attend_in_chunks
from rk_tcnca.mixers import Convolutions, DampedEMA, Mixer

# b batch, t time, d width


class TCNCA(nn.Module):
    """A causal mixer over all steps, then attention within chunks that it queries (arXiv:2312.05605).

    As in MEGA (arXiv:2209.10655, Sec. 3.2), whose damped EMA the dilated convolutions replace: queries, keys and all
    gates come from the mixed inputs, values from the inputs themselves, so that other chunks are seen through the mixer
    alone. `mixer: ema` is MEGA, `none` the control.

    Args:
        d_model: Width of input and output.
        z_dim: Width of queries and keys.
        v_dim: Width of values; null: twice `d_model`.
        chunk_size: Steps of a chunk.
        mixer: `tcn`, `ema` or `none`.
        taps: Of each convolution.
        dilation: The i-th convolution has the dilation ``dilation^i``.
        depth: Convolutions: they see ``1 + (taps - 1) (dilation^depth - 1) / (dilation - 1)`` steps.
        ema_order: Averages of each channel, with the mixer `ema`.
        attend: What makes weights of scores: `softmax`, `laplace` or `relu2`.
        bias: What is added to scores by distance: `simple`, a number for each; `rotary`, the product of two vectors
            that are turned; or `none`.
        simplified: Without gates: attention with queries and keys of the mixed inputs, and one linear layer.
        dropout: Share of what goes into the gates and comes out that is dropped in training.

    Raises:
        ValueError: When `taps` are fewer than `dilation`: the convolutions would leave out steps. With a `rotary`
            bias, when `z_dim` is odd.

    Examples:
        model: {name: sequence, layer: {name: tcnca, chunk_size: 64, depth: 4}, d_model: 64, num_layers: 2}

        >>> TCNCA(d_model=16, chunk_size=4)(torch.randn(2, 9, 16)).shape
        torch.Size([2, 9, 16])
    """

    def __init__(
        self,
        *,
        d_model: int,
        z_dim: Annotated[int, Ge(1)] = 32,
        v_dim: Annotated[int, Ge(1)] | None = None,
        chunk_size: Annotated[int, Ge(2)] = 64,
        mixer: Literal["tcn", "ema", "none"] = "tcn",
        taps: Annotated[int, Ge(1)] = 4,
        dilation: Annotated[int, Ge(1)] = 4,
        depth: Annotated[int, Ge(1)] = 3,
        ema_order: Annotated[int, Ge(1)] = 8,
        attend: Attend = "softmax",
        bias: Literal["simple", "rotary", "none"] = "simple",
        simplified: bool = False,
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.0,
    ) -> None:
        super().__init__()
        if taps < dilation:
            raise ValueError(f"taps must be at least the dilation of {dilation}, or steps are left out; got {taps}")
        v_dim = 2 * d_model if v_dim is None else v_dim
        self.z_dim, self.v_dim = z_dim, v_dim
        self.chunk_size = chunk_size
        self.attend: Attend = attend
        self.simplified = simplified
        self.mixer: Mixer
        if mixer == "tcn":
            self.mixer = Convolutions(d_model, taps, dilation, depth)
        else:
            self.mixer = DampedEMA(d_model, ema_order) if mixer == "ema" else Mixer(d_model)
        self.value = nn.Linear(d_model, v_dim)
        self.bias = nn.Parameter(torch.zeros(chunk_size)) if bias == "simple" else None
        self.rotary = RotaryBias(chunk_size, z_dim) if bias == "rotary" else None
        self.dropout = nn.Dropout(dropout)
        if simplified:
            self.query_key = nn.Linear(d_model, 2 * z_dim)
            self.out = nn.Linear(v_dim, d_model)
        else:
            self.shared = nn.Linear(d_model, z_dim)  # with `gates` the one linear layer of the paper
            self.gates = nn.Linear(d_model, d_model + v_dim + d_model)
            self.scale = nn.Parameter(1 + 0.02 * torch.randn(2, z_dim))
            self.shift = nn.Parameter(torch.zeros(2, z_dim))
            self.out = nn.Linear(v_dim, d_model, bias=False)

    def forward(self, x: Float[Tensor, "b t d"], mask: Bool[Tensor, "b t"] | None = None) -> Float[Tensor, "b t d"]:
        """Maps `x` to the same shape; `mask` is True where a step exists."""
        order = None
        if mask is not None:  # the steps that exist go to the front
            order = (~mask).to(torch.uint8).argsort(dim=1, stable=True)
            x = _ordered(x, order)
        mixed = self._mixed(self.mixer(x))
        q, k = self._query_key(mixed)
        read = attend_in_chunks(q, k, self._values(x), self.by_distance(), self.chunk_size, self.attend)
        y = self._out(x, mixed, read)
        return y if order is None else _ordered(y, order.argsort(dim=1))

    def initial_state(self, batch_size: int) -> dict[str, Any]:
        """Returns the state before the first step: that of the mixer, and an empty chunk."""
        weight = self.value.weight
        return {
            "mixer": self.mixer.initial_state(batch_size),
            "keys": weight.new_zeros(batch_size, self.chunk_size - 1, self.z_dim),
            "values": weight.new_zeros(batch_size, self.chunk_size - 1, self.v_dim),
            "seen": torch.zeros(batch_size, dtype=torch.int64, device=weight.device),
        }

    def scan(
        self, x: Float[Tensor, "b t d"], state: dict[str, Any], mask: Bool[Tensor, "b t"] | None = None
    ) -> tuple[Float[Tensor, "b t d"], dict[str, Any]]:
        """Maps a further piece of any length; see `rk.protocols.StatefulSequenceLayer`."""
        found = []
        for start in range(0, x.shape[1], self.chunk_size):  # what is held grows with the chunk, not with the piece
            span = slice(start, start + self.chunk_size)
            y, state = self._scan_block(x[:, span], state, None if mask is None else mask[:, span])
            found.append(y)
        return torch.cat(found, 1), state

    def _scan_block(self, x: Tensor, state: dict[str, Any], mask: Tensor | None) -> tuple[Tensor, dict[str, Any]]:
        exists = x.new_ones(x.shape[:2], dtype=torch.bool) if mask is None else mask
        order = None
        if mask is not None:
            order = (~mask).to(torch.uint8).argsort(dim=1, stable=True)
            x, exists = _ordered(x, order), exists.gather(1, order)
        mixed, mixer = self.mixer.scan(x, state["mixer"], exists)
        mixed = self._mixed(mixed)
        q, k = self._query_key(mixed)
        cache = ChunkCache(state["keys"], state["values"], state["seen"], self.chunk_size)
        read, cache = cache.read(q, k, self._values(x), self.by_distance(), self.attend, exists.sum(1))
        y = self._out(x, mixed, read)
        after = {"mixer": mixer, "keys": cache.keys, "values": cache.values, "seen": cache.seen}
        return (y if order is None else _ordered(y, order.argsort(dim=1))), after

    def by_distance(self) -> Float[Tensor, "chunk"] | None:
        """Returns what is added to scores by how many steps ago; None: nothing."""
        return self.bias if self.rotary is None else self.rotary()

    def _mixed(self, mixed: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        return self.dropout(F.silu(mixed))

    def _values(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t v"]:
        return F.silu(self.value(x))

    def _query_key(self, mixed: Float[Tensor, "b t d"]) -> tuple[Float[Tensor, "b t z"], Float[Tensor, "b t z"]]:
        """Returns queries and keys; queries are scaled where a softmax follows."""
        if self.simplified:
            q, k = self.query_key(mixed).chunk(2, -1)
        else:
            shared = F.silu(self.shared(mixed))
            q, k = (shared * self.scale[i] + self.shift[i] for i in range(2))
        return (q * self.z_dim**-0.5 if self.attend == "softmax" else q), k

    def _out(
        self, x: Float[Tensor, "b t d"], mixed: Float[Tensor, "b t d"], read: Float[Tensor, "b t v"]
    ) -> Float[Tensor, "b t d"]:
        """Returns what is added to the residual stream: ``u (h - x)``."""
        if self.simplified:
            return self.dropout(self.out(read))
        d = x.shape[-1]
        update, reset, candidate = self.gates(mixed).split([d, read.shape[-1], d], -1)
        h = self.dropout(F.silu(candidate + self.out(read * F.silu(reset))))
        return update.sigmoid() * (h - x)


def _ordered(x: Tensor, order: Tensor) -> Tensor:
    return x.gather(1, order.unsqueeze(-1).expand_as(x))

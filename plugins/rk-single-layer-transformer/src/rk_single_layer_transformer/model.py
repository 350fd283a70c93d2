"""The model `single-layer-transformer`: one attention layer, then a network that maps each position alone."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor, nn

from rk import UserError
from rk.protocols import Factory, SequenceLayer
from rk_single_layer_transformer.attention import SoftmaxAttention
from rk_single_layer_transformer.feedforward import FeedForward
from rk_single_layer_transformer.fields import ContinuousOutputs


class SingleLayerTransformer(nn.Module):
    """Encodes positions, mixes them once, and answers at each position by a ReLU network (arXiv:2507.10581).

    The encoding is ``E = [X | P | 1]``: the inputs, the one-hot position, a constant. `embed` maps it to the width of
    the stream. Attention of every position over all is added to it, and the network reads the sum (Eq. 1 and Eq. 2).
    There is no norm: it would rescale what heads copy. Sequences have one length, as positions are numbered.

    Args:
        num_features: Numbers of a step, d.
        num_outputs: Numbers of an answer, p.
        num_steps: Length of all sequences, n.
        positions: What distinguishes positions: `onehot` columns of the encoding, a `learned` vector that is added to
            the stream, or `none`. With `none`, attention is permutation-equivariant, and the theorem is false.
        attention: Whether positions are mixed; without, each answer depends on its own step alone.
        residual: Whether what attention gives is added to its input, or replaces it.
        layer: What mixes positions in place of softmax attention: any layer of another plugin.
        d_model: Width of the stream; null: just enough for the construction, ``d + n + 1 + n d``.
        num_heads: Heads of the attention; null: one per position, as the construction needs.
        head_dim: Width of a head; null: what `num_heads` leaves of `d_model`, and at least d.
        ffn_width: Hidden units of the network, for trainers with gradients; `constructive` makes its own network.

    Attributes:
        embed: From the encoding to the stream.
        mixer: What mixes positions; None without attention.
        ffn: The network.

    Raises:
        ValueError: When a layer is given and attention is false.

    Examples:
        model: {name: single-layer-transformer, positions: onehot, d_model: 64, ffn_width: 256}

        >>> model = SingleLayerTransformer(num_features=1, num_outputs=1, num_steps=3)
        >>> model(inputs=torch.rand(4, 3, 1))["values"].shape
        torch.Size([4, 3, 1])
    """

    def __init__(
        self,
        *,
        num_features: int,
        num_outputs: int,
        num_steps: int,
        positions: Literal["onehot", "learned", "none"] = "onehot",
        attention: bool = True,
        residual: bool = True,
        layer: Factory[SequenceLayer] | None = None,
        d_model: Annotated[int, Ge(1)] | None = None,
        num_heads: Annotated[int, Ge(1)] | None = None,
        head_dim: Annotated[int, Ge(1)] | None = None,
        ffn_width: Annotated[int, Ge(1)] = 256,
    ) -> None:
        super().__init__()
        if layer is not None and not attention:
            raise ValueError("a layer takes the place of attention: leave out layer, or set attention to true")
        self.num_features = num_features
        self.num_outputs = num_outputs
        self.num_steps = num_steps
        self.positions = positions
        self.residual = residual
        self.encoded = num_features + (num_steps if positions == "onehot" else 0) + 1
        self.d_model = d_model or num_features + num_steps + 1 + num_steps * num_features
        self.embed = nn.Linear(self.encoded, self.d_model, bias=False)
        if positions == "learned":
            self.position = nn.Parameter(torch.randn(num_steps, self.d_model) / self.d_model**0.5)
        self.mixer: nn.Module | None = None
        if attention and layer is None:
            heads = num_heads or num_steps
            self.mixer = SoftmaxAttention(self.d_model, heads, head_dim or max(self.d_model // heads, num_features))
        elif layer is not None:
            self.mixer = layer(d_model=self.d_model)  # type: ignore[assignment]  # a layer is an nn.Module
        self.ffn: nn.Module = FeedForward(self.d_model, ffn_width, num_outputs)

    def forward(self, *, inputs: Float[Tensor, "batch time features"]) -> ContinuousOutputs:
        """Returns the answer at each position, in the dtype of the weights."""
        return {"values": self.ffn(self.mixed(inputs))}

    def mixed(self, inputs: Float[Tensor, "batch time features"]) -> Float[Tensor, "batch time d_model"]:
        """Returns what the network reads: the stream behind attention.

        Raises:
            rk.UserError: When sequences are not `num_steps` long.
        """
        stream = self.embed(self.encode(inputs))
        if self.positions == "learned":
            stream = stream + self.position
        if self.mixer is None:
            return stream
        mixed = self.mixer(stream)
        return stream + mixed if self.residual else mixed

    def encode(self, inputs: Float[Tensor, "batch time features"]) -> Float[Tensor, "batch time encoded"]:
        """Returns ``[X | P | 1]``: P is there only where positions are one-hot."""
        x = inputs.to(self.embed.weight.dtype)
        batch, time, _ = x.shape
        if time != self.num_steps:
            raise UserError(f"this model takes sequences of {self.num_steps} steps, got {time}")
        parts = [x]
        if self.positions == "onehot":
            parts.append(torch.eye(time, dtype=x.dtype, device=x.device).expand(batch, time, time))
        return torch.cat([*parts, x.new_ones(batch, time, 1)], -1)

"""The model `sequence`: a residual stack with a slot for any layer that maps sequences to sequences."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Lt
from jaxtyping import Bool, Float, Int
from rk_recursion.layouts import Layout, Sharing
from rk_recursion.stack import looped
from torch import Tensor, nn

from rk import UserError
from rk.protocols import Factory, SequenceLayer, StatefulSequenceLayer
from rk_sequence.fields import SequenceOutputs
from rk_sequence.mlp import GatedMLP

# b batch, t time, d width, o outputs


class SequenceModel(nn.Module):
    """Embeds tokens or projects numbers, runs blocks of one kind of layer, and reads answers out.

    A block adds ``layer(norm(x))`` to its input, then ``mlp(norm(x))`` where there is an MLP. Facts of the data give
    whether steps are tokens or numbers, how many outputs there are, and where answers are read.

    With layers that stream (`rk.protocols.StatefulSequenceLayer`) the whole model does: `initial_state` and `scan` take
    a sequence in pieces of any length, with the same answers. A state is ``{"layers": (state of each layer, ...)}``,
    and where the readout needs more than the piece at hand, ``"pooled"``: the last hidden vector that exists, or the
    sum of all and their number.

    Args:
        layer: What mixes the steps; one is built for each block.
        vocab_size: Tokens; null where steps are numbers.
        num_features: Numbers of a step; null where steps are tokens.
        num_outputs: Classes, or numbers to predict.
        readout: Answers at each `step`, at the `last` one, or from the `mean` over all steps.
        d_model: Width of the residual stream.
        num_layers: Blocks that run.
        num_loops: How often a block runs: with 2, a model of 6 blocks that run has weights of 3.
        sharing: Which of the blocks that run are one: see `rk_recursion.layouts.Layout`.
        mlp_ratio: Width of the MLP behind each layer, as a multiple of `d_model`; 0 for none.
        norm: Before each layer and MLP, and before the head: `rms`, `layer`, or `none`.
        residual: Whether blocks add to their input; without, they replace it, as in the classical stack of RNNs.
        dropout: Share of what the embedding, layers and MLPs give that is dropped in training.
        tie: Uses the embedding as the weights of the head.

    Raises:
        ValueError: When `tie` is true and inputs and outputs are not the same tokens, when steps are both tokens and
            numbers, or neither, or when the loops do not divide the blocks.

    Examples:
        model: {name: sequence, layer: {name: attention, num_heads: 4}, d_model: 64, num_layers: 2}

        >>> from rk_sequence.attention import Attention
        >>> model = SequenceModel(layer=Attention, vocab_size=5, num_features=None, num_outputs=3, readout="last")
        >>> model(tokens=torch.tensor([[0, 1, 2, 3]]))["logits"].shape
        torch.Size([1, 3])
    """

    renamed = {"n_layers": "num_layers"}

    def __init__(
        self,
        *,
        layer: Factory[SequenceLayer],
        vocab_size: int | None,
        num_features: int | None,
        num_outputs: int,
        readout: Literal["step", "last", "mean"],
        d_model: Annotated[int, Ge(1)] = 64,
        num_layers: Annotated[int, Ge(1)] = 1,
        num_loops: Annotated[int, Ge(1)] = 1,
        sharing: Sharing = "cycle",
        mlp_ratio: Annotated[float, Ge(0)] = 0.0,
        norm: Literal["rms", "layer", "none"] = "rms",
        residual: bool = True,
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.0,
        tie: bool = False,
    ) -> None:
        super().__init__()
        self.keeps_shape = True
        if (vocab_size is None) == (num_features is None):
            raise ValueError("steps are tokens (vocab_size) or numbers (num_features): give one, null for the other")
        if tie and vocab_size != num_outputs:
            raise ValueError(
                f"tie needs as many outputs as tokens, got {num_outputs} outputs and {vocab_size or 0} tokens"
            )
        self.readout = readout
        self.d_model = d_model
        if vocab_size is not None:
            self.embedding = nn.Embedding(vocab_size, d_model)
            nn.init.normal_(self.embedding.weight, std=d_model**-0.5)  # as the head's rows: the two may be tied
        elif num_features is not None:
            self.projection = nn.Linear(num_features, d_model)
        self.layout = Layout(num_layers, num_loops, sharing)
        self.blocks = looped(
            lambda: Block(layer(d_model=d_model), d_model, mlp_ratio, norm, residual, dropout), self.layout
        )
        self.norm = make_norm(norm, d_model)
        self.head = nn.Linear(d_model, num_outputs, bias=not tie)
        if tie:
            self.head.weight = self.embedding.weight
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        *,
        tokens: Int[Tensor, "batch time"] | None = None,
        inputs: Float[Tensor, "batch time features"] | None = None,
        mask: Bool[Tensor, "batch time"] | None = None,
    ) -> SequenceOutputs:
        """Returns the answers of whole sequences; `mask` is True where a step exists."""
        hidden, context = self.enter(tokens=tokens, inputs=inputs, mask=mask)
        for block in self.blocks:
            hidden = block(hidden, *context)
        return self.leave(hidden, mask=mask)

    def enter(
        self,
        *,
        tokens: Int[Tensor, "batch time"] | None = None,
        inputs: Float[Tensor, "batch time features"] | None = None,
        mask: Bool[Tensor, "batch time"] | None = None,
    ) -> tuple[Tensor, tuple[Tensor | None]]:
        """Returns what the first block takes, of (batch, time, d_model), and the mask that each block takes besides."""
        return self.embed(tokens, inputs), (mask,)

    def leave(
        self, hidden: Float[Tensor, "batch time d_model"], *, mask: Bool[Tensor, "batch time"] | None = None
    ) -> SequenceOutputs:
        """Returns the answers from what the last block gave."""
        return self._outputs(_read(hidden, mask, self.readout))

    def initial_state(self, batch_size: int) -> dict[str, Any]:
        """Returns the state before the first step.

        Raises:
            UserError: When a layer does not stream: for example, one that looks ahead.
        """
        state: dict[str, Any] = {"layers": tuple(block.streaming.initial_state(batch_size) for block in self._chain())}
        if self.readout != "step":
            zeros = self.head.weight.new_zeros(batch_size, self.d_model + (self.readout == "mean"))
            state["pooled"] = zeros
        return state

    def _chain(self) -> Iterator[Block]:
        yield from (block for block in self.blocks if isinstance(block, Block))

    def scan(
        self,
        *,
        state: dict[str, Any],
        tokens: Int[Tensor, "batch time"] | None = None,
        inputs: Float[Tensor, "batch time features"] | None = None,
        mask: Bool[Tensor, "batch time"] | None = None,
    ) -> tuple[SequenceOutputs, dict[str, Any]]:
        """Takes a further piece of each sequence.

        Args:
            state: What `initial_state` or the last call returned; it is not changed.
            tokens: The piece, of any length from 1, where steps are tokens.
            inputs: The same, where they are numbers.
            mask: True where a step exists; one that does not leaves the row's state as it is.

        Returns:
            The answers so far (`readout` last, mean) or of this piece's steps, and the state after it.
        """
        hidden = self.embed(tokens, inputs)
        layers = []
        for block, before in zip(self._chain(), state["layers"], strict=True):
            hidden, after = block.scan(hidden, before, mask)
            layers.append(after)
        return self.leave_piece(hidden, {**state, "layers": tuple(layers)}, mask)

    def leave_piece(
        self, hidden: Float[Tensor, "batch time d_model"], state: dict[str, Any], mask: Bool[Tensor, "b t"] | None
    ) -> tuple[SequenceOutputs, dict[str, Any]]:
        """Returns the answers from what the last block gave for a further piece, and the state with what was pooled."""
        if self.readout == "step":
            return self._outputs(hidden), state
        pooled = _pool(hidden, mask, state["pooled"], self.readout)
        return self._outputs(_pooled(pooled, self.readout)), {**state, "pooled": pooled}

    def embed(
        self, tokens: Int[Tensor, "b t"] | None = None, inputs: Float[Tensor, "b t features"] | None = None
    ) -> Float[Tensor, "b t d"]:
        """Returns what the first block sees."""
        if hasattr(self, "embedding"):
            if tokens is None:
                raise UserError("this model takes tokens, but the data has none")
            return self.dropout(self.embedding(tokens))
        if inputs is None:
            raise UserError("this model takes numbers, the field inputs, but the data has none")
        return self.dropout(self.projection(inputs))

    def decode(self, hidden: Float[Tensor, "*shape d"]) -> Float[Tensor, "*shape o"]:
        """Returns the head's numbers for what the last block gives."""
        return self.head(self.norm(hidden))

    def _outputs(self, hidden: Float[Tensor, "b *positions d"]) -> SequenceOutputs:
        numbers = self.decode(hidden)
        return {"logits": numbers, "values": numbers}


class Block(nn.Module):
    """A layer and an MLP around the residual stream, each behind a norm.

    Args:
        layer: What mixes the steps.
        d_model: Width.
        mlp_ratio: Width of the MLP as a multiple of `d_model`; 0 for none.
        norm: ``rms``, ``layer`` or ``none``.
        residual: Whether each half adds to its input.
        dropout: Share of each half's output that is dropped in training.
    """

    def __init__(
        self, layer: SequenceLayer, d_model: int, mlp_ratio: float, norm: str, residual: bool, dropout: float
    ) -> None:
        super().__init__()
        self.residual = residual
        self.layer_norm = make_norm(norm, d_model)
        self.layer = layer
        self.mlp = nn.Sequential(make_norm(norm, d_model), GatedMLP(d_model, mlp_ratio)) if mlp_ratio else None
        self.dropout = nn.Dropout(dropout)

    @property
    def streaming(self) -> StatefulSequenceLayer:
        """The layer, as one that takes pieces. Raises `UserError` where it does not: one that looks ahead, say."""
        if not hasattr(self.layer, "scan"):
            name = type(self.layer).__name__
            raise UserError(f"the layer {name} keeps no state: it takes only whole sequences", "use another layer")
        streaming: Any = self.layer  # Any: which layer it is, the recipe says
        return streaming

    def forward(self, x: Float[Tensor, "b t d"], mask: Bool[Tensor, "b t"] | None = None) -> Float[Tensor, "b t d"]:
        return self.around(x, lambda normed: self.layer(normed, mask))

    def around(
        self, x: Float[Tensor, "b t d"], mix: Callable[[Float[Tensor, "b t d"]], Float[Tensor, "b t d"]]
    ) -> Float[Tensor, "b t d"]:
        """Maps `x` with `mix` in the place of the layer: it takes what the layer would, behind the norm."""
        return self._after(x, mix(self.layer_norm(x)))

    def scan(
        self, x: Float[Tensor, "b t d"], state: Any, mask: Bool[Tensor, "b t"] | None = None
    ) -> tuple[Float[Tensor, "b t d"], Any]:
        """Maps a further piece; returns the output and the layer's state after it."""
        mixed, state = self.streaming.scan(self.layer_norm(x), state, mask)
        return self._after(x, mixed), state

    def _after(self, x: Float[Tensor, "b t d"], mixed: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        x = self._joined(x, mixed)
        return x if self.mlp is None else self._joined(x, self.mlp(x))

    def _joined(self, x: Float[Tensor, "b t d"], change: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        change = self.dropout(change)
        return x + change if self.residual else change


def make_norm(norm: str, d_model: int) -> nn.Module:
    """Returns the norm of that name; one that does nothing for ``none``."""
    norms: dict[str, Callable[[int], nn.Module]] = {"rms": nn.RMSNorm, "layer": nn.LayerNorm, "none": nn.Identity}
    return norms[norm](d_model)


def _read(hidden: Float[Tensor, "b t d"], mask: Bool[Tensor, "b t"] | None, readout: str) -> Float[Tensor, "b *p d"]:
    """Returns what answers are read from, for whole sequences."""
    if readout == "step":
        return hidden
    if mask is None:
        return hidden[:, -1] if readout == "last" else hidden.mean(1)
    width = hidden.shape[-1] + (readout == "mean")
    return _pooled(_pool(hidden, mask, hidden.new_zeros(hidden.shape[0], width), readout), readout)


def _pool(
    hidden: Float[Tensor, "b t d"], mask: Bool[Tensor, "b t"] | None, before: Float[Tensor, "b k"], readout: str
) -> Float[Tensor, "b k"]:
    """Adds a piece to what has been pooled: the last hidden vector that exists, or the sum and the count of all."""
    if mask is None:
        mask = hidden.new_ones(hidden.shape[:2], dtype=torch.bool)
    if readout == "mean":
        summed = (hidden * mask.unsqueeze(-1)).sum(1)
        return before + torch.cat([summed, mask.sum(1, keepdim=True).to(hidden.dtype)], 1)
    place = torch.arange(1, mask.shape[1] + 1, device=mask.device)
    last = (place * mask).amax(1)  # 0 where no step of the piece exists
    found = hidden.gather(1, (last - 1).clamp(min=0).view(-1, 1, 1).expand(-1, 1, hidden.shape[-1])).squeeze(1)
    return torch.where((last > 0).unsqueeze(1), found, before)


def _pooled(pooled: Float[Tensor, "b k"], readout: str) -> Float[Tensor, "b d"]:
    return pooled if readout == "last" else pooled[:, :-1] / pooled[:, -1:].clamp(min=1)

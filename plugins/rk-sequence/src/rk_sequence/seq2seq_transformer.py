"""Model `seq2seq-transformer`: an encoder reads, a decoder writes and attends to it."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Lt
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from rk import UserError
from rk.fields import SequencePairOutputs
from rk_sequence.fields import DecodedAnswers
from rk_sequence.seq2seq import before, greedy, present

# b batch, t time of what is mapped, s time of what is attended to, h heads, c width of a head, d = h * c

Cache = tuple[Float[Tensor, "b h s c"], Float[Tensor, "b h s c"]]
"""Keys and values of what is attended to."""


class Seq2SeqTransformer(nn.Module):
    """The encoder-decoder transformer (Vaswani et al., arXiv:1706.03762).

    Padding is masked in the encoder and in the attention of the decoder to it. Answers are decoded with a cache of keys
    and values: each step maps one token.

    Args:
        vocab_size: Tokens of inputs; a fact of the data.
        num_outputs: Tokens of answers, the one that ends them included; a fact of the data.
        d_model: Width.
        num_heads: Heads of each attention.
        encoder_layers: Layers that read.
        decoder_layers: Layers that write.
        dim_feedforward: Width of the hidden layer of each MLP.
        positions: What is added to embeddings: sines of their positions, learned vectors, or nothing.
        max_length: Most tokens of an input, and of an answer, that have learned positions.
        norm_first: Norms in front of attention and MLPs, and one at the end; else behind each sum, as in the paper.
        dropout: Share of the embeddings, and of what each part adds, that is dropped in training.
        max_answer: Most tokens that are decoded.

    Raises:
        ValueError: When the heads do not divide `d_model`, or it is odd with sinusoidal positions.

    Examples:
        model: {name: seq2seq-transformer, d_model: 64, num_heads: 4}

        >>> model = Seq2SeqTransformer(vocab_size=5, num_outputs=3, d_model=16)
        >>> tokens, lengths = torch.zeros(2, 4, dtype=torch.long), torch.tensor([4, 2])
        >>> model(tokens=tokens, lengths=lengths, targets=torch.tensor([[1, 2, 0], [1, 0, -100]]))["logits"].shape
        torch.Size([2, 3, 3])
    """

    def __init__(
        self,
        vocab_size: int,
        num_outputs: int,
        d_model: Annotated[int, Ge(1)] = 128,
        num_heads: Annotated[int, Ge(1)] = 4,
        encoder_layers: Annotated[int, Ge(1)] = 2,
        decoder_layers: Annotated[int, Ge(1)] = 2,
        dim_feedforward: Annotated[int, Ge(1)] = 512,
        positions: Literal["sinusoidal", "learned", "none"] = "sinusoidal",
        max_length: Annotated[int, Ge(1)] = 256,
        norm_first: bool = True,
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.0,
        max_answer: Annotated[int, Ge(1)] = 64,
    ) -> None:
        super().__init__()
        if d_model % num_heads:
            raise ValueError(f"num_heads must divide d_model {d_model}, got {num_heads}")
        if positions == "sinusoidal" and d_model % 2:
            raise ValueError(f"d_model must be even with sinusoidal positions, got {d_model}")
        self.d_model = d_model
        self.positions = positions
        self.max_answer = max_answer
        self.source = nn.Embedding(vocab_size, d_model)
        self.target = nn.Embedding(num_outputs, d_model)
        for table in (self.source, self.target):
            nn.init.normal_(table.weight, std=d_model**-0.5)
        if positions == "learned":
            self.source_positions = nn.Embedding(max_length, d_model)
            self.target_positions = nn.Embedding(max_length, d_model)
        shape = (d_model, num_heads, dim_feedforward, norm_first, dropout)
        self.encoder = nn.ModuleList(EncoderLayer(*shape) for _ in range(encoder_layers))
        self.decoder = nn.ModuleList(DecoderLayer(*shape) for _ in range(decoder_layers))
        self.encoder_norm = nn.LayerNorm(d_model) if norm_first else nn.Identity()
        self.decoder_norm = nn.LayerNorm(d_model) if norm_first else nn.Identity()
        self.head = nn.Linear(d_model, num_outputs)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        *,
        tokens: Int[Tensor, "batch time"],
        targets: Int[Tensor, "batch target_time"],
        lengths: Int[Tensor, "batch"] | None = None,
    ) -> SequencePairOutputs:
        """Returns logits of (batch, target_time, num_outputs), each token given those of the answer before it.

        Raises:
            UserError: When there are more tokens than learned positions.
        """
        return {"logits": self._written(tokens, targets, lengths)}

    def predict(
        self, *, tokens: Int[Tensor, "batch time"], lengths: Int[Tensor, "batch"] | None = None
    ) -> DecodedAnswers:
        """Returns the answers, the likeliest token at each step, each from the cache of those before it.

        Raises:
            UserError: When there are more tokens than learned positions.
        """
        exists = present(tokens, lengths)
        memory = self._memory(tokens, exists)

        def step(last: Tensor, caches: list[Cache | None]) -> tuple[Tensor, list[Cache | None]]:
            first = caches[0]
            hidden = self._embedded(last, "target", 0 if first is None else first[0].shape[2])
            after: list[Cache | None] = []
            for layer, read, cache in zip(self.decoder, memory, caches, strict=True):
                hidden, cache = layer(hidden, read, exists, cache)
                after.append(cache)
            return self.head(self.decoder_norm(hidden)), after

        empty: list[Cache | None] = [None] * len(memory)
        return {"decoded": greedy(step, empty, len(tokens), self.max_answer, tokens.device)}

    def cross_attention(
        self,
        *,
        tokens: Int[Tensor, "batch time"],
        targets: Int[Tensor, "batch target_time"],
        lengths: Int[Tensor, "batch"] | None = None,
    ) -> Float[Tensor, "batch layers heads target_time time"]:
        """Returns where each token of the answers looks; see `rk_sequence.seq2seq.CrossAttends`."""
        weights: list[Tensor] = []
        self._written(tokens, targets, lengths, weights)
        return torch.stack(weights, 1)

    def _written(
        self, tokens: Tensor, targets: Tensor, lengths: Tensor | None, weights: list[Tensor] | None = None
    ) -> Float[Tensor, "b t outputs"]:
        exists = present(tokens, lengths)
        hidden = self._embedded(before(targets), "target")
        for layer, read in zip(self.decoder, self._memory(tokens, exists), strict=True):
            hidden, _ = layer(hidden, read, exists, weights=weights)
        logits: Tensor = self.head(self.decoder_norm(hidden))
        return logits

    def _memory(self, tokens: Int[Tensor, "b s"], exists: Bool[Tensor, "b s"]) -> list[Cache]:
        """Returns the input's keys and values for each layer of the decoder."""
        hidden = self._embedded(tokens, "source")
        for layer in self.encoder:
            hidden = layer(hidden, exists)
        hidden = self.encoder_norm(hidden)
        return [layer.cross.cache(hidden) for layer in self.decoder if isinstance(layer, DecoderLayer)]

    def _embedded(self, tokens: Int[Tensor, "b t"], side: str, start: int = 0) -> Float[Tensor, "b t d"]:
        hidden: Tensor = getattr(self, side)(tokens) * math.sqrt(self.d_model)
        place = torch.arange(start, start + tokens.shape[1], device=tokens.device)
        if self.positions == "learned":
            table: nn.Embedding = getattr(self, f"{side}_positions")
            if len(place) and start + len(place) > table.num_embeddings:
                raise UserError(
                    f"there are {table.num_embeddings} learned positions, got {start + len(place)} tokens",
                    "train with a larger model.max_length, or with model.positions=sinusoidal",
                )
            hidden = hidden + table(place)
        elif self.positions == "sinusoidal":
            hidden = hidden + sines(place, self.d_model).to(hidden.dtype)
        return self.dropout(hidden)


def sines(place: Int[Tensor, "t"], d_model: int) -> Float[Tensor, "t d"]:
    """Returns sin and cos of p / 10000^(2i / d_model) for each position p (arXiv:1706.03762, Sec. 3.5), alternating."""
    rates = 10000.0 ** (-torch.arange(0, d_model, 2, device=place.device, dtype=torch.float64) / d_model)
    angle = place.unsqueeze(1) * rates
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(1)


class MultiHead(nn.Module):
    """Attention with several heads (arXiv:1706.03762, Eq. 1) to a cache of keys and values.

    Args:
        d_model: Width.
        num_heads: Heads.
    """

    def __init__(self, d_model: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query = nn.Linear(d_model, d_model)
        self.key_value = nn.Linear(d_model, 2 * d_model)
        self.out = nn.Linear(d_model, d_model)

    def cache(self, x: Float[Tensor, "b s d"]) -> Cache:
        """Returns the keys and values of `x`."""
        key, value = self.key_value(x).chunk(2, -1)
        return self._heads(key), self._heads(value)

    def forward(
        self,
        x: Float[Tensor, "b t d"],
        cache: Cache,
        exists: Bool[Tensor, "b s"] | None = None,
        causal: bool = False,
        weights: list[Tensor] | None = None,
    ) -> Float[Tensor, "b t d"]:
        """Maps `x`; `weights`, if given, takes the attention's, of (b, h, t, s)."""
        query = self._heads(self.query(x))
        allowed = None if exists is None else exists[:, None, None]
        if weights is not None:
            scores = query @ cache[0].mT / math.sqrt(query.shape[-1])
            weights.append((scores if allowed is None else scores.masked_fill(~allowed, -torch.inf)).softmax(-1))
        mixed = F.scaled_dot_product_attention(query, *cache, attn_mask=allowed, is_causal=causal)
        projected: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return projected

    def _heads(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b h t c"]:
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


class EncoderLayer(nn.Module):
    """Attention to the whole input, then an MLP.

    Args:
        d_model: Width.
        num_heads: Heads.
        dim_feedforward: Width of the MLP's hidden layer.
        norm_first: Whether norms are in front of both.
        dropout: Of what each adds.
    """

    def __init__(self, d_model: int, num_heads: int, dim_feedforward: int, norm_first: bool, dropout: float) -> None:
        super().__init__()
        self.norm_first = norm_first
        self.own = MultiHead(d_model, num_heads)
        self.mlp = nn.Sequential(
            nn.Linear(d_model, dim_feedforward), nn.ReLU(), nn.Dropout(dropout), nn.Linear(dim_feedforward, d_model)
        )
        self.own_norm, self.mlp_norm = nn.LayerNorm(d_model), nn.LayerNorm(d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "b s d"], exists: Bool[Tensor, "b s"]) -> Float[Tensor, "b s d"]:
        """Maps the input; `exists` is True where it has a token."""
        taken = self._taken(x, self.own_norm)
        x = self._joined(x, self.own(taken, self.own.cache(taken), exists), self.own_norm)
        return self._joined(x, self.mlp(self._taken(x, self.mlp_norm)), self.mlp_norm)

    def _taken(self, x: Tensor, norm: nn.Module) -> Tensor:
        taken: Tensor = norm(x) if self.norm_first else x
        return taken

    def _joined(self, x: Tensor, change: Tensor, norm: nn.Module) -> Tensor:
        x = x + self.dropout(change)
        return x if self.norm_first else norm(x)


class DecoderLayer(EncoderLayer):
    """Attention to the answer so far, attention to the input, then an MLP; parameters as of `EncoderLayer`."""

    def __init__(self, d_model: int, num_heads: int, dim_feedforward: int, norm_first: bool, dropout: float) -> None:
        super().__init__(d_model, num_heads, dim_feedforward, norm_first, dropout)
        self.cross = MultiHead(d_model, num_heads)
        self.cross_norm = nn.LayerNorm(d_model)

    def forward(  # type: ignore[override]  # a decoder takes the input besides
        self,
        x: Float[Tensor, "b t d"],
        read: Cache,
        exists: Bool[Tensor, "b s"],
        past: Cache | None = None,
        weights: list[Tensor] | None = None,
    ) -> tuple[Float[Tensor, "b t d"], Cache]:
        """Maps an answer, or, with a `past`, its next token; returns the keys and values of the answer too."""
        taken = self._taken(x, self.own_norm)
        cache = self.own.cache(taken)
        if past is not None:
            cache = torch.cat([past[0], cache[0]], 2), torch.cat([past[1], cache[1]], 2)
        x = self._joined(x, self.own(taken, cache, causal=past is None and x.shape[1] > 1), self.own_norm)
        x = self._joined(x, self.cross(self._taken(x, self.cross_norm), read, exists, weights=weights), self.cross_norm)
        return self._joined(x, self.mlp(self._taken(x, self.mlp_norm)), self.mlp_norm), cache

"""The model `text-graph-clip`: a graph encoder and a text encoder, which learn one space for nodes and texts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypedDict

import torch
from annotated_types import Ge, Lt
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from rk.protocols import Factory, GraphLayer


class GroundingOutputs(TypedDict):
    """Embeddings of length 1: of nodes, of their texts, and of the texts around them."""

    node_embedding: Float[Tensor, "batch d"]
    text_embedding: Float[Tensor, "batch d"]
    around_embedding: Float[Tensor, "batch d"]


class GraphEncoder(nn.Module):
    """A linear map, graph layers of one width, and a linear map (GraphGPT, Sec. 3.1).

    Args:
        layer: What passes messages, a factory of `rk.protocols.GraphLayer`; one is built for each layer.
        num_features: Features of a node.
        d_model: Width inside.
        embed_dim: Width of the embedding.
        num_layers: Graph layers.
        dropout: Share of what the first map gives that is dropped in training.
    """

    def __init__(
        self,
        layer: Callable[..., Any],  # Any: mypy takes a protocol for no module
        num_features: int,
        d_model: int = 128,
        embed_dim: int = 128,
        num_layers: int = 3,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.num_features, self.embed_dim = num_features, embed_dim
        self.enter = nn.Linear(num_features, d_model)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(layer(in_channels=d_model, out_channels=d_model) for _ in range(num_layers))
        self.leave = nn.Linear(d_model, embed_dim)

    def forward(
        self, x: Float[Tensor, "nodes features"], edge_index: Int[Tensor, "2 edges"]
    ) -> Float[Tensor, "nodes embed_dim"]:
        """Returns the embeddings of nodes."""
        hidden = self.dropout(self.enter(x))
        for layer in self.layers:
            hidden = layer(hidden, edge_index)
        embedding: Tensor = self.leave(hidden)
        return embedding


class TextEncoder(nn.Module):
    """The text transformer of CLIP (arXiv:2103.00020): causal, read at the last word.

    Args:
        vocab_size: Words.
        context_length: Most words of a text.
        embed_dim: Width of the embedding.
        d_model: Width inside.
        num_layers: Blocks.
        num_heads: Heads.

    Raises:
        ValueError: When the heads do not divide the width.
    """

    def __init__(
        self, vocab_size: int, context_length: int, embed_dim: int, d_model: int, num_layers: int, num_heads: int
    ) -> None:
        super().__init__()
        if d_model % num_heads:
            raise ValueError(f"text_heads must divide text_width, got {num_heads} and {d_model}")
        self.embedding = nn.Embedding(vocab_size, d_model)
        self.positions = nn.Parameter(0.01 * torch.randn(context_length, d_model))
        self.blocks = nn.ModuleList(TextBlock(d_model, num_heads, num_layers) for _ in range(num_layers))
        self.norm = nn.LayerNorm(d_model)
        self.leave = nn.Linear(d_model, embed_dim, bias=False)
        nn.init.normal_(self.embedding.weight, std=0.02)
        nn.init.normal_(self.leave.weight, std=d_model**-0.5)

    def forward(
        self, tokens: Int[Tensor, "texts time"], lengths: Int[Tensor, "texts"]
    ) -> Float[Tensor, "texts embed_dim"]:
        """Returns the embeddings of texts; attention is causal, so that padding behind a text changes nothing."""
        hidden = self.embedding(tokens) + self.positions[: tokens.shape[1]]
        for block in self.blocks:
            hidden = block(hidden)
        last = hidden[torch.arange(len(tokens), device=tokens.device), lengths - 1]
        embedding: Tensor = self.leave(self.norm(last))
        return embedding


class TextBlock(nn.Module):
    """Causal attention and a feed-forward network with QuickGELU, each behind a norm.

    Args:
        d_model: Width.
        num_heads: Heads.
        num_layers: Blocks of the whole encoder, by which CLIP scales the first weights.
    """

    def __init__(self, d_model: int, num_heads: int, num_layers: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norms = nn.ModuleList(nn.LayerNorm(d_model) for _ in range(2))
        self.in_proj, self.out_proj = nn.Linear(d_model, 3 * d_model), nn.Linear(d_model, d_model)
        self.up, self.down = nn.Linear(d_model, 4 * d_model), nn.Linear(4 * d_model, d_model)
        small = d_model**-0.5 * (2 * num_layers) ** -0.5
        for linear, std in (
            (self.in_proj, d_model**-0.5), (self.out_proj, small), (self.up, (2 * d_model) ** -0.5), (self.down, small),
        ):  # fmt: skip
            nn.init.normal_(linear.weight, std=std)
            nn.init.zeros_(linear.bias)

    def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        parts = self.in_proj(self.norms[0](x)).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(parts[0], parts[1], parts[2], is_causal=True)
        x = x + self.out_proj(mixed.transpose(1, 2).flatten(2))
        wide = self.up(self.norms[1](x))
        found: Tensor = x + self.down(wide * torch.sigmoid(1.702 * wide))
        return found


class TextGraphClip(nn.Module):
    """Grounds a graph encoder in texts: a node, its text and its neighbours' texts get like embeddings.

    Args:
        layer: The layer of the graph encoder.
        num_features: Features of a node.
        vocab_size: Words.
        context_length: Most words of a text.
        embed_dim: Width of the embeddings.
        d_model: Width of the graph encoder inside.
        num_layers: Layers of the graph encoder.
        dropout: Share of its first hidden numbers that is dropped in training.
        text_width: Width of the text encoder.
        text_layers: Blocks of the text encoder.
        text_heads: Heads of the text encoder.

    Examples:
        model: {name: text-graph-clip, layer: graph-transformer, text_layers: 2, text_width: 64}

        >>> from rk_graphgpt.graph_transformer import GraphTransformer
        >>> model = TextGraphClip(layer=GraphTransformer, num_features=3, vocab_size=9, context_length=4, text_layers=1)
        >>> found = model(
        ...     x=torch.rand(5, 3), edge_index=torch.tensor([[0, 1], [1, 0]]), asked=torch.tensor([0, 1]),
        ...     texts=torch.zeros(2, 4, 4, dtype=torch.long), text_lengths=torch.full((2, 4), 4),
        ... )
        >>> found["node_embedding"].shape
        torch.Size([2, 128])
    """

    def __init__(
        self,
        *,
        layer: Factory[GraphLayer],
        num_features: int,
        vocab_size: int,
        context_length: int,
        embed_dim: Annotated[int, Ge(1)] = 128,
        d_model: Annotated[int, Ge(1)] = 128,
        num_layers: Annotated[int, Ge(1)] = 3,
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.1,
        text_width: Annotated[int, Ge(1)] = 512,
        text_layers: Annotated[int, Ge(1)] = 12,
        text_heads: Annotated[int, Ge(1)] = 8,
    ) -> None:
        super().__init__()
        self.graph_encoder = GraphEncoder(layer, num_features, d_model, embed_dim, num_layers, dropout)
        self.text_encoder = TextEncoder(vocab_size, context_length, embed_dim, text_width, text_layers, text_heads)

    def forward(
        self,
        *,
        x: Float[Tensor, "nodes features"],
        edge_index: Int[Tensor, "2 edges"],
        asked: Int[Tensor, "batch"],
        texts: Int[Tensor, "batch text time"],
        text_lengths: Int[Tensor, "batch text"],
    ) -> GroundingOutputs:
        """Returns the embeddings of the asked nodes and of their texts (GraphGPT, Eq. 2).

        Args:
            x: Features of all nodes: the graph is encoded once for the batch.
            edge_index: Its edges.
            asked: The nodes of the batch.
            texts: The words of each one's text, first, and of its drawn neighbours.
            text_lengths: Words of each before the padding.
        """
        nodes = self.graph_encoder(x, edge_index)[asked]
        read = self.text_encoder(texts.flatten(0, 1), text_lengths.flatten()).unflatten(0, texts.shape[:2])
        return {
            "node_embedding": functional.normalize(nodes, dim=-1),
            "text_embedding": functional.normalize(read[:, 0], dim=-1),
            "around_embedding": functional.normalize(read[:, 1:].mean(1), dim=-1),
        }

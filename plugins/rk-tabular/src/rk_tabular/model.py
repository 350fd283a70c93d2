"""The model `table-mlp`: embeddings of categories, then a multilayer perceptron."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, TypedDict

import torch
from annotated_types import Ge, Lt
from jaxtyping import Float
from torch import Tensor, nn

_ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU}


class TableOutputs(TypedDict):
    """The head's numbers under the names that losses ask for: scores over classes, or values."""

    logits: Float[Tensor, "batch outputs"]
    values: Float[Tensor, "batch outputs"]


class TableMLP(nn.Module):
    """A multilayer perceptron over the columns of a table; without hidden layers, a linear model.

    Gorishniy et al. 2021, "Revisiting Deep Learning Models for Tabular Data" (arXiv:2106.11959), Section 3.1: blocks of
    linear layer, activation and dropout over numbers and embedded categories. A normalisation may follow each linear
    layer. A gap in a column of numbers becomes a number that is learned.

    Args:
        num_features: Inputs of a row: numbers, then the codes of categories.
        num_outputs: Classes, or numbers to predict.
        category_sizes: The number of codes of each category; the last inputs are these categories.
        hidden_sizes: Width of each hidden layer; none makes a linear model.
        embedding_size: Numbers per category; null: 1.6 size^0.56, at most 50, as in fastai.
        activation: The nonlinearity of each hidden layer.
        norm: Before each activation: `layer`, `batch` or `none`.
        dropout: Share of hidden units set to zero in training.

    Attributes:
        blocks: The hidden layers, each a module from (batch, width before) to (batch, width).
        head: The last, linear layer.

    Examples:
        model: {name: table-mlp, hidden_sizes: [128, 128], dropout: 0.1}

        >>> model = TableMLP(num_features=3, num_outputs=2, category_sizes=(4,))
        >>> model(inputs=torch.tensor([[0.1, float("nan"), 3.0]]))["logits"].shape
        torch.Size([1, 2])
    """

    def __init__(
        self,
        num_features: int,
        num_outputs: int,
        category_sizes: tuple[int, ...],
        hidden_sizes: tuple[Annotated[int, Ge(1)], ...] = (128, 128),
        embedding_size: Annotated[int, Ge(1)] | None = None,
        activation: Literal["relu", "gelu", "silu"] = "relu",
        norm: Literal["layer", "batch", "none"] = "layer",
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.0,
    ) -> None:
        super().__init__()
        self.num_numbers = num_features - len(category_sizes)
        self.gap = nn.Parameter(torch.zeros(self.num_numbers))
        widths = [embedding_size or min(50, round(1.6 * size**0.56)) for size in category_sizes]
        self.embeddings = nn.ModuleList(nn.Embedding(*shape) for shape in zip(category_sizes, widths, strict=True))
        for embedding in self.embeddings:
            assert isinstance(embedding, nn.Embedding)
            nn.init.normal_(embedding.weight, std=embedding.embedding_dim**-0.5)
            with torch.no_grad():
                embedding.weight[0] = 0  # what no training row has says nothing
        sizes = [self.num_numbers + sum(widths), *hidden_sizes]
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(before, after), *_norm(norm, after), _ACTIVATIONS[activation](), *_dropout(dropout))
            for before, after in pairwise(sizes)
        )
        self.head = nn.Linear(sizes[-1], num_outputs)
        self.keeps_shape = len(set(sizes)) == 1

    def forward(self, *, inputs: Float[Tensor, "batch features"]) -> TableOutputs:
        """Returns (batch, outputs), as logits and as values."""
        hidden, _ = self.enter(inputs=inputs)
        for block in self.blocks:
            hidden = block(hidden)
        return self.leave(hidden)

    def enter(self, *, inputs: Float[Tensor, "batch features"]) -> tuple[Tensor, tuple[()]]:
        """Returns what the first block takes, of (batch, numbers and embeddings)."""
        numbers = inputs[:, : self.num_numbers]
        parts = [torch.where(numbers.isnan(), self.gap, numbers)]
        for i, embedding in enumerate(self.embeddings, self.num_numbers):
            parts.append(embedding(inputs[:, i].long()))
        return torch.cat(parts, 1), ()

    def leave(self, hidden: Float[Tensor, "batch width"]) -> TableOutputs:
        """Returns the outputs from what the last block gave."""
        found = self.head(hidden)
        return {"logits": found, "values": found}


def _norm(kind: str, size: int) -> list[nn.Module]:
    return [nn.LayerNorm(size)] if kind == "layer" else [nn.BatchNorm1d(size)] if kind == "batch" else []


def _dropout(share: float) -> list[nn.Module]:
    return [nn.Dropout(share)] if share else []

"""The model wrapper `lora`: any model whose linear layers learn by matrices of low rank, and by nothing else."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Lt
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from rk.protocols import Model
from rk_lora.adapted import Adapted

NAME = "lora"
"""The name of a layer's `Adapter` among its children: ``head.lora.A`` is beside ``head.weight``."""


class Adapter(nn.Module):
    """The two small matrices of one linear layer (Eq. 3).

    Args:
        linear: The layer.
        rank: Rows of A and columns of B.
        alpha: The update is scaled by ``alpha / rank``.
        dropout: Share of the inputs of A that is set to zero in training.

    Attributes:
        A: (rank, in_features), normal with deviation ``in_features ** -0.5``.
        B: (out_features, rank), zeros: before the first step, the layer answers as without an adapter.
    """

    def __init__(self, linear: nn.Linear, rank: int, alpha: float, dropout: float) -> None:
        super().__init__()
        like: dict[str, Any] = {"dtype": linear.weight.dtype, "device": linear.weight.device}
        self.A = nn.Parameter(torch.randn(rank, linear.in_features, **like) * linear.in_features**-0.5)
        self.B = nn.Parameter(torch.zeros(linear.out_features, rank, **like))
        self.scale = alpha / rank
        self.dropout = dropout

    def forward(self, x: Float[Tensor, "*rows in_features"]) -> Float[Tensor, "*rows out_features"]:
        """Returns ``(alpha / rank) B A x`` (Eq. 3)."""
        if self.dropout:
            x = functional.dropout(x, self.dropout, self.training)
        return functional.linear(functional.linear(x, self.A), self.scale * self.B)

    def update(self) -> Float[Tensor, "out_features in_features"]:
        """Returns ``(alpha / rank) B A``, which is added to the layer's weight when the two are merged (Eq. 3)."""
        return self.scale * (self.B @ self.A)


def _add(linear: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """Adds the answer of its adapter to that of a linear layer: a forward hook."""
    return output + linear.get_submodule(NAME)(inputs[0])


class Lora(Adapted):
    """A model whose own weights stay as they are, beside matrices of low rank that learn (Hu et al., Eq. 3).

    A linear layer answers ``W x + (alpha / rank) B A x``. B begins with zeros, so that the model begins as its base,
    bit for bit. The base keeps its names within ``base.``, and `init_from` takes them from a run of the base alone.
    Running statistics of frozen batch normalisation do not move. `rk export --to merged` writes a run without adapters.

    Layers whose weights the base uses without calling them, such as the projections within ``nn.MultiheadAttention``,
    cannot be adapted; a first forward pass that leaves out an adapted layer is refused.

    Args:
        base: The model, most often begun with trained weights: `rk train ... --from RUN`.
        rank: Rank of the update of each layer.
        alpha: The update is scaled by ``alpha / rank``: the rate need not change with the rank.
        dropout: Share of the inputs of A that is set to zero in training.
        targets: Patterns of the names of the linear layers that are adapted.
        trained: Patterns of the names of the base's weights that are trained whole, such as a new head, ``head.*``.

    Examples:
        model: {name: lora, base: {name: mlp, hidden_sizes: [64, 64]}, rank: 4, trained: ["head.*"]}

        >>> from rk.builtin.mlp import MLP
        >>> Lora(MLP(num_features=8, num_classes=3), rank=2)(inputs=torch.rand(2, 8))["logits"].shape
        torch.Size([2, 3])
    """

    def __init__(
        self,
        base: Model,
        rank: Annotated[int, Ge(1)] = 8,
        alpha: Annotated[float, Gt(0)] = 16.0,
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.0,
        targets: tuple[str, ...] = ("*",),
        trained: tuple[str, ...] = (),
    ) -> None:
        super().__init__(base, NAME, functools.partial(_adapter, rank, alpha, dropout), _add, targets, trained)


def _adapter(rank: int, alpha: float, dropout: float, linear: nn.Module) -> Adapter:
    assert isinstance(linear, nn.Linear)
    return Adapter(linear, rank, alpha, dropout)


def adapters(module: nn.Module) -> Iterator[tuple[str, Adapter]]:
    """Yields the name of each adapted layer in `module`, and its adapter."""
    for name, part in module.named_modules():
        found = part._modules.get(NAME)
        if isinstance(part, nn.Linear) and isinstance(found, Adapter):
            yield name, found

"""Layer-wise LoRA: each layer of a looped stack adds to the shared block's matrices one of low rank that is its own.

Bae et al., arXiv:2410.20672, Sec. 2.2. Unlike LoRA for fine-tuning (rk-lora), all weights are trained.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from rk_recursion.layouts import Layout
from rk_recursion.stack import Layers
from rk_recursion.twins import deep_twin

NAME = "relaxation"
"""The name of a layer's `LowRank` among its linear layer's children."""

Start = Literal["svd", "zero"]
"""How the matrices of low rank begin; see `relax`."""


class LowRank(nn.Module):
    """The matrix of low rank that one layer adds to a shared linear layer: ``B A`` (Sec. 2.2).

    Args:
        linear: The shared layer.
        rank: Rows of A and columns of B, at most as many as the layer has inputs or outputs.

    Attributes:
        A: (rank, in_features), normal with deviation ``in_features ** -0.5``.
        B: (out_features, rank), zeros.
    """

    def __init__(self, linear: nn.Linear, rank: int) -> None:
        super().__init__()
        like: dict[str, Any] = {"dtype": linear.weight.dtype, "device": linear.weight.device}
        rank = min(rank, linear.in_features, linear.out_features)
        self.A = nn.Parameter(torch.randn(rank, linear.in_features, **like) * linear.in_features**-0.5)
        self.B = nn.Parameter(torch.zeros(linear.out_features, rank, **like))

    def forward(self, x: Float[Tensor, "*rows in_features"]) -> Float[Tensor, "*rows out_features"]:
        """Returns ``B A x``, of which the product of the two matrices is never made."""
        return functional.linear(functional.linear(x, self.A), self.B)

    @torch.no_grad()
    def fit(self, residual: Float[Tensor, "out_features in_features"]) -> None:
        """Makes ``B A`` the best approximation of a matrix: ``B = U S``, ``A = V^T`` of its largest singular values."""
        u, s, vh = torch.linalg.svd(
            residual.to(torch.promote_types(residual.dtype, torch.float32)), full_matrices=False
        )
        rank = self.A.shape[0]
        self.B.copy_(u[:, :rank] * s[:rank])
        self.A.copy_(vh[:rank])


def _add(linear: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """Adds the answer of its matrix of low rank to that of a linear layer: a forward hook."""
    return output + linear.get_submodule(NAME)(inputs[0])


def relax(
    layers: Layers,
    layout: Layout,
    rank: int,
    states: Sequence[Mapping[str, Tensor]] | None = None,
    own_norms: bool = False,
) -> nn.ModuleList:
    """Returns a looped stack whose layers differ from their shared block by matrices of low rank.

    Every layer becomes a twin of its block: it has the block's weights, which stay one tensor, and an own `LowRank`
    beside each linear layer. Layers that run a block alone stay as they are.

    Args:
        layers: The looped stack, from `rk_recursion.stack`, its weights initialised.
        layout: Which block each layer runs.
        rank: Of each matrix that is added; 0 for none.
        states: The weights of each layer without loops: the matrices begin with the best approximation of their
            difference from the block's. None: ``B`` begins with zeros, and every layer as its block.
        own_norms: Whether every layer has norms of its own too. They begin as those without loops, or as the block's.

    Examples:
        >>> from torch import nn
        >>> from rk_recursion.layouts import Layout
        >>> from rk_recursion.stack import looped
        >>> layout = Layout(num_layers=4, num_loops=2)
        >>> layers = relax(looped(lambda: nn.Linear(3, 3), layout), layout, rank=1)
        >>> layers[0].weight is layers[2].weight, layers[0].relaxation is layers[2].relaxation
        (True, False)
    """
    found = []
    for number, (layer, block) in enumerate(zip(layers, layout.blocks, strict=True)):
        if len(layout.layers(block)) == 1 or not (rank or own_norms):
            found.append(layer)
            continue
        own = deep_twin(layer)
        state = None if states is None else states[number]
        if own_norms:
            _separate_norms(own, state)
        if rank:
            _add_low_rank(own, rank, state)
        found.append(own)
    return nn.ModuleList(found)


def _add_low_rank(layer: nn.Module, rank: int, state: Mapping[str, Tensor] | None) -> None:
    for name, linear in list(linear_layers(layer)):
        added = LowRank(linear, rank)
        if state is not None:
            weight = linear.weight.detach()
            added.fit(state[f"{name}.weight" if name else "weight"].to(weight) - weight)
        linear.add_module(NAME, added)
        linear.register_forward_hook(_add)


def with_own_norms(
    layers: Layers, layout: Layout, states: Sequence[Mapping[str, Tensor]] | None = None
) -> nn.ModuleList:
    """Returns twins of a stack's layers, of which those that share a block have norms of their own.

    All other weights stay those of the stack.

    Args:
        layers: The looped stack, which may be relaxed; it stays as it is.
        layout: Which block each layer runs.
        states: The weights of each layer without loops, with which the norms begin; None: as the block's.
    """
    found = []
    for number, (layer, block) in enumerate(zip(layers, layout.blocks, strict=True)):
        own = layer
        if len(layout.layers(block)) > 1:
            own = deep_twin(layer)
            _separate_norms(own, None if states is None else states[number])
        found.append(own)
    return nn.ModuleList(found)


def _separate_norms(layer: nn.Module, state: Mapping[str, Tensor] | None) -> None:
    """Gives a layer's norms parameters of their own: those of all modules with Norm in the name of their class."""
    for name, part in layer.named_modules():
        if "Norm" not in type(part).__name__:  # every library of models has its own classes of norms
            continue
        for key, parameter in list(part.named_parameters(recurse=False)):
            value = parameter if state is None else state[f"{name}.{key}" if name else key]
            setattr(part, key, nn.Parameter(value.detach().to(parameter).clone()))


def without(layer: nn.Module) -> nn.Module:
    """Returns a twin of a layer of a relaxed stack that answers as its shared block does, without the `LowRank`s."""
    plain = deep_twin(layer)
    for _, linear in linear_layers(plain):
        if isinstance(linear._modules.get(NAME), LowRank):
            del linear._modules[NAME]
            for key in [key for key, hook in linear._forward_hooks.items() if hook is _add]:
                del linear._forward_hooks[key]
    return plain


@torch.no_grad()
def truncate(layers: Layers, rank: int) -> None:
    """Keeps of each `LowRank` the first rows of A and columns of B.

    Of matrices that begin with ``svd`` these are the largest singular values: what is left is what a start with the
    lower rank gives. So one decomposition serves all ranks.

    Args:
        layers: A relaxed stack.
        rank: So many are kept at most.
    """
    for layer in layers:
        for _, linear in linear_layers(layer):
            low = linear._modules.get(NAME)
            if isinstance(low, LowRank):
                low.A = nn.Parameter(low.A[:rank].clone())
                low.B = nn.Parameter(low.B[:, :rank].clone())


def linear_layers(layer: nn.Module) -> Iterator[tuple[str, nn.Linear]]:
    """Yields the names and the linear layers within a layer; the layer itself has the empty name."""
    yield from ((name, part) for name, part in layer.named_modules() if isinstance(part, nn.Linear))


def merged(layers: Layers) -> list[dict[str, Tensor]]:
    """Returns the weights of each layer without loops: the shared matrices with those of low rank added.

    Returns:
        Of each layer its weights by name, in memory of their own, as a stack without loops takes them.
    """
    found = []
    for layer in layers:
        state = {name: tensor.detach().clone() for name, tensor in layer.state_dict().items()}
        for name, linear in linear_layers(layer):
            start = f"{name}." if name else ""
            low = linear._modules.get(NAME)
            if isinstance(low, LowRank):
                state[f"{start}weight"] += (low.B @ low.A).detach()
                del state[f"{start}{NAME}.A"], state[f"{start}{NAME}.B"]
        found.append(state)
    return found

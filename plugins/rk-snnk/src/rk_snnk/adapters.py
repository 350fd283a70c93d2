"""The model wrappers `snnk-adapter` and `bottleneck-adapter`: small modules behind the layers of a frozen model."""

from __future__ import annotations

import functools
from typing import Annotated

import torch
from annotated_types import Ge
from jaxtyping import Float
from rk_lora.adapted import Adapted
from torch import Tensor, nn

from rk import Factory, Model
from rk_snnk.bundle import new_bundle
from rk_snnk.features import FeatureLayer

NAME = "adapter"
"""The name of a layer's adapter among its children: ``head.adapter.snnk.weight`` is beside ``head.weight``."""
KINDS = ((nn.Linear, nn.Conv2d), "linear or convolutional layer")


class SnnkAdapter(Adapted):
    """A model whose own weights stay as they are, with a random-feature layer behind each adapted layer.

    What a layer gives, x, becomes x + up(V Phi(x)); of a convolution, at each position. Up begins with zeros, so that
    the model begins as its base. The base keeps its names within ``base.``, and `init_from` takes them from a run of
    the base alone.

    Args:
        base: The model, most often begun with trained weights.
        features: Phi: random features, which do not learn.
        bottleneck: Numbers that V Phi(x) has; up is then a matrix with a bias. By default as many as x has: up is then
            one factor for each.
        targets: Patterns of the names of the linear and convolutional layers that are adapted.
        trained: Patterns of the names of the base's weights that are trained whole, such as a new head, ``head.*``.

    Examples:
        model: {name: snnk-adapter, base: {name: mlp, hidden_sizes: [64]}, features: relu-features, trained: ["head.*"]}

        >>> from rk.builtin.mlp import MLP
        >>> from rk_snnk.features import ReluFeatures
        >>> SnnkAdapter(MLP(num_features=8, num_classes=3), ReluFeatures)(inputs=torch.rand(2, 8))["logits"].shape
        torch.Size([2, 3])
    """

    def __init__(
        self,
        base: Model,
        features: Factory[FeatureLayer],
        bottleneck: Annotated[int, Ge(1)] | None = None,
        targets: tuple[str, ...] = ("*",),
        trained: tuple[str, ...] = (),
    ) -> None:
        super().__init__(base, NAME, functools.partial(_branch, features, bottleneck), _add, targets, trained, KINDS)


class BottleneckAdapter(Adapted):
    """The same with the adapters of Houlsby et al. (2019, arXiv:1902.00751): x + up(relu(down(x))).

    Args:
        base: The model, most often begun with trained weights.
        bottleneck: Numbers between down and up.
        targets: Patterns of the names of the linear and convolutional layers that are adapted.
        trained: Patterns of the names of the base's weights that are trained whole, such as a new head, ``head.*``.

    Examples:
        model: {name: bottleneck-adapter, base: {name: mlp, hidden_sizes: [64]}, bottleneck: 8, trained: ["head.*"]}

        >>> from rk.builtin.mlp import MLP
        >>> BottleneckAdapter(MLP(num_features=8, num_classes=3))(inputs=torch.rand(2, 8))["logits"].shape
        torch.Size([2, 3])
    """

    def __init__(
        self,
        base: Model,
        bottleneck: Annotated[int, Ge(1)] = 16,
        targets: tuple[str, ...] = ("*",),
        trained: tuple[str, ...] = (),
    ) -> None:
        super().__init__(base, NAME, functools.partial(_bottleneck, bottleneck), _add, targets, trained, KINDS)


class Branch(nn.Module):
    """What a `SnnkAdapter` adds behind one layer.

    Args:
        features: Phi.
        width: Numbers of x.
        bottleneck: Numbers of V Phi(x); None: as many.

    Attributes:
        up: A factor for each number, or a matrix with a bias; zeros at first.
    """

    def __init__(self, features: Factory[FeatureLayer], width: int, bottleneck: int | None) -> None:
        super().__init__()
        self.snnk = new_bundle(features, [width, bottleneck or width])
        self.scale: nn.Parameter | None = None
        self.up: nn.Linear | None = None
        if bottleneck is None:
            self.scale = nn.Parameter(torch.zeros(width))
        else:
            self.up = _zeros(nn.Linear(bottleneck, width))

    def forward(self, x: Float[Tensor, "*rows width"]) -> Float[Tensor, "*rows width"]:
        """Returns up(V Phi(x))."""
        hidden: Tensor = self.snnk(x)
        if self.scale is not None:
            return hidden * self.scale
        assert self.up is not None
        found: Tensor = self.up(hidden)
        return found


def _zeros(linear: nn.Linear) -> nn.Linear:
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear


def _branch(features: Factory[FeatureLayer], bottleneck: int | None, layer: nn.Module) -> nn.Module:
    return Branch(features, _width(layer), bottleneck).to(next(layer.parameters()))


def _bottleneck(size: int, layer: nn.Module) -> nn.Module:
    width = _width(layer)
    parts = nn.Sequential(nn.Linear(width, size), nn.ReLU(), _zeros(nn.Linear(size, width)))
    return parts.to(next(layer.parameters()))


def _width(layer: nn.Module) -> int:
    assert isinstance(layer, nn.Linear | nn.Conv2d)
    return layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels


def _add(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """Adds what its adapter makes of the output of a layer: a forward hook."""
    adapter = layer.get_submodule(NAME)
    if isinstance(layer, nn.Conv2d):
        added: Tensor = adapter(output.movedim(-3, -1)).movedim(-1, -3)
        return output + added
    return output + adapter(output)

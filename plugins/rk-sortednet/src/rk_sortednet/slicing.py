"""Narrower networks within a network: chosen layers give their first units alone, and all others take what they get.

Weights are sliced before the product, so a narrow sub-network costs what a narrow network costs. At full width every
layer runs its own ``forward``, untouched.
"""

from __future__ import annotations

import fnmatch
import functools
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from rk import UserError
from rk.errors import suggest
from rk_sortednet.heads import Heads, fused_parts
from rk_sortednet.subnets import Subnet

_CONVOLUTIONS = {nn.Conv1d: functional.conv1d, nn.Conv2d: functional.conv2d, nn.Conv3d: functional.conv3d}
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
SLICED = (nn.Linear, *_CONVOLUTIONS, nn.LayerNorm, nn.RMSNorm, *NORMS)
"""Layers that can take fewer inputs than they were made for."""


class Width:
    """The width at which the layers of a module run; 1 at first.

    Args:
        module: Whose layers are made sliceable, in place. Names of weights stay.
        layers: Patterns of the names of linear layers and convolutions that give fewer outputs. All others, and all
            norms, take as many inputs as come.
        widths: The shares that there are. Batch normalisation has its own running statistics at each.
        heads: The numbers of heads that there are, the last of them all; nothing: heads are left as they are.

    Attributes:
        share: Share of the units that the chosen layers give, at least one each.
        shares: The share of each layer that has its own.
        chosen: The names of these layers.
        sizes: Layer -> how many of its weights were used when it ran last.

    Raises:
        rk.UserError: When a pattern matches no such layer, or one whose outputs are heads; when there are no heads, or
            another number.
    """

    def __init__(
        self, module: nn.Module, layers: Iterable[str], widths: Iterable[float] = (), heads: Iterable[int] = ()
    ) -> None:
        self.share = 1.0
        self.shares: Mapping[nn.Module, float] = {}
        self.sizes: dict[nn.Module, int] = {}
        self.heads = Heads(module, heads)
        self.parts = {module.get_submodule(name): parts for name, parts in fused_parts(module).items()}
        able = {n: m for n, m in module.named_modules() if isinstance(m, (nn.Linear, *_CONVOLUTIONS))}
        self.chosen: list[str] = []
        for pattern in layers:
            found = fnmatch.filter(able, pattern)
            if not found:
                text = f"layers: {pattern!r} matches no linear layer or convolution"
                raise UserError(text, suggest(pattern, list(able), "there are"))
            for name in found:
                if able[name] in self.heads.projections:
                    raise UserError(f"layers: {pattern!r} matches {name}, whose outputs are heads", "heads=[1, 2, 4]")
            self.chosen += [name for name in found if name not in self.chosen]
        self.narrowed: list[nn.Module] = [module.get_submodule(name) for name in self.chosen]
        for name, layer in module.named_modules():
            if isinstance(layer, NORMS):
                _add_statistics(layer, widths)
            if isinstance(layer, SLICED):
                _slice(layer, self, name in self.chosen)

    def become(self, subnet: Subnet) -> None:
        """Runs at the width and with the heads of a sub-network."""
        self.share = subnet.width
        self.shares = {} if subnet.shares is None else dict(zip(self.narrowed, subnet.shares, strict=True))
        self.heads.keep(subnet.heads)

    def units(self, layer: nn.Module, full: int) -> int:
        """Returns how many of `full` units a layer gives at this width."""
        return max(1, math.ceil(self.shares.get(layer, self.share) * full - 1e-9))

    def rows(self, layer: nn.Linear, shrinks: bool) -> tuple[int, int]:
        """Returns the parts of a layer's outputs, and how many outputs of each part are kept."""
        parts = self.parts.get(layer, 1)
        full = layer.out_features // parts
        if layer in self.heads.projections:
            return parts, self.heads.kept(layer, full)
        return parts, self.units(layer, full) if shrinks else full

    def used(self, layer: nn.Module, *tensors: Tensor | None) -> None:
        """Notes which weights a layer uses."""
        self.sizes[layer] = sum(t.numel() for t in tensors if t is not None)


Forward = Callable[..., Tensor]
_STATISTICS = ("running_mean", "running_var")


def statistics_name(kind: str, share: float) -> str:
    """Returns the name of the buffer of a batch normalisation for a width: ``running_mean_at_0_25``."""
    return f"{kind}_at_{share:g}".replace(".", "_")


def _add_statistics(layer: nn.Module, widths: Iterable[float]) -> None:
    """Gives a batch normalisation running statistics for each width below 1, where it keeps any."""
    for kind in _STATISTICS:
        buffer = getattr(layer, kind)
        for share in widths:
            if share < 1 and buffer is not None:
                layer.register_buffer(statistics_name(kind, share), buffer.clone())


def _slice(layer: Any, width: Width, shrinks: bool) -> None:
    """Puts in the place of the layer's ``forward`` one that takes fewer inputs, and gives fewer outputs."""
    run: Callable[..., Tensor] = _norm
    if isinstance(layer, nn.Linear):
        run = _linear
    elif isinstance(layer, tuple(_CONVOLUTIONS)):
        run = _conv
    elif isinstance(layer, NORMS):
        run = _batch_norm
    layer.forward = functools.partial(run, width, layer, type(layer).forward, shrinks)


def _linear(width: Width, layer: nn.Linear, full: Forward, shrinks: bool, inputs: Tensor) -> Tensor:
    given = inputs.shape[-1]
    parts, kept = width.rows(layer, shrinks)
    if (given, parts * kept) == (layer.in_features, layer.out_features):
        width.used(layer, layer.weight, layer.bias)
        return full(layer, inputs)
    _check(layer, given, layer.in_features)
    weight = _rows(layer.weight, parts, kept)[:, :given]
    bias = None if layer.bias is None else _rows(layer.bias, parts, kept)
    width.used(layer, weight, bias)
    return functional.linear(inputs, weight, bias)


def _conv(width: Width, layer: nn.Conv2d, full: Forward, shrinks: bool, inputs: Tensor) -> Tensor:
    given = inputs.shape[-layer.weight.dim() + 1]
    out = width.units(layer, layer.out_channels) if shrinks else layer.out_channels
    if (given, out) == (layer.in_channels, layer.out_channels):
        width.used(layer, layer.weight, layer.bias)
        return full(layer, inputs)
    _check(layer, given, layer.in_channels)
    if layer.groups != 1 or layer.padding_mode != "zeros":
        raise UserError("a convolution with groups, or padding other than zeros, cannot be narrowed")
    weight, bias = layer.weight[:out, :given], None if layer.bias is None else layer.bias[:out]
    width.used(layer, weight, bias)
    apply = next(f for kind, f in _CONVOLUTIONS.items() if isinstance(layer, kind))
    result: Tensor = apply(inputs, weight, bias, layer.stride, layer.padding, layer.dilation)
    return result


def _norm(width: Width, layer: nn.LayerNorm, full: Forward, shrinks: bool, inputs: Tensor) -> Tensor:
    given = inputs.shape[-1]
    if len(layer.normalized_shape) != 1 or given == layer.normalized_shape[0]:
        width.used(layer, *layer.parameters())
        return full(layer, inputs)
    _check(layer, given, layer.normalized_shape[0])
    weight = None if layer.weight is None else layer.weight[:given]
    bias = getattr(layer, "bias", None)
    bias = None if bias is None else bias[:given]
    width.used(layer, weight, bias)
    if isinstance(layer, nn.RMSNorm):
        return functional.rms_norm(inputs, (given,), weight, layer.eps)
    return functional.layer_norm(inputs, (given,), weight, bias, layer.eps)


def _batch_norm(width: Width, layer: nn.BatchNorm2d, full: Forward, shrinks: bool, inputs: Tensor) -> Tensor:
    given = inputs.shape[1]
    own = [getattr(layer, statistics_name(kind, width.share), None) for kind in _STATISTICS]
    if given == layer.num_features and own[0] is None:
        width.used(layer, layer.weight, layer.bias)
        return full(layer, inputs)
    _check(layer, given, layer.num_features)
    mean, variance = own if own[0] is not None else (layer.running_mean, layer.running_var)
    mean, variance = (None if t is None else t[:given] for t in (mean, variance))
    weight, bias = (None if t is None else t[:given] for t in (layer.weight, layer.bias))
    width.used(layer, weight, bias)
    training = layer.training or mean is None
    momentum = 0.0 if layer.momentum is None else layer.momentum
    return functional.batch_norm(inputs, mean, variance, weight, bias, training, momentum, layer.eps)


def _check(layer: nn.Module, given: int, made_for: int) -> None:
    if given > made_for:
        raise ValueError(f"{type(layer).__name__} was made for {made_for} inputs, got {given}")


def _rows(tensor: Tensor, parts: int, kept: int) -> Tensor:
    """Returns the first rows of each part: a view where there is one part."""
    return tensor[:kept] if parts == 1 else tensor.unflatten(0, (parts, -1))[:, :kept].flatten(0, 1)


def leading(
    weights: Mapping[str, Tensor], shapes: Mapping[str, torch.Size], parts: Mapping[str, int] | None = None
) -> dict[str, Tensor]:
    """Returns the leading entries of each tensor, cut to other shapes: the weights of a sub-network as its own.

    Args:
        weights: Of the whole network.
        shapes: Name -> the shape that the sub-network has.
        parts: Name of a layer -> parts of its outputs, of each of which the first rows are taken; see `fused_parts`.

    Raises:
        rk.UserError: When a tensor is missing, or larger there than here.
    """
    found = {}
    for name, shape in shapes.items():
        if name not in weights:
            raise UserError(f"the sub-network has a weight {name}, which the run has not")
        tensor = weights[name]
        if tensor.dim() != len(shape) or any(a > b for a, b in zip(shape, tensor.shape, strict=True)):
            raise UserError(
                f"{name} is {tuple(shape)} in the sub-network and {tuple(tensor.shape)} in the run",
                "a sub-network is nowhere larger than the run",
            )
        count = (parts or {}).get(name.rpartition(".")[0], 1)
        rows = _rows(tensor, count, shape[0] // count) if shape else tensor
        found[name] = rows[tuple(slice(0, n) for n in shape)].clone()
    return found

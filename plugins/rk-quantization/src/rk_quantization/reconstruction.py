"""What needs the inputs of a layer: AdaRound and bias correction."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rk_quantization.grids import Grid, UniformGrid
from rk_quantization.scheme import Layout
from rk_quantization.weights import Weight

ZETA, GAMMA = 1.1, -0.1
"""How far the rectified sigmoid is stretched."""
REGULARIZER = 5.0
RATE = 0.1
BETAS = (20.0, 2.0)
ROWS = 1024
"""Inputs of a layer that AdaRound learns from at most."""


@dataclass(frozen=True)
class Layer:
    """A layer as a function of its weight.

    Attributes:
        apply: ``(inputs, weight) -> outputs`` without the bias.
        bias: The bias, or None.
        channel: Axis of the channels in the outputs.
        groups: Of output channels, each of which sees channels of its own.
    """

    apply: Callable[[Tensor, Tensor], Tensor]
    bias: Tensor | None
    channel: int
    groups: int = 1


def of(weight: Weight) -> Layer | None:
    """Returns the layer that owns a weight as a function of what the module takes; None where it is none.

    Linear layers, convolutions, and the weight of torch's recurrent layers for the module's own inputs are known.
    """
    module = weight.module
    if isinstance(module, nn.Linear) and weight.parameter is module.weight:
        return Layer(nn.functional.linear, module.bias, -1)
    if isinstance(module, nn.Conv1d | nn.Conv2d) and weight.parameter is module.weight:
        convolution = module

        def apply(x: Tensor, kernel: Tensor) -> Tensor:
            return convolution._conv_forward(x, kernel, None)

        return Layer(apply, module.bias, -1 - len(module.kernel_size), module.groups)
    if isinstance(module, nn.RNNBase) and weight.parameter is module.weight_ih_l0:
        bias = module.get_parameter("bias_ih_l0") if module.bias else None
        return Layer(nn.functional.linear, bias, -1)
    return None


def correct_bias(layer: Layer, before: Tensor, after: Tensor, seen: Sequence[Tensor]) -> None:
    """Moves the bias by the mean error of the outputs: b <- b - E[W~ x - W x] (survey, Sec. III-D)."""
    if layer.bias is None:
        return
    change = after.detach() - before
    total, count = torch.zeros_like(layer.bias, dtype=torch.float64), 0
    for x in seen:
        error = layer.apply(x, change).movedim(layer.channel, -1)
        total += error.reshape(-1, error.shape[-1]).double().sum(0)
        count += error.numel() // error.shape[-1]
    layer.bias.sub_((total / count).to(layer.bias.dtype))


@torch.enable_grad()
def adaround(
    layer: Layer, layout: Layout, grid: Grid, weight: Tensor, seen: Sequence[Tensor], rounds: int, seed: int
) -> Tensor:
    """Learns whether each weight is rounded up or down so that the layer's outputs change least (arXiv:2004.10568).

    Eq. 21: min ||W x - W~ x||^2 + lambda sum (1 - |2 h(V) - 1|^beta), W~ = s clip(floor(W / s) + h(V), low, high),
    h(V) = clip(1.2 sigmoid(V) - 0.1, 0, 1); beta falls from 20 to 2 after a warm-up of a fifth. Here the error is
    divided by that of rounding to nearest, and the sum is a mean: so lambda does not depend on the size of weights and
    inputs. Where nearest is better on the inputs that were learned from, it is taken.

    Returns:
        Codes of (rows, columns).
    """
    assert isinstance(grid, UniformGrid)
    rows = layout.rows(weight).float()
    lower = torch.floor(rows / grid.scale)
    rest = (rows / grid.scale - lower).clamp(1e-3, 1 - 1e-3)
    v = torch.logit((rest - GAMMA) / (ZETA - GAMMA)).requires_grad_()
    optimizer = torch.optim.Adam([v], lr=RATE)
    x = torch.cat([s if s.dim() > 2 and layer.channel != -1 else s.reshape(-1, s.shape[-1]) for s in seen])[:ROWS]
    random = torch.Generator().manual_seed(seed)
    target = layer.apply(x, weight).detach()
    warm = rounds // 5
    nearest = grid.encode(rows)

    def error_of(codes: Tensor) -> float:
        return float((layer.apply(x, layout.weight(grid.decode(codes)).to(x.dtype)) - target).square().mean())

    unit = error_of(nearest)
    if unit == 0:
        return nearest

    def up() -> Tensor:
        return (torch.sigmoid(v) * (ZETA - GAMMA) + GAMMA).clamp(0, 1)

    for i in range(rounds):
        chosen = torch.randint(len(x), (min(64, len(x)),), generator=random).to(x.device)
        h = up()
        codes = (lower + h + grid.zero).clamp(grid.low, grid.high)
        soft = layout.weight((codes - grid.zero) * grid.scale)
        error = layer.apply(x[chosen], soft.to(x.dtype)) - target[chosen]
        loss = error.square().mean() / unit
        if i >= warm:
            beta = BETAS[1] + 0.5 * (BETAS[0] - BETAS[1]) * (1 + math.cos(math.pi * (i - warm) / (rounds - warm)))
            loss = loss + REGULARIZER * (1 - (2 * h - 1).abs().pow(beta)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    learned = (lower + (up() >= 0.5) + grid.zero).clamp(grid.low, grid.high).detach().to(torch.int16)
    return learned if error_of(learned) < unit else nearest

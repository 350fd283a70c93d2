"""Critical initial weights for any network: from the theory where it applies, or from what is measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from rk import Batch
from rk_criticality.activations import Name
from rk_criticality.probes import Probe, Scalable, fan_in, passed, scalable, steps
from rk_criticality.theory import Critical, critical


@dataclass
class Place:
    """Where a layer is in a network.

    Attributes:
        module: A linear map or convolution.
        activation: What is before it, where it is elementwise.
        first: Whether it reads the inputs of the network.
        last: Whether nothing reads it.
        scale: Mean square of what it reads.
    """

    module: Scalable
    activation: Name | None
    first: bool
    last: bool
    scale: float


def places(learner: nn.Module, batch: Batch, generator: torch.Generator) -> list[Place]:
    """Returns the linear maps and convolutions in the order of execution, each once.

    They are looked at with weights of variance 2 / fan-in: in a deep network with smaller ones, signals may be so weak
    that every activation is linear.
    """
    kept = {name: value.detach().clone() for name, value in learner.state_dict().items() if hasattr(value, "shape")}
    for module in learner.modules():
        if scalable(module):
            draw(module, 2.0, 0.0, generator)
    try:
        with passed(learner, batch) as run:
            return _placed(run.probes, generator)
    finally:
        with torch.no_grad():
            for name, value in learner.state_dict().items():
                if name in kept:
                    value.copy_(kept[name])


def _placed(probes: Sequence[Probe], generator: torch.Generator) -> list[Place]:
    found: dict[nn.Module, Place] = {}
    reached = steps(list(probes), 1, generator, whole=False)
    read = {step.parent for step in reached}
    for i, (probe, step) in enumerate(zip(probes, reached, strict=True)):
        if not scalable(probe.module) or probe.module in found or probe.entered is None:
            continue
        scale = float(probe.entered.detach().double().square().mean())
        found[probe.module] = Place(probe.module, step.activation, step.parent is None, i not in read, scale)
    return list(found.values())


@torch.no_grad()
def draw(module: Scalable, c_w: float, c_b: float, generator: torch.Generator) -> None:
    """Draws Gaussian weights of variance `c_w` / fan-in, and biases of variance `c_b`, in place."""
    for parameter, variance in ((module.weight, c_w / fan_in(module.weight)), (module.bias, c_b)):
        if parameter is not None:
            parameter.copy_(math.sqrt(variance) * torch.randn(parameter.shape, generator=generator))


def from_theory(
    learner: nn.Module,
    batch: Batch,
    generator: torch.Generator,
    *,
    activation: Name | None = None,
    c_w: float | None = None,
    c_b: float | None = None,
    last_c_w: float = 1.0,
) -> tuple[int, int]:
    """Draws weights at the critical point of the activation before each layer; returns how many, and of how many.

    A layer that reads the inputs has the point of the activation that follows, and such a variance of weights that the
    first kernel is K* where there is one. Layers behind something else than an activation (a pooling, a norm,
    attention, a skip) stay as they are, unless `activation` names it.

    Args:
        learner: Changed in place.
        batch: Shown to it once.
        generator: What weights are drawn from.
        activation: In place of what is found.
        c_w: Variance of weights times fan-in, in place of the critical one.
        c_b: Variance of biases, in place of the critical one.
        last_c_w: That of layers that nothing reads; their biases are 0.
    """
    layers = places(learner, batch, generator)
    follows = [place.activation for place in layers[1:]] + [None]
    done = 0
    for place, after in zip(layers, follows, strict=True):
        name = activation or (after if place.first else place.activation)
        if place.last:
            draw(place.module, last_c_w, 0.0, generator)
        elif name is None or (point := critical(name)).kind == "none":
            continue
        else:
            draw(place.module, *_variances(place, point, c_w, c_b), generator)
        done += 1
    return done, len(layers)


def _variances(place: Place, point: Critical, c_w: float | None, c_b: float | None) -> tuple[float, float]:
    biases = point.c_b if c_b is None else c_b
    if c_w is None and place.first and point.kind == "half-stable" and place.scale > 0:
        return (point.k - biases) / place.scale, biases
    return point.c_w if c_w is None else c_w, biases


def from_data(
    learner: nn.Module, batch: Batch, generator: torch.Generator, *, draws: int = 8, rounds: int = 10
) -> float:
    """Rescales linear maps and convolutions until a gradient keeps its norm from each to the one before it.

    chi_perp of a layer is proportional to the square of its weights, whatever is between the two layers. Layers that
    read the inputs, and layers that nothing reads, stay as they are. Returns the largest |log chi_perp| that is left.

    Args:
        learner: Changed in place.
        batch: Shown to it in each round.
        generator: What the estimator draws from.
        draws: Vectors of the estimator.
        rounds: Most rounds.
    """
    worst = math.inf
    for _ in range(rounds):
        with passed(learner, batch) as run:
            reached = steps(run.probes, draws, generator, whole=False)
            read = {step.parent for step in reached}
            logs: dict[Scalable, list[float]] = {}
            for i, (probe, step) in enumerate(zip(run.probes, reached, strict=True)):
                if scalable(probe.module) and i in read and step.chi_perp:
                    logs.setdefault(probe.module, []).append(math.log(step.chi_perp))
        means = {module: sum(values) / len(values) for module, values in logs.items()}
        worst = max(map(abs, means.values()), default=0.0)
        if worst < 0.03:
            break
        with torch.no_grad():
            for module, mean in means.items():
                module.weight.mul_(math.exp(-mean / 2))
    return worst

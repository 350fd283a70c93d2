"""What passes through a network once: the outputs of its layers in the order of execution, and how gradients pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.utils.hooks import RemovableHandle

from rk import Batch, UserError
from rk_criticality.activations import Name, recognised

MOST = 64
"""Calls of layers that are kept: a recurrence may have many."""
Scalable = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d
_NOT_LAYERS = (nn.Embedding, nn.EmbeddingBag, nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, _NormBase)


@dataclass
class Probe:
    """One call of a layer.

    Attributes:
        name: The module's name; a later call of the same module ends in ``#2``.
        module: The layer: a module that has a matrix of weights.
        z: What it returned, in the graph: the first tensor.
        outputs: All tensors that it returned; a recurrent layer has its states there.
        entered: What it was given.
    """

    name: str
    module: nn.Module
    z: Tensor
    outputs: list[Tensor]
    entered: Tensor | None

    @property
    def rows(self) -> Tensor:
        """The output as (positions, units), float64."""
        z = self.z.detach()
        z = z.movedim(1, -1) if isinstance(self.module, _ConvNd) else z
        return z.reshape(-1, z.shape[-1]).double()

    @property
    def weight(self) -> nn.Parameter:
        """The first matrix of the layer."""
        return next(p for p in self.module.parameters() if p.ndim >= 2)


def is_layer(module: nn.Module) -> bool:
    """Returns whether a module has a matrix of its own: neither an embedding nor a norm."""
    return not isinstance(module, _NOT_LAYERS) and any(p.ndim >= 2 for p in module.parameters(recurse=False))


def scalable(module: nn.Module) -> TypeGuard[Scalable]:
    """Returns whether a module is a plain linear map or convolution, whose fan-in is known."""
    return isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d)


def fan_in(weight: Tensor) -> int:
    """Returns the inputs of each output of a linear map or convolution."""
    return weight[0].numel()


@dataclass
class Pass:
    """One pass through a learner.

    Attributes:
        probes: The calls of its layers, in the order of execution.
        loss: The objective, a number in the graph; None where the learner has none.
    """

    probes: list[Probe]
    loss: Tensor | None


@contextmanager
def passed(learner: nn.Module, batch: Batch) -> Iterator[Pass]:
    """Runs a batch through a learner and yields what its layers returned; gradients can be taken within.

    The learner is in eval mode, except batch norms, which take the statistics of the batch: at the start they have no
    others. Modes and buffers are restored.

    Raises:
        rk.UserError: When no layer was called.
    """
    modes = {module: module.training for module in learner.modules()}
    buffers = {name: value.detach().clone() for name, value in learner.named_buffers()}
    probes: list[Probe] = []
    calls: Counter[str] = Counter()
    hooks = [
        hook
        for name, module in learner.named_modules()
        if any(is_layer(part) for part in module.modules())
        for hook in _hooks(name, module, probes, calls)
    ]
    learner.eval()
    for module in modes:
        if isinstance(module, _NormBase) and module.running_mean is not None and not module.running_mean.any():
            module.train()
    try:
        with torch.enable_grad():
            loss = _objective(learner, batch)
            if not probes:
                raise UserError("criticality: no layer with weights was called", "take a model with linear maps")
            yield Pass(probes, loss)
    finally:
        for hook in hooks:
            hook.remove()
        for module, training in modes.items():
            module.training = training
        for name, value in learner.named_buffers():
            value.detach().copy_(buffers[name])


def _hooks(name: str, module: nn.Module, probes: list[Probe], calls: Counter[str]) -> list[RemovableHandle]:
    """Keeps what a layer returns; of any other module, only where the layers within were used without being called."""
    starts: list[int] = []

    def enter(module: nn.Module, given: tuple[Any, ...]) -> None:  # Any: whatever the layer takes
        starts.append(len(probes))

    def leave(module: nn.Module, given: tuple[Any, ...], returned: Any) -> Any:  # Any: whatever it returns
        new = len(probes) > starts.pop()
        outputs: list[Tensor] = []
        copied = _copied(returned, outputs)
        if len(probes) >= MOST or not outputs or (new and not is_layer(module)):
            return None
        calls[name] += 1
        label = name or "model"
        entered = next((x for x in given if isinstance(x, Tensor) and x.is_floating_point()), None)
        label = label if calls[name] == 1 else f"{label}#{calls[name]}"
        probes.append(Probe(label, module, outputs[0], outputs, entered))
        return copied

    return [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]


def _copied(returned: Any, outputs: list[Tensor]) -> Any:  # Any: nested as the layer returns it
    """Returns what a layer returned with copies of its tensors, which go to `outputs`.

    An activation in place then changes the copy, and a gradient with respect to the tensor is that of all its uses.
    """
    if isinstance(returned, tuple) and type(returned) is tuple:
        return tuple(_copied(part, outputs) for part in returned)
    if not isinstance(returned, Tensor) or not returned.is_floating_point() or not returned.ndim:
        return returned
    kept = returned if returned.requires_grad else returned.detach().requires_grad_()
    outputs.append(kept)
    return kept.clone()


def _objective(learner: nn.Module, batch: Batch) -> Tensor | None:
    if type(learner).forward is nn.Module.forward:
        learner.predict(batch)  # type: ignore[operator]  # every learner has one
        return None
    found = learner(batch)
    terms = found.values() if isinstance(found, dict) else [found]
    total = sum((weight[0] if weight else 1.0) * share / count for share, count, *weight in terms)
    return total if isinstance(total, Tensor) and total.requires_grad else None


@dataclass
class Step:
    """How a layer is reached from the one before it.

    Attributes:
        parent: Index of the last layer before it that its output depends on; None for a first one.
        activation: What is between the two, where it is elementwise; None else.
        chi_perp: |d z / d z_parent|^2 / outputs: how the squared norm of a gradient grows on its way back.
        chi_par: Growth of the kernel's change when the parent's output is scaled.
        from_first: |d z / d z_first|^2 / outputs, over all layers between, skips included.
        bypassed: Whether more of it comes past the parent than through it: the layer reads a skip.
    """

    parent: int | None = None
    activation: Name | None = None
    chi_perp: float | None = None
    chi_par: float | None = None
    from_first: float | None = None
    bypassed: bool = False


def steps(probes: list[Probe], draws: int, generator: torch.Generator, *, whole: bool = True) -> list[Step]:
    """Returns how each layer is reached: partial Jacobians (APJN, arXiv:2111.12143) by Hutchinson's estimator.

    E_v |v J|^2 = |J|_F^2 for v ~ N(0, 1): one product of a vector with the Jacobian for each draw in place of one for
    each output.

    Args:
        probes: The layers.
        draws: Vectors v for each layer.
        generator: What they are drawn from, on the CPU.
        whole: Also what reaches the first layer, and how changes of the norm grow.
    """
    zs = [probe.z for probe in probes]
    found = [Step() for _ in probes]
    for i, step in enumerate(found[1:], 1):
        squares: dict[int, float] = {}
        for _ in range(draws):
            v = torch.randn(zs[i].shape, generator=generator).to(zs[i])
            earlier = range(i) if step.parent is None or whole else [step.parent]
            owners = [j for j in earlier for _ in probes[j].outputs]
            tensors = [output for j in earlier for output in probes[j].outputs]
            grads = torch.autograd.grad(zs[i], tensors, v, retain_graph=True, allow_unused=True)
            for j, grad in zip(owners, grads, strict=True):
                if grad is not None:
                    squares[j] = squares.get(j, 0.0) + float(grad.double().square().sum()) / (draws * zs[i].numel())
            if not squares:
                break
            step.parent = max(squares)
        if step.parent is None:
            continue
        parent = probes[step.parent]
        entered = probes[i].entered
        step.activation = None if entered is None else recognised(parent.z, entered)
        step.chi_perp, step.from_first = squares[step.parent], squares.get(0)
        through = (found[step.parent].from_first or 0.0) * step.chi_perp
        step.bypassed = step.parent > 0 and step.from_first is not None and step.from_first > 2 * through
        if whole:
            kernel = zs[i].square().mean()
            (slope,) = torch.autograd.grad(kernel, parent.z, retain_graph=True, allow_unused=True)
            z = parent.z.detach()
            if slope is not None:
                step.chi_par = float((slope * z).sum() / (2 * z.square().mean()).clamp(min=1e-30))
    return found

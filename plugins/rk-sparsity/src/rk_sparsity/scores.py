"""Scores by which weights are kept before and after training: magnitude, random, SNIP, GraSP, SynFlow."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from rk import Batch, Outputs, UserError
from rk.sampling import generator

Weights = Mapping[str, nn.Parameter]
Scores = dict[str, Tensor]
"""Name of a weight -> its scores, of its shape: the highest are kept."""


def magnitude(weights: Weights) -> Scores:
    """Returns |w|."""
    return {name: w.detach().abs() for name, w in weights.items()}


def random(weights: Weights, *seed: int) -> Scores:
    """Returns uniform numbers, a function of the seed and the number of the weight."""
    return {name: _uniform(w, *seed, number) for number, (name, w) in enumerate(weights.items())}


def snip(learner: nn.Module, weights: Weights, batches: Sequence[Batch]) -> Scores:
    """Returns |w dL/dw|, which is |dL/dm| of a mask m = 1 (SNIP, arXiv:1810.02340, Eq. 6)."""
    gradients = _gradients(learner, weights, batches)
    return {name: (w.detach() * gradients[name]).abs() for name, w in weights.items()}


def grasp(learner: nn.Module, weights: Weights, batches: Sequence[Batch], temperature: float = 200.0) -> Scores:
    """Returns w Hg, the gradient flow that is lost with a weight, to be kept where it is highest (arXiv:2002.07376).

    g is the gradient of the loss and H its Hessian (Eq. 8 there, which removes the weights of the highest -w Hg).

    Args:
        learner: Everything that is learned, with an objective.
        weights: What is scored.
        batches: What the loss is over.
        temperature: Divides the model's logits, where it has any, as the official code does.
    """
    names = [*weights]
    # The fused kernels of attention have no second derivative
    with torch.enable_grad(), _scoring(learner), _cooled(learner, temperature), sdpa_kernel(SDPBackend.MATH):
        first = _sum_of_gradients(learner, weights, batches)
        product: list[Tensor] | None = None
        for batch in batches:
            gradients = torch.autograd.grad(
                mean_loss(learner(batch)), [*weights.values()], create_graph=True, allow_unused=True
            )
            parts = [(g * first[n]).sum() for n, g in zip(names, gradients, strict=True) if g is not None]
            flow = torch.stack(parts).sum()
            again = torch.autograd.grad(flow, [*weights.values()], allow_unused=True)
            found = [torch.zeros_like(w) if h is None else h for h, w in zip(again, weights.values(), strict=True)]
            product = found if product is None else [a + b for a, b in zip(product, found, strict=True)]
    if product is None:
        raise UserError("no batch to score weights with")
    return {n: w.detach() * h.detach() for (n, w), h in zip(weights.items(), product, strict=True)}


def synflow(learner: nn.Module, weights: Weights, batch: Batch) -> Scores:
    """Returns |w dR/dw| of the network with all parameters replaced by their absolute values (arXiv:2006.05467, Eq. 3).

    R is the sum of all floating-point answers to floating-point inputs of one. It is computed in double precision: in
    deep networks R is beyond single precision.

    Args:
        learner: Everything that is learned; its `predict` gives the answer.
        weights: What is scored; masked ones are zero.
        batch: One batch, for its fields and shapes; one row is taken of each tensor.
    """
    parameters = dict(learner.named_parameters())
    answer: Callable[[Batch], Outputs] = learner.predict  # type: ignore[assignment]  # of a learner
    before = {name: p.detach().clone() for name, p in parameters.items()}
    ones = {k: _one_row_of_ones(v) for k, v in batch.items()}
    try:
        with torch.enable_grad(), _scoring(learner, training=False):
            learner.double()
            for p in parameters.values():
                p.data.abs_()
            answers = [v for v in answer(ones).values() if isinstance(v, Tensor) and v.is_floating_point()]
            total = sum((a.sum() for a in answers), torch.zeros((), dtype=torch.double))
            if not total.requires_grad:
                raise UserError("the model's answer has no gradient, which SynFlow needs", "choose another method")
            gradients = torch.autograd.grad(total, [*weights.values()], allow_unused=True)
            found = {
                name: torch.zeros_like(w) if g is None else (w * g).detach().abs()
                for (name, w), g in zip(weights.items(), gradients, strict=True)
            }
    finally:
        for name, p in parameters.items():
            p.data = before[name]
    return found


def mean_loss(objective: Any) -> Tensor:
    """Returns the weighted sum of the means of an objective's terms."""
    terms = objective.values() if isinstance(objective, dict) else [objective]
    means = [total / count * (weight[0] if weight else 1.0) for total, count, *weight in terms]
    return torch.stack(means).sum()


def _gradients(learner: nn.Module, weights: Weights, batches: Sequence[Batch]) -> dict[str, Tensor]:
    with torch.enable_grad(), _scoring(learner):
        return _sum_of_gradients(learner, weights, batches)


def _sum_of_gradients(learner: nn.Module, weights: Weights, batches: Sequence[Batch]) -> dict[str, Tensor]:
    if type(learner).forward is nn.Module.forward:
        raise UserError("the learner has no loss, so its weights have no gradients to be scored by", "use magnitude")
    total = {name: torch.zeros_like(w) for name, w in weights.items()}
    for batch in batches:
        gradients = torch.autograd.grad(mean_loss(learner(batch)), [*weights.values()], allow_unused=True)
        for name, gradient in zip(weights, gradients, strict=True):
            if gradient is not None:
                total[name] += gradient.detach()
    return total


@contextlib.contextmanager
def _scoring(learner: nn.Module, training: bool = True) -> Iterator[None]:
    """Leaves the learner's mode, its buffers (such as running means) and the random generators as they were."""
    modes = {module: module.training for module in learner.modules()}
    buffers = {name: b.detach().clone() for name, b in learner.named_buffers()}
    learner.train(training)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode
        for name, b in learner.named_buffers():
            b.data = buffers[name]


@contextlib.contextmanager
def _cooled(learner: nn.Module, temperature: float) -> Iterator[None]:
    """Divides the logits that the learner's model returns, where it has a model that returns some."""
    model = getattr(learner, "model", None)
    if not isinstance(model, nn.Module) or temperature == 1:
        yield
        return

    def divide(module: nn.Module, inputs: object, outputs: Any) -> Any:
        if isinstance(outputs, dict) and "logits" in outputs:
            return {**outputs, "logits": outputs["logits"] / temperature}
        return outputs

    handle = model.register_forward_hook(divide)
    try:
        yield
    finally:
        handle.remove()


def _one_row_of_ones(value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    row = value[:1]
    return torch.ones_like(row, dtype=torch.double) if row.is_floating_point() else row


def _uniform(weight: Tensor, *seed: int) -> Tensor:
    return torch.rand(weight.shape, generator=generator(*seed)).to(weight.device)

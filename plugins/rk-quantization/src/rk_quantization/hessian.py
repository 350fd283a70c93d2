"""How much the loss depends on each weight: the trace of the Hessian, one product for all layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from rk import Batch, UserError
from rk.authoring import evaluating


def loss_of(learner: Any, batch: Batch) -> Tensor:
    """Returns the objective of a batch: each term divided by its count, weighted, and added."""
    objective = learner(batch)
    terms = objective.values() if isinstance(objective, Mapping) else [objective]
    total = torch.zeros(())
    for term in terms:
        share, count, *weight = term
        total = total + share / count * (weight[0] if weight else 1.0)
    return total


def traces(
    learner: nn.Module,
    weights: Mapping[str, nn.Parameter],
    batches: Callable[[], Iterator[Batch]],
    probes: int,
    seed: int,
) -> dict[str, float]:
    """Returns an estimate of the trace of each weight's block of the Hessian of the mean loss.

    Hutchinson (HAWQ-V2, Eq. 4): E[v^T H v] with entries of v that are -1 or 1. The product H v is made once for all
    weights, with v over all of them; v_l^T (H v)_l has the trace of block l as its mean, because the entries of v are
    independent.

    Args:
        learner: With an objective; it is looked at in eval mode.
        weights: Name -> parameter.
        batches: What the loss is taken over.
        probes: Vectors v; each takes one double-backward per batch.
        seed: Of the vectors.

    Raises:
        rk.UserError: When the learner has no objective, or its gradient has no derivative.
    """
    if type(learner).forward is nn.Module.forward:
        raise UserError("the learner has no loss, and so no Hessian", "criterion=error")
    random = torch.Generator().manual_seed(seed)
    params = list(weights.values())
    required = [p.requires_grad for p in params]
    sums = dict.fromkeys(weights, 0.0)
    count = 0
    try:
        for p in params:
            p.requires_grad_(True)
        for batch in batches():
            count += 1
            # The fused kernels of attention have no second derivative
            with evaluating(learner, seed), torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
                gradients = torch.autograd.grad(loss_of(learner, batch), params, create_graph=True, allow_unused=True)
                for _ in range(probes):
                    vectors = [_signs(p, random) for p in params]
                    products = _product(gradients, params, vectors)
                    for name, v, hv in zip(weights, vectors, products, strict=True):
                        sums[name] += 0.0 if hv is None else float((v * hv).sum())
    except (RuntimeError, NotImplementedError) as error:
        raise UserError(f"the Hessian cannot be computed: {str(error).splitlines()[0]}", "criterion=error") from error
    finally:
        for p, needed in zip(params, required, strict=True):
            p.requires_grad_(needed)
    if not count:
        raise UserError("there are no batches to compute the Hessian on", "split=NAME")
    return {name: total / (count * probes) for name, total in sums.items()}


def _signs(p: Tensor, random: torch.Generator) -> Tensor:
    return (torch.randint(0, 2, p.shape, generator=random) * 2 - 1).to(p)


def _product(
    gradients: tuple[Tensor | None, ...], params: list[nn.Parameter], vectors: list[Tensor]
) -> tuple[Tensor | None, ...]:
    """Returns H v for each weight; None for one that the loss does not depend on."""
    used = [(g, v) for g, v in zip(gradients, vectors, strict=True) if g is not None and g.requires_grad]
    if not used:
        raise RuntimeError("no gradient has a derivative")
    products: tuple[Tensor | None, ...] = torch.autograd.grad(
        [g for g, _ in used], params, [v for _, v in used], retain_graph=True, allow_unused=True
    )
    return products

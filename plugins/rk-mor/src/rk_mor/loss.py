"""The loss `mor-router`: what routers are trained by, as terms beside any loss."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from rk import UserError
from rk.protocols import Loss, Objective, Share, Term
from rk.wrappers import LossWrapper

# b batch, t time, n recursions


class RouterLoss(LossWrapper):
    """A loss, and the terms that train the routers of `mor` (arXiv:2507.10524).

    Of a model whose recursions choose tokens: for each recursion, the binary cross-entropy of a score and whether the
    token was chosen. It drives scores to both sides of one half, so that a score alone gives what a look at the whole
    sequence has chosen. Of a model whose tokens choose: N times the sum over numbers of recursions of the share of
    tokens that chose it and the mean probability that it has, which is least where all are chosen alike; and the square
    of the log-sum-exp of the scores.

    Args:
        base: The loss of the task.
        coeff: Weight of the cross-entropy of chosen tokens.
        balance: Weight of the balancing loss.
        z_coeff: Weight of the square of the log-sum-exp.

    Examples:
        loss: {name: mor-router, base: cross-entropy, coeff: 1.0e-3}

        >>> class Mean(torch.nn.Module):
        ...     def forward(self, *, logits): return logits.sum(), len(logits)
        >>> chosen = torch.tensor([[[True], [False]]])
        >>> fields = {"router_logits": torch.zeros(1, 2, 1), "routes": chosen, "candidates": torch.ones_like(chosen)}
        >>> terms = RouterLoss(Mean())(logits=torch.zeros(3), **fields)
        >>> {name: round(float(term[0] / term[1]), 4) for name, term in terms.items()}
        {'task': 0.0, 'recursion-1': 0.6931}
    """

    def __init__(
        self,
        base: Loss,
        coeff: Annotated[float, Ge(0)] = 1e-3,
        balance: Annotated[float, Ge(0)] = 0.1,
        z_coeff: Annotated[float, Ge(0)] = 1e-5,
    ) -> None:
        super().__init__(base)
        self.coeff = coeff
        self.balance = balance
        self.z_coeff = z_coeff

    def forward(self, **fields: Tensor) -> Objective:
        objective = super().forward(**fields)
        terms: dict[str, Term] = dict(objective) if isinstance(objective, dict) else {"task": objective}
        if "depth_logits" in fields:
            exists = fields["candidates"][..., 0]
            if self.balance:
                terms["balance"] = (*balancing(fields["depth_logits"], fields["depths"], exists), self.balance)
            if self.z_coeff:
                terms["z"] = (*z_term(fields["depth_logits"], exists), self.z_coeff)
            return terms
        logits = fields.get("aux_logits", fields.get("router_logits"))
        if logits is None:
            raise UserError("mor-router: the model has no router", "give it router: expert or token, or leave this out")
        if self.coeff:
            for number in range(logits.shape[-1]):
                chosen, candidates = fields["routes"][..., number], fields["candidates"][..., number]
                share = selection(logits[..., number], chosen, candidates)
                terms[f"recursion-{number + 1}"] = (*share, self.coeff)
        return terms


def selection(logits: Float[Tensor, "b t"], chosen: Bool[Tensor, "b t"], candidates: Bool[Tensor, "b t"]) -> Share:
    """Returns the summed binary cross-entropy of scores and choices, over the tokens that could be chosen."""
    each = functional.binary_cross_entropy_with_logits(logits, chosen.to(logits.dtype), reduction="none")
    return (each * candidates).sum(), candidates.sum()


def balancing(logits: Float[Tensor, "b t n"], depths: Int[Tensor, "b t"], exists: Bool[Tensor, "b t"]) -> Share:
    """Returns ``N sum_j f_j P_j`` times the number of tokens, and this number.

    f_j is the share of tokens that chose j recursions, P_j the mean probability that j had. The product of two means
    is that of the batch at hand: of accumulated micro-batches it is the mean of theirs.
    """
    count = exists.sum()
    n = logits.shape[-1]
    shares = torch.stack([(depths == j + 1).logical_and(exists).sum() for j in range(n)]) / count
    mean = (logits.softmax(-1) * exists.unsqueeze(-1)).sum((0, 1)) / count
    return n * (shares * mean).sum() * count, count


def z_term(logits: Float[Tensor, "b t n"], exists: Bool[Tensor, "b t"]) -> Share:
    """Returns the summed square of the log-sum-exp of scores, and the number of tokens."""
    return (logits.logsumexp(-1).square() * exists).sum(), exists.sum()

"""Error signals: what a step on the activations lowers (arXiv:2101.00674)."""

# b batch, v tokens, k samples

from __future__ import annotations

import math
from typing import Literal

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

Signal = Literal["nll", "ppl-token", "mc-entropy", "ensemble-entropy"]
ENTROPIES = ("mc-entropy", "ensemble-entropy")


def surprisal(logits: Float[Tensor, "b v"], gold: Int[Tensor, "b"]) -> Float[Tensor, "b"]:
    """Returns -log p(gold), in nats."""
    return F.cross_entropy(logits, gold, reduction="none")


def token_perplexity(logits: Float[Tensor, "b v"], gold: Int[Tensor, "b"]) -> Float[Tensor, "b"]:
    """Returns p^(-p) - 1 with p = p(gold), as the official code has it.

    It is largest at p = 1/e: below that, a step against its gradient makes the token less likely.
    """
    log_p = -surprisal(logits, gold)
    return (-log_p.exp() * log_p).expm1()


def predictive_entropy(logits: Float[Tensor, "k b v"]) -> Float[Tensor, "b"]:
    """Returns the entropy of the mean over the samples of softmax(logits), in nats; the mean is over `k` alone."""
    log_mean = logits.log_softmax(-1).logsumexp(0) - math.log(len(logits))
    return -(log_mean.exp() * log_mean).sum(-1)

"""The model `anchored-ensemble`: heads that are each tied to a random anchor (arXiv:1810.05546)."""

# b batch, d width, v tokens, k members

from __future__ import annotations

import math
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from rk.protocols import Model
from rk.wrappers import ModelWrapper


class AnchoredHead(nn.Module):
    """Linear heads whose answers are averaged. Weights and anchors are drawn from N(0, prior), each by itself.

    Args:
        width: Numbers in.
        outputs: Numbers out.
        members: Heads.
        prior: Variance that weights and anchors are drawn with.
    """

    anchor_weight: Tensor
    anchor_bias: Tensor

    def __init__(self, width: int, outputs: int, members: int, prior: float) -> None:
        super().__init__()
        self.prior = prior
        deviation = math.sqrt(prior)
        self.weight = nn.Parameter(torch.randn(members, outputs, width) * deviation)
        self.bias = nn.Parameter(torch.randn(members, outputs) * deviation)
        self.register_buffer("anchor_weight", torch.randn(members, outputs, width) * deviation)
        self.register_buffer("anchor_bias", torch.randn(members, outputs) * deviation)

    def members(self, x: Float[Tensor, "*shape d"]) -> Float[Tensor, "k *shape v"]:
        """Returns the logits of each member, in one product."""
        together = F.linear(x, self.weight.flatten(0, 1), self.bias.flatten())
        return together.unflatten(-1, self.bias.shape).movedim(-2, 0)

    def forward(self, x: Float[Tensor, "*shape d"]) -> Float[Tensor, "*shape v"]:
        """Returns the mean of the members' logits: the answer of a head with the mean weights."""
        return F.linear(x, self.weight.mean(0), self.bias.mean(0))

    def distance(self) -> Tensor:
        """Returns the mean over the members of |W_k - A_k| + |b_k - a_k|, with anchors A_k and a_k."""
        of_weights = (self.weight - self.anchor_weight).flatten(1).norm(dim=1)
        return (of_weights + (self.bias - self.anchor_bias).norm(dim=1)).mean()


class AnchoredEnsemble(ModelWrapper):
    """A model with an ensemble of heads in the place of its own, for `recoded` with the signal ensemble-entropy.

    Args:
        base: A model with a linear `head`.
        members: Heads.
        prior: Variance of weights and anchors.

    Examples:
        model: {name: anchored-ensemble, base: {name: language-model, layer: lstm}, members: 5}

        >>> from rk_rnn.lstm import LSTM
        >>> from rk_sequence.language_model import LanguageModel
        >>> model = AnchoredEnsemble(LanguageModel(vocab_size=5, layer=LSTM), members=3)
        >>> model.head.members(torch.randn(2, 128)).shape
        torch.Size([3, 2, 5])
    """

    def __init__(
        self,
        base: Model,
        members: Annotated[int, Ge(1)] = 10,
        prior: Annotated[float, Gt(0)] = 0.2856,
    ) -> None:
        super().__init__(base)
        inner: nn.Module = self
        while isinstance(inner, ModelWrapper):
            inner = inner.base
        head = getattr(inner, "head", None)
        if not isinstance(head, nn.Linear):
            raise ValueError(f"base must be a model with a linear head, got {type(inner).__name__}")
        inner.head = AnchoredHead(head.in_features, head.out_features, members, prior)

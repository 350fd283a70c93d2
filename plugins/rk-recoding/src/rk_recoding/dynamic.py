"""The model `dynamic-evaluation`: gradient steps on the weights while a text is read (arXiv:1709.07432)."""

# b batch, t time

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge, Gt
from jaxtyping import Bool, Int
from torch import Tensor, nn
from torch.nn import functional as F

from rk.fields import IGNORED
from rk.protocols import Model, Outputs
from rk.states import map_states
from rk_recoding.between import BetweenTokens


class DynamicEvaluation(BetweenTokens):
    """A language model whose weights follow the text that it answers: the strong relative of `recoded`.

    After each segment, w <- w - lr g + decay (w_0 - w), with g the gradient of the mean surprisal of the segment's
    tokens and w_0 the trained weights. Every row of a batch begins with w_0, and the model has w_0 again afterwards.
    Training is that of the base.

    Args:
        base: A model with `initial_state` and `scan`.
        lr: Size of the step.
        segment: Tokens between two steps.
        decay: Share of the way back to the trained weights.
        grad_clip: Bounds the norm of the gradient over all weights; null: does not.

    Examples:
        model: {name: dynamic-evaluation, base: {name: language-model, layer: lstm}, lr: 0.1}

        >>> from rk_rnn.lstm import LSTM
        >>> from rk_sequence.language_model import LanguageModel
        >>> model = DynamicEvaluation(LanguageModel(vocab_size=5, layer=LSTM), segment=2)
        >>> model.predict(tokens=torch.tensor([[0, 1, 2, 3]]))["logits"].shape
        torch.Size([1, 4, 5])
    """

    def __init__(
        self,
        base: Model,
        lr: Annotated[float, Ge(0)] = 0.1,
        segment: Annotated[int, Ge(1)] = 16,
        decay: Annotated[float, Ge(0)] = 0.0,
        grad_clip: Annotated[float, Gt(0)] | None = 1.0,
    ) -> None:
        super().__init__(base)
        self.lr = lr
        self.segment = segment
        self.decay = decay
        self.grad_clip = grad_clip

    def forward(self, **fields: Tensor) -> Outputs:
        """Returns the base's outputs in training, else those of `predict`."""
        return super().forward(**fields) if self.training else self.predict(**fields)

    def predict(self, **fields: Tensor) -> Outputs:
        """Returns the scores after each token, by weights that have learned from the segments before it."""
        if fields.get("continue_meta"):
            return super().predict(**fields)
        tokens, mask = fields["tokens"], fields.get("mask")
        rows = [self._row(tokens[i : i + 1], None if mask is None else mask[i : i + 1]) for i in range(len(tokens))]
        logits = torch.cat(rows)
        return {"logits": logits, "values": logits}

    def _row(self, tokens: Int[Tensor, "1 t"], mask: Bool[Tensor, "1 t"] | None) -> Tensor:
        weights = [weight for weight in self.base.parameters() if weight.requires_grad]
        trained = [weight.detach().clone() for weight in weights]
        state = self.base.initial_state(1)
        found = []
        try:
            for start in range(0, tokens.shape[1], self.segment):
                span = slice(start, start + self.segment)
                with torch.enable_grad():
                    here = None if mask is None else mask[:, span]
                    outputs, state = self.base.scan(state=state, tokens=tokens[:, span], mask=here)
                    found.append(outputs["logits"].detach())
                    following = tokens[0, start + 1 : start + 1 + self.segment]
                    if mask is not None:
                        following = following.masked_fill(~mask[0, start + 1 : start + 1 + self.segment], IGNORED)
                    if start + self.segment < tokens.shape[1] and (following != IGNORED).any():
                        surprisal = F.cross_entropy(outputs["logits"][0, : len(following)], following)
                        self._learn(weights, trained, torch.autograd.grad(surprisal, weights, allow_unused=True))
                state = map_states(Tensor.detach, state)
        finally:
            for weight, before in zip(weights, trained, strict=True):
                weight.data.copy_(before)
        return torch.cat(found, 1)

    @torch.no_grad()
    def _learn(self, weights: list[nn.Parameter], trained: list[Tensor], gradients: tuple[Tensor | None, ...]) -> None:
        norm = torch.stack([g.norm() for g in gradients if g is not None]).norm()
        factor = 1.0 if self.grad_clip is None else min(1.0, self.grad_clip / max(float(norm), 1e-12))
        for weight, before, gradient in zip(weights, trained, gradients, strict=True):
            if gradient is not None:
                weight.data.add_(gradient, alpha=-self.lr * factor)
            weight.data.lerp_(before, self.decay)

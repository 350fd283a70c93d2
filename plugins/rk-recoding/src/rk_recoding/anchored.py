"""The loss `anchored`: another loss, and the distance of an ensemble's heads from their anchors (arXiv:1810.05546)."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Gt
from torch import Tensor

from rk import UserError
from rk.protocols import Loss, Model, Objective
from rk.wrappers import LossWrapper
from rk_recoding.ensemble import AnchoredHead


class Anchored(LossWrapper):
    """Adds lambda / N times the mean distance of the heads of an `anchored-ensemble` from their anchors.

    lambda is `data_noise` over the prior of the heads.

    Args:
        base: The loss of the answers.
        data_noise: Variance of the noise of the data.
        num_examples: N, the tokens to train on.

    Examples:
        loss: {name: anchored, base: cross-entropy}

        >>> from rk_recoding.ensemble import AnchoredEnsemble
        >>> from rk_rnn.lstm import LSTM
        >>> from rk_sequence.language_model import LanguageModel
        >>> loss = Anchored(lambda: (torch.tensor(0.0), 1))
        >>> loss.watch(AnchoredEnsemble(LanguageModel(vocab_size=5, layer=LSTM), members=3))
        >>> sorted(loss())
        ['anchor', 'answers']
    """

    def __init__(
        self, base: Loss, data_noise: Annotated[float, Gt(0)] = 0.1, num_examples: Annotated[int, Ge(1)] = 100000
    ) -> None:
        super().__init__(base)
        self.data_noise = data_noise
        self.num_examples = num_examples
        self._heads: list[AnchoredHead] = []

    def watch(self, model: Model) -> None:
        """Finds the ensemble. Raises `UserError` where there is none."""
        parts = model.modules()  # type: ignore[attr-defined]  # a model is a module
        self._heads = [part for part in parts if isinstance(part, AnchoredHead)]
        if not self._heads:
            raise UserError("the loss anchored needs a model with an ensemble", "model: {name: anchored-ensemble, ...}")

    def forward(self, **fields: Tensor) -> Objective:
        """Returns the base's objective and the term ``anchor``."""
        objective = super().forward(**fields)
        terms = dict(objective) if isinstance(objective, dict) else {"answers": objective}
        head = self._heads[0]
        terms["anchor"] = (head.distance(), 1, self.data_noise / head.prior / self.num_examples)
        return terms

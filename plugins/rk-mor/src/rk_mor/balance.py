"""The callback `loss-free-balance`: numbers of recursions that few tokens choose become more attractive."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Gt
from jaxtyping import Int
from torch import Tensor

from rk import FitContext, UserError
from rk_mor.capacity import models_of
from rk_mor.recursion import TokenChoice


class LossFreeBalance:
    """Balances the choices of tokens by a bias in place of a loss (arXiv:2408.15664).

    After each step of the optimizer, ``b_j += update_rate * sign(mean(f) - f_j)``, with the share f_j of tokens that
    chose j recursions since the last one. The bias is added to the gates only to choose, and changes no gate.

    Args:
        update_rate: What a bias changes by.

    Examples:
        callbacks: [{name: loss-free-balance, update_rate: 1.0e-3}]
    """

    def __init__(self, update_rate: Annotated[float, Gt(0)] = 1e-3) -> None:
        self.update_rate = update_rate

    def fit_start(self, fit: FitContext) -> None:
        """Refuses a model in which no token chooses."""
        if not self._choices(fit):
            raise UserError("loss-free-balance: the model's tokens do not choose", "give mor router: token")

    def after_step(self, fit: FitContext) -> None:
        """Changes the biases by what was chosen in this step."""
        for choice in self._choices(fit):
            balance_(choice, fit.runtime.gather(choice.load), self.update_rate)

    def _choices(self, fit: FitContext) -> list[TokenChoice]:
        models = models_of(fit.learner, "loss-free-balance")
        return [part for model in models for part in model.modules() if isinstance(part, TokenChoice)]


@torch.no_grad()
def balance_(choice: TokenChoice, load: Int[Tensor, "n"], update_rate: float) -> None:
    """Changes a bias by what was chosen, and begins to count again.

    Args:
        choice: What chooses.
        load: (n,) int64, how many tokens have chosen each number of recursions.
        update_rate: What the bias of each number changes by.
    """
    load = load.to(choice.bias)
    choice.bias += update_rate * (load.mean() - load).sign()
    choice.load.zero_()

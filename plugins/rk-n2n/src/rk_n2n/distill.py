"""The trainer `distill`: a model learns the logits of a trained run, and the targets beside them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt
from torch import Tensor
from torch.nn import functional

from rk import Batch, Loss, Model, Optimizer, Outputs, Run, Runtime, Term, Training, UserError
from rk.builtin.backprop import Supervised


class Distill:
    """Learns what a teacher answers (arXiv:1709.06030, Sec. 3.4): its logits, or its probabilities at a temperature.

    Only training needs the teacher: the run answers where it is gone.

    Args:
        teacher: A run of any plugin whose answers have `logits` of the same classes.
        optimizer: The optimizer and its schedule, or several by patterns of the names of what they train.
        matching: `mse`: mean squared error of logits, as the paper has it. `kl`: Kullback-Leibler divergence of
            probabilities, times the square of the temperature (Hinton et al., arXiv:1503.02531).
        temperature: Softens the probabilities of `kl`.
        hard_weight: Weight of the recipe's own loss on the targets; 0 leaves it out.

    Examples:
        trainer: {name: distill, teacher: {recipe: n2n/digits-teacher}, optimizer: adam}
    """

    def __init__(
        self,
        teacher: Training[Run],
        optimizer: Optimizer | dict[str, Optimizer],
        matching: Literal["mse", "kl"] = "mse",
        temperature: Annotated[float, Gt(0)] = 3.0,
        hard_weight: Annotated[float, Ge(0)] = 0.0,
    ) -> None:
        self.teacher = teacher
        self.factory = optimizer
        self.matching = matching
        self.temperature = temperature
        self.hard_weight = hard_weight

    def setup(self, *, model: Model, loss: Loss, runtime: Runtime) -> Supervised:
        self.runtime = runtime
        self.learner = Supervised(model, loss)
        self.objective = runtime.setup(self.learner)
        self.optimizers = runtime.optimizers(self.factory, self.learner)
        return self.learner

    def step(self, batch: Batch) -> dict[str, Tensor]:
        with torch.no_grad():
            answer: Callable[[Batch], Outputs] = self.teacher.learner.predict  # type: ignore[assignment]  # of a learner
            wanted = self._logits(answer(batch), "the teacher")
        given = self._logits(self.learner.predict(batch), "the student")
        if wanted.shape != given.shape:
            raise UserError(f"the teacher answers {tuple(wanted.shape)}, the student {tuple(given.shape)}")
        terms: dict[str, Term] = {"distill": self.matched(given, wanted)}
        if self.hard_weight:
            hard = self.objective(batch)
            own = hard if isinstance(hard, dict) else {"hard": hard}
            terms |= {name: (term[0], term[1], self.hard_weight) for name, term in own.items()}
        logs = self.runtime.backward(terms)
        self.runtime.update(*self.optimizers)
        return logs

    def matched(self, given: Tensor, wanted: Tensor) -> tuple[Tensor, int]:
        """Returns the sum of the distances of answers of (*positions, classes), and how many it is over."""
        positions = given.numel() // given.shape[-1]
        if self.matching == "mse":
            return (given - wanted).square().mean(-1).sum(), positions
        soft, target = (given / self.temperature).log_softmax(-1), (wanted / self.temperature).log_softmax(-1)
        return self.temperature**2 * functional.kl_div(soft, target, reduction="sum", log_target=True), positions

    @staticmethod
    def _logits(outputs: object, whose: str) -> Tensor:
        if isinstance(outputs, dict) and isinstance(outputs.get("logits"), Tensor):
            found: Tensor = outputs["logits"]
            return found
        raise UserError(f"the answers of {whose} have no logits, which distill matches")

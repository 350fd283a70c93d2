"""The trainer `distill`: a model, or several at once, learn the logits of a trained run, and the targets beside."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, cast

import torch
from annotated_types import Ge, Gt
from torch import Tensor, nn

from rk import Batch, Data, Loss, Model, Optimizer, Outputs, Run, Runtime, Term, Training, UserError
from rk.binding import Bound
from rk.builtin.backprop import Supervised
from rk_n2n.divergences import divergence

BATCHES = 20
"""Batches over which the scale of the teacher's logits is measured."""


class Students(Supervised):
    """A student with its loss, and others beside it, whose answers are measured under their names.

    Args:
        model: The first student.
        loss: Its loss on the targets.
        others: Name -> another student.
    """

    def __init__(self, model: Model, loss: Loss, others: Mapping[str, Model]) -> None:
        super().__init__(model, loss)
        self.others = nn.ModuleDict({name: cast(Any, other) for name, other in others.items()})
        self._answers = {name: Bound(other.forward, call=other) for name, other in others.items()}

    def variants(self) -> Mapping[str, Callable[[Batch], Outputs]]:
        """Returns what is measured beside the first student: ``val/accuracy@NAME``."""
        return {name: functools.partial(self.answer, name) for name in self._answers}

    def answer(self, name: str, batch: Batch) -> Outputs:
        """Returns the answers of another student."""
        outputs: Outputs = self._answers[name](batch)
        return outputs


class Distill:
    """Learns what a teacher answers (arXiv:1709.06030, Sec. 3.4): its logits, or its probabilities at a temperature.

    Only training needs the teacher: the run answers where it is gone.

    A teacher that is sure has large logits: those of ``n2n/digits-teacher`` have a standard deviation of 10. A new
    student answers near zero, and a brief training by `mse` ends while it still grows. `standardized` removes the scale
    and keeps the order of the classes.

    Args:
        teacher: A run of any plugin whose answers have `logits` of the same classes.
        optimizer: The optimizer and its schedule, or several by patterns of the names of what they train.
        matching: `mse`: mean squared error of logits, as the paper has it. `standardized`: the same, to the teacher's
            logits less their mean, divided by their standard deviation over the first batches. `kl`, `reverse-kl`,
            `jsd`, `tvd`: a divergence of probabilities, times the square of the temperature (of `tvd`, the temperature
            itself); see `rk_n2n.divergences.divergence`.
        temperature: Softens the probabilities of these four.
        hard_weight: Weight of the recipe's own loss on the targets; 0 leaves it out.
        others: Name -> a further student, which learns from the same batches as if alone: the teacher answers once for
            all. Its metrics have its name, ``val/accuracy@NAME``. They need a hard_weight of 0.

    Examples:
        trainer: {name: distill, teacher: {recipe: n2n/digits-teacher}, optimizer: adam}
    """

    def __init__(
        self,
        teacher: Training[Run],
        optimizer: Optimizer | dict[str, Optimizer],
        matching: Literal["mse", "standardized", "kl", "reverse-kl", "jsd", "tvd"] = "mse",
        temperature: Annotated[float, Gt(0)] = 3.0,
        hard_weight: Annotated[float, Ge(0)] = 0.0,
        others: dict[str, Model] | None = None,
    ) -> None:
        if others and hard_weight:
            raise ValueError(f"others need a hard_weight of 0, got {hard_weight}")
        self.teacher = teacher
        self.factory = optimizer
        self.matching = matching
        self.temperature = temperature
        self.hard_weight = hard_weight
        self.others = others or {}
        self.mean, self.scale = 0.0, 1.0

    def setup(self, *, model: Model, loss: Loss, runtime: Runtime) -> Students:
        self.runtime = runtime
        self.learner = Students(model, loss, self.others)
        self.objective = runtime.setup(self.learner)
        self.optimizers = runtime.optimizers(self.factory, self.learner)
        return self.learner

    def begin(self, data: Data, runtime: Runtime) -> None:
        """Measures the mean and the scale of the teacher's logits, where they are standardised."""
        if self.matching == "standardized":
            logits = torch.cat([self._wanted(batch).flatten() for batch in runtime.batches(data, "train", BATCHES)])
            self.mean, self.scale = float(logits.mean()), max(float(logits.std()), 1e-6)

    def state_dict(self) -> dict[str, Any]:
        return {"mean": self.mean, "scale": self.scale}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.mean, self.scale = float(state["mean"]), float(state["scale"])

    def _wanted(self, batch: Batch) -> Tensor:
        with torch.no_grad():
            answer: Callable[[Batch], Outputs] = self.teacher.learner.predict  # type: ignore[assignment]  # of a learner
            return self._logits(answer(batch), "the teacher")

    def step(self, batch: Batch) -> dict[str, Tensor]:
        wanted = self._wanted(batch)
        given = [self.learner.predict(batch), *(self.learner.answer(name, batch) for name in self.others)]
        matched = [self._distance(outputs, wanted) for outputs in given]
        total = sum((one[0] for one in matched[1:]), matched[0][0])  # of weights apart: each student learns as if alone
        terms: dict[str, Term] = {"distill": (total, matched[0][1])}
        if self.hard_weight:
            hard = self.objective(batch)
            own = hard if isinstance(hard, dict) else {"hard": hard}
            terms |= {name: (term[0], term[1], self.hard_weight) for name, term in own.items()}
        logs = self.runtime.backward(terms)
        self.runtime.update(*self.optimizers)
        return logs

    def _distance(self, outputs: Outputs, wanted: Tensor) -> tuple[Tensor, int]:
        given = self._logits(outputs, "the student")
        if wanted.shape != given.shape:
            raise UserError(f"the teacher answers {tuple(wanted.shape)}, the student {tuple(given.shape)}")
        return self.matched(given, wanted)

    def matched(self, given: Tensor, wanted: Tensor) -> tuple[Tensor, int]:
        """Returns the sum of the distances of answers of (*positions, classes), and how many it is over."""
        if self.matching != "mse" and self.matching != "standardized":
            return divergence(self.matching, given, wanted, self.temperature)
        if self.matching == "standardized":
            wanted = (wanted - self.mean) / self.scale
        return (given - wanted).square().mean(-1).sum(), given.numel() // given.shape[-1]

    @staticmethod
    def _logits(outputs: object, whose: str) -> Tensor:
        if isinstance(outputs, dict) and isinstance(outputs.get("logits"), Tensor):
            found: Tensor = outputs["logits"]
            return found
        raise UserError(f"the answers of {whose} have no logits, which distill matches")

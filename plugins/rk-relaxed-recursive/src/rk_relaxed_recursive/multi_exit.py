"""The trainer `multi-exit`: a model of blocks learns to answer after each loop, by one norm and one head."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, cast

from annotated_types import Ge
from rk_n2n.divergences import divergence
from torch import Tensor, nn

from rk import Batch, Layered, Loss, Objective, Optimizer, Outputs, Runtime, Term, UserError
from rk.blocks import run_exits
from rk.builtin.backprop import Supervised
from rk_relaxed_recursive.exits import exits_of, name_of

Coefficients = Literal["aggressive", "weighted"]
"""How the exits share the loss; see `coefficients_of`."""


def coefficients_of(kind: Coefficients, count: int, aggressive: float) -> list[float]:
    """Returns the coefficient of the loss of each exit, the last one the whole model's (arXiv:2410.20672, Table 3).

    Args:
        kind: ``weighted``: ``b / (1 + ... + B)`` for exit b of B. ``aggressive``: 1 for the last and a small one for
            all others.
        count: B, the exits.
        aggressive: The small coefficient.

    Examples:
        >>> coefficients_of("aggressive", 3, 0.1), coefficients_of("weighted", 3, 0.1)
        ([0.1, 0.1, 1.0], [0.16666666666666666, 0.3333333333333333, 0.5])
    """
    if kind == "weighted":
        total = count * (count + 1) / 2
        return [number / total for number in range(1, count + 1)]
    return [aggressive] * (count - 1) + [1.0]


class MultiExit(Supervised):
    """A model with its loss at several exits, of one pass.

    Args:
        model: A model of blocks.
        loss: Its loss.
        exits: After how many blocks it answers; the last is the whole model.
        coefficients: Of each exit's loss.
        self_distill: Whether the exits before the last learn the last one's answers in place of the targets.
    """

    def __init__(
        self, model: Layered, loss: Loss, exits: Sequence[int], coefficients: Sequence[float], self_distill: bool
    ) -> None:
        super().__init__(model, loss)
        self.exits = tuple(exits)
        self.coefficients = tuple(coefficients)
        self.self_distill = self_distill

    def forward(self, batch: Batch) -> Objective:
        return self._objective(batch, self._answers(batch))

    def evaluate(self, batch: Batch) -> tuple[Objective, Outputs]:
        answers = self._answers(batch)
        return self._objective(batch, answers), answers[-1]

    def predict_at(self, depth: int, batch: Batch) -> Outputs:
        """Returns the answer after some blocks."""
        return next(outputs for _, outputs in run_exits(self._layered, batch, {depth}))

    def variants(self) -> Mapping[str, Callable[[Batch], Outputs]]:
        """Returns what is measured beside the whole model: ``test/perplexity@exit-3``."""
        return {name_of(depth): functools.partial(self.predict_at, depth) for depth in self.exits[:-1]}

    @property
    def _layered(self) -> Layered:
        return cast(Layered, self.model)

    def _answers(self, batch: Batch) -> list[Outputs]:
        return [outputs for _, outputs in run_exits(self._layered, batch, self.exits)]

    def _objective(self, batch: Batch, answers: Sequence[Outputs]) -> dict[str, Term]:
        terms: dict[str, Term] = {}
        for depth, coefficient, outputs in zip(self.exits, self.coefficients, answers, strict=True):
            last = depth == self.exits[-1]
            if self.self_distill and not last:
                one: Objective = divergence("kl", _logits(outputs), _logits(answers[-1]).detach())
            else:
                one = self._loss({**batch, **outputs})
            for name, term in one.items() if isinstance(one, dict) else [("", one)]:
                own = term[2] if len(term) == 3 else 1.0
                terms[f"{name_of(depth)}-{name}" if name else name_of(depth)] = (term[0], term[1], coefficient * own)
        return terms


class MultiExitTrainer:
    """Trains all exits of a model of blocks in one pass: after each loop, through the same last norm and head.

    The paper trains so after the uptraining: begin from a run of the looped model by `init_from`. By default the last
    exit keeps its loss, and the others learn its answers with a small coefficient (`aggressive`, `self_distill`);
    with equal rights for all exits, `weighted`, the last one gets worse (arXiv:2410.20672, Table 3).

    The metrics of an exit have its name: ``test/perplexity@exit-3``.

    Args:
        optimizer: The optimizer and its schedule, or several by patterns of the names of what they train.
        exits: After how many blocks the model answers; the last must be all of them. Empty: after each loop of a
            model with loops that cycle, such as `recursive`.
        coefficients: `aggressive`: 1 for the loss of the last exit, and `aggressive` for each of the others.
            `weighted`: b / (1 + ... + B) for exit b of B.
        aggressive: The small coefficient.
        self_distill: The exits before the last learn its answers (the divergence `kl` from its logits, which get no
            gradient from it) in place of the targets.

    Examples:
        trainer: {name: multi-exit, optimizer: adamw}
    """

    def __init__(
        self,
        optimizer: Optimizer | dict[str, Optimizer],
        exits: tuple[Annotated[int, Ge(1)], ...] = (),
        coefficients: Coefficients = "aggressive",
        aggressive: Annotated[float, Ge(0)] = 0.1,
        self_distill: bool = True,
    ) -> None:
        self.factory = optimizer
        self.exits = exits
        self.coefficients: Coefficients = coefficients
        self.aggressive = aggressive
        self.self_distill = self_distill

    def setup(self, *, model: Layered, loss: Loss, runtime: Runtime) -> MultiExit:
        self.runtime = runtime
        exits = exits_of(cast(nn.Module, model), self.exits)
        shares = coefficients_of(self.coefficients, len(exits), self.aggressive)
        self.learner = MultiExit(model, loss, exits, shares, self.self_distill)
        self.objective = runtime.setup(self.learner)
        self.optimizers = runtime.optimizers(self.factory, self.learner)
        return self.learner

    def step(self, batch: Batch) -> dict[str, Tensor]:
        logs = self.runtime.backward(self.objective(batch))
        self.runtime.update(*self.optimizers)
        return logs


def _logits(outputs: Mapping[str, Any]) -> Tensor:
    found = outputs.get("logits")
    if not isinstance(found, Tensor):
        raise UserError("self_distill needs answers with logits", "trainer.self_distill=false")
    return found

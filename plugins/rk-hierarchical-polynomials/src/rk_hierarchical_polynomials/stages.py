"""The trainer `stages`: any model, part after part, each on its own share of the training data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal, Protocol, runtime_checkable

import torch
from annotated_types import Ge
from torch import Tensor, nn

from rk import Runtime, UserError
from rk.builtin.backprop import Answering, Supervised
from rk.errors import suggest
from rk.protocols import Batch, Data, Loss, Model, Optimizer
from rk_hierarchical_polynomials.exact import LinearPart, Products, solved


@dataclass(frozen=True)
class Redraw:
    """What parameters become when a stage begins.

    Attributes:
        distribution: zeros; normal, of this deviation; uniform, between minus and plus this number; sign: plus or minus
            this number.
        scale: The number.
    """

    distribution: Literal["zeros", "normal", "uniform", "sign"]
    scale: float = 1.0

    def __call__(self, like: Tensor) -> Tensor:
        """Returns new values for a tensor."""
        match self.distribution:
            case "zeros":
                return torch.zeros_like(like)
            case "normal":
                return self.scale * torch.randn_like(like)
            case "uniform":
                return self.scale * (torch.rand_like(like) * 2 - 1)
        return self.scale * (torch.randint(2, like.shape, device=like.device).to(like) * 2 - 1)


@dataclass(frozen=True)
class Stage:
    """What is trained, on which rows, and how.

    Attributes:
        train: Patterns of names of parameters; all others are held.
        share: From where to where of one pass over the training data, in whole batches: [0, 0.5] is the first half.
        solver: gradient: steps of the trainer's optimizer on the loss. exact: least squares in closed form.
        steps: Of the optimizer; the batches of the share repeat.
        ridge: Of the exact solver, relative to the mean of the diagonal; of several, rows that are held out choose.
        held_out: Share of the stage's batches that chooses; they are fitted to afterwards.
        reinit: Pattern of names -> what these parameters become first.
    """

    train: tuple[str, ...]
    share: tuple[float, float] = (0.0, 1.0)
    solver: Literal["gradient", "exact"] = "gradient"
    steps: Annotated[int, Ge(1)] = 100
    ridge: tuple[Annotated[float, Ge(0)], ...] = (1e-4,)
    held_out: float = 0.2
    reinit: dict[str, Redraw] = field(default_factory=dict)


@runtime_checkable
class BeginsStages(Protocol):
    """A model that looks at the rows of a stage before it begins."""

    def begin_stage(self, batches: Iterator[Batch]) -> None:
        """Takes the batches of the stage's share."""
        ...


class Stages:
    """Trains a model part after part: each stage has its parameters, its share of the rows and its solver.

    Algorithm 1 of Wang et al. 2024, arXiv:2311.13774, for any model with named parameters. An exact stage finds, in one
    pass, what descent on squares with weight decay ends with: features are the derivatives of the answer, and only the
    sums of their products are kept. It is refused where the answer is not linear in what it trains, and takes models
    that answer each example by itself. A stage without rows of an earlier one keeps the guarantee of the paper. A model
    with ``begin_stage(batches)`` is shown the rows of each stage first.

    Exact stages need no loss.

    Args:
        stages: The stages, in order.
        optimizer: Of the stages by gradients, made newly for each; its schedule is over the steps of the stage.

    Examples:
        trainer: {name: stages, stages: [{train: [head.*], solver: exact}, {train: ["*"], steps: 50}], optimizer: adam}
    """

    def __init__(self, stages: list[Stage], optimizer: Optimizer | None = None) -> None:
        if not stages:
            raise ValueError("stages must have at least one stage, got none")
        for k, stage in enumerate(stages, 1):
            start, end = stage.share
            if not 0 <= start < end <= 1:
                raise ValueError(f"share of stage {k} must be two rising numbers from 0 to 1, got {list(stage.share)}")
            if not 0 <= stage.held_out < 1:
                raise ValueError(f"held_out of stage {k} must be >= 0 and < 1, got {stage.held_out}")
            if not stage.ridge:
                raise ValueError(f"ridge of stage {k} must have at least one number, got none")
            if len(stage.ridge) > 1 and not min(stage.ridge) > 0:
                raise ValueError(f"ridges of stage {k} to choose from must be > 0, got {min(stage.ridge)}")
            if stage.solver == "gradient" and optimizer is None:
                raise ValueError(f"stage {k} learns by gradients: it needs an optimizer")
        self.stages = stages
        self.factory = optimizer
        self.number = 0
        self.done = 0
        self.sums = (Products(), Products())
        self.found: dict[str, float] = {}
        self._prepared: int | None = None

    def setup(self, *, model: Model, data: Data, runtime: Runtime, loss: Loss | None = None) -> Supervised | Answering:
        if runtime.world > 1:
            raise UserError("stages follow one another in one process", "fit.devices=1")
        for k, stage in enumerate(self.stages, 1):
            if loss is None and stage.solver == "gradient":
                raise UserError(f"stage {k} learns by gradients: the recipe must have a loss", "loss: mse")
        self.data, self.runtime, self.model = data, runtime, model
        assert isinstance(model, nn.Module)
        self.learner = Answering(model) if loss is None else Supervised(model, loss)
        self.objective = runtime.setup(self.learner)
        self.parameters = dict(model.named_parameters())
        self.trainable = [name for name, p in self.parameters.items() if p.requires_grad]
        self.chosen = [self._matching(stage.train, k) for k, stage in enumerate(self.stages, 1)]
        for k, stage in enumerate(self.stages, 1):
            for pattern in stage.reinit:
                self._matching((pattern,), k)
        return self.learner

    def step(self) -> dict[str, Tensor] | None:
        """Takes one batch of the current stage; None after the last stage."""
        if self.number >= len(self.stages):
            return None
        stage, places = self.stages[self.number], self._places()
        if self.done == 0:
            self._begin(stage, places)
        if self._prepared != self.number:
            self._prepare(stage)
        batch = self._batch(places[self.done % len(places)])
        self.done += 1
        if stage.solver == "exact":
            logs, last = self._add(stage, batch), len(places)
        else:
            logs, last = self.runtime.backward(self.objective(batch)), stage.steps
            if self.optimizer is not None:
                self.runtime.update(self.optimizer, whole=True)
        if self.done == last:
            self._end(stage)
        return logs

    def finish(self) -> None:
        """Solves an exact stage that was cut off, with the rows that it has seen."""
        if self.number < len(self.stages) and self.stages[self.number].solver == "exact" and self.done:
            if self._prepared != self.number:  # resumed behind the last step
                self._prepare(self.stages[self.number])
            self._solve(self.stages[self.number])
        for name in self.trainable:
            self.parameters[name].requires_grad_(True)
        self._prepared = None

    def results(self) -> dict[str, float]:
        """Returns the ridge of each exact stage."""
        return self.found

    def state_dict(self) -> dict[str, Any]:
        sums = [products.state for products in self.sums]
        return {"number": self.number, "done": self.done, "sums": sums, "found": self.found}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.number, self.done, self.found = state["number"], state["done"], state["found"]
        fitted, held_out = (Products(sums) for sums in state["sums"])
        self.sums = (fitted, held_out)

    def _matching(self, patterns: tuple[str, ...], stage: int) -> list[str]:
        """Returns the names of the parameters that patterns match. Raises `rk.UserError` where one matches nothing."""
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name in self.trainable):
                hint = suggest(pattern, self.trainable, "there are")
                raise UserError(f"stage {stage}: no parameter that is trained matches {pattern!r}", hint)
        return [name for name in self.trainable if any(fnmatchcase(name, pattern) for pattern in patterns)]

    def _places(self) -> range:
        """Returns the batches of the current stage's share, all of the first pass: later ones have other rows."""
        total = self.data.batches("train")
        if total is None:
            raise UserError("stages share the training rows, but the training split has no end")
        start, end = (round(total * place) for place in self.stages[self.number].share)
        if start == end:
            raise UserError(
                f"stage {self.number + 1}: its share of {total} batches has none", "take a smaller data.batch_size"
            )
        return range(start, end)

    def _batch(self, place: int) -> dict[str, Any]:
        batch, device = self.data.batch("train", place), self.runtime.device
        return {key: value.to(device) if isinstance(value, Tensor) else value for key, value in batch.items()}

    @torch.no_grad()
    def _begin(self, stage: Stage, places: range) -> None:
        """Draws parameters newly, and shows the model the rows."""
        for pattern, redraw in stage.reinit.items():
            for name in self._matching((pattern,), self.number + 1):
                self.parameters[name].copy_(redraw(self.parameters[name]))
        if isinstance(self.model, BeginsStages):
            self.model.begin_stage(self._batch(place) for place in places)
        self.sums = (Products(), Products())

    def _prepare(self, stage: Stage) -> None:
        """Holds all other parameters; makes the optimizer, or looks at the model as a function of the chosen ones."""
        chosen = self.chosen[self.number]
        for name in self.trainable:
            self.parameters[name].requires_grad_(name in chosen)
        self.optimizer: torch.optim.Optimizer | None = None
        if stage.solver == "exact":
            assert isinstance(self.model, nn.Module)
            self.part = LinearPart(self.model, chosen)
        elif self.factory is not None:
            trained = [self.parameters[name] for name in chosen]
            name = f"stage-{self.number + 1}"
            self.optimizer = self.runtime.optimizer(self.factory, trained, name=name, updates=stage.steps)
        self._prepared = self.number

    def _add(self, stage: Stage, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Adds a batch to the sums: to those that choose the ridge, at even distances, or to those that are fitted."""
        training = self.learner.training
        self.learner.eval()
        if self.done == 1:
            self.part.check(batch)
        k, share = self.done, stage.held_out if len(stage.ridge) > 1 else 0.0
        self.sums[int(k * share) > int((k - 1) * share)].add(*self.part.rows(batch))
        self.learner.train(training)
        return {}

    def _solve(self, stage: Stage) -> None:
        solution, ridge = solved(*self.sums, stage.ridge)
        self.part.take(solution)
        self.found[f"ridge-{self.number + 1}"] = ridge

    def _end(self, stage: Stage) -> None:
        if stage.solver == "exact":
            self._solve(stage)
        self.sums = (Products(), Products())
        self.number, self.done = self.number + 1, 0

"""Training a `LightningModule` of any third party in rk's loop: its own losses, optimizers and schedulers.

The module is a model like any other: a plugin's `rk_models` names its class, wherever it is installed. Nothing here
imports Lightning; the module does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Protocol, TypedDict

import torch
from annotated_types import Len
from jaxtyping import Float
from torch import Tensor, nn

from rk.errors import RunFailed, UserError
from rk.fit.evaluate import Mean
from rk.fit.runtime import Runtime
from rk.fit.terms import LOSS
from rk.protocols import Batch, Model, Schedule, Share, State

TRAINING_STEP = "training_step"
CONFIGURE = "configure_optimizers"


class TrainsItself(Model, Protocol):
    """A model that brings its own training: a LightningModule."""

    def training_step(self, batch: Any, batch_idx: int) -> Any: ...  # Any: the module's author decides

    def configure_optimizers(self) -> Any: ...  # Any: one of the forms that Lightning takes


class LightningAnswers(TypedDict):
    """The output of ``predict_step``. A bare tensor may be either: metrics read it under both names."""

    logits: Float[Tensor, "batch classes"]
    values: Float[Tensor, "batch targets"]


class LightningLearner(nn.Module):
    """A LightningModule and the fields that it is given.

    Args:
        module: The module.
        fields: Batch fields, in the order in which the module unpacks its batch.
    """

    def __init__(self, module: nn.Module, fields: tuple[str, ...]) -> None:
        super().__init__()
        self.module = module
        self.fields = fields
        self.batches = 0
        self.logged: dict[str, Tensor] = {}
        self._rows = 1
        self._means: dict[str, Mean] = {}  # of what validation steps logged
        self._objects: dict[str, Any] = {}  # metric objects that they logged
        # a module logs through its trainer, which it does not have here
        for name, log in (("log", self._log), ("log_dict", self._log_dict)):
            setattr(module, name, log)

    def forward(self, batch: Batch) -> Share:
        """Returns the module's own loss, a mean over the rows of the batch, as their sum."""
        given = tuple(batch[name] for name in self.fields)
        self._rows = given[0].shape[0]
        self._loss: Tensor | None = None
        own: Callable[..., Any] = getattr(self.module, TRAINING_STEP)  # Any: the module's author decides
        step = own if self.training else _of(self.module, "validation_step", TRAINING_STEP)
        result = step(given, self.batches)
        loss = result["loss"] if isinstance(result, Mapping) else result
        if loss is None and not self.training:  # a validation_step may only log
            loss = torch.tensor(float("nan")) if self._loss is None else self._loss
        if not isinstance(loss, Tensor):
            raise RunFailed(f"{type(self.module).__name__}.training_step returned {type(loss).__name__}, not a loss")
        return loss * self._rows, self._rows

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> LightningLearner:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch gives it no types
        if (first := next(self.module.parameters(), None)) is not None:
            self.module.to(first.device)  # sets its own `device`
        return self

    def predict(self, batch: Batch) -> LightningAnswers:
        answer = _of(self.module, "predict_step", "forward")
        extra = (0,) if answer == getattr(self.module, "predict_step", None) else ()
        result = answer(batch[self.fields[0]], *extra)
        if isinstance(result, Mapping):
            either = {name: result[other] for name, other in _EITHER if other in result}
            return {**either, **result}  # type: ignore[typeddict-item]  # the names are the module's own
        return {"logits": result, "values": result}

    def _log(self, name: str, value: Any, *_: Any, **__: Any) -> None:
        """Takes what a module logs: a number, or a metric object, which is computed over the batch or the split."""
        if self.training:
            self.logged[name] = _of_batch(value) if _is_metric(value) else _scalar(value)
            return
        name = _without_split(name)
        if _is_metric(value):
            self._objects[name] = value
            return
        number = _scalar(value)
        if name == LOSS:
            self._loss = number
        else:
            self._means.setdefault(name, Mean()).add(number * self._rows, self._rows)

    def take_measured(self, runtime: Runtime, shared: bool) -> dict[str, float]:
        """Returns what validation steps have logged since the last call, and clears it.

        Numbers are means over the rows. Metric objects are computed once over all of them, and reset; those of
        torchmetrics sum up over the processes by themselves.

        Args:
            runtime: Where it was measured.
            shared: Whether the processes have measured different batches.
        """
        objects, self._objects = self._objects, {}
        found = {name: float(_of_batch(metric)) for name, metric in objects.items()}
        states, self._means = {name: mean.state for name, mean in self._means.items()}, {}
        everywhere = runtime.collect(states) if shared else [states]
        for name in dict.fromkeys(name for one in everywhere for name in one):
            found[name] = Mean.of(one[name] for one in everywhere if name in one).compute()
        return found

    def _log_dict(self, dictionary: Mapping[str, Any], *_: Any, **__: Any) -> None:
        for name, value in dictionary.items():
            self._log(name, value)

    def taken(self) -> dict[str, Tensor]:
        """Returns what was logged since the last call."""
        logged, self.logged = self.logged, {}
        return logged


def _is_metric(value: object) -> bool:
    """Whether a module has logged an object such as those of torchmetrics."""
    return all(callable(getattr(value, name, None)) for name in ("update", "compute", "reset"))


def _of_batch(metric: Any) -> Tensor:
    """Returns what a metric object has measured since its last reset, and resets it."""
    result = _scalar(metric.compute())
    metric.reset()
    return result


def _scalar(value: Any) -> Tensor:
    return value.detach() if isinstance(value, Tensor) else torch.tensor(float(value))


def _without_split(name: str) -> str:
    """Returns ``acc`` for ``val_acc``: rk adds the split."""
    return re.sub(r"^(val|valid|validation|test)[_/]", "", name)


_EITHER = (("logits", "values"), ("values", "logits"))


class LightningTrainer:
    """Trains a LightningModule in rk's loop: ``training_step``, ``configure_optimizers`` and the hooks around them.

    Runs, checkpoints, resuming, several devices, reports and exports are rk's. What ``training_step`` logs is averaged
    over ``fit.log_every`` steps, metric objects batch by batch. What ``validation_step`` logs is measured over each
    split, as ``val/acc`` for ``val_acc``; metric objects are computed at its end and reset. Not supported: manual
    optimization, several optimizers at once, plateau schedulers, and all that a module asks of a Lightning `Trainer`.

    Args:
        fields: Batch fields, as the module unpacks its batch: ``x, y = batch``. The first is what it answers from, by
            ``predict_step``, else ``forward``.

    Examples:
        trainer: {name: lightning-module, fields: [inputs, targets]}
    """

    def __init__(self, fields: Annotated[tuple[str, ...], Len(1)] = ("inputs", "targets")) -> None:
        self.fields = fields

    def setup(self, *, model: TrainsItself, runtime: Runtime) -> LightningLearner:
        if not isinstance(model, nn.Module):
            raise RunFailed(f"{type(model).__name__} must be an nn.Module")
        if not getattr(model, "automatic_optimization", True):
            raise UserError(f"{type(model).__name__} uses manual optimization, which lightning-module cannot run")
        self.module: nn.Module = model
        self.learner = LightningLearner(model, self.fields)
        self.runtime = runtime
        self.objective = runtime.setup(self.learner)
        self.scheduler: torch.optim.lr_scheduler.LRScheduler | None = None
        self.optimizers: list[torch.optim.Optimizer] = []
        if runtime.training:
            optimizer, self.scheduler = _configured(model)
            made = runtime.optimizer(_Made(optimizer), optimizer.param_groups)
            self.optimizers = [] if made is None else [made]
            _call(model, "on_fit_start")
            _call(model, "on_train_start")
        return self.learner

    def step(self, batch: Batch) -> dict[str, Tensor]:
        learner, runtime = self.learner, self.runtime
        given = tuple(batch[name] for name in self.fields)
        _call(self.module, "on_train_batch_start", given, learner.batches)
        logs = runtime.backward(self.objective(batch))
        _call(self.module, "on_after_backward")
        runtime.update(*self.optimizers)
        learner.batches += 1
        if self.scheduler is not None and runtime.micro_batch == runtime.accumulate - 1:
            self.scheduler.step()
        _call(self.module, "on_train_batch_end", logs, given, learner.batches - 1)
        return {**{k: v for k, v in learner.taken().items() if v.numel() == 1}, **logs}

    def finish(self) -> None:
        _call(self.module, "on_train_end")
        _call(self.module, "on_fit_end")

    def state_dict(self) -> State:
        state: State = {"batches": self.learner.batches}
        return state if self.scheduler is None else {**state, "scheduler": self.scheduler.state_dict()}

    def load_state_dict(self, state: State) -> None:
        self.learner.batches = state["batches"]
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])


class _Made:
    """The factory of an existing optimizer; its scheduler is the module's own."""

    schedule: Schedule | None = None

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer = optimizer

    def __call__(self, params: object) -> torch.optim.Optimizer:
        return self.optimizer


def _configured(module: nn.Module) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler | None]:
    """Returns the optimizer and its scheduler, if any.

    Takes the forms of ``configure_optimizers`` with one optimizer: itself, a list, a pair of lists, a dict.
    """
    configure: Callable[[], Any] = getattr(module, CONFIGURE)  # Any: any of its forms
    found = configure()
    name = f"{type(module).__name__}.configure_optimizers"
    scheduler: Any = None
    if isinstance(found, tuple) and len(found) == 2 and isinstance(found[0], list | tuple):
        found, schedulers = found
        scheduler = schedulers[0] if schedulers else None
    if isinstance(found, list | tuple):
        if len(found) != 1:
            raise UserError(f"{name} returns {len(found)} optimizers; lightning-module takes one")
        found = found[0]
    if isinstance(found, dict):
        found, scheduler = found["optimizer"], found.get("lr_scheduler")
    if not isinstance(found, torch.optim.Optimizer):
        raise UserError(f"{name} returns {type(found).__name__}, not an optimizer")
    settings = scheduler if isinstance(scheduler, dict) else {"scheduler": scheduler}
    scheduler = settings["scheduler"]
    if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
        raise UserError(f"{name} returns a ReduceLROnPlateau, which lightning-module cannot step")
    if scheduler is not None and settings.get("interval", "epoch") != "step":
        raise UserError(
            f"{name} returns a scheduler that steps once an epoch; rk counts steps",
            'return {"scheduler": ..., "interval": "step"}',
        )
    return found, scheduler


def _of(module: nn.Module, *names: str) -> Callable[..., Any]:
    """Returns the first of these methods that the module's author has written."""
    for name in names:
        found = getattr(type(module), name, None)
        if found is not None and not found.__module__.startswith(("lightning.", "pytorch_lightning.", "torch.")):
            method: Callable[..., Any] = getattr(module, name)  # Any: the module's author decides
            return method
    raise UserError(f"{type(module).__name__} has none of: {', '.join(names)}")


def _call(module: nn.Module, name: str, *args: object) -> None:
    if (method := getattr(module, name, None)) is not None:
        method(*args)

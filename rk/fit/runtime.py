"""The runtime: devices, gradients and updates, the one place where a gradient is normalised.

A trainer calls `setup` and `optimizer` once, then `backward` and `update` for each micro-batch. It never sees
accumulation: `update` waits for the last micro-batch of a step. It need not know of other processes either
(`rk.fit.fabric`), if all that it learns goes through `update`, or through `gather`.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypedDict

import torch
from torch import Tensor, nn

from rk.capabilities import (
    HasBatches,
    SupportsLoadStateDict,
    SupportsModes,
    SupportsMonitored,
    SupportsStateDict,
    supports,
)
from rk.catalog import Catalog
from rk.errors import RunFailed, UserError, suggest
from rk.fit.returns import check_optimizer, check_rate
from rk.fit.signals import StopSignal
from rk.fit.terms import LOSS, split_terms, with_loss
from rk.protocols import Batch, Objective, Optimizer, Outputs, Schedule, State
from rk.recipe.sections import Fit

Count = Tensor | int | float
"""The count of a sum: a number on the host, or one on a device, which is not waited for."""
_MOST_MICRO_BATCHES = 100_000
"""Of one step: if the loss still counts too few targets, it counts none."""
NO_WEIGHT_DECAY = "no_weight_decay"
"""The attribute of a parameter that says, where it is True, that the parameter must not decay."""

LR_SCALE = "lr_scale"
"""The attribute of a parameter with the factor of its learning rate."""


@dataclass
class Managed:
    """An optimizer with what belongs to it.

    Attributes:
        name: What its state is stored under.
        length: Updates that its schedule is stretched over; None: the steps of the run.
        updates: Updates that it has made.
        counts: What its gradients, not yet normalised, are sums over.
        counted: The objectives that `counts` already has.
    """

    name: str
    optimizer: torch.optim.Optimizer
    schedule: Schedule | None
    base_rates: list[float]
    params: list[Tensor]
    length: int | None = None
    updates: int = 0
    counts: dict[str, Count] = field(default_factory=dict)
    counted: dict[str, Count] | None = None

    @property
    def shown(self) -> int:
        """The group whose learning rate is logged: the first that is not scaled, else the first."""
        groups = self.optimizer.param_groups
        return next((i for i, group in enumerate(groups) if group.get(LR_SCALE, 1.0) == 1.0), 0)


class Settings(TypedDict, total=False):
    """The settings of a runtime in a recipe; see `Runtime`."""

    accumulate: int
    accumulate_targets: int | None
    gradient_clip: float | None
    folder: Path
    compiled: bool


class Runtime:
    """One process, one device.

    Args:
        device: Where the learner lives.
        training: False when a run is only loaded again: optimizers are then not made.
        accumulate: Micro-batches per step.
        accumulate_targets: In its place, the targets that the loss counts in a step, over all processes.
        gradient_clip: Largest L2 norm of the gradient; None clips nothing.
        total_steps: Updates of the whole run, for schedules; None when it is not known.
        folder: The run folder, where a trainer may leave files of its own.
        precision: What answers are computed in, `fit.precision`.
        compiled: Whether `setup` compiles what it returns.

    Attributes:
        rank: Number of this process.
        world: How many processes there are.
        is_main: Whether this process writes files.
        step: Steps that are done; None in `setup` and outside of the loop.
        catalog: The installed components, of a run that trains.
        signal: What watches for Ctrl-C while it trains.
        trained_inside: Whether the run has trained others (`rk.training.train_inside`).
    """

    rank = 0
    world = 1
    is_main = True
    step: int | None = None
    catalog: Catalog | None = None
    signal: StopSignal | None = None
    trained_inside = False
    same_forward_everywhere = False
    """Whether all processes must call the learner equally often."""

    def __init__(
        self,
        device: torch.device | str = "cpu",
        *,
        training: bool = True,
        accumulate: int = 1,
        accumulate_targets: int | None = None,
        gradient_clip: float | None = None,
        total_steps: int | None = None,
        folder: Path | None = None,
        precision: str = "32-true",
        compiled: bool = False,
    ) -> None:
        self.device = torch.device(device)
        self.training = training
        self.accumulate = accumulate
        self.accumulate_targets = accumulate_targets
        self.compiled = compiled
        # Whether gradients are those of sums, and divided at the update
        self._sums = accumulate > 1 or accumulate_targets is not None
        self.gradient_clip = gradient_clip
        self.total_steps = total_steps
        self.folder = folder
        self.precision = precision
        self.micro_batch = 0
        self._full: bool | None = None  # with `accumulate_targets`: whether the micro-batch is the last one of its step
        self.answers_with: list[Callable[[], Callable[[], None]]] = []
        self.before_clip: list[Callable[[dict[str, Tensor]], None]] = []
        self.before_update: list[Callable[[list[Tensor]], None]] = []
        self.names: dict[int, str] = {}  # of the learner's parameters, by their ids
        self._managed: list[Managed] = []
        self._of: dict[int, Managed] = {}  # by the optimizer's id
        self._stored_schedules: dict[str, State] = {}  # as `_stored`
        self._stored: dict[str, tuple[State, int]] = {}  # of optimizers that are yet to be made again, by name
        self._pending: dict[str, Count] = {}  # counts of the objectives since the last update
        self._pending_taken = False
        self._direct: str | None = None  # the term whose gradients are added up in the parameters themselves
        self._term_gradients: dict[str, dict[int, Tensor]] = {}  # of the others: term -> parameter's id -> gradient

    # -- what trainers call ----------------------------------------------------------------------------------------

    def setup(self, module: nn.Module) -> nn.Module:
        """Moves `module` to the device and returns what to call in its place for an objective."""
        return self._compiled(module.to(self.device))

    def _compiled(self, module: nn.Module) -> nn.Module:
        """Compiles calls of `module` in place: the names of its weights stay."""
        if self.compiled and self.training:
            module.compile()
        return module

    def optimizer(
        self, factory: Optimizer, params: Iterable[Any], name: str | None = None, updates: int | None = None
    ) -> torch.optim.Optimizer | None:
        """Builds an optimizer over `params`; None when nothing is trained.

        In a step, an optimizer must have a name: a resumed run makes it again, and its state is found by that name. A
        name that is used again replaces the earlier optimizer, from the start.

        Args:
            factory: What makes it.
            params: Tensors, or parameter groups. Of tensors, those whose ``no_weight_decay`` is True do not decay, and
                the learning rate of those that have an ``lr_scale`` is multiplied by it.
            name: What its state is stored under; in `setup`, the number of optimizers made so far by default.
            updates: Updates that its schedule is stretched over, counted from its own first one. By default the
                schedule follows the steps of the run, however many updates a step makes.

        Raises:
            UserError: When a step makes an optimizer without a name.
            RunFailed: When the checkpoint's optimizer of that name had other parameters.
        """
        if not self.training:
            return None
        if name is None:
            if self.step is not None:
                raise UserError(
                    "an optimizer that is made in a step must have a name, by which a resumed run finds its state",
                    'runtime.optimizer(factory, params, name="layer-2")',
                )
            name = str(len(self._managed))
        optimizer = check_optimizer(factory, factory(_grouped(list(params))))
        if supports(optimizer, SupportsModes):
            optimizer.train()
        groups = optimizer.param_groups
        for group in groups:
            group["lr"] = group["lr"] * group.get("lr_scale", 1.0)
        flat = [p for group in groups for p in group["params"]]
        managed = Managed(name, optimizer, factory.schedule, [g["lr"] for g in groups], flat, updates)
        self._forget(name)
        self._managed.append(managed)
        self._of[id(optimizer)] = managed
        if name in self._stored:
            self._restore(managed, *self._stored.pop(name))
        return optimizer

    def _forget(self, name: str) -> None:
        for managed in [m for m in self._managed if m.name == name]:
            self._managed.remove(managed)
            del self._of[id(managed.optimizer)]

    def backward(self, objective: Objective) -> dict[str, Tensor]:
        """Adds the gradient of the objective, each term a mean over its global count.

        Args:
            objective: ``(total, count)``, or named terms of that form, which are normalised each by its own count and
                then added. A third member is the weight of the term in that sum: ``(total, count, 0.1)``.

        Returns:
            ``loss``, the weighted sum, and, if there are several, the terms without their weights: detached scalars.
        """
        if not self._sums and not isinstance(objective, dict) and len(objective) == 2:  # the common case: no dicts
            total, count = objective
            weight = _reciprocal(total, count)
            self._differentiate([total], [weight])
            return {LOSS: total.detach() * weight}
        terms, factors = split_terms(objective)
        scales = {name: _reciprocal(total, count) for name, (total, count) in terms.items()}
        if not self._sums:
            weights = [scale * factors[name] if name in factors else scale for name, scale in scales.items()]
            self._differentiate([total for total, _ in terms.values()], weights)
        else:
            self._accumulate({n: (t * factors[n] if n in factors else t, count) for n, (t, count) in terms.items()})
        return with_loss({name: total.detach() * scales[name] for name, (total, _) in terms.items()}, factors)

    def optimizers(
        self, factories: Optimizer | Mapping[str, Optimizer], module: nn.Module
    ) -> list[torch.optim.Optimizer]:
        """Makes one optimizer, or one for each pattern of names: ``{"embedding.*": sparse, "*": dense}``.

        Args:
            factories: What makes the optimizer of all parameters. Or pattern -> what makes that of the parameters that
                no pattern before it matches; a pattern may leave out the learner's ``model.``.
            module: Whose parameters are trained.

        Returns:
            The optimizers, for one call of `update`; nothing when nothing is trained.

        Raises:
            UserError: When a pattern matches nothing, or a parameter that is trained has no pattern.
        """
        if not isinstance(factories, Mapping):
            one = self.optimizer(factories, module.parameters())
            return [] if one is None else [one]
        parts: dict[str, list[Tensor]] = {pattern: [] for pattern in factories}
        names = dict(module.named_parameters())
        for name, parameter in names.items():
            short = name.removeprefix("model.")
            found = next((p for p in factories if fnmatchcase(name, p) or fnmatchcase(short, p)), None)
            if found is not None:
                parts[found].append(parameter)
            elif parameter.requires_grad:
                raise UserError(
                    f"no optimizer is for the parameter {name}", "a last pattern '*' takes all that are left"
                )
        for pattern, chosen in parts.items():
            if not chosen:
                raise UserError(f"the optimizer of {pattern!r} has no parameter", suggest(pattern, names, "there are"))
        made = [self.optimizer(factories[pattern], chosen, name=pattern) for pattern, chosen in parts.items()]
        return [optimizer for optimizer in made if optimizer is not None]

    def update(self, *optimizers: torch.optim.Optimizer, whole: bool = False) -> None:
        """Ends a micro-batch; at the last one: normalise, `before_clip`, clip, `before_update`, schedule, step.

        Args:
            optimizers: Those that this runtime has made and that learn in this step: most often one. The norm that is
                clipped is over the parameters of all of them.
            whole: Updates at once, whatever `fit.accumulate` is: for the inner loop of a step, each of whose batches
                is whole.

        Raises:
            UserError: When gradients are sparse and the optimizer, or clipping, takes none.
        """
        managed = [self._of[id(optimizer)] for optimizer in optimizers]
        if self._sums:
            for each in managed:
                self._count(each)
            if not whole and not self._is_last(managed):
                return
            for each in managed:
                self._normalise(each)
        self._unscale(managed)
        params = managed[0].params if len(managed) == 1 else [p for each in managed for p in each.params]
        for before_clip in self.before_clip:
            before_clip(self._named(params))
        if self.gradient_clip is not None:
            try:
                nn.utils.clip_grad_norm_(params, self.gradient_clip)
            except (RuntimeError, NotImplementedError) as error:
                raise _about_sparse(params, "fit.gradient_clip", "~fit.gradient_clip", error) from error
        for before_update in self.before_update:
            before_update(params)
        for each in managed:
            self._make_update(each)
        self._updated()

    def _make_update(self, managed: Managed) -> None:
        if managed.schedule is not None:
            self._set_rates(managed, managed.schedule)
        try:
            self._step(managed.optimizer)
        except (RuntimeError, NotImplementedError) as error:
            what = f"the optimizer {type(managed.optimizer).__name__}"
            hint = "sparse-adam, sgd without weight_decay, and adagrad take them; or make the embedding's dense"
            raise _about_sparse(managed.params, what, hint, error) from error
        managed.optimizer.zero_grad()
        managed.updates += 1

    def _unscale(self, managed: list[Managed]) -> None:
        """Takes the scale of the loss out of the gradients, where it has one."""

    def _step(self, optimizer: torch.optim.Optimizer) -> None:
        optimizer.step()

    def _updated(self) -> None:
        """Ends an update: the scale of the loss is adapted, where it has one."""

    def _named(self, params: list[Tensor]) -> dict[str, Tensor]:
        return {self.names.get(id(p), f"parameter {i}"): p for i, p in enumerate(params)}

    def _set_rates(self, managed: Managed, schedule: Schedule) -> None:
        total: int | None
        if managed.length is not None:
            at, total = min(managed.updates, managed.length - 1), managed.length
        else:
            at, total = managed.updates if self.step is None else self.step, self.total_steps
        for group, rate in zip(managed.optimizer.param_groups, managed.base_rates, strict=True):
            group["lr"] = schedule(rate, at, total)
            if managed.updates == 0:
                check_rate(schedule, group["lr"])

    def batches(self, data: HasBatches, split: str, limit: int | None = None) -> Iterator[Batch]:
        """Yields the batches of one pass over a split, on this runtime's device: for `begin`, which may look at data.

        Args:
            data: The task.
            split: One of its splits.
            limit: The most batches to yield; required for a split without an end.

        Raises:
            UserError: When there is no such split, or the split has no end and there is no limit.
        """
        from rk.fit.stream import to_device

        if split not in data.splits:
            raise UserError(f"the data has no split {split!r}", suggest(split, data.splits, "splits"))
        total = data.batches(split)
        if total is None and limit is None:
            raise UserError(f"the split {split} has no end", "give the number of batches to take")
        for i in range(min(n for n in (total, limit) if n is not None)):
            yield to_device(data.batch(split, i), self.device)

    def monitored(self, value: float, maximise: bool) -> None:
        """Gives the value of `fit.monitor` of a validation to the schedules that take it, each once."""
        schedules = {id(m.schedule): m.schedule for m in self._managed}
        for schedule in schedules.values():
            if supports(schedule, SupportsMonitored):
                schedule.monitored(value, maximise)

    def gather(self, value: Tensor) -> Tensor:
        """Returns the sum of `value` over all processes, on each of them: what a rule without gradients learns from."""
        return value

    # -- what the loop calls: with one process, there is nothing to agree on -------------------------------------------

    def agree(self, number: int) -> int:
        """Returns the largest `number` of all processes."""
        return number

    def mean_of(self, numbers: dict[str, float]) -> dict[str, float]:
        """Returns the mean of each number over the processes that have it."""
        return numbers

    def collect(self, value: object) -> list[Any]:
        """Returns the values of all processes, in their order."""
        return [value]

    def barrier(self) -> None:
        """Waits for all processes."""

    def share_buffers(self, learner: nn.Module) -> None:
        """Gives all processes the buffers (running statistics) of the first one."""

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """Returns the context of the precision in which answers are computed."""
        if self.precision == "bf16-mixed":
            return torch.autocast(self.device.type, torch.bfloat16)
        if self.precision == "16-mixed" and self.device.type != "cpu":
            return torch.autocast(self.device.type, torch.float16)
        return contextlib.nullcontext()

    def answering(self, learner: nn.Module, function: Callable[[Batch], Outputs]) -> Callable[[Batch], Outputs]:
        """Returns `function`, which reads weights of `learner`, as what may be called outside of its methods."""
        return function

    def micro_batches(self) -> Iterable[int]:
        """Yields the numbers of the micro-batches of one step."""
        return range(self.accumulate) if self.accumulate_targets is None else self._until_full()

    def _until_full(self) -> Iterator[int]:
        for number in range(_MOST_MICRO_BATCHES):
            self._full = None
            yield number
            if self._full is not False:  # a trainer that makes no update takes micro-batches as they come
                return
        raise RunFailed(
            f"{_MOST_MICRO_BATCHES} micro-batches have not {self.accumulate_targets} targets: fit.accumulate_targets"
        )

    def _is_last(self, managed: list[Managed]) -> bool:
        """Whether the micro-batch ends its step; with several updates in a micro-batch, the first one decides."""
        if self.accumulate_targets is None:
            return self.micro_batch >= self.accumulate - 1
        if self._full is None:
            counts = [count for each in managed for count in self._over_all(each.counts).values()]
            self._full = not counts or max(map(float, counts)) >= self.accumulate_targets
        return self._full

    def put_answers(self) -> Callable[[], None] | None:
        """Puts the weights that answer in the place of those that are trained, where they differ: averages.

        They differ where an optimizer has the modes ``train()`` and ``eval()``, as schedule-free ones do, and where
        `answers_with` has a function that puts others there and returns what takes them back.

        Returns:
            What puts the trained weights back, bit-equal; None where they are the same.
        """
        modes = [(m, m.optimizer) for m in self._managed if supports(m.optimizer, SupportsModes)]
        if not modes and not self.answers_with:
            return None
        trained = [(p, p.detach().clone()) for m, _ in modes for p in m.params]
        for _, optimizer in modes:
            optimizer.eval()
        back = [put() for put in self.answers_with]

        def put_back() -> None:
            for each in reversed(back):
                each()
            for _, optimizer in modes:
                optimizer.train()
            with torch.no_grad():
                for p, value in trained:  # the modes' own arithmetic rounds
                    p.copy_(value)

        return put_back

    @contextlib.contextmanager
    def answering_weights(self) -> Iterator[bool]:
        """Within it, the learner has the weights that answer; yields whether they differ from the trained ones."""
        put_back = self.put_answers()
        try:
            yield put_back is not None
        finally:
            if put_back is not None:
                put_back()

    def check_step(self, trainer: str) -> None:
        """Raises `UserError` when a step has shared nothing with the other processes."""

    def weights(self, learner: nn.Module) -> dict[str, Tensor]:
        """Returns all that is learned, whole tensors by their names: what files hold."""
        return learner.state_dict()

    def check_equal(self, learner: nn.Module) -> None:
        """Raises `RunFailed` when the processes have come to hold different weights."""

    # -- gradients -------------------------------------------------------------------------------------------------

    def _differentiate(self, totals: list[Tensor], weights: list[Tensor]) -> None:
        """Adds the gradient of the weighted sum of `totals`."""
        torch.autograd.backward(totals, weights)

    def _gradients(self, total: Tensor, params: list[Tensor], retain_graph: bool) -> Sequence[Tensor | None]:
        """Returns the gradient of `total` alone."""
        return torch.autograd.grad(total, params, retain_graph=retain_graph, allow_unused=True)

    # -- accumulation ----------------------------------------------------------------------------------------------

    def _accumulate(self, terms: dict[str, tuple[Tensor, Tensor | int]]) -> None:
        """Adds gradients of sums: what they are divided by is known only when the last micro-batch has been counted."""
        if self._pending_taken:
            self._pending, self._pending_taken = {}, False
        for name, (_, count) in terms.items():
            self._pending[name] = self._pending.get(name, 0) + count
        if len(terms) == 1:
            ((name, (total, _)),) = terms.items()
            if self._direct in (None, name):
                self._direct = name
                self._differentiate([total], [_constant(1.0, total.dtype, total.device)])
                return
        # Terms with separate counts: their gradients must stay apart until each can be divided.
        params = [p for m in self._managed for p in m.params if p.requires_grad]
        for position, (name, (total, _)) in enumerate(terms.items()):
            found = self._gradients(total, params, retain_graph=position < len(terms) - 1)
            held = self._term_gradients.setdefault(name, {})
            for p, gradient in zip(params, found, strict=True):
                if gradient is not None:
                    held[id(p)] = gradient if id(p) not in held else held[id(p)].add_(gradient)

    def _count(self, managed: Managed) -> None:
        """Adds the counts since the last update; objectives of two optimizers are counted for both."""
        if managed.counted is not self._pending:
            for name, count in self._pending.items():
                managed.counts[name] = managed.counts.get(name, 0) + count
            managed.counted, self._pending_taken = self._pending, True

    def _normalise(self, managed: Managed) -> None:
        counts, managed.counts = self._over_all(managed.counts), {}
        apart = [name for name in counts if name in self._term_gradients]  # in one order in all processes
        direct = self._direct if self._direct in counts else next((n for n in counts if n not in apart), None)
        if direct is not None:
            self._sum_gradients(managed.params)
            count = counts[direct]
            scale = 1 / max(count, 1) if isinstance(count, int | float) else 1 / count.clamp(min=1)
            for p in managed.params:
                if p.grad is not None:
                    p.grad.mul_(scale)
        for name in apart:
            held = self._term_gradients[name]
            found = self._sum_over_all([held.pop(id(p), None) for p in managed.params], managed.params)
            for p, gradient in zip(managed.params, found, strict=True):
                if gradient is not None:
                    share = gradient / max(counts[name], 1)
                    p.grad = share if p.grad is None else p.grad.add_(share)

    def _over_all(self, counts: dict[str, Count]) -> dict[str, Count]:
        """Returns the counts of all processes together."""
        return counts

    def _sum_gradients(self, params: list[Tensor]) -> None:
        """Sums the gradients over all processes."""

    def _sum_over_all(self, gradients: list[Tensor | None], params: list[Tensor]) -> list[Tensor | None]:
        """Returns the sums over all processes; None where none of them has a gradient."""
        return gradients

    # -- state -----------------------------------------------------------------------------------------------------

    def made_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Returns the optimizers that there are, by the names that their states are stored under."""
        return {managed.name: managed.optimizer for managed in self._managed}

    def rates(self) -> dict[str, float]:
        """Returns the learning rate of each optimizer's first group that is not scaled."""
        many = len(self._managed) > 1
        return {f"lr/{m.name}" if many else "lr": m.optimizer.param_groups[m.shown]["lr"] for m in self._managed}

    def rates_for(self, total_steps: int | None, step: int) -> dict[str, float]:
        """Returns the rate of each optimizer at `step` of a run of `total_steps`, named as in `rates`.

        Optimizers whose schedules have their own length are left out.
        """
        many = len(self._managed) > 1
        return {
            f"lr/{m.name}" if many else "lr": m.schedule(m.base_rates[m.shown], step, total_steps)
            for m in self._managed
            if m.schedule is not None and m.length is None
        }

    def state_dict(self) -> State:
        """Returns the state of every optimizer by its name, of those too that this run has not yet made again."""
        now = {m.name: (m.optimizer.state_dict(), m.updates) for m in self._managed}
        found = self._stored | now
        schedules = dict(self._stored_schedules)
        for managed in self._managed:
            if supports(managed.schedule, SupportsStateDict):
                schedules[managed.name] = managed.schedule.state_dict()
        return {
            "optimizers": {name: state for name, (state, _) in found.items()},
            "updates": {name: updates for name, (_, updates) in found.items()},
            "schedules": schedules,
        }

    def load_state_dict(self, state: State) -> None:
        """Takes `state_dict`'s result back; optimizers that a step makes take theirs when they are made.

        Raises:
            RunFailed: When the checkpoint has nothing for an optimizer, or one of other parameters.
        """
        optimizers, updates = state["optimizers"], state["updates"]
        if isinstance(optimizers, list):  # checkpoints of version 0.1 have them in the order of their making
            optimizers = {str(i): one for i, one in enumerate(optimizers)}
            updates = {str(i): one for i, one in enumerate(updates)}
        self._stored = {name: (optimizers[name], updates[name]) for name in optimizers}
        self._stored_schedules = dict(state.get("schedules", {}))
        for managed in self._managed:
            if managed.name not in self._stored:
                raise RunFailed(
                    f"the checkpoint has no state of the optimizer {managed.name!r}",
                    suggest(managed.name, self._stored, "it has"),
                )
            self._restore(managed, *self._stored.pop(managed.name))

    def _restore(self, managed: Managed, state: State, updates: int) -> None:
        try:
            managed.optimizer.load_state_dict(state)
        except ValueError as error:
            raise RunFailed(f"the checkpoint's optimizer {managed.name!r} had other parameters: {error}") from None
        managed.updates = updates
        if managed.name in self._stored_schedules and supports(managed.schedule, SupportsLoadStateDict):
            managed.schedule.load_state_dict(self._stored_schedules.pop(managed.name))


def _about_sparse(params: list[Tensor], what: str, hint: str, error: Exception) -> Exception:
    """Returns what to raise in place of torch's own error: a `UserError` where a gradient is sparse."""
    if not any(p.grad is not None and p.grad.layout != torch.strided for p in params):
        return error
    reason = " ".join(str(error).split(". ")[0].split())
    return UserError(f"{what} cannot take sparse gradients: {reason[:200]}", hint)


def _grouped(params: list[Any]) -> list[Any]:
    """Returns `params`; in groups, where some are marked with ``no_weight_decay`` or ``lr_scale``."""
    groups: dict[tuple[bool, float], list[Any]] = {}
    for p in params:
        key = bool(getattr(p, NO_WEIGHT_DECAY, False)), _scale_of(p)
        groups.setdefault(key, []).append(p)
    if groups.keys() <= {(False, 1.0)}:
        return params
    return [
        {"params": found, **({"weight_decay": 0.0} if undecayed else {}), **({"lr_scale": scale} if scale != 1 else {})}
        for (undecayed, scale), found in sorted(groups.items(), key=lambda item: item[0])
    ]


def _scale_of(parameter: Any) -> float:
    """Returns a parameter's ``lr_scale``. Raises `RunFailed` where it is not a factor of a learning rate."""
    scale = getattr(parameter, LR_SCALE, 1.0)
    if not isinstance(scale, int | float) or not 0 <= scale < math.inf:
        raise RunFailed(
            f"lr_scale of a parameter of shape {tuple(parameter.shape)} must be a number >= 0, got {scale!r}",
            "weight.lr_scale = 0.1, where the model makes the weight",
        )
    return float(scale)


def _reciprocal(total: Tensor, count: Tensor | int) -> Tensor:
    """Returns 1 / count in the dtype and on the device of `total`; an empty count divides by one."""
    if isinstance(count, int):
        return _constant(1 / max(count, 1), total.dtype, total.device)
    weight = count.clamp(min=1).reciprocal()
    return weight if weight.dtype == total.dtype else weight.to(total.dtype)


@functools.lru_cache(maxsize=64)
def _constant(value: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(value, dtype=dtype, device=device)


def processes_here(fit: Fit) -> int:
    """Returns the processes of this machine; `rk.fit.train` has put their number in the place of ``auto``."""
    return 1 if fit.devices == "auto" else fit.devices


def choose_device(accelerator: str) -> torch.device:
    """Returns the device for `fit.accelerator`. Raises `UserError` when it is not there."""
    if accelerator == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if accelerator == "cuda" and not torch.cuda.is_available():
        raise UserError("fit.accelerator is cuda, but torch finds no GPU", "fit.accelerator=cpu")
    return torch.device(accelerator)

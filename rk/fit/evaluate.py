"""Evaluating a learner on a split, without changing it."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from rk.binding import Bound
from rk.blame import who
from rk.capabilities import (
    HasBatches,
    SupportsCompute,
    SupportsEvaluate,
    SupportsMerge,
    SupportsPredict,
    SupportsReset,
    SupportsTakeMeasured,
    SupportsTo,
    SupportsUpdate,
    SupportsVariants,
    supports,
)
from rk.errors import RunFailed, UserError
from rk.fit.returns import (
    check_batch,
    check_batches,
    check_number,
    check_objective,
    check_outputs,
    check_share,
    wrong,
)
from rk.fit.rng import forked, seed_all
from rk.fit.runtime import Runtime
from rk.fit.stream import to_device
from rk.fit.terms import LOSS, split_terms, with_loss
from rk.protocols import Batch, Objective, Outputs
from rk.values import Field, Part

MetricState: TypeAlias = Any
"""What a metric has measured so far: a total and a count, or the plugin's object itself."""

Each = Callable[[int, Batch, Outputs], None]
"""Called with the index, the batch and the outputs of a batch."""


class Mean:
    """Sums ``(total, count)`` pairs on their device."""

    def __init__(self) -> None:
        self.total: Tensor | float = 0.0
        self.count: Tensor | int = 0

    def add(self, total: Tensor, count: Tensor | int) -> None:
        self.total = self.total + total.detach()
        self.count = self.count + count

    @property
    def state(self) -> tuple[float, int]:
        return float(self.total), int(self.count)

    @classmethod
    def of(cls, states: Iterable[tuple[float, int]]) -> Mean:
        """Returns the mean of several processes' sums."""
        mean = cls()
        for total, count in states:
            mean.total, mean.count = mean.total + total, mean.count + count
        return mean

    def compute(self) -> float:
        """Returns the mean; NaN over nothing."""
        count = int(self.count)
        return float(self.total) / count if count else float("nan")


class Measured:
    """One metric over one split: a callable's shares are summed, an object is updated.

    An object may keep tensors. One that can be moved, as those of torchmetrics can, is moved to the learner's device;
    any other is given fields on the host, where what it has made itself is.
    """

    def __init__(self, metric: Part, device: torch.device) -> None:
        made = metric() if isinstance(metric, type) else metric
        self.object: SupportsUpdate | None = None
        self.mean = Mean()
        self.on_host = False
        if supports(made, SupportsUpdate):
            if supports(made, SupportsReset):
                made.reset()
            if supports(made, SupportsTo):
                made = made.to(device) or made
            else:
                self.on_host = device.type != "cpu"
            self.object = made
            self.call = Bound(made.update)
        else:
            self.call = Bound(made)
        self.metric: Part = made

    @property
    def can_merge(self) -> bool:
        return self.object is None or supports(self.object, SupportsMerge)

    @property
    def state(self) -> MetricState:
        """The state that other processes need, on the host."""
        if self.object is None:
            return self.mean.state
        return (self.object.to("cpu") or self.object) if supports(self.object, SupportsTo) else self.object

    def take(self, states: Sequence[MetricState]) -> None:
        """Takes what all processes have measured, this one too, in place of its own."""
        if self.object is None:
            self.mean = Mean.of(states)
            return
        first, *others = states
        for other in others:
            first.merge(other)
        self.object = first

    def add(self, fields: Batch) -> None:
        if self.on_host:
            fields = {name: _to_host(fields[name]) for name in self.call.names if name in fields}
        result = self.call(fields)
        if self.object is None:
            try:
                self.mean.add(*result)
            except Exception:
                check_share(self.metric, result)
                raise

    def compute(self) -> float:
        if self.object is None:
            return self.mean.compute()
        if not supports(self.object, SupportsCompute):
            raise RunFailed(f"{who(self.metric)}: it has update(), and no compute()")
        return check_number(self.metric, self.object.compute())


def _to_host(value: Field) -> Field:
    return value.cpu() if isinstance(value, Tensor) else value


def widened(outputs: Outputs) -> Outputs:
    """Returns outputs with those of 16 bits in 32: metrics and figures are not computed in less."""
    return {
        name: value.float() if isinstance(value, Tensor) and value.dtype in (torch.bfloat16, torch.float16) else value
        for name, value in outputs.items()
    }


def higher_is_better(metric: Part) -> bool:
    """Returns the metric's `higher_is_better`; True where it has none."""
    return bool(getattr(metric, "higher_is_better", True))


@contextlib.contextmanager
def evaluating(learner: nn.Module, seed: int) -> Iterator[None]:
    """Puts every module into eval mode, without gradients, under separate generators; restores all of it."""
    modes = [(module, module.training) for module in learner.modules()]
    learner.eval()
    try:
        with torch.no_grad(), forked(seed):
            yield
    finally:
        for module, training in modes:
            module.training = training


def has_objective(learner: nn.Module) -> bool:
    """Whether the learner defines ``forward`` itself."""
    return type(learner).forward is not nn.Module.forward


def refuse_empty_splits(data: HasBatches) -> None:
    """Raises `UserError` for data that has no examples to train on, to validate or to test."""
    for split in getattr(data, "splits", ()):
        if split.startswith(("train", "val", "test")) and data.batches(split) == 0:
            raise _empty(split)


def _empty(split: str) -> UserError:
    return UserError(f"the split {split} has no examples", "give more data, or change how data is split")


def split_batches(data: HasBatches, split: str, limit: int | None) -> int:
    """Returns how many batches of `split` are taken.

    Raises:
        UserError: For a split without examples, or an endless one without a limit.
    """
    total = check_batches(data, split)
    if total == 0:
        raise _empty(split)
    if total is None and limit is None:
        raise UserError(f"the split {split} has no end", "give fit.validate_batches")
    return min(n for n in (total, limit) if n is not None)


def evaluate(
    learner: nn.Module,
    data: HasBatches,
    split: str,
    metrics: Mapping[str, Part],
    runtime: Runtime,
    *,
    seed: int = 0,
    limit: int | None = None,
    each: Each | None = None,
    variants: Mapping[str, Callable[[Batch], Outputs]] | None = None,
) -> dict[str, float]:
    """Evaluates `learner` on a split.

    Args:
        learner: The learner. One that measures by itself has ``take_measured(runtime, shared)``: it returns what it
            has measured since the last call, over all processes where they `shared` the batches, and resets it.
        data: Where the batches come from.
        split: The split.
        metrics: Metric name -> function, class or object.
        runtime: Where the learner lives; several processes share the batches, where all metrics can be merged.
        seed: Seeds what is random in each batch's answer, so that it repeats.
        limit: The most batches to take.
        each: Called with the index, the batch and the outputs of each batch that this process takes.
        variants: What else answers each batch, by name, beside the learner's own variants.

    Returns:
        ``split/metric`` -> number; ``split/loss`` where the learner has an objective.
    """
    answers: dict[str, Callable[[Batch], Outputs] | None] = {"": None}
    beside = {**(learner.variants() if supports(learner, SupportsVariants) else {}), **(variants or {})}
    answers |= {name: runtime.answering(learner, one) for name, one in beside.items()}
    measured = {
        (variant, name): Measured(metric if not variant or isinstance(metric, type) else copy.deepcopy(metric), device)
        for device in (runtime.device,)
        for variant in answers  # each with an object of its own: the plain one is not to take a variant's answers
        for name, metric in metrics.items()
    }
    losses: dict[str, Mean] = {}
    weights: dict[str, float] = {}
    shared = runtime.world > 1 and not runtime.same_forward_everywhere and all(m.can_merge for m in measured.values())
    own = learner.take_measured if supports(learner, SupportsTakeMeasured) else None
    if own is not None:
        own(runtime, shared)  # what a split before left
    first, stride = (runtime.rank, runtime.world) if shared else (0, 1)
    with evaluating(learner, seed), runtime.autocast():
        for i in range(first, split_batches(data, split, limit), stride):
            seed_all(seed_of_batch(seed, i))
            batch = data.batch(split, i)
            if i == first:
                check_batch(data, batch)
            batch = to_device(batch, runtime.device)
            outputs = answer(learner, batch, losses, weights)
            if i == first:
                check_outputs(learner, outputs)
            outputs = widened(outputs)
            for variant, predict in answers.items():
                fields = {**batch, **(outputs if predict is None else widened(predict(batch)))}
                for name in metrics:
                    measured[variant, name].add(fields)
            if each is not None:
                each(i, batch, outputs)
    if shared:
        losses = _merged(runtime.collect({name: mean.state for name, mean in losses.items()}))
        weights = {name: weight for one in runtime.collect(weights) for name, weight in one.items()}
        for key, others in zip(measured, zip(*runtime.collect([m.state for m in measured.values()])), strict=True):
            measured[key].take(others)
    means = with_loss({name: mean.compute() for name, mean in losses.items()}, weights) if losses else {}
    result = {f"{split}/{name}": means[name] for name in sorted(means, key=lambda name: name != LOSS)}
    for (variant, name), metric in measured.items():
        result[f"{split}/{name}@{variant}" if variant else f"{split}/{name}"] = metric.compute()
    if own is not None:
        result = {
            **result,
            **{f"{split}/{n}": v for n, v in own(runtime, shared).items() if f"{split}/{n}" not in result},
        }
    return result


def seed_of_batch(seed: int, i: int) -> int:
    """Returns the seed of a batch: its answer is the same whichever batches came before, in whichever process."""
    return (seed * 1_000_003 + i) % 2**63


def _merged(states: Sequence[Mapping[str, tuple[float, int]]]) -> dict[str, Mean]:
    names = dict.fromkeys(name for one in states for name in one)
    return {name: Mean.of(one[name] for one in states if name in one) for name in names}


def predicted(learner: nn.Module, batch: Batch) -> Outputs:
    """Returns the answer of a learner, which has a ``predict`` (`rk.fit.returns.check_learner`)."""
    if not supports(learner, SupportsPredict):
        raise TypeError(f"{type(learner).__name__} has no method predict()")
    return learner.predict(batch)


def answer(learner: nn.Module, batch: Batch, losses: dict[str, Mean], weights: dict[str, float]) -> Outputs:
    """Returns the outputs for `batch`; adds its objective, if the learner has one, to `losses` and notes `weights`."""
    objective: Objective | None
    if supports(learner, SupportsEvaluate):
        both = learner.evaluate(batch)
        if not isinstance(both, tuple) or len(both) != 2:
            wrong(learner, "evaluate", both, "the objective and the outputs")
        objective, outputs = both
    else:
        objective, outputs = (learner(batch) if has_objective(learner) else None), predicted(learner, batch)
    if objective is not None:
        try:
            terms, own = split_terms(objective)
            weights |= {name: float(weight) for name, weight in own.items()}
            for name, (total, count) in terms.items():
                losses.setdefault(name, Mean()).add(total, count)
        except Exception:
            check_objective(getattr(learner, "loss", learner), objective, "__call__")
            raise
    return outputs

"""Averages of the weights that training passes through: measured beside them, or in their place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, get_swa_multi_avg_fn

from rk.errors import UserError
from rk.fit.context import FitContext
from rk.fit.evaluate import has_objective, predicted
from rk.fit.rng import forked
from rk.protocols import Batch, Outputs, State

__all__ = ["Average"]


class Average:
    """An average of the learner's weights: of the last ones (`ema`), or of all from `start` on (`swa`).

    ``ema``: ``average = decay * average + (1 - decay) * weights`` (Polyak and Juditsky, 1992; as in Tarvainen and
    Valpola, arXiv:1703.01780). ``swa``: the mean (Izmailov et al., arXiv:1803.05407). Both by torch's `AveragedModel`.

    With `use`, the average is the run's weights: validation, `fit.monitor`, checkpoints, tests and
    ``model.safetensors`` are of the average, and training continues with its own weights. Without it, the run's weights
    are those of training, and the average is measured beside them: ``val/accuracy@ema``, ``test/accuracy@ema``. Before
    `start` the average is the weights themselves.

    Statistics of normalisation: buffers of floating-point numbers are averaged like weights, others are those of the
    learner. With ``swa``, the statistics of BatchNorm are measured for the averaged weights, over the first
    `norm_batches` training batches, each time that the average is measured or saved.

    Args:
        kind: ``ema`` or ``swa``.
        decay: The share of the average that each update keeps (``ema``).
        start: The step of the first weights in the average; a number below 1 is a share of the run.
        every: Steps from one update of the average to the next.
        use: Whether the average is the run's weights.
        norm_batches: Training batches that the statistics of BatchNorm are measured over (``swa``); 0 averages them.

    Examples:
        callbacks: [{name: average, decay: 0.99, use: true}, {name: average, kind: swa, start: 0.75, every: 50}]
    """

    def __init__(
        self,
        kind: Literal["ema", "swa"] = "ema",
        decay: Annotated[float, Gt(0), Lt(1)] = 0.999,
        start: Annotated[int, Ge(0)] | Annotated[float, Gt(0), Lt(1)] = 0,
        every: Annotated[int, Ge(1)] = 1,
        use: bool = False,
        norm_batches: Annotated[int, Ge(0)] = 100,
    ) -> None:
        self.kind = kind
        self.decay = decay
        self.start = start
        self.every = every
        self.use = use
        self.norm_batches = norm_batches if kind == "swa" else 0
        self._average: AveragedModel | None = None
        self._stored: State = {}
        self._measured_at = -1
        """The number of updates after which the statistics of BatchNorm were measured."""

    def fit_start(self, fit: FitContext) -> None:
        if fit.runtime.same_forward_everywhere:
            raise UserError("average cannot be used with fit.strategy fsdp: each process has a share of the weights")
        total = fit.runtime.total_steps
        if isinstance(self.start, float) and total is None:
            raise UserError("average: start is a share of the run, whose length is not known", "give fit.max_steps")
        self._first = self.start if isinstance(self.start, int) else round(self.start * (total or 0))
        self._fit, self._learner = fit, fit.learner
        self._norms = [m for m in fit.learner.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None]
        self._average = AveragedModel(
            nn.ParameterList(nn.Parameter(t.detach().clone(), requires_grad=False) for t in _tensors(fit.learner)),
            multi_avg_fn=get_ema_multi_avg_fn(self.decay) if self.kind == "ema" else get_swa_multi_avg_fn(),
        )
        self._live = _Live(fit.learner)
        if self._stored:
            self._average.load_state_dict(self._stored)
        if self.use:
            fit.runtime.answers_with.append(self._put)

    def after_step(self, fit: FitContext) -> None:
        if fit.step >= self._first and (fit.step - self._first) % self.every == 0:
            self.average.update_parameters(self._live)

    def variants(self) -> dict[str, Callable[[Batch], Outputs]]:
        """Returns what is measured beside the learner: the average's answer, where the run does not use it."""
        return {} if self.use else {self.kind: self._predict}

    @property
    def average(self) -> AveragedModel:
        """The averaged tensors."""
        if self._average is None:
            raise RuntimeError("fit_start() makes the average")
        return self._average

    def _predict(self, batch: Batch) -> Outputs:
        with self._in_place():
            return predicted(self._learner, batch)

    @contextmanager
    def _in_place(self) -> Iterator[None]:
        back = self._put()
        try:
            yield
        finally:
            back()

    def _put(self) -> Callable[[], None]:
        """Lets the learner have the averaged tensors; returns what gives it back its own."""
        updates = int(self.average.n_averaged)
        if not updates:
            return lambda: None
        own = list(_tensors(self._learner))
        kept = [t.data for t in own]
        for t, averaged in zip(own, self.average.module.parameters(), strict=True):
            t.data = averaged.data

        def back() -> None:
            for t, data in zip(own, kept, strict=True):
                t.data = data

        if self._norms and self.norm_batches and self._measured_at != updates:
            try:
                self._measure_norms()
            except BaseException:
                back()
                raise
            self._measured_at = updates
        return back

    @torch.no_grad()
    def _measure_norms(self) -> None:
        """Measures the statistics of BatchNorm for the weights in place, as `torch.optim.swa_utils.update_bn` does."""
        modes = [(module, module.training) for module in self._learner.modules()]
        momenta = [norm.momentum for norm in self._norms]
        counts = [_count(norm) for norm in self._norms]
        try:
            self._learner.train()
            for norm in self._norms:
                norm.reset_running_stats()
                norm.momentum = None  # the mean over all batches
            with forked(self._fit.recipe.fit.seed), self._fit.runtime.autocast():
                for batch in self._fit.batches("train", self.norm_batches):
                    self._learner(batch) if has_objective(self._learner) else predicted(self._learner, batch)
        finally:
            for module, training in modes:
                module.training = training
            for norm, momentum, count in zip(self._norms, momenta, counts, strict=True):
                norm.momentum = momentum
                if norm.num_batches_tracked is not None and count is not None:
                    norm.num_batches_tracked.copy_(count)

    def state_dict(self) -> State:
        """Returns the averaged tensors, and how many weights they are the average of."""
        return self._stored if self._average is None else dict(self._average.state_dict())

    def load_state_dict(self, state: State) -> None:
        """Takes `state_dict`'s result back."""
        self._stored, self._measured_at = state, -1
        if self._average is not None:
            self._average.load_state_dict(state)


def _tensors(learner: nn.Module) -> Iterator[Tensor]:
    """Yields what is averaged: parameters and buffers of floating-point numbers."""
    yield from (p for p in learner.parameters() if p.is_floating_point())
    yield from (b for b in learner.buffers() if b.is_floating_point())


def _count(norm: _BatchNorm) -> Tensor | None:
    return None if norm.num_batches_tracked is None else norm.num_batches_tracked.clone()


class _Live(nn.Module):
    """The tensors of a learner as the parameters of a module, which `AveragedModel` reads."""

    def __init__(self, learner: nn.Module) -> None:
        super().__init__()
        self._read = [lambda: _tensors(learner)]

    def parameters(self, recurse: bool = True) -> Iterator[Tensor]:  # type: ignore[override]  # buffers are among them
        return self._read[0]()

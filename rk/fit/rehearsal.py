"""One batch of validation before the first step: a misfit fails now, not after an hour of training."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import nn

from rk.capabilities import HasBatches, SupportsEvaluate, SupportsVariants, supports
from rk.fit.evaluate import Mean, Measured, answer, evaluating, has_objective, widened
from rk.fit.returns import check_batch, check_outputs
from rk.fit.runtime import Runtime
from rk.fit.stream import to_device
from rk.fit.terms import LOSS
from rk.protocols import Batch
from rk.values import Fields, Part


class Rehearsal:
    """The metrics that an evaluation of a learner will have.

    Attributes:
        metrics: Names of what is measured on each split, variants included: ``accuracy``, ``loss``, ``accuracy@best``.
        fields: The batch and the answers that were tried.
    """

    def __init__(self, learner: nn.Module, metrics: Mapping[str, Part]) -> None:
        self._learner = learner
        self._metrics = metrics
        self.fields: Fields = {}
        variants = ["", *(learner.variants() if supports(learner, SupportsVariants) else ())]
        self.metrics = {f"{name}@{variant}" if variant else name for name in metrics for variant in variants}
        if has_objective(learner) or supports(learner, SupportsEvaluate):
            self.metrics.add(LOSS)

    def run(self, data: HasBatches, split: str, runtime: Runtime, seed: int) -> None:
        """Answers the first batch of `split` and shows it to every metric; leaves no trace in any of them."""
        losses: dict[str, Mean] = {}
        with evaluating(self._learner, seed), runtime.autocast():
            batch = to_device(check_batch(data, data.batch(split, 0)), runtime.device)
            self.fields = dict(batch)
            outputs = widened(check_outputs(self._learner, answer(self._learner, batch, losses, {})))
            self.fields |= outputs
            self.metrics |= losses.keys()
            variants = {"": outputs}
            if supports(self._learner, SupportsVariants):
                for name, predict in self._learner.variants().items():
                    variants[name] = widened(runtime.answering(self._learner, predict)(batch))
            for fields in variants.values():
                for metric in self._metrics.values():
                    _show(metric, {**batch, **fields}, runtime.device)


def _show(metric: Part, fields: Batch, device: torch.device) -> None:
    """Calls a metric as an evaluation does, without asking an object for its result: one batch may be too few."""
    Measured(metric if isinstance(metric, type) else copy.deepcopy(metric), device).add(fields)

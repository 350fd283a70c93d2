"""One metric of torchmetrics on rk's fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from rk import UserError
from rk_torchmetrics.offered import OF_NUMBERS, Task, checked_options, higher_is_better, metric_class

if TYPE_CHECKING:
    from torchmetrics import Metric


class Measuring:
    """A metric of torchmetrics: rk's `logits` or `values`, `targets` and `mask` become its ``preds`` and ``target``.

    Logits become probabilities here: torchmetrics would look at each batch whether they are some already, and take
    logits that lie between 0 and 1 for probabilities.

    Args:
        metric: The name of its class, of a metric of classes without the task.
        task: What is classified.
        ignore_index: Targets of this value count for nothing.
        options: What its class takes besides.

    Raises:
        ValueError: When there is no such metric or option.
    """

    def __init__(self, metric: str, task: Task, ignore_index: int | None, options: Mapping[str, Any]) -> None:
        self.metric = metric
        self.task = task
        self.ignore_index = ignore_index
        self._class = metric_class(metric, task)
        self._options = checked_options(self._class, options)
        self.higher_is_better = higher_is_better(metric, self._class)
        self._device = torch.device("cpu")
        self._made: Metric | None = None

    def add(self, logits: Tensor | None, values: Tensor | None, targets: Tensor, mask: Tensor | None) -> None:
        """Adds a batch. Raises `UserError` when the fields do not fit the metric."""
        given, name = (values, "values") if self.metric in OF_NUMBERS else (logits, "logits")
        if given is None:
            raise UserError(f"the metric {self.metric} needs the field {name!r}, which nothing provides")
        preds = self._probabilities(given, targets) if name == "logits" else given.reshape(targets.shape)
        if self._made is None:
            self._made = self._make(preds)
        preds, targets = self._chosen(preds, targets, mask)
        if len(targets):
            self._made.update(preds, targets)

    def _probabilities(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Returns (*positions, classes) for several classes, of the shape of `targets` otherwise."""
        if self.task == "multiclass":
            self._fits(logits, targets, logits.shape[:-1])
            return logits.softmax(-1)
        if self.task == "binary" and logits.ndim == targets.ndim + 1:
            self._fits(logits, targets, logits.shape[:-1])
            if logits.shape[-1] == 2:
                return logits.softmax(-1)[..., 1]
            logits = logits.squeeze(-1)
        self._fits(logits, targets, logits.shape)
        return logits.sigmoid()

    def _fits(self, logits: Tensor, targets: Tensor, wanted: torch.Size) -> None:
        if targets.shape != wanted:
            raise UserError(
                f"{self.metric} of task {self.task} takes targets of shape {tuple(wanted)} with logits of shape "
                f"{tuple(logits.shape)}, got {tuple(targets.shape)}",
                "set task to binary, multiclass or multilabel",
            )

    def _chosen(self, preds: Tensor, targets: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Returns what counts: one row for each example, and for each position of it."""
        counts = torch.ones_like(targets, dtype=torch.bool) if mask is None else mask.bool()
        if self.task == "multilabel" and self.metric not in OF_NUMBERS:
            if self.ignore_index is not None:
                counts = counts & (targets != self.ignore_index).all(-1, keepdim=counts.ndim == targets.ndim)
            rows = counts.all(-1) if counts.ndim == targets.ndim else counts
            return preds[rows], targets[rows].long()
        if self.ignore_index is not None:
            counts = counts & (targets != self.ignore_index)
        chosen = targets[counts]
        return preds[counts], chosen if self.metric in OF_NUMBERS else chosen.long()

    def _make(self, preds: Tensor) -> Metric:
        sizes = {} if self.metric in OF_NUMBERS or self.task == "binary" else {_SIZES[self.task]: preds.shape[-1]}
        # rk merges the states of several processes itself
        return self._class(**sizes, **self._options, sync_on_compute=False).to(self._device)

    def compute(self) -> float:
        """Returns the number; NaN over nothing."""
        if self._made is None or not self._made.update_called:
            return float("nan")
        return float(self._made.compute())

    def reset(self) -> None:
        """Forgets what was measured."""
        self._made = None

    def to(self, device: torch.device | str) -> Measuring:
        """Moves what was measured to a device."""
        self._device = torch.device(device)
        if self._made is not None:
            self._made = self._made.to(self._device)
        return self

    def merge(self, other: Measuring) -> None:
        """Adds what another process has measured."""
        if other._made is None or not other._made.update_called:
            return
        if self._made is None or not self._made.update_called:
            self._made = other._made
            return
        for name, reduction in self._made._reductions.items():
            mine, theirs = getattr(self._made, name), getattr(other._made, name)
            setattr(self._made, name, _merged(mine, theirs, getattr(reduction, "__name__", None)))
        self._made._update_count += other._made._update_count
        self._made._computed = None


_SIZES = {"multiclass": "num_classes", "multilabel": "num_labels"}


def _merged(mine: Any, theirs: Any, reduction: str | None) -> Any:  # Any: a tensor, or a list of them
    if isinstance(mine, list):
        return [*mine, *theirs]
    if reduction == "dim_zero_sum":
        return mine + theirs
    if reduction in ("dim_zero_max", "dim_zero_min"):
        return torch.maximum(mine, theirs) if reduction == "dim_zero_max" else torch.minimum(mine, theirs)
    return torch.cat([mine.reshape(-1), theirs.reshape(-1)])  # statistics of each process, put together by compute()

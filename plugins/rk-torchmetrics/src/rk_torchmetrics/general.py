"""Any offered metric of torchmetrics by its name."""

from __future__ import annotations

from typing import Any, Literal

from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from rk_torchmetrics.measuring import Measuring


class General(Measuring):
    """A metric of the package torchmetrics, by the name of its class.

    Metrics of classes take `logits` and `targets`, metrics of numbers `values` and `targets`; a `mask` of the shape of
    the targets is True where one counts. Its sizes follow from the fields.

    Args:
        metric: The class, without the task: ``F1Score``, ``CohenKappa``, ``R2Score``.
        task: What is classified. binary: logits of the shape of the targets, or with a last axis of 1 or 2. multilabel:
            targets of 0 and 1, of the shape of the logits. Metrics of numbers have no task.
        ignore_index: Targets of this value count for nothing (padding).
        options: What the class takes besides: ``{average: micro}``, ``{beta: 2.0}``.

    Raises:
        ValueError: When there is no such metric, or no such option.

    Examples:
        metrics: {f2: {name: torchmetrics, metric: FBetaScore, options: {beta: 2.0, average: macro}}}
    """

    def __init__(
        self,
        metric: str,
        task: Literal["binary", "multiclass", "multilabel"] = "multiclass",
        ignore_index: int | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(metric, task, ignore_index, options or {})

    def update(
        self,
        *,
        targets: Shaped[Tensor, "batch *shape"],
        logits: Float[Tensor, "batch *classes"] | None = None,
        values: Float[Tensor, "batch *shape"] | None = None,
        mask: Bool[Tensor, "batch *shape"] | None = None,
    ) -> None:
        """Adds a batch."""
        self.add(logits, values, targets, mask)

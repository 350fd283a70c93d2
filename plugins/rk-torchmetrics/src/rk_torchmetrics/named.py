"""Metrics of torchmetrics that are often wanted, with parameters of their own."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from rk_torchmetrics.measuring import Measuring


class OfClasses(Measuring):
    """A metric of classes."""

    def update(
        self,
        *,
        logits: Float[Tensor, "batch *classes"],
        targets: Shaped[Tensor, "batch *shape"],
        mask: Bool[Tensor, "batch *shape"] | None = None,
    ) -> None:
        """Adds a batch; `mask` is True where a target counts."""
        self.add(logits, None, targets, mask)


class OfNumbers(Measuring):
    """A metric of real numbers."""

    def update(
        self,
        *,
        values: Float[Tensor, "batch *shape"],
        targets: Float[Tensor, "batch *shape"],
        mask: Bool[Tensor, "batch *shape"] | None = None,
    ) -> None:
        """Adds a batch; `mask` is True where a number counts."""
        self.add(None, values, targets, mask)


class F1(OfClasses):
    """The harmonic mean of precision and recall.

    Args:
        task: What is classified: one of two classes, one of several, or several labels at once.
        average: How classes are put together: macro is their mean, weighted goes by frequency, micro by examples.
        ignore_index: Targets of this value count for nothing (padding).

    Examples:
        metrics: {f1: f1}
    """

    def __init__(
        self,
        task: Literal["binary", "multiclass", "multilabel"] = "multiclass",
        average: Literal["micro", "macro", "weighted"] = "macro",
        ignore_index: int | None = None,
    ) -> None:
        super().__init__("F1Score", task, ignore_index, {} if task == "binary" else {"average": average})


class Precision(OfClasses):
    """The share of what was found that is right.

    Args:
        task: What is classified: one of two classes, one of several, or several labels at once.
        average: How classes are put together: macro is their mean, weighted goes by frequency, micro by examples.
        ignore_index: Targets of this value count for nothing (padding).

    Examples:
        metrics: {precision: {name: precision, average: micro}}
    """

    def __init__(
        self,
        task: Literal["binary", "multiclass", "multilabel"] = "multiclass",
        average: Literal["micro", "macro", "weighted"] = "macro",
        ignore_index: int | None = None,
    ) -> None:
        super().__init__("Precision", task, ignore_index, {} if task == "binary" else {"average": average})


class Recall(OfClasses):
    """The share of what is there that was found; with macro, the balanced accuracy.

    Args:
        task: What is classified: one of two classes, one of several, or several labels at once.
        average: How classes are put together: macro is their mean, weighted goes by frequency, micro by examples.
        ignore_index: Targets of this value count for nothing (padding).

    Examples:
        metrics: {balanced: recall}
    """

    def __init__(
        self,
        task: Literal["binary", "multiclass", "multilabel"] = "multiclass",
        average: Literal["micro", "macro", "weighted"] = "macro",
        ignore_index: int | None = None,
    ) -> None:
        super().__init__("Recall", task, ignore_index, {} if task == "binary" else {"average": average})


class AUROC(OfClasses):
    """The area under the receiver operating characteristic.

    Args:
        task: What is classified: one of two classes, one of several, or several labels at once.
        average: How classes are put together: macro is their mean, weighted by their frequency.
        thresholds: Of a curve in bins, which needs constant memory; null keeps every answer and is exact.
        ignore_index: Targets of this value count for nothing (padding).

    Examples:
        metrics: {auroc: {name: auroc, task: binary}}
    """

    def __init__(
        self,
        task: Literal["binary", "multiclass", "multilabel"] = "multiclass",
        average: Literal["macro", "weighted"] = "macro",
        thresholds: Annotated[int, Ge(2)] | None = None,
        ignore_index: int | None = None,
    ) -> None:
        super().__init__(
            "AUROC", task, ignore_index, {} if task == "binary" else {"average": average} | {"thresholds": thresholds}
        )


class AveragePrecision(OfClasses):
    """The area under the curve of precision over recall.

    Args:
        task: What is classified: one of two classes, one of several, or several labels at once.
        average: How classes are put together: macro is their mean, weighted by their frequency.
        thresholds: Of a curve in bins, which needs constant memory; null keeps every answer and is exact.
        ignore_index: Targets of this value count for nothing (padding).

    Examples:
        metrics: {ap: {name: average-precision, task: multilabel}}
    """

    def __init__(
        self,
        task: Literal["binary", "multiclass", "multilabel"] = "multiclass",
        average: Literal["macro", "weighted"] = "macro",
        thresholds: Annotated[int, Ge(2)] | None = None,
        ignore_index: int | None = None,
    ) -> None:
        super().__init__(
            "AveragePrecision",
            task,
            ignore_index,
            {} if task == "binary" else {"average": average} | {"thresholds": thresholds},
        )


class CalibrationError(OfClasses):
    """The mean distance of confidence and accuracy over bins (Naeini et al., 2015; Guo et al., arXiv:1706.04599).

    Args:
        task: What is classified: one of two classes, or one of several.
        bins: Bins of confidence.
        ignore_index: Targets of this value count for nothing (padding).

    Examples:
        metrics: {ece: confidence-calibration}
    """

    def __init__(
        self,
        task: Literal["binary", "multiclass"] = "multiclass",
        bins: Annotated[int, Ge(1)] = 15,
        ignore_index: int | None = None,
    ) -> None:
        super().__init__("CalibrationError", task, ignore_index, {"n_bins": bins})


class Matthews(OfClasses):
    """Matthews' correlation coefficient.

    Args:
        task: What is classified: one of two classes, one of several, or several labels at once.
        ignore_index: Targets of this value count for nothing (padding).

    Examples:
        metrics: {mcc: matthews}
    """

    def __init__(
        self,
        task: Literal["binary", "multiclass", "multilabel"] = "multiclass",
        ignore_index: int | None = None,
    ) -> None:
        super().__init__("MatthewsCorrCoef", task, ignore_index, {})


class MeanAbsoluteError(OfNumbers):
    """The mean absolute error.

    Examples:
        metrics: {mae: mean-absolute-error}
    """

    def __init__(self) -> None:
        super().__init__("MeanAbsoluteError", "multiclass", None, {})


class RootMeanSquaredError(OfNumbers):
    """The root of the mean squared error over all numbers.

    Examples:
        metrics: {rmse: root-mean-squared-error}
    """

    def __init__(self) -> None:
        super().__init__("MeanSquaredError", "multiclass", None, {"squared": False})


class R2(OfNumbers):
    """The share of the variance that is explained, over all numbers.

    Examples:
        metrics: {r2: r2-score}
    """

    def __init__(self) -> None:
        super().__init__("R2Score", "multiclass", None, {})


class Pearson(OfNumbers):
    """Pearson's correlation, over all numbers.

    Examples:
        metrics: {pearson: pearson}
    """

    def __init__(self) -> None:
        super().__init__("PearsonCorrCoef", "multiclass", None, {})


class Spearman(OfNumbers):
    """Spearman's rank correlation, over all numbers; it keeps every answer.

    Examples:
        metrics: {spearman: spearman}
    """

    def __init__(self) -> None:
        super().__init__("SpearmanCorrCoef", "multiclass", None, {})

"""Which metrics of torchmetrics are offered, and what each of them takes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from rk.errors import suggest

if TYPE_CHECKING:
    from torchmetrics import Metric

Task = Literal["binary", "multiclass", "multilabel"]

OF_CLASSES = (
    *("Accuracy", "AUROC", "AveragePrecision", "CalibrationError", "CohenKappa", "EER", "ExactMatch", "F1Score"),
    *("FBetaScore", "HammingDistance", "HingeLoss", "JaccardIndex", "MatthewsCorrCoef", "NegativePredictiveValue"),
    *("Precision", "Recall", "Specificity", "CoverageError", "RankingAveragePrecision", "RankingLoss"),
)
"""Metrics of classes, whose answer is one number."""
OF_NUMBERS = (
    *("ConcordanceCorrCoef", "ExplainedVariance", "KendallRankCorrCoef", "LogCoshError", "MeanAbsoluteError"),
    *("MeanAbsolutePercentageError", "MeanSquaredError", "MeanSquaredLogError", "MinkowskiDistance", "PearsonCorrCoef"),
    *("R2Score", "RelativeSquaredError", "SpearmanCorrCoef", "SymmetricMeanAbsolutePercentageError"),
    *("TweedieDevianceScore", "WeightedMeanAbsolutePercentageError"),
)
"""Metrics of real numbers, whose answer is one number."""
_LESS_IS_BETTER = ("EER", "TweedieDevianceScore")
"""Of those whose classes do not say."""
_OURS = ("num_classes", "num_labels", "ignore_index", "num_outputs", "validate_args")
"""Options that follow from the fields, or that the component has itself."""


def metric_class(metric: str, task: Task) -> type[Metric]:
    """Returns a class of torchmetrics.

    Args:
        metric: Its name, of a metric of classes without the task: ``F1Score``.
        task: What is classified, for a metric of classes.

    Raises:
        ValueError: When there is none of that name, or none for that task.
    """
    import torchmetrics.classification
    import torchmetrics.regression

    if metric in OF_NUMBERS:
        found: type[Metric] = getattr(torchmetrics.regression, metric)
        return found
    names = (*OF_CLASSES, *OF_NUMBERS)
    if metric not in names:
        raise ValueError(f"there is no metric {metric!r}; {suggest(metric, names, 'there are')}")
    of_task = getattr(torchmetrics.classification, f"{task.capitalize()}{metric}", None)
    if of_task is None or (metric == "EER" and task != "binary"):  # which is a number for each class
        raise ValueError(f"{metric} is not for task {task}")
    made: type[Metric] = of_task
    return made


def higher_is_better(metric: str, cls: type[Metric]) -> bool:
    """Returns whether more of a metric is better."""
    own = cls.higher_is_better
    return metric not in _LESS_IS_BETTER if own is None else bool(own)


def checked_options(cls: type[Metric], options: Mapping[str, Any]) -> dict[str, Any]:  # Any: what a recipe can hold
    """Returns the options.

    Raises:
        ValueError: When the class has no such option, or with it no single number as its answer.
    """
    named = inspect.signature(cls).parameters.values()
    offered = [p.name for p in named if p.kind is not p.VAR_KEYWORD and p.name not in _OURS]
    for name in options:
        if name not in offered:
            raise ValueError(f"{cls.__name__} has no option {name!r}; {suggest(name, offered, 'it has')}")
    if options.get("average", "macro") in ("none", None):
        raise ValueError("option average must be micro, macro or weighted: a metric is one number")
    if options.get("multidim_average", "global") != "global":
        raise ValueError("option multidim_average must be global: a metric is one number")
    return dict(options)

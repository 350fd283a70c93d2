"""Metrics of torchmetrics, by name: rk's fields are mapped to its arguments, masks are honoured.

Detlefsen et al., "TorchMetrics - Measuring Reproducibility in PyTorch", 2022, doi:10.21105/joss.04101.
"""

from rk import hookimpl


@hookimpl
def rk_metrics() -> dict[str, str]:
    return {
        "torchmetrics": "rk_torchmetrics.general:General",
        "f1": "rk_torchmetrics.named:F1",
        "precision": "rk_torchmetrics.named:Precision",
        "recall": "rk_torchmetrics.named:Recall",
        "auroc": "rk_torchmetrics.named:AUROC",
        "average-precision": "rk_torchmetrics.named:AveragePrecision",
        "confidence-calibration": "rk_torchmetrics.named:CalibrationError",
        "matthews": "rk_torchmetrics.named:Matthews",
        "mean-absolute-error": "rk_torchmetrics.named:MeanAbsoluteError",
        "root-mean-squared-error": "rk_torchmetrics.named:RootMeanSquaredError",
        "r2-score": "rk_torchmetrics.named:R2",
        "pearson": "rk_torchmetrics.named:Pearson",
        "spearman": "rk_torchmetrics.named:Spearman",
    }

"""Your own tables, without code: CSV, TSV, Parquet and JSON lines, networks and boosted trees on them.

`rk recipes init my.csv` writes a recipe that fits a file; `rk_tabular.frame.read_frame` is the reader, for other
plugins too.
"""

from rk import hookimpl


@hookimpl
def rk_models() -> dict[str, str]:
    return {
        "table-mlp": "rk_tabular.model:TableMLP",
        "forecast-mlp": "rk_tabular.series_model:ForecastMLP",
    }


@hookimpl
def rk_losses() -> dict[str, str]:
    return {
        "number-loss": "rk_tabular.loss:NumberLoss",
        "forecast-error": "rk_tabular.series_loss:ForecastError",
    }


@hookimpl
def rk_data() -> dict[str, str]:
    return {
        "table-classes": "rk_tabular.tables:TableClasses",
        "table-numbers": "rk_tabular.tables:TableNumbers",
        "example-classes": "rk_tabular.examples:ExampleClasses",
        "example-numbers": "rk_tabular.examples:ExampleNumbers",
        "hong-kong-traffic": "rk_tabular.series_traffic:HongKongTraffic",
        "seasonal-series": "rk_tabular.series_generated:SeasonalSeries",
        "timeseries": "rk_tabular.series:TimeSeries",
    }


@hookimpl
def rk_trainers() -> dict[str, str]:
    return {
        "boosted-trees": "rk_tabular.trees:BoostedTrees",
        "ridge-lags": "rk_tabular.series_baselines:RidgeLags",
        "seasonal-naive": "rk_tabular.series_baselines:SeasonalNaive",
    }


@hookimpl
def rk_metrics() -> dict[str, str]:
    return {
        "log-loss": "rk_tabular.metrics:LogLoss",
        "balanced-accuracy": "rk_tabular.metrics:BalancedAccuracy",
        "auc": "rk_tabular.metrics:AreaUnderCurve",
        "table-rmse": "rk_tabular.metrics:RootMeanSquare",
        "table-mae": "rk_tabular.metrics:AbsoluteError",
        "r2": "rk_tabular.metrics:RSquared",
        "forecast-mae": "rk_tabular.series_metrics:MAE",
        "forecast-rmse": "rk_tabular.series_metrics:RMSE",
        "mape": "rk_tabular.series_metrics:MAPE",
        "mase": "rk_tabular.series_metrics:MASE",
        "smape": "rk_tabular.series_metrics:SMAPE",
    }

"""Accuracy by graph properties: R2 on rows that were held out, and correlations without the number of parameters."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

Rows = Float[np.ndarray, "rows columns"]
Column = Float[np.ndarray, "rows"]
MODELS = ("ridge", "forest", "boosting", "parameters-only")


@dataclass(frozen=True)
class Fits:
    """What a table shows.

    Attributes:
        r2: Mean and standard deviation, over repetitions, of the R2 of each model on rows that were held out.
        correlation: Of each property with the target.
        partial: The same without what the logarithm of the control explains of either.
    """

    r2: Mapping[str, tuple[float, float]]
    correlation: Mapping[str, float]
    partial: Mapping[str, float]


def regress(
    names: Sequence[str], properties: Rows, target: Column, control: Column, folds: int, repeats: int, seed: int
) -> Fits:
    """Fits ridge regression, a random forest and boosting by k-fold cross-validation, repeated.

    In each repetition every row is predicted once, by models that have not seen it; properties are scaled by what the
    rows of training have. R2 is that of all predictions together. `parameters-only` is ridge regression on the
    logarithm of the control: what is above it is due to the wiring.

    Args:
        names: Of the properties.
        properties: One row per graph.
        target: The accuracy of each.
        control: The number of parameters of each.
        folds: Parts, each of which is held out once.
        repeats: Divisions into parts.
        seed: Of the divisions and of the forests.
    """
    from sklearn.ensemble import AdaBoostRegressor, RandomForestRegressor
    from sklearn.linear_model import BayesianRidge
    from sklearn.model_selection import KFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler

    size = np.log(control).reshape(-1, 1)
    models = {
        "ridge": (make_pipeline(MinMaxScaler(), BayesianRidge()), properties),
        "forest": (RandomForestRegressor(random_state=seed), properties),
        "boosting": (AdaBoostRegressor(random_state=seed), properties),
        "parameters-only": (make_pipeline(MinMaxScaler(), BayesianRidge()), size),
    }
    found: dict[str, tuple[float, float]] = {}
    for name, (model, inputs) in models.items():
        scores = []
        for repeat in range(repeats):
            division = KFold(folds, shuffle=True, random_state=seed + repeat)
            scores.append(_r2(target, cross_val_predict(model, inputs, target, cv=division)))
        found[name] = float(np.mean(scores)), float(np.std(scores))
    columns = dict(zip(names, properties.T, strict=True))
    return Fits(
        found,
        {name: pearson(column, target) for name, column in columns.items()},
        {name: partial(column, target, size[:, 0]) for name, column in columns.items()},
    )


def pearson(x: Column, y: Column) -> float:
    """Returns the correlation of two columns; 0 where one is constant."""
    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        warnings.simplefilter("ignore")
        return float(np.nan_to_num(np.corrcoef(x, y)[0, 1])) if x.std() > 1e-12 and y.std() > 1e-12 else 0.0


def partial(x: Column, y: Column, control: Column) -> float:
    """Returns the correlation of what a line through the control does not explain of two columns."""
    line = np.stack([np.ones_like(control), control], 1)
    left = [z - line @ np.linalg.lstsq(line, z, rcond=None)[0] for z in (x, y)]
    if left[0].std() < 1e-9 * (x.std() + 1e-30) or left[1].std() < 1e-9 * (y.std() + 1e-30):
        return 0.0
    return pearson(left[0], left[1])


def _r2(target: Column, predicted: Column) -> float:
    return float(1 - ((target - predicted) ** 2).sum() / ((target - target.mean()) ** 2).sum())

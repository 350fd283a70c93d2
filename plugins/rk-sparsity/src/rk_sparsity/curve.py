"""The analysis `sparsity-curve`: methods at several densities, in one table."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

from rk.charts import chart, plain, save
from rk.writing import write_csv
from rk_sparsity.trainings import Trainings

Method = Literal["one-shot", "random", "snip", "grasp", "synflow", "gradual", "static", "set", "rigl", "snfs"]


class SparsityCurve:
    """Trains a recipe sparsely, by each method at each density and for several seeds, and makes one table of it.

    All methods get the recipe's own steps. `one-shot` removes the smallest weights after three quarters of them;
    `gradual` removes them from a tenth to three quarters; `random`, `snip`, `grasp` and `synflow` remove weights before
    training; `static`, `set`, `rigl` and `snfs` begin at random positions, by ERK, and all but `static` move them. So a
    row says what was trained: `cost` is the mean density over the steps, the share of the dense network's
    multiplications that a machine for sparse weights would make.

    The analysis writes ``curve.csv`` and ``curve.png``. Each training is a run within its folder. A stopped analysis is
    resumed with ``rk analyze sparsity-curve --resume last``.

    Args:
        recipe: Name or path of the recipe; its callbacks are kept.
        methods: What is compared; the dense network is always there.
        densities: Shares of the weights that are kept.
        seeds: Trainings for each row, with the recipe's own seed and those after it.
        metric: What is compared, ``test/accuracy``; null: the accuracy of the tests, else ``fit.monitor``.
        update_every: Steps between two changes of a mask.
        init_rescale: Whether `static`, `set`, `rigl` and `snfs` divide the first weights by the square root of the
            density of their layer.

    Examples:
        rk analyze sparsity-curve --recipe sparsity/digits-dense --densities '[0.02]' --seeds 3
    """

    def __init__(
        self,
        recipe: str,
        methods: tuple[Method, ...] = ("one-shot", "gradual", "snip", "synflow", "static", "set", "rigl"),
        densities: tuple[Annotated[float, Gt(0), Le(1)], ...] = (0.1, 0.05, 0.02),
        seeds: Annotated[int, Ge(1)] = 1,
        metric: str | None = None,
        update_every: Annotated[int, Ge(1)] = 20,
        init_rescale: bool = True,
    ) -> None:
        if not methods or not densities:
            raise ValueError("methods and densities must not be empty")
        self.recipe = recipe
        self.methods = methods
        self.densities = densities
        self.seeds = seeds
        self.metric = metric
        self.update_every = update_every
        self.init_rescale = init_rescale

    def analyze(self, out: Path) -> dict[str, float]:
        """Trains everything; returns the mean score of each row, ``rigl@0.02``."""
        trainings = Trainings(self.recipe, self.metric, out)
        rows: dict[tuple[str, float], list[dict[str, float]]] = {}
        found: dict[str, float] = {}
        plan = [("dense", 1.0), *((m, d) for m in self.methods for d in self.densities)]
        for method, density in plan:
            extra = [] if method == "dense" else [self._callback(method, density)]
            for seed in range(self.seeds):
                run = trainings.train_with(f"{method}-{density:g}-seed-{seed}", seed, *extra)
                kept = {k: run.metrics.get(f"run/{k}") for k in ("density", "explored", "mean-density")}
                row = {k: 1.0 if v is None else v for k, v in kept.items()}
                rows.setdefault((method, density), []).append({**row, "score": trainings.score(run)})
            scores = [row["score"] for row in rows[method, density]]
            found[method if method == "dense" else f"{method}@{density:g}"] = statistics.fmean(scores)
            print(f"{method} at {density:g}: {trainings.metric} {' '.join(f'{s:.4g}' for s in scores)}")
            _write(rows, trainings.metric or "score", out)
        return found

    def _callback(self, method: Method | str, density: float) -> Mapping[str, object]:
        if method == "gradual":
            return {"name": "gradual-pruning", "density": density, "update_every": self.update_every}
        if method in ("static", "set", "rigl", "snfs"):
            return {
                "name": "dynamic-sparsity",
                "method": method,
                "density": density,
                "update_every": self.update_every,
                "init_rescale": self.init_rescale,
            }
        if method == "one-shot":
            return {"name": "prune", "density": density, "method": "magnitude", "at": 0.75}
        return {"name": "prune", "density": density, "method": method}


def _write(rows: Mapping[tuple[str, float], Sequence[Mapping[str, float]]], metric: str, out: Path) -> None:
    table = []
    for (method, density), runs in rows.items():
        scores = [run["score"] for run in runs]
        spread = statistics.stdev(scores) if len(scores) > 1 else None
        means = [statistics.fmean(run[key] for run in runs) for key in ("density", "explored", "mean-density")]
        table.append([method, density, statistics.fmean(scores), spread, len(scores), *means])
    head = ["method", "asked density", metric, "standard deviation", "seeds", "density", "explored", "cost"]
    write_csv(out / "curve.csv", head, table)
    _draw(rows, metric, out / "curve.png")


def _draw(rows: Mapping[tuple[str, float], Sequence[Mapping[str, float]]], metric: str, path: Path) -> None:
    methods = dict.fromkeys(method for method, _ in rows)
    with chart(5.5, 3.4) as (figure, axis):
        for method in methods:
            points = sorted(
                (d, statistics.fmean(r["score"] for r in runs)) for (m, d), runs in rows.items() if m == method
            )
            if method == "dense":
                axis.axhline(points[0][1], linestyle="--", linewidth=1, label="dense", color="0.5")
            else:
                axis.plot(*zip(*points, strict=True), "o-", label=method)
        axis.set_xscale("log")
        axis.set_xlabel("density")
        axis.set_ylabel(plain(metric))
        axis.legend(loc="lower right", ncols=2)
        save(figure, path)

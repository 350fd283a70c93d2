"""The analysis `timescales`: how long neurons remember, alone and within their network."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor

from rk import Run
from rk.charts import COLORS, chart, plain, save
from rk.writing import write_csv
from rk_timescales.autocorrelation import autocorrelation, timescale
from rk_timescales.layer import Leaky
from rk_timescales.probing import activity, by_recipe, means


class Timescales:
    """Timescales of runs on `n-dms` or `n-parity`: of single neurons, and of neurons in their network.

    A neuron's own timescale is the trained tau of the layer `leaky`. That within the network, tau_net, is how fast its
    activity decorrelates while random bits come in: one or two exponentials are fitted to its autocorrelation
    (arXiv:2309.12927). It takes any layer in the model `sequence`. Beside them: the spectral radius of W, and how many
    dimensions the activity has, (sum of variances)² / sum of their squares over principal components.

    Args:
        runs: The runs; those of one recipe are taken together: means, and the neurons of all.
        trials: Sequences of random bits.
        steps: Steps of each.
        burn_in: Steps before these, which are not looked at.
        lags: The longest lag of the autocorrelation that is fitted.

    Raises:
        UserError: When a run is of other data or of another model.

    Examples:
        rk analyze timescales --runs [last]
    """

    def __init__(
        self,
        runs: list[Run],
        trials: Annotated[int, Ge(1)] = 10,
        steps: Annotated[int, Ge(100)] = 10000,
        burn_in: Annotated[int, Ge(0)] = 500,
        lags: Annotated[int, Ge(5)] = 30,
    ) -> None:
        self.runs = runs
        self.trials = trials
        self.steps = steps
        self.burn_in = burn_in
        self.lags = lags

    def analyze(self, out: Path) -> dict[str, float]:
        """Writes `timescales.csv`, a line per neuron, and a figure; returns means, radius, dimensions by recipe."""
        rows: list[list[object]] = []
        results: dict[str, float] = {}
        networks: dict[str, list[float]] = {}
        for name, runs in by_recipe(self.runs).items():
            measured = []
            networks[name] = []
            for run in runs:
                numbers, own, within = self._measure(run)
                measured.append(numbers)
                networks[name] += within
                rows += (
                    [name, run.folder.path.name, i, *pair] for i, pair in enumerate(zip(own, within, strict=False))
                )
            results |= {f"{name}/{what}": mean for what, mean in means(measured).items()}
        write_csv(out / "timescales.csv", ("recipe", "run", "neuron", "tau", "tau-net"), rows)
        self._draw(networks, out / "timescales.png")
        return results

    def _measure(self, run: Run) -> tuple[dict[str, float], list[float], list[float]]:
        """Returns what is reported of a run, and tau and tau_net of each neuron; without leaky neurons, tau is NaN."""
        signals = activity(run, self.trials, self.steps, self.burn_in)
        within = [timescale(values) for values in autocorrelation(signals, self.lags).T.numpy()]
        found = {
            "tau-net-mean": float(np.nanmean(within)),
            "tau-net-max": float(np.nanmax(within)),
            "dimensions": dimensions(signals),
        }
        layer = next((m for m in run.learner.modules() if isinstance(m, Leaky)), None)
        if layer is None:
            return found, [float("nan")] * len(within), within
        own = layer.time_constants.tolist()
        radius = float(torch.linalg.eigvals(layer.connections.detach()).abs().max())
        floor = float(np.mean([tau == 1 for tau in own]))
        found |= {"tau-mean": fmean(own), "tau-max": max(own), "tau-at-floor": floor, "spectral-radius": radius}
        return found, own, within

    def _draw(self, networks: dict[str, list[float]], path: Path) -> None:
        """Draws the share of neurons up to each tau_net."""
        with chart(4.8, 3.0) as (figure, axis):
            for i, (name, taus) in enumerate(networks.items()):
                ordered = np.sort([tau for tau in taus if tau == tau])
                shares = np.arange(1, len(ordered) + 1) / max(1, len(ordered))
                axis.step(ordered, shares, where="post", label=plain(name), color=COLORS[i % len(COLORS)])
            axis.set_xscale("log")
            axis.set_xlabel("timescale within the network (steps)")
            axis.set_ylabel("share of the neurons up to it")
            axis.legend()
            save(figure, path)


def dimensions(signals: Float[Tensor, "r t n"]) -> float:
    """Returns the participation ratio of the activity's principal components."""
    flat = signals.flatten(0, 1).double()
    variances = torch.linalg.eigvalsh(flat.T.cov())
    return float(variances.sum() ** 2 / variances.square().sum())

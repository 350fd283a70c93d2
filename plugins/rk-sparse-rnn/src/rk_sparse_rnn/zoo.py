"""The search `graph-zoo`: networks in the wiring of many random graphs, and what their accuracy depends on."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor, nn

from rk import Run, Runtime, UserError
from rk.sampling import generator
from rk.training import train_inside
from rk.writing import write_csv
from rk_sparse_rnn.layer import GraphRNN
from rk_sparse_rnn.properties import PROPERTIES, properties
from rk_sparse_rnn.regression import partial, pearson

_KINDS = ("watts-strogatz", "barabasi-albert")


class GraphZoo:
    """Trains a recipe in the wiring of random graphs (arXiv:2407.20601, Sec. 6.4), and measures graphs and accuracies.

    The number of nodes is drawn; for each there is a graph of either kind, so that the kinds are compared at the same
    sizes. ``zoo.csv`` has a line for each: what was drawn, the accuracy of the tests, parameters, and the 23 properties
    of the graph. The analysis `wiring` takes one or several of these tables. The run answers with the network of `run`.

    The run reports the mean accuracy of either kind, ``ws`` and ``ba``, their difference, and the correlation of the
    accuracy with the number of nodes, and with its part that the logarithm of the number of parameters leaves.

    Args:
        run: A trained run of the recipe, for its data.
        recipe: Name or path of a recipe whose ``model.layer`` is `graph-rnn`.
        seed: Of the graphs and of the trainings.
        sizes: How many sizes; there are two graphs of each.
        least: Fewest nodes.
        most: Most nodes.

    Raises:
        ValueError: When `most` is less than `least`.

    Examples:
        rk search graph-zoo --run last --recipe sparse-rnn/ws-gru --sizes 12
    """

    defaults = ("fit.log_every=1",)

    def __init__(
        self,
        run: Run,
        recipe: str,
        seed: int,
        sizes: Annotated[int, Ge(1)] = 6,
        least: Annotated[int, Ge(10)] = 10,
        most: Annotated[int, Ge(10)] = 50,
    ) -> None:
        if most < least:
            raise ValueError(f"most must be >= {least}, the fewest nodes, got {most}")
        self.run = run
        self.recipe = recipe
        self.seed = seed
        drawn = torch.randint(least, most + 1, (sizes,), generator=generator(seed, "sizes")).tolist()
        self.plan = [(kind, nodes, seed * 1000 + number) for number, nodes in enumerate(drawn) for kind in _KINDS]
        self.rows: list[dict[str, Any]] = []

    def setup(self, *, runtime: Runtime) -> nn.Module:
        """Returns the learner of the run."""
        self.runtime = runtime
        self.total_steps = len(self.plan)
        self.learner = self.run.learner.to(runtime.device)
        _wired(self.learner)
        return self.learner

    def step(self) -> dict[str, Tensor] | None:
        """Trains with one graph; returns its accuracy, or None when all have been trained."""
        if len(self.rows) == len(self.plan):
            return None
        kind, nodes, seed = self.plan[len(self.rows)]
        changes = (f"fit.seed={self.seed}", *(f"model.layer.{k}={v}" for k, v in _drawn(kind, nodes, seed).items()))
        trained = train_inside(self.recipe, changes, name=f"graph-{len(self.rows)}", within=self.runtime)
        accuracy = trained.metrics.get("test/accuracy")
        if accuracy is None:
            raise UserError(f"{self.recipe} measures no test/accuracy", "graph-zoo needs a classifier")
        layer = _wired(trained.learner)
        row = {
            "graph": kind,
            "seed": seed,
            "accuracy": accuracy,
            "parameters": sum(p.numel() for p in layer.parameters()),
        }
        self.rows.append({**row, **properties(layer.plan.edges)})
        return {"nodes": torch.tensor(nodes), "accuracy": torch.tensor(accuracy)}

    def finish(self) -> None:
        """Writes the table."""
        if self.runtime.folder is not None and self.runtime.is_main and self.rows:
            head = ["graph", "seed", "accuracy", "parameters", *PROPERTIES]
            write_csv(self.runtime.folder / "zoo.csv", head, ([row[name] for name in head] for row in self.rows))

    def results(self) -> Mapping[str, float]:
        """Returns the means of either kind of graph, and correlations with the number of nodes."""
        if len(self.rows) < len(self.plan):
            return {}
        ws, ba = (statistics.fmean(row["accuracy"] for row in self.rows if row["graph"] == kind) for kind in _KINDS)
        nodes, accuracy, size = (np.array([row[k] for row in self.rows]) for k in ("nodes", "accuracy", "parameters"))
        return {
            "ws": ws,
            "ba": ba,
            "ws-over-ba": ws - ba,
            "nodes-correlation": pearson(nodes, accuracy),
            "nodes-partial": partial(nodes, accuracy, np.log(size)),
        }

    def state_dict(self) -> dict[str, Any]:
        return {"rows": [dict(row) for row in self.rows]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.rows = [dict(row) for row in state["rows"]]


def _drawn(kind: str, nodes: int, seed: int) -> dict[str, object]:
    return {"graph": kind, "nodes": nodes, "seed": seed}


def _wired(learner: nn.Module) -> GraphRNN:
    """Returns the wired layer of a learner. Raises `UserError` where it has none."""
    for module in learner.modules():
        if isinstance(module, GraphRNN):
            return module
    raise UserError("graph-zoo needs a model with the layer graph-rnn", "model.layer=graph-rnn")

"""The search `prune-sweep`: a network is pruned by percentage and by target, and trained until it is back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn

from rk import Run, Runtime
from rk.charts import chart, save
from rk.training import InnerRun, settings, train_inside
from rk.writing import write_csv

Scope = Literal["global", "layer"]
Part = Literal["both", "i2h", "h2h"]
_TARGETS = {"both": "recurrent", "i2h": "input-to-hidden", "h2h": "hidden-to-hidden"}
_HEAD = ("target", "percent", "at once", "last", "epochs to regain")


class PruneSweep:
    """Prunes a trained recurrent network by each percentage of each target, and counts the epochs that it needs.

    The first step trains the recipe with ``fit.seed``. Each further one begins with these weights, removes the given
    percentage of the smallest (arXiv:2407.20601, Sec. 5.2), and trains with fixed masks and a new optimizer until the
    accuracy of the tests is back, or `epochs` have passed. The run answers with the network of the fewest weights that
    has regained; ``sweep.csv`` and a figure have all of them.

    Args:
        run: A trained run of the recipe, for its data and the shapes of its weights.
        recipe: Name or path of the recipe.
        seed: Of the trainings.
        targets: What is pruned: the weights from input to hidden, `i2h`, from hidden to hidden, `h2h`, or `both`.
        percents: How many percent of these are removed.
        epochs: Most epochs of training behind a pruning.
        scope: Whether magnitudes are compared over all layers, or within each.
        tolerance: How far below the accuracy before pruning still counts as regained.

    Raises:
        ValueError: When there are no targets or no percentages.

    Examples:
        rk search prune-sweep --run last --recipe sparse-rnn/base-gru --percents '[80, 90, 100]'
    """

    defaults = ("fit.log_every=1",)

    def __init__(
        self,
        run: Run,
        recipe: str,
        seed: int,
        targets: tuple[Part, ...] = ("both", "i2h", "h2h"),
        percents: tuple[Annotated[float, Gt(0), Le(100)], ...] = (10, 20, 30, 40, 50, 60, 70, 80, 90, 100),
        epochs: Annotated[int, Ge(1)] = 2,
        scope: Scope = "global",
        tolerance: Annotated[float, Ge(0)] = 0.002,
    ) -> None:
        if not targets or not percents:
            raise ValueError("targets and percents must not be empty")
        self.run = run
        self.recipe = recipe
        self.seed = seed
        self.plan = [(target, percent) for target in targets for percent in percents]
        self.epochs = epochs
        self.scope = scope
        self.tolerance = tolerance
        self.base: float | None = None
        self.rows: list[tuple[str, float, float, float, int]] = []

    def setup(self, *, runtime: Runtime) -> nn.Module:
        """Returns the learner of the run, which gets the weights of the sparsest network that regains."""
        self.runtime = runtime
        self.total_steps = 1 + len(self.plan)
        self.learner = self.run.learner.to(runtime.device)
        return self.learner

    def step(self) -> dict[str, Tensor] | None:
        """Trains the dense network, or prunes and trains it once; returns accuracies, or None at the end."""
        dense = train_inside(self.recipe, [f"fit.seed={self.seed}"], name="dense", within=self.runtime)
        if self.base is None:
            self.base = _number(dense, "test/accuracy")
            self.learner.load_state_dict(dense.learner.state_dict())
            return {"accuracy": torch.tensor(self.base)}
        if len(self.rows) == len(self.plan):
            return None
        target, percent = self.plan[len(self.rows)]
        pruned = self._pruned(dense.folder, target, percent)
        epochs = pruned.metrics.get("run/epochs-to-regain")
        at_once, last = _number(pruned, "run/at-once"), _number(pruned, "run/last")
        self.rows.append((target, percent, at_once, last, -1 if epochs is None else int(epochs)))
        kept = sum(int(w.count_nonzero()) for w in pruned.learner.parameters())
        if epochs is not None and kept < self._fewest():
            self.learner.load_state_dict(pruned.learner.state_dict())
        return {"at_once": torch.tensor(at_once), "last": torch.tensor(last)}

    def _fewest(self) -> int:
        return sum(int(w.count_nonzero()) for w in self.learner.parameters())

    def _pruned(self, dense: Path, target: str, percent: float) -> InnerRun:
        callback = {
            "name": "sparse-rnn/prune-and-regain",
            "density": 1 - percent / 100,
            "target": _TARGETS[target],
            "distribution": "global" if self.scope == "global" else "uniform",
            "tolerance": self.tolerance,
        }
        others = settings(self.recipe).get("callbacks", [])
        changes = [
            f"fit.seed={self.seed}",
            f"fit.max_epochs={self.epochs}",
            f"init_from={json.dumps({'run': str(dense)})}",
            f"callbacks={json.dumps([*others, callback])}",
        ]
        return train_inside(self.recipe, changes, name=f"{target}-{percent:g}", within=self.runtime)

    def finish(self) -> None:
        """Writes the table and the figure."""
        folder = self.runtime.folder
        if folder is None or not self.runtime.is_main or not self.rows:
            return
        written = ([*row[:4], "never" if row[4] < 0 else row[4]] for row in self.rows)
        write_csv(folder / "sweep.csv", _HEAD, written, digits=4)
        (folder / "figures").mkdir(exist_ok=True)
        _draw(self.rows, self.base or 0.0, folder / "figures" / "sweep.png")

    def results(self) -> Mapping[str, float]:
        """Returns the accuracy before pruning, and for each pruning ``TARGET-PERCENT-at-once``, ``-last``, ``-epochs``.

        The last is missing where the accuracy was not regained.
        """
        found = {} if self.base is None else {"base": self.base}
        for target, percent, at_once, last, epochs in self.rows:
            name = f"{target}-{percent:g}"
            found |= {f"{name}-at-once": at_once, f"{name}-last": last}
            if epochs >= 0:
                found[f"{name}-epochs"] = epochs
        return found

    def summary(self) -> str:
        """Returns a line for each pruning."""
        lines = [f"dense: {self.base:.4f}"]
        for target, percent, at_once, last, epochs in self.rows:
            back = "not regained" if epochs < 0 else f"regained in {epochs} epochs"
            lines.append(f"{target} {percent:g} %: {at_once:.4f} at once, {last:.4f} in the end, {back}")
        return "\n".join(lines)

    def state_dict(self) -> dict[str, Any]:
        return {"base": self.base, "rows": [list(row) for row in self.rows]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.base = state["base"]
        self.rows = [(str(t), float(p), float(now), float(end), int(e)) for t, p, now, end, e in state["rows"]]


def _number(run: InnerRun, name: str) -> float:
    value = run.metrics.get(name)
    return float("nan") if value is None else value


def _draw(rows: list[tuple[str, float, float, float, int]], base: float, path: Path) -> None:
    with chart(5.2, 3.2) as (figure, axis):
        axis.axhline(base, linestyle="--", linewidth=1, color="0.5", label="before pruning")
        for number, target in enumerate(dict.fromkeys(row[0] for row in rows)):
            points = sorted(row[1:4] for row in rows if row[0] == target)
            percents, at_once, last = zip(*points, strict=True)
            axis.plot(percents, at_once, "o:", color=f"C{number}", label=f"{target}, at once")
            axis.plot(percents, last, "o-", color=f"C{number}", label=f"{target}, trained again")
        axis.set_xlabel("percent of the weights removed")
        axis.set_ylabel("accuracy of the tests")
        axis.legend(fontsize="small")
        save(figure, path)

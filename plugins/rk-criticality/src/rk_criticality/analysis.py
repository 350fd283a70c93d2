"""The analysis `criticality`: predicted and measured signals of any model, and a verdict per layer."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge

from rk import Run, UserError
from rk.jsontext import to_json
from rk.sampling import generator
from rk.training import train_inside
from rk.writing import write_atomic, write_csv
from rk_criticality.learners import initial_learners
from rk_criticality.measure import Row, first_examples, measured


class Criticality:
    """Whether signals fade or explode in a model before it is trained, layer by layer, and what to set.

    The model of a recipe or a run is built with the initial weights of several seeds, and shown a batch. For each
    layer: K, the mean square of pre-activations; chi_perp, how a gradient's squared norm grows on its way back to the
    layer before; chi_par, the same of a change of K; V, the covariance of z_i^2 and z_j^2 over the weights; cosines;
    gradients. Where an elementwise activation is between two linear maps, the recursions of arXiv:2106.10165 are
    printed beside. A layer is ordered (chi_perp < 0.95), chaotic (> 1.05) or critical.

    It writes ``criticality.json``, ``criticality.csv`` and a figure.

    Args:
        run: A run. Its trained weights are measured too, as ``trained.csv``.
        recipe: In place of a run, the name or path of a recipe: it is trained for one step.
        inits: Initial weights.
        examples: Of the batch, at most.
        draws: Vectors of the estimator of Jacobians, per layer and network.
        split: Where the batch is from.
        seed: Seeds the estimator.

    Raises:
        ValueError: When neither or both of `run` and `recipe` are given.

    Examples:
        rk analyze criticality --recipe criticality/deep-tanh-default
    """

    def __init__(
        self,
        run: Run | None = None,
        recipe: str | None = None,
        inits: Annotated[int, Ge(1)] = 16,
        examples: Annotated[int, Ge(1)] = 16,
        draws: Annotated[int, Ge(1)] = 4,
        split: str = "train",
        seed: int = 0,
    ) -> None:
        if (run is None) == (recipe is None):
            raise ValueError("give run or recipe, one of them")
        self.run = run
        self.recipe = recipe
        self.inits = inits
        self.examples = examples
        self.draws = draws
        self.split = split
        self.seed = seed

    def analyze(self, out: Path) -> dict[str, float]:
        """Measures; returns how many layers have each verdict, the growth of gradients per layer, and mean errors.

        Raises:
            rk.UserError: When the model has no layers with weights.
        """
        from rk_criticality.drawing import draw_rows

        run = self.run
        if self.recipe is not None:
            run = train_inside(self.recipe, ("fit.max_steps=1", "fit.validate_batches=1"), name="model", within=out).run
        assert run is not None
        batch = first_examples(next(iter(run.batches(self.split, 1))), self.examples)
        random = generator(self.seed, "criticality")
        rows = measured(initial_learners(run, self.inits, batch), batch, self.draws, random)
        if len(rows) < 2:
            raise UserError("criticality: the model has one layer: there is nothing between layers")
        columns = [f.name for f in dataclasses.fields(Row)]
        write_csv(out / "criticality.csv", columns, [_cells(row) for row in rows])
        found = summary(rows)
        layers = [dataclasses.asdict(row) for row in rows]
        write_atomic(out / "criticality.json", to_json({"layers": layers, **found}, indent=1))
        if self.recipe is None:
            trained = measured([run.learner], batch, self.draws * 4, random)
            write_csv(out / "trained.csv", columns, [_cells(row) for row in trained])
        draw_rows(rows, out / "criticality.png", run.recipe.name)
        for row in rows:
            print(_line(row))
        return found


def summary(rows: list[Row]) -> dict[str, float]:
    """Returns the numbers of a network that are worth a line."""
    found = {
        verdict: float(sum(row.verdict == verdict for row in rows)) for verdict in ("ordered", "critical", "chaotic")
    }
    deepest = max((i for i, row in enumerate(rows) if row.from_first and row.verdict != "last"), default=None)
    if deepest:
        total = rows[deepest].from_first or 1.0
        found["growth"] = total ** (1 / deepest)
        if abs(math.log(found["growth"])) > 1e-9:
            found["depth-scale"] = 1 / abs(math.log(found["growth"]))
    found["depth/width"] = sum(1 / row.units for row in rows[:-1])
    for name in ("k", "chi_perp"):
        pairs = [(getattr(row, name), getattr(row, f"{name}_predicted")) for row in rows]
        known = [abs(a / b - 1) for a, b in pairs if a is not None and b]
        if known:
            found[f"{name}/error"] = sum(known) / len(known)
    return found


def _cells(row: Row) -> list[Any]:  # Any: texts and numbers
    return [f"{x:.6g}" if isinstance(x, float) else "" if x is None else x for x in dataclasses.astuple(row)]


def _line(row: Row) -> str:
    numbers = [f"K {row.k:.3g}" + ("" if row.k_predicted is None else f" ({row.k_predicted:.3g})")]
    if row.chi_perp is not None:
        beside = "" if row.chi_perp_predicted is None else f" ({row.chi_perp_predicted:.3g})"
        numbers.append(f"chi {row.chi_perp:.3g}{beside}")
    if row.c_w is not None:
        numbers.append(f"C_W {row.c_w:.3g}")
    return f"{row.name}  {'  '.join(numbers)}  {row.verdict}" + (f": set {row.advice}" if row.advice else "")

"""The search `mixed-precision`: more bits for the weights that the loss depends on most."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn

from rk import Run, Runtime, UserError
from rk.charts import COLORS, chart, save
from rk.writing import write_csv
from rk_quantization import report
from rk_quantization.activations import inputs_of
from rk_quantization.allocation import Point, front, within
from rk_quantization.grids import fit
from rk_quantization.hessian import traces
from rk_quantization.post_training import Batches, PostTraining, Row, total_bits
from rk_quantization.post_training import run as answer_all
from rk_quantization.scheme import Clip, Granularity, Levels, Scheme
from rk_quantization.settings import Settings
from rk_quantization.weights import Weight, quantizable

Criterion = Literal["hessian", "error", "reversed", "uniform"]


class MixedPrecision:
    """Chooses the bits of each weight of a trained run under a budget, and quantises it so.

    Omega_l(b) = (Tr(H_l) / n_l) ||Q_b(W_l) - W_l||^2 (HAWQ-V2, arXiv:1911.03852) estimates how much the loss grows if
    weight l has b bits. The bits with the lowest sum within the budget are found exactly, by a dynamic programme that
    keeps all Pareto-optimal choices. The result is a run like any other; ``layers.csv`` has the bits and the trace of
    each weight, ``pareto.csv`` and its figure the whole front.

    Args:
        run: The trained run.
        budget: Mean bits: of a weight, or of a multiplication.
        budget_of: What is limited: `size`, the sum of n_l b_l, or `bops`, the sum of the multiplications of a layer
            times b_l.
        choices: Bits that a weight may have.
        criterion: `hessian`; `error`: the squared error alone; `reversed`: the traces in the opposite order, as a
            control; `uniform`: the same bits for all, as a control.
        levels: `narrow`, `symmetric`, `affine`, `power-of-two` or `codebook`.
        granularity: What shares a scale.
        group_size: Weights of a group.
        clip: How ranges are found.
        include: Regular expressions of names: only these weights.
        exclude: Regular expressions of names of weights that stay as they are.
        split: The split of the batches for the Hessian.
        samples: Batches.
        probes: Random vectors for the trace, for each batch.

    Examples:
        rk search mixed-precision --run last --budget 4
    """

    defaults = ("fit.log_every=1",)
    lower_is_better = ("bits", "kilobytes", "omega")

    def __init__(
        self,
        run: Run,
        budget: Annotated[float, Gt(0), Le(8)] = 4.0,
        budget_of: Literal["size", "bops"] = "size",
        choices: tuple[Annotated[int, Ge(2), Le(8)], ...] = (2, 3, 4, 5, 6, 8),
        criterion: Criterion = "hessian",
        levels: Levels = "narrow",
        granularity: Granularity = "channel",
        group_size: Annotated[int, Ge(1)] = 64,
        clip: Clip = "min-max",
        include: tuple[str, ...] = (),
        exclude: tuple[str, ...] = (),
        split: str = "train",
        samples: Annotated[int, Ge(1)] = 8,
        probes: Annotated[int, Ge(1)] = 32,
    ) -> None:
        if not choices:
            raise ValueError("choices must not be empty")
        if levels in ("ternary", "binary"):
            raise ValueError(f"levels={levels} has one number of bits: there is nothing to choose")
        if criterion == "uniform" and budget not in choices:
            raise ValueError(f"criterion=uniform needs a budget that is one of the choices, got {budget:g}")
        self.run = run
        self.budget, self.budget_of, self.criterion = budget, budget_of, criterion
        self.choices = tuple(sorted({*choices}))
        scheme = Scheme(choices[0], levels, granularity, group_size, clip)
        self.settings = Settings(scheme, include=include, exclude=exclude, split=split, samples=samples)
        self.probes = probes
        self.bits: dict[str, int] = {}
        self.traces: dict[str, float] = {}
        self.omega = 0.0
        self.rows: list[Row] = []
        self.points: list[tuple[int, float]] = []

    def setup(self, *, runtime: Runtime) -> nn.Module:
        """Returns the learner of the run."""
        self.runtime = runtime
        self.learner = self.run.learner.to(runtime.device)
        self.work = PostTraining(self.learner, self.settings)
        self.total_steps = len(self.work.weights)
        return self.learner

    def batches(self) -> Any:
        """Yields the batches that the Hessian is taken over."""
        return self.run.batches(self.settings.split, self.settings.samples)

    def step(self) -> dict[str, Tensor] | None:
        """Quantises one weight, the first step after choosing the bits of all; None when all are done."""
        if len(self.rows) == len(self.work.weights):
            return None
        if not self.bits:
            self.choose()
        work = PostTraining(self.learner, self.settings, self.bits)
        row = work.quantize([*self.work.weights][len(self.rows)], self.batches, 0)
        self.rows.append(row)
        return {"bits": torch.tensor(float(row.bits)), "sqnr": torch.tensor(min(row.sqnr, 1e3))}

    def choose(self) -> None:
        """Measures the sensitivities and chooses the bits."""
        seed = self.run.recipe.fit.seed
        chosen = choose(
            self.learner,
            self.settings,
            self.batches,
            seed,
            self.criterion,
            self.budget,
            self.choices,
            budget_of=self.budget_of,
            probes=self.probes,
        )
        self.bits, self.traces, self.omega = chosen.bits, chosen.traces, chosen.omega
        self.points = [(p.size, p.cost) for p in chosen.points]

    def finish(self) -> None:
        """Writes tables and figures."""
        folder = self.runtime.folder
        if folder is None or not self.runtime.is_main:
            return
        report.write(self.rows, folder, self.traces)
        if self.points:
            write_front(self.points, self.budget, folder)

    def results(self) -> Mapping[str, float]:
        """Returns the mean bits, the size with scales, and the sum of the sensitivities."""
        size = sum(row.size for row in self.rows) / 1000
        return {"bits": total_bits(self.rows), "kilobytes": size, "omega": self.omega}

    def summary(self) -> str:
        """Returns the bits that were chosen."""
        listed = ", ".join(f"{name} {bits}" for name, bits in self.bits.items())
        return f"bits: {listed}\n{report.text(self.rows)}"

    def state_dict(self) -> dict[str, Any]:
        return {
            "bits": dict(self.bits),
            "traces": dict(self.traces),
            "omega": self.omega,
            "rows": [list(vars(row).values()) for row in self.rows],
            "points": [list(point) for point in self.points],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.bits, self.traces, self.omega = dict(state["bits"]), dict(state["traces"]), state["omega"]
        self.rows = [Row(*values) for values in state["rows"]]
        self.points = [(size, cost) for size, cost in state["points"]]


@dataclass(frozen=True)
class Chosen:
    """What was chosen.

    Attributes:
        bits: Of each weight, by name.
        traces: Of each weight's block of the Hessian; the numbers of a weight where `criterion` is `error`.
        omega: The sum of the sensitivities.
        points: The Pareto front; empty where all weights have the same bits.
    """

    bits: dict[str, int]
    traces: dict[str, float]
    omega: float
    points: list[Point]


def choose(
    learner: nn.Module,
    settings: Settings,
    batches: Batches,
    seed: int,
    criterion: Criterion,
    budget: float,
    choices: tuple[int, ...],
    *,
    budget_of: Literal["size", "bops"] = "size",
    probes: int = 32,
) -> Chosen:
    """Measures the sensitivities of all weights and chooses their bits (HAWQ-V2, Eq. 6); arguments as for the search.

    Raises:
        rk.UserError: When the smallest choice for all weights exceeds the budget, or the Hessian cannot be computed.
    """
    weights = quantizable(learner, settings.include, settings.exclude)
    numbers = {n: w.parameter.numel() for n, w in weights.items()}
    if criterion == "error":
        found = {n: float(count) for n, count in numbers.items()}
    else:
        found = traces(learner, {n: w.parameter for n, w in weights.items()}, batches, probes, seed)
    mean = {n: max(found[n] / numbers[n], 0.0) for n in weights}
    used = reversed_order(mean) if criterion == "reversed" else mean
    errors = {n: _errors(w, settings.weights, choices) for n, w in weights.items()}
    each = multiplications(learner, weights, batches) if budget_of == "bops" else numbers
    limit = budget * sum(each.values())
    points: list[Point] = []
    if criterion == "uniform":
        chosen: Point | None = Point(int(limit), 0.0, (int(budget),) * len(weights))
    else:
        costs = [{b: used[n] * e for b, e in errors[n].items()} for n in weights]
        points = front(costs, [{b: b * each[n] for b in choices} for n in weights])
        chosen = within(points, limit)
    if chosen is None:
        raise UserError(
            f"budget={budget:g} is below the smallest choice for all weights, {min(choices)} bits",
            f"budget={min(choices)}, or smaller choices",
        )
    bits = dict(zip(weights, chosen.bits, strict=True))
    return Chosen(bits, found, sum(mean[n] * errors[n][bits[n]] for n in weights), points)


def _errors(weight: Weight, scheme: Scheme, choices: tuple[int, ...]) -> dict[int, float]:
    """Returns ||Q_b(W) - W||^2 for each choice."""
    found = {}
    for bits in choices:
        one = replace(scheme, bits=bits)
        rows = weight.layout(one).rows(weight.parameter.detach()).float()
        found[bits] = float((fit(rows, one).snap(rows) - rows).square().sum())
    return found


def multiplications(learner: nn.Module, weights: Mapping[str, Weight], batches: Batches) -> dict[str, int]:
    """Returns the multiplications of each weight for one batch: its numbers times the places where it is used."""
    calls = dict.fromkeys(weights, 0)

    def count(name: str, x: Tensor) -> None:
        module = weights[name].module
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
            calls[name] += x.numel() // x.shape[-1 - len(module.kernel_size)] // math.prod(module.stride)
        else:
            calls[name] += x.numel() // x.shape[-1]

    with inputs_of({n: w.module for n, w in weights.items()}, count):
        answer_all(learner, [next(batches())], 0)
    return {n: max(1, calls[n]) * w.parameter.numel() for n, w in weights.items()}


def reversed_order(values: Mapping[str, float]) -> dict[str, float]:
    """Returns the values given to the names in the opposite order: the highest to the name that had the lowest."""
    order = sorted(values, key=lambda name: values[name])
    return {name: values[other] for name, other in zip(order, reversed(order), strict=True)}


def write_front(points: list[tuple[int, float]], budget: float, folder: Path) -> None:
    """Writes ``pareto.csv`` and ``figures/pareto.png``: the sum of the sensitivities over the size."""
    write_csv(folder / "pareto.csv", ["size", "omega"], points)
    (folder / "figures").mkdir(exist_ok=True)
    with chart(4.4, 3.0) as (figure, axis):
        axis.step(*zip(*points, strict=True), where="post", color=COLORS[0])
        if any(cost > 0 for _, cost in points):
            axis.set_yscale("log")
        axis.set_xlabel("size (bits, or bit operations)")
        axis.set_ylabel("sum of the sensitivities")
        axis.set_title(f"budget: {budget:g} bits on average")
        save(figure, folder / "figures" / "pareto.png")

"""What each exit of a model reaches, and how early its answers are already the whole model's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

import torch
from annotated_types import Ge
from jaxtyping import Float, Int
from torch import Tensor, nn

from rk import Batch, FitContext, Layered, Loss, Run, UserError
from rk.authoring import evaluating
from rk.binding import Bound
from rk.blocks import run_exits
from rk.charts import chart, save
from rk.fields import IGNORED
from rk.writing import write_csv
from rk_relaxed_recursive.exits import exits_of, name_of
from rk_relaxed_recursive.means import Mean


@dataclass(frozen=True)
class Exit:
    """One exit over a split.

    Attributes:
        depth: After how many blocks.
        loss: Of the recipe.
        accuracy: Share of the targets that are the likeliest class; NaN where there are no classes.
        oracle: Share of the answers for which it is the first exit whose likeliest class is the whole model's.
    """

    depth: int
    loss: float
    accuracy: float
    oracle: float


def oracle_exits(logits: Sequence[Float[Tensor, "*positions classes"]]) -> Int[Tensor, "*positions"]:
    """Returns the first exit of each position whose likeliest class is the last exit's (arXiv:2410.20672, Fig. 8).

    Args:
        logits: Of each exit, in order.

    Returns:
        Numbers of exits, int64, from 0.
    """
    chosen = torch.stack([one.argmax(-1) for one in logits])
    return (chosen == chosen[-1]).to(torch.uint8).argmax(0)  # of equal numbers the first


def measure(model: nn.Module, loss: Loss, batches: Iterable[Batch], exits: Sequence[int], seed: int) -> list[Exit]:
    """Returns what each exit reaches over some batches.

    Args:
        model: A model of blocks.
        loss: Of the recipe.
        batches: With their targets.
        exits: After how many blocks the model answers.
        seed: Of what the model draws.
    """
    judge = Bound(getattr(loss, "forward", loss.__call__), call=loss)
    losses = [Mean() for _ in exits]
    right, first = torch.zeros(len(exits)), torch.zeros(len(exits))
    asked = 0
    for batch in batches:
        with evaluating(model, seed):
            answers = [outputs for _, outputs in run_exits(cast(Layered, model), batch, exits)]
            for mean, outputs in zip(losses, answers, strict=True):
                mean.add(judge({**batch, **outputs}))
        logits = [outputs["logits"] for outputs in answers if "logits" in outputs]
        targets = batch.get("targets")
        if len(logits) < len(exits) or targets is None or targets.shape != logits[0].shape[:-1]:
            continue
        counts = targets != IGNORED
        asked += int(counts.sum())
        right += torch.stack([((one.argmax(-1) == targets) & counts).sum() for one in logits]).cpu()
        first += torch.bincount(oracle_exits(logits)[counts], minlength=len(exits)).cpu()
    share = asked if asked else float("nan")
    return [
        Exit(depth, mean.value, float(right[i]) / share, float(first[i]) / share)
        for i, (depth, mean) in enumerate(zip(exits, losses, strict=True))
    ]


def numbers(found: Sequence[Exit]) -> dict[str, float]:
    """Returns the results: ``exit-3-accuracy`` and ``exit-3-oracle`` of each exit, and three of which less is better.

    These are ``first-exit-loss``, ``last-exit-loss`` and ``oracle-depth``, the blocks that the oracle runs on average.
    """
    results = {"first-exit-loss": found[0].loss, "last-exit-loss": found[-1].loss}
    for one in found:
        results |= {f"{name_of(one.depth)}-accuracy": one.accuracy, f"{name_of(one.depth)}-oracle": one.oracle}
    results["oracle-depth"] = sum(one.depth * one.oracle for one in found)
    return {name: value for name, value in results.items() if value == value}


def write(found: Sequence[Exit], table: Path, figure: Path) -> None:
    """Writes the table of the exits, and the figure of their losses and of the oracle's exits."""
    rows = [[one.depth, one.loss, one.accuracy, one.oracle] for one in found]
    write_csv(table, ["blocks", "loss", "accuracy", "oracle"], rows)
    figure.parent.mkdir(exist_ok=True, parents=True)
    depths = [str(one.depth) for one in found]
    with chart(6.0, 2.8, columns=2) as (drawn, losses, first):
        losses.plot(depths, [one.loss for one in found], "o-")
        losses.set_ylabel("loss")
        first.bar(depths, [one.oracle for one in found], width=0.6)
        first.set_ylabel("share of answers that the oracle takes")
        for axis in (losses, first):
            axis.set_xlabel("exit after so many blocks")
        save(drawn, figure)


class ExitStatsCallback:
    """Measures, at the end of a run, each exit of its model: loss, accuracy, and how often the oracle leaves there.

    The oracle leaves at the first exit whose likeliest class is the whole model's. It writes ``exits.csv`` and
    ``figures/exits.png``; the results are ``run/first-exit-loss`` and ``run/last-exit-loss``, ``run/exit-3-accuracy``
    and ``run/exit-3-oracle`` of each exit, and ``run/oracle-depth``, the blocks that the oracle runs on average. The
    model may be trained by any trainer.

    Args:
        exits: After how many blocks it answers; the last must be all of them. Empty: after each loop.
        split: The split that is measured.

    Examples:
        callbacks: [exit-stats]
    """

    lower_is_better = ("first-exit-loss", "last-exit-loss", "oracle-depth")

    def __init__(self, exits: tuple[Annotated[int, Ge(1)], ...] = (), split: str = "test") -> None:
        self.exits, self.split = exits, split
        self.found: list[Exit] = []

    def fit_start(self, fit: FitContext) -> None:
        """Refuses a model without exits, before it is trained."""
        exits_of(parts_of(fit.learner)[0], self.exits)

    def fit_end(self, fit: FitContext) -> None:
        model, loss = parts_of(fit.learner)
        exits = exits_of(model, self.exits)
        self.found = measure(model, loss, fit.batches(self.split), exits, fit.recipe.fit.seed)
        if fit.runtime.is_main:
            write(self.found, fit.folder / "exits.csv", fit.folder / "figures" / "exits.png")

    def results(self) -> Mapping[str, float]:
        return numbers(self.found) if self.found else {}


class ExitStats:
    """Measures each exit of a run's model: loss, accuracy, and how often the oracle leaves there (arXiv:2410.20672).

    The oracle leaves at the first exit whose likeliest class is the whole model's. The table is ``exits.csv``, the
    figure ``exits.png``.

    Args:
        run: A run of a model of blocks, trained by any trainer.
        exits: After how many blocks it answers; the last must be all of them. Empty: after each loop.
        split: The split that is measured.
        limit: The most batches to measure; null: all.

    Examples:
        rk analyze exit-stats --run last
    """

    def __init__(
        self,
        run: Run,
        exits: tuple[Annotated[int, Ge(1)], ...] = (),
        split: str = "test",
        limit: Annotated[int, Ge(1)] | None = None,
    ) -> None:
        self.run, self.exits, self.split, self.limit = run, exits, split, limit

    def analyze(self, out: Path) -> dict[str, float]:
        """Writes the table and the figure into `out`; returns the numbers of all exits.

        Raises:
            rk.UserError: When the run's model has no exits.
        """
        model, loss = parts_of(self.run.learner)
        exits = exits_of(model, self.exits)
        batches = self.run.batches(self.split, self.limit)
        found = measure(model, loss, batches, exits, self.run.recipe.fit.seed)
        write(found, out / "exits.csv", out / "exits.png")
        return numbers(found)


def parts_of(learner: Any) -> tuple[nn.Module, Loss]:
    """Returns the model of blocks and the loss of a learner. Raises `rk.UserError` where it has none."""
    model, loss = getattr(learner, "model", None), getattr(learner, "loss", None)
    if not isinstance(model, nn.Module) or not hasattr(model, "blocks") or loss is None:
        raise UserError("exit-stats needs a run of a model of blocks with a loss")
    return model, loss

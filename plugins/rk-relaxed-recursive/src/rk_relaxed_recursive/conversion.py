"""What a trained model loses when its layers are tied, before any further training."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from rk_recursion.initial import Initial, redraw
from rk_recursion.layouts import Layout, Sharing
from rk_recursion.recursive import layered_of
from rk_recursion.relaxation import relax, truncate, with_own_norms
from rk_recursion.stack import initialise, tied
from torch import nn

from rk import Batch, FitContext, Model, Run, UserError
from rk.authoring import evaluating
from rk.builtin.backprop import Supervised
from rk.charts import chart, save
from rk.writing import write_csv
from rk_relaxed_recursive.means import Mean

INITIALS: tuple[Initial, ...] = ("stepwise", "average", "lower", "random")
FULL = 10**9
"""A rank that no matrix reaches: it is cut to the size of each."""
SOURCE = "source"
"""How tables call the model that is converted."""


@dataclass(frozen=True)
class Converted:
    """A conversion and its loss before any uptraining.

    Attributes:
        initial: What the shared blocks begin with; `SOURCE`: the model itself.
        rank: Of what each layer adds, which begins as the best approximation of its residual; None: the full one, and
            norms of its own.
        parameters: How many weights the model has.
        loss: In the unit of the recipe's loss.
    """

    initial: str
    rank: int | None
    parameters: int
    loss: float

    @property
    def name(self) -> str:
        """How results call it: ``average-24``; without a rank ``average``, with the full one ``average-full``."""
        return _name(self.initial, self.rank)


def _name(initial: str, rank: int | None) -> str:
    return initial if rank == 0 else f"{initial}-{'full' if rank is None else rank}"


def conversions(
    model: nn.Module, layout: Layout, initials: Sequence[Initial], ranks: Sequence[int | None], seed: int
) -> Iterator[tuple[Initial, int | None, nn.Module]]:
    """Yields a model converted in all ways: shared blocks of each initialisation, relaxed at each rank.

    The singular values of an initialisation are computed once, at the largest rank, and cut for the others: so each
    model is changed when the next is asked for.

    Args:
        model: A model of blocks; it stays as it is.
        layout: Which block each layer runs.
        initials: Of the shared blocks.
        ranks: Of what each layer adds, from 0; None: the full one, and norms of its own: the model again.
        seed: Of weights and layers at random.
    """
    states = [{name: t.detach().clone() for name, t in b.state_dict().items()} for b in layered_of(model).blocks]
    for initial in initials:
        whole: nn.Module = copy.deepcopy(model)
        inner = layered_of(whole)
        if initial == "random":
            redraw(inner.blocks, seed)
        shared = tied(inner.blocks, layout)
        initialise(shared, layout, states, initial, seed)
        numbers = sorted({rank for rank in ranks if rank is not None}, reverse=True)
        most = FULL if None in ranks else numbers[0]
        relaxed = relax(shared, layout, most, states)
        if None in ranks:
            inner.blocks = with_own_norms(relaxed, layout, states)
            yield initial, None, whole
        inner.blocks = relaxed
        for rank in numbers:
            truncate(relaxed, rank)
            yield initial, rank, whole


def measured(
    learner: nn.Module,
    batches: Callable[[], Iterator[Batch]],
    layout: Layout,
    initials: Sequence[Initial],
    ranks: Sequence[int | None],
    seed: int,
) -> list[Converted]:
    """Returns the loss of a learner's model, and of all its conversions."""
    model, loss = getattr(learner, "model", None), getattr(learner, "loss", None)
    if not isinstance(model, nn.Module) or loss is None:
        raise UserError("a conversion needs a run of one model with a loss")

    def one(initial: str, rank: int | None, model: nn.Module) -> Converted:
        judged, mean = Supervised(cast(Model, model), loss), Mean()
        with evaluating(judged, seed):
            for batch in batches():
                mean.add(judged.evaluate(batch)[0])
        return Converted(initial, rank, sum(p.numel() for p in model.parameters()), mean.value)

    found = [one(SOURCE, 0, model)]
    found += [one(*each) for each in conversions(model, layout, initials, ranks, seed)]
    order = [SOURCE, *initials]
    return sorted(found, key=lambda c: (order.index(c.initial), FULL if c.rank is None else c.rank))


def write(found: Sequence[Converted], table: Path, figure: Path) -> None:
    """Writes the table of all conversions, and the figure of the loss by rank."""
    rows = [[c.initial, "full" if c.rank is None else c.rank, c.parameters, c.loss] for c in found]
    write_csv(table, ["initial", "rank", "parameters", "loss"], rows)
    figure.parent.mkdir(exist_ok=True, parents=True)
    with chart(4.8, 3.2) as (drawn, axis):
        for initial in dict.fromkeys(c.initial for c in found[1:]):
            points = [(c.rank, c.loss) for c in found if c.initial == initial and c.rank is not None]
            axis.plot(*zip(*points, strict=True), "o-", label=initial)
        axis.axhline(found[0].loss, color="grey", linestyle="--", linewidth=1, label=SOURCE)
        axis.set_xlabel("rank of the layers' own matrices")
        axis.set_ylabel("loss before uptraining")
        axis.legend()
        save(drawn, figure)


class ConversionTable:
    """Measures, at the end of a run, its model with tied layers: every initialisation at every rank, not trained.

    It writes ``conversion.csv`` and ``figures/conversion.png``. The results are ``run/source``, ``run/average``,
    ``run/average-24``, ...: the loss on a split of the model itself, and tied. The matrices of a rank begin by `svd`;
    those that begin with zeros change no answer, so that their loss is that of rank 0.

    Args:
        seed: Of weights and layers at random.
        num_loops: How often a shared block runs.
        sharing: Which layers share a block: see `rk_recursion.layouts.Layout`.
        initials: Which layers the blocks begin with: see `rk_recursion.initial.sources`.
        ranks: Of what each layer adds to its block; 0: nothing; null: the full rank and norms of its own, which give
            back the model as it is.
        split: The split that is measured.

    Examples:
        callbacks: [{name: conversion-table, ranks: [0, 8, 64, null]}]
    """

    def __init__(
        self,
        seed: int,
        num_loops: int = 2,
        sharing: Sharing = "cycle",
        initials: tuple[Initial, ...] = INITIALS,
        ranks: tuple[int | None, ...] = (0, 8, 32, None),
        split: str = "test",
    ) -> None:
        check(initials, ranks)
        self.seed = seed
        self.num_loops, self.sharing = num_loops, sharing
        self.initials, self.ranks, self.split = initials, ranks, split
        self.found: list[Converted] = []
        self.lower_is_better = (SOURCE, *(_name(initial, rank) for initial in initials for rank in ranks))

    def fit_start(self, fit: FitContext) -> None:
        """Refuses a model that cannot be tied, before it is trained."""
        layout_of(fit.learner, self.num_loops, self.sharing)

    def fit_end(self, fit: FitContext) -> None:
        layout = layout_of(fit.learner, self.num_loops, self.sharing)
        self.found = measured(
            fit.learner, lambda: fit.batches(self.split), layout, self.initials, self.ranks, self.seed
        )
        if fit.runtime.is_main:
            write(self.found, fit.folder / "conversion.csv", fit.folder / "figures" / "conversion.png")

    def results(self) -> Mapping[str, float]:
        return {c.name: c.loss for c in self.found}


class Conversion:
    """Ties the layers of a trained model in all ways, and measures each before any uptraining (arXiv:2410.20672).

    The table ``conversion.csv`` has the loss and the number of weights for every initialisation and rank, the figure
    ``conversion.png`` the loss by rank. The run stays as it is; the model `recursive` trains on from a conversion.

    Args:
        run: A run of a model of blocks, such as `language-model`.
        num_loops: How often a shared block runs.
        sharing: Which layers share a block: see `rk_recursion.layouts.Layout`.
        initials: Which layers the blocks begin with: see `rk_recursion.initial.sources`.
        ranks: Of what each layer adds to its block; 0: nothing; null: the full rank and norms of its own, which give
            back the model as it is.
        split: The split that is measured.
        limit: The most batches to measure; null: all.

    Examples:
        rk analyze conversion --run last --ranks '[0, 8, 64, null]'
    """

    def __init__(
        self,
        run: Run,
        num_loops: int = 2,
        sharing: Sharing = "cycle",
        initials: tuple[Initial, ...] = INITIALS,
        ranks: tuple[int | None, ...] = (0, 8, 32, None),
        split: str = "test",
        limit: int | None = None,
    ) -> None:
        check(initials, ranks)
        self.run, self.num_loops, self.sharing = run, num_loops, sharing
        self.initials, self.ranks = initials, ranks
        self.split, self.limit = split, limit

    def analyze(self, out: Path) -> dict[str, float]:
        """Writes the table and the figure into `out`; returns the losses.

        Raises:
            rk.UserError: When the run's model has no blocks that can run twice, or the loops do not divide them.
        """
        layout = layout_of(self.run.learner, self.num_loops, self.sharing)
        found = measured(
            self.run.learner,
            lambda: self.run.batches(self.split, self.limit),
            layout,
            self.initials,
            self.ranks,
            self.run.recipe.fit.seed,
        )
        write(found, out / "conversion.csv", out / "conversion.png")
        return {c.name: c.loss for c in found}


def layout_of(learner: nn.Module, num_loops: int, sharing: Sharing) -> Layout:
    """Returns which block each layer of a learner's model would run. Raises `rk.UserError` where it cannot be tied."""
    try:
        return Layout(len(layered_of(getattr(learner, "model", None)).blocks), num_loops, sharing)
    except ValueError as error:
        raise UserError(str(error)) from None


def check(initials: Sequence[str], ranks: Sequence[int | None]) -> None:
    """Raises `ValueError` where there is nothing to convert to."""
    if not initials:
        raise ValueError("initials must name one at least")
    if not ranks or any(rank is not None and rank < 0 for rank in ranks):
        raise ValueError(f"ranks must be numbers from 0 or null, got {list(ranks)}")

"""The callback `monoid-probe`: how far the aggregators of a model are from commutative monoids."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import torch
from annotated_types import Ge
from jaxtyping import Float, Int
from torch import Tensor, nn

from rk import FitContext, UserError
from rk.authoring import Recorder, evaluating
from rk.protocols import Batch
from rk.writing import write_csv
from rk_lcm.monoids import BinaryAggregator, aggregators, both_ways, draw_triples, lifted

DEFECTS = ("permutation-spread", "commutativity-defect", "associativity-defect", "identity-defect")


class MonoidProbe(Recorder):
    """Measures how much the order of items matters to the model's aggregators, at each validation.

    All numbers are root mean squares relative to the spread of what they compare: 0 is a commutative monoid, 1 is as
    different as the results of other groups. Over one batch of `split`, means over all aggregators of the model:

    - `permutation-spread`: results of the same groups in random orders; of any aggregator.
    - `commutativity-defect`, `associativity-defect`: over random triples of items and results, of aggregators with
      `binary_op`. `identity-defect`: of those with an identity too.

    The run then has the metrics ``run/permutation-spread`` and so on, `monoid-probe.csv` and a figure.

    Args:
        split: The split whose first batch is used.
        num_triples: Triples of elements.
        permutations: Random orders.

    Examples:
        callbacks: [{name: monoid-probe, split: val}]
    """

    name = stem = "monoid-probe"

    def __init__(
        self, split: str = "val", num_triples: Annotated[int, Ge(2)] = 512, permutations: Annotated[int, Ge(2)] = 8
    ) -> None:
        super().__init__(split)
        self.num_triples = num_triples
        self.permutations = permutations

    def measure(self, fit: FitContext) -> list[float]:
        """Returns the defects to four digits; of those that no aggregator has, NaN."""
        (batch,) = fit.batches(self.split, 1)
        with evaluating(fit.learner, fit.recipe.fit.seed):
            found = probe(fit.learner, fit.learner.predict, batch, self.num_triples, self.permutations)
        return [float(f"{found.get(name, float('nan')):.4g}") for name in DEFECTS]

    def results(self) -> dict[str, float]:
        """Returns the last measurement."""
        return {name: curve[-1] for name, curve in self._curves().items()} if self.record.steps else {}

    def table(self, path: Path) -> None:
        curves = self._curves()
        rows = zip(self.record.steps, *curves.values(), strict=True)
        write_csv(path, ["step", *curves], rows)

    def draw(self, fit: FitContext, path: Path) -> None:
        from rk_lcm.drawing import draw_curves

        draw_curves(self._curves(), self.record.steps, path, across="step", up="relative to the spread", log=True)

    def _curves(self) -> dict[str, list[float]]:
        curves = {name: [row[i] for row in self.record.rows] for i, name in enumerate(DEFECTS)}
        return {name: curve for name, curve in curves.items() if all(value == value for value in curve)}


def probe(
    module: nn.Module,
    predict: Callable[[Batch], Mapping[str, Any]],
    batch: Batch,
    num_triples: int = 512,
    permutations: int = 8,
) -> dict[str, float]:
    """Returns the defects of a module's aggregators on a batch, by their names in `DEFECTS`; those that it has.

    Args:
        module: What holds the aggregators, in eval mode.
        predict: Runs them on the batch.
        batch: The batch.
        num_triples: Triples of elements.
        permutations: Random orders.

    Raises:
        UserError: When the module has no aggregator, or used none.
    """
    with _watching(aggregators(module)) as seen:
        predict(batch)
    if not seen:
        raise UserError("monoid-probe: the model has no aggregator", "deep-sets and message-passing have one")
    each = [_defects(module, *call, num_triples, permutations) for module, call in seen]
    names = [name for name in DEFECTS if any(name in found for found in each)]
    return {name: _mean([found[name] for found in each if name in found]) for name in names}


def _mean(numbers: list[float]) -> float:
    return sum(numbers) / len(numbers)


@contextmanager
def _watching(modules: Mapping[str, nn.Module]) -> Iterator[list[tuple[nn.Module, tuple[Tensor, Tensor, int]]]]:
    """Yields a list to which each call of the modules adds the module and what it was given."""
    seen: list[tuple[nn.Module, tuple[Tensor, Tensor, int]]] = []

    def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        x, index, num_groups = (*args, *(kwargs[name] for name in ("x", "index", "num_groups")[len(args) :]))
        seen.append((module, (x, index, num_groups)))

    handles = [module.register_forward_pre_hook(note, with_kwargs=True) for module in modules.values()]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _defects(
    aggregator: nn.Module,
    x: Float[Tensor, "items d"],
    index: Int[Tensor, "items"],
    num_groups: int,
    num_triples: int,
    permutations: int,
) -> dict[str, float]:
    found = {"permutation-spread": permutation_spread(aggregator, x, index, num_groups, permutations)}
    if isinstance(aggregator, BinaryAggregator) and len(x):
        op = aggregator.binary_op
        a, b, c = draw_triples(lifted(aggregator, x), aggregator(x, index, num_groups), num_triples)
        found["commutativity-defect"] = relative(op(a, b), op(b, a))
        found["associativity-defect"] = relative(*both_ways(op, a, b, c))
        if hasattr(aggregator, "identity"):
            found["identity-defect"] = relative(a, op(a, aggregator.identity.expand_as(a)))
    return found


def relative(expected: Float[Tensor, "rows d"], found: Float[Tensor, "rows d"]) -> float:
    """Returns the root mean square of a difference, relative to the spread of `expected` over its rows."""
    spread = (expected - expected.mean(0)).square().mean()
    return float(((expected - found).square().mean() / spread.clamp(min=1e-30)).sqrt())


def permutation_spread(
    aggregator: nn.Module,
    x: Float[Tensor, "items d"],
    index: Int[Tensor, "items"],
    num_groups: int,
    permutations: int,
) -> float:
    """Returns the standard deviation of results over random orders of items, relative to that over groups.

    Args:
        aggregator: Any aggregator, in eval mode.
        x: (items, d).
        index: (items,) int64, the group of each item.
        num_groups: How many groups there are.
        permutations: Random orders.
    """
    results = []
    for _ in range(permutations):
        order = torch.randperm(len(index), device=index.device)
        results.append(aggregator(x[order], index[order], num_groups))
    drawn = torch.stack(results)
    within = drawn.var(0).mean()
    across = drawn.mean(0).var(0).mean()
    return float((within / across.clamp(min=1e-30)).sqrt())

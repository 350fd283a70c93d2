"""The callback `monoid-probe`: how far the aggregators of a model are from commutative monoids."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Annotated, Any

import torch
from annotated_types import Ge
from jaxtyping import Float, Int
from torch import Tensor, nn

from rk import FitContext, UserError
from rk.authoring import Recorder, evaluating
from rk.protocols import Batch, Outputs
from rk.writing import write_csv
from rk_lcm.monoids import BinaryAggregator, aggregators, both_ways, draw_triples, lifted

DEFECTS = ("answer-spread", "permutation-spread", "commutativity-defect", "associativity-defect", "identity-defect")
Taken = tuple[Tensor, Tensor, int]
"""What an aggregator is given: items, the group of each, and how many groups there are."""


class MonoidProbe(Recorder):
    """Measures how much the order of items matters to the model's aggregators, at each validation.

    All numbers are root mean squares relative to the spread of what they compare: 0 is a commutative monoid, 1 is as
    different as the results of other groups. Over one batch of `split`, means over all aggregators of the model:

    - `answer-spread`: the model's `logits` or `values` with all items in random orders.
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
            predict: Callable[[Batch], Outputs] = fit.learner.predict  # type: ignore[assignment]  # that of a learner
            found = probe(fit.learner, predict, batch, self.num_triples, self.permutations)
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
    predict: Callable[[Batch], Outputs],
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
    modules = aggregators(module)
    with _watching(modules) as seen:
        answers = predict(batch)
    if not seen:
        raise UserError("monoid-probe: the model has no aggregator", "deep-sets and message-passing have one")
    found: dict[str, float] = {}
    name = "logits" if "logits" in answers else "values"
    if name in answers:
        with _shuffling(modules):
            found["answer-spread"] = spread(torch.stack([predict(batch)[name] for _ in range(permutations)]))
    each = [_defects(module, *call, num_triples, permutations) for module, call in seen]
    for name in DEFECTS:
        numbers = [defects[name] for defects in each if name in defects]
        if numbers:
            found[name] = sum(numbers) / len(numbers)
    return found


@contextmanager
def _watching(modules: Mapping[str, nn.Module]) -> Iterator[list[tuple[nn.Module, Taken]]]:
    """Yields a list to which each call of the modules adds the module and what it was given."""
    seen: list[tuple[nn.Module, Taken]] = []
    with _hooked(modules, lambda module, taken: seen.append((module, taken))):
        yield seen


def _shuffling(modules: Mapping[str, nn.Module]) -> AbstractContextManager[None]:
    """Gives the items of each call of the modules in a random order."""

    def shuffled(module: nn.Module, taken: Taken) -> Taken:
        x, index, num_groups = taken
        order = torch.randperm(len(index), device=index.device)
        return x[order], index[order], num_groups

    return _hooked(modules, shuffled)


@contextmanager
def _hooked(modules: Mapping[str, nn.Module], hook: Callable[[nn.Module, Taken], Taken | None]) -> Iterator[None]:
    """Calls `hook` with what each of the modules is given; what it returns takes its place, unless that is None."""

    def before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Taken, dict[str, Any]]:
        x, index, num_groups = (*args, *(kwargs[name] for name in ("x", "index", "num_groups")[len(args) :]))
        return hook(module, (x, index, num_groups)) or (x, index, num_groups), {}

    handles = [module.register_forward_pre_hook(before, with_kwargs=True) for module in modules.values()]
    try:
        yield
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
    run: nn.Module = aggregator
    found = {"permutation-spread": permutation_spread(run, x, index, num_groups, permutations)}
    if isinstance(aggregator, BinaryAggregator) and len(x):
        op = aggregator.binary_op
        a, b, c = draw_triples(lifted(aggregator, x), run(x, index, num_groups), num_triples)
        found["commutativity-defect"] = relative(op(a, b), op(b, a))
        found["associativity-defect"] = relative(*both_ways(op, a, b, c))
        e: Tensor | None = getattr(aggregator, "identity", None)
        if e is not None:
            found["identity-defect"] = relative(a, op(a, e.expand_as(a)))
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
    return spread(torch.stack(results))


def spread(drawn: Float[Tensor, "orders rows d"]) -> float:
    """Returns the standard deviation over orders, relative to that of the means over rows."""
    within = drawn.var(0).mean()
    across = drawn.mean(0).var(0).mean()
    return float((within / across.clamp(min=1e-30)).sqrt())

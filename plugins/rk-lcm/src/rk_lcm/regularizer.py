"""The loss `monoid-regularizer`: what is asked of a commutative monoid, as terms beside any loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor, nn

from rk import UserError
from rk.protocols import Loss, Model, Objective, Share, Term
from rk.wrappers import LossWrapper
from rk_lcm.monoids import BinaryAggregator, aggregators, associativity, commutativity, draw_triples, identity, lifted


class MonoidRegularizer(LossWrapper):
    """A loss, and how far the binary operators of the model are from commutative monoids.

    Terms with a weight above 0 are added: the mean over random triples of |a (+) b - b (+) a|^2,
    |(a (+) b) (+) c - a (+) (b (+) c)|^2 and |a (+) e - a|^2. Elements are items and results of the batch's own groups,
    and only the operator is trained by these terms, not what makes the items. It takes every model with an aggregator
    that has `binary_op`; with several, terms are means over all of them.

    Args:
        base: The loss of the task.
        comm_weight: Weight of commutativity: for operators that are not commutative by construction.
        assoc_weight: Weight of associativity.
        identity_weight: Weight of the identity: of what the aggregator gives for a group without items.
        num_triples: Triples that are drawn for each aggregator in each batch.

    Examples:
        loss: {name: monoid-regularizer, base: bit-cross-entropy, assoc_weight: 0.1}

        >>> from rk_lcm.aggregator import LCM
        >>> class Mean(torch.nn.Module):
        ...     def forward(self, *, logits): return logits.sum(), len(logits)
        >>> loss, layer = MonoidRegularizer(Mean(), assoc_weight=0.1), LCM(d_model=2)
        >>> loss.watch(layer)
        >>> logits = layer(torch.rand(4, 2), torch.tensor([0, 0, 1, 1]), 2)
        >>> [(name, term[1]) for name, term in loss(logits=logits).items()]
        [('task', 2), ('associativity', 64)]
    """

    def __init__(
        self,
        base: Loss,
        comm_weight: Annotated[float, Ge(0)] = 0.0,
        assoc_weight: Annotated[float, Ge(0)] = 0.1,
        identity_weight: Annotated[float, Ge(0)] = 0.0,
        num_triples: Annotated[int, Ge(1)] = 64,
    ) -> None:
        super().__init__(base)
        self.weights = {"commutativity": comm_weight, "associativity": assoc_weight, "identity": identity_weight}
        self.num_triples = num_triples
        self._watched: list[_Watched] = []

    def watch(self, model: Model) -> None:
        """Finds the aggregators whose operators are asked about.

        Raises:
            UserError: When there is none with `binary_op`, or none with an identity where that has a weight.
        """
        inner: Callable[[Model], None] | None = getattr(self.base, "watch", None)
        if inner is not None:
            inner(model)
        assert isinstance(model, nn.Module)
        found = [module for module in aggregators(model).values() if isinstance(module, BinaryAggregator)]
        if not found:
            raise UserError("monoid-regularizer: the model has no aggregator with a binary_op", "lcm is one")
        if self.weights["identity"] and not all(hasattr(module, "identity") for module in found):
            raise UserError("monoid-regularizer: identity_weight needs aggregators with an identity", "lcm has one")
        self._watched = [_Watched(module) for module in found]

    def forward(self, **fields: Tensor) -> Objective:
        objective = super().forward(**fields)
        terms: dict[str, Term] = dict(objective) if isinstance(objective, dict) else {"task": objective}
        if not self._watched:
            raise UserError("monoid-regularizer: this trainer does not give losses the model", "backprop does")
        for name, weight in self.weights.items():
            if weight:
                shares = [watched.share(name, self.num_triples) for watched in self._watched]
                terms[name] = (torch.stack([s[0] for s in shares]).sum(), sum(s[1] for s in shares), weight)
        for watched in self._watched:
            watched.triples = None
        return terms


class _Watched:
    """An aggregator, and the elements of the batch that it had last.

    Args:
        aggregator: One with `binary_op`.
    """

    def __init__(self, aggregator: nn.Module) -> None:
        self.aggregator = aggregator
        self.seen: tuple[Tensor, Tensor] | None = None
        self.triples: Tensor | None = None
        aggregator.register_forward_hook(self._note, with_kwargs=True)

    def _note(self, module: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Tensor], output: Tensor) -> None:
        x = args[0] if args else kwargs["x"]
        self.seen = x.detach(), output.detach()

    def share(self, term: str, count: int) -> Share:
        """Returns the sum over so many triples and how many there are; the same triples for all terms of a batch."""
        op: BinaryAggregator = self.aggregator  # type: ignore[assignment]  # those that `watch` chose have it
        if self.triples is None:
            if self.seen is None or not len(self.seen[0]):
                return next(self.aggregator.parameters()).new_zeros(()), 0
            x, results = self.seen
            with torch.no_grad():
                self.triples = draw_triples(lifted(self.aggregator, x), results, count)
        a, b, c = self.triples
        if term == "commutativity":
            return commutativity(op.binary_op, a, b)
        if term == "associativity":
            return associativity(op.binary_op, a, b, c)
        e: Tensor = getattr(self.aggregator, "identity")  # noqa: B009  # mypy takes attributes of modules for modules
        return identity(op.binary_op, a, e)

"""Task `hop-mix`: look a symbol up in a table once, or look up what was found a second time."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Le
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from rk.fields import IGNORED
from rk.protocols import Batch, Share
from rk_sequence.fields import SeriesBatch
from rk_sequence.metrics import sequence_accuracy, token_accuracy
from rk_sequence.task import GeneratedTask, integers

KINDS = ("table", "1-hop", "2-hop")


class HopMixBatch(SeriesBatch):
    """The steps as sums of codes, and what each of them is."""

    kinds: Int[Tensor, "batch time"]
    """0: an entry of the table, 1: a query of one hop, 2: of two hops."""


def one_hop_accuracy(
    *,
    logits: Float[Tensor, "batch time classes"],
    targets: Int[Tensor, "batch time"],
    kinds: Int[Tensor, "batch time"],
) -> Share:
    """Share of the queries of one hop that are right."""
    return _right(logits, targets, kinds == 1)


def two_hop_accuracy(
    *,
    logits: Float[Tensor, "batch time classes"],
    targets: Int[Tensor, "batch time"],
    kinds: Int[Tensor, "batch time"],
) -> Share:
    """Share of the queries of two hops that are right."""
    return _right(logits, targets, kinds == 2)


def _right(logits: Tensor, targets: Tensor, counts: Tensor) -> Share:
    return ((logits.argmax(-1) == targets) & counts).sum(), counts.sum()


class HopMix(GeneratedTask):
    """A table of a random permutation p, then queries: of one hop, with the answer p(q), and of two, with p(p(q)).

    Each sequence has its own table, in random order: a step of it is the code of a, and that of p(a). A query is the
    code of q and that of its kind. One layer of attention finds one hop, so that only queries of two hops need a second
    one: what computes more for hard steps than for easy ones is seen to do so. A step's input is the sum of its codes,
    which are one-hot: (p's argument, p's value, q, kind). Train it with ``{name: cross-entropy, ignore_index: -100}``.

    Args:
        length: Queries of a sequence in ``train``, ``val`` and ``test``.
        num_symbols: Symbols of the permutation.
        two_hop: Share of the queries that have two hops.

    Attributes:
        kind_names: What the numbers of the field `kinds` mean.

    Examples:
        data: {name: hop-mix, num_symbols: 8, length: 16}
    """

    metrics = {
        "accuracy": token_accuracy,
        "sequence-accuracy": sequence_accuracy,
        "one-hop": one_hop_accuracy,
        "two-hop": two_hop_accuracy,
    }
    vocab_size: None = None
    readout: Literal["step"] = "step"
    kind_names: tuple[str, ...] = KINDS

    def __init__(
        self,
        *,
        length: Annotated[int, Ge(1)] = 16,
        num_symbols: Annotated[int, Ge(2)] = 8,
        two_hop: Annotated[float, Ge(0), Le(1)] = 0.4,
        **common: Any,
    ) -> None:
        super().__init__(length=length, **common)
        self.num_symbols = num_symbols
        self.two_hop = two_hop

    @property
    def num_features(self) -> int:
        """The codes of argument, value and query, and those of the two kinds of queries."""
        return 3 * self.num_symbols + 2

    @property
    def num_outputs(self) -> int:
        """The symbols."""
        return self.num_symbols

    def batch(self, split: str, i: int, stage: int = 0) -> HopMixBatch:
        return self._drawn(split, i)

    def draw(self, rows: int, length: int, random: torch.Generator) -> Batch:
        size = self.num_symbols
        mapped = torch.rand(rows, size, generator=random).argsort(1)
        order = torch.rand(rows, size, generator=random).argsort(1)
        query = integers(size, (rows, length), random)
        twice = torch.rand(rows, length, generator=random) < self.two_hop
        once = mapped.gather(1, query)
        codes = (
            F.pad(self._one_hot(order), (0, 0, 0, length)),
            F.pad(self._one_hot(mapped.gather(1, order)), (0, 0, 0, length)),
            F.pad(self._one_hot(query), (0, 0, size, 0)),
            F.pad(torch.stack([~twice, twice], -1).float(), (0, 0, size, 0)),
        )
        return {
            "inputs": torch.cat(codes, -1),
            "targets": F.pad(torch.where(twice, mapped.gather(1, once), once), (size, 0), value=IGNORED),
            "kinds": F.pad(1 + twice.long(), (size, 0)),
        }

    def _one_hot(self, symbols: Int[Tensor, "b t"]) -> Float[Tensor, "b t s"]:
        return F.one_hot(symbols, self.num_symbols).float()

"""Task `reber`: after each symbol of a string of the Reber grammar, which ones may come next?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, TypedDict

import torch
from annotated_types import Ge
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from rk.fields import IGNORED
from rk.protocols import Batch, Outputs, Share
from rk_sequence.reber import LABELS, SYMBOLS, check_lengths, legal_along, walks
from rk_sequence.task import GeneratedTask, integers

BEGIN, END = SYMBOLS.index("B"), SYMBOLS.index("E")
WAYS = torch.tensor([SYMBOLS.index("T"), SYMBOLS.index("P")])
"""The symbols before the inner string; the drawn one is repeated after it."""


class ReberBatch(TypedDict):
    """Strings without their last symbol, what comes next at each step (-100: nothing), and all that may come."""

    tokens: Int[Tensor, "batch time"]
    targets: Int[Tensor, "batch time"]
    mask: Bool[Tensor, "batch time"]
    legal: Bool[Tensor, "batch time symbols"]


def _foreseen(logits: Tensor, legal: Tensor) -> Bool[Tensor, "batch time"]:
    """Whether the likeliest symbols, as many as are legal, are the legal ones."""
    count = legal.sum(-1, keepdim=True)
    rank = logits.argsort(dim=-1, descending=True).argsort(dim=-1)
    return ((rank < count) == legal).all(-1)


def legal_accuracy(
    *,
    logits: Float[Tensor, "batch time symbols"],
    legal: Bool[Tensor, "batch time symbols"],
    mask: Bool[Tensor, "batch time"],
) -> Share:
    """Share of steps at which the likeliest symbols are the legal ones."""
    return (_foreseen(logits, legal) & mask).sum(), mask.sum()


def string_accuracy(
    *,
    logits: Float[Tensor, "batch time symbols"],
    legal: Bool[Tensor, "batch time symbols"],
    mask: Bool[Tensor, "batch time"],
) -> Share:
    """Share of strings that are right at every step."""
    return (_foreseen(logits, legal) | ~mask).all(1).sum(), len(mask)


def second_last(
    *,
    logits: Float[Tensor, "batch time symbols"],
    targets: Int[Tensor, "batch time"],
    mask: Bool[Tensor, "batch time"],
) -> Share:
    """Share of strings whose second last symbol is the likeliest one; embedded, it is that of the beginning."""
    place = (mask.sum(1) - 2).unsqueeze(1)
    guess = logits.argmax(-1).gather(1, place)
    return (guess == targets.gather(1, place)).sum(), len(mask)


class Reber(GeneratedTask):
    """Strings of the Reber grammar (Reber, 1967), plain or embedded (Hochreiter and Schmidhuber, 1997, experiment 1).

    A step is right when the likeliest next symbols are those that the grammar allows, one or two. An embedded string is
    ``B T <string> T E`` or ``B P <string> P E``: its second last symbol must be remembered through the whole inner
    string. Train it with ``{name: cross-entropy, ignore_index: -100}``.

    Args:
        embedded: Whether strings are embedded.
        min_length: Fewest symbols of a plain or inner string in ``train``, ``val`` and ``test``.
        test_lengths: A further split ``test-N``, of strings with at least so many symbols, for each; null for none.
        max_length: Most symbols of a plain or inner string.

    Raises:
        ValueError: When no string has such a length.

    Examples:
        data: {name: reber, embedded: true}
    """

    metrics: Mapping[str, Callable[..., Share]] = {
        "accuracy": legal_accuracy,
        "sequence-accuracy": string_accuracy,
        "second-last": second_last,
    }
    vocab_size: int = 7
    num_features: None = None
    num_outputs: int = 7
    readout: Literal["step"] = "step"

    def __init__(
        self,
        *,
        embedded: bool = False,
        min_length: Annotated[int, Ge(1)] = 5,
        max_length: Annotated[int, Ge(5)] = 50,
        **common: Any,
    ) -> None:
        super().__init__(length=min_length, **common)
        check_lengths(self.test_lengths.values(), max_length)
        self.embedded = embedded
        self.max_length = max_length

    def batch(self, split: str, i: int, stage: int = 0) -> ReberBatch:
        return self._drawn(split, i)

    def _judged(self, batch: Batch, outputs: Outputs) -> tuple[Bool[Tensor, "b t"], Bool[Tensor, "b t"]]:
        return _foreseen(outputs["logits"], batch["legal"]), batch["mask"]

    def draw(self, rows: int, length: int, random: torch.Generator) -> Batch:
        edges = walks(rows, length, self.max_length, random)
        string = torch.where(edges >= 0, LABELS[edges.clamp(min=0)], IGNORED)
        legal = legal_along(edges)
        if self.embedded:
            string, legal = _embed(string, legal, WAYS[integers(2, (rows,), random)])
        mask = string[:, 1:] != IGNORED
        return {
            "tokens": string[:, :-1].masked_fill(~mask, 0),
            "targets": string[:, 1:],
            "mask": mask,
            "legal": legal[:, :-1],
        }


def _embed(
    inner: Int[Tensor, "rows time"], legal: Bool[Tensor, "rows time symbols"], way: Int[Tensor, "rows"]
) -> tuple[Int[Tensor, "rows longer"], Bool[Tensor, "rows longer symbols"]]:
    """Returns ``B way <inner> way E`` and what may come after each of its symbols."""
    rows, each = len(inner), torch.arange(len(inner))
    length = (inner != IGNORED).sum(1)
    string = F.pad(inner, (2, 2), value=IGNORED)
    string[:, 0], string[:, 1] = BEGIN, way
    string[each, length + 2], string[each, length + 3] = way, END

    def only(symbol: Tensor | int) -> Bool[Tensor, "rows symbols"]:
        return F.one_hot(torch.as_tensor(symbol).expand(rows), len(SYMBOLS)).bool()

    after = F.pad(legal, (0, 0, 2, 2))
    after[:, 0] = only(WAYS[0]) | only(WAYS[1])
    after[:, 1] = only(BEGIN)
    after[each, length + 1] = only(way)  # after the inner E
    after[each, length + 2] = only(END)
    after[each, length + 3] = False
    return string, after

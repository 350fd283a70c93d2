"""Task `associative-recall`: pairs of keys and values, then keys alone: which value was it?"""

from __future__ import annotations

from typing import Annotated, Any

import torch
from annotated_types import Ge
from torch.nn import functional as F

from rk.fields import IGNORED
from rk.protocols import Batch
from rk_sequence.task import TokenTask, integers


class AssociativeRecall(TokenTask):
    """Multi-query associative recall (arXiv:2312.04927): ``k1 v1 k2 v2 ... kn vn``, then all keys in another order.

    The answer to each of the latter is the value that followed the key; no other step has a target. Keys of a
    sequence differ, values may repeat. Train it with the loss ``{name: cross-entropy, ignore_index: -100}``.

    Args:
        num_pairs: Pairs of a sequence in ``train``, ``val`` and ``test``.
        test_pairs: A further split ``test-N`` for each of these numbers of pairs; null for none.
        num_keys: Different keys.
        num_values: Different values.

    Raises:
        ValueError: When there are fewer keys than pairs.

    Examples:
        data: {name: associative-recall, num_pairs: 8, test_pairs: [8, 16]}
    """

    renamed = {"n_keys": "num_keys", "n_pairs": "num_pairs", "n_values": "num_values"}

    def __init__(
        self,
        *,
        num_pairs: Annotated[int, Ge(1)] = 8,
        test_pairs: list[Annotated[int, Ge(1)]] | None = None,
        num_keys: Annotated[int, Ge(1)] = 32,
        num_values: Annotated[int, Ge(2)] = 32,
        **common: Any,
    ) -> None:
        super().__init__(length=num_pairs, test_lengths=test_pairs, **common)
        most = max(self.test_lengths.values())
        if num_keys < most:
            raise ValueError(f"num_keys must be >= {most}, the number of pairs, got {num_keys}")
        self.num_keys = num_keys
        self.num_values = num_values

    @property
    def vocab_size(self) -> int:
        """The keys, then the values."""
        return self.num_keys + self.num_values

    @property
    def num_outputs(self) -> int:
        """The values."""
        return self.num_values

    def draw(self, rows: int, length: int, random: torch.Generator) -> Batch:
        keys = torch.rand(rows, self.num_keys, generator=random).argsort(1)[:, :length]
        values = integers(self.num_values, (rows, length), random)
        order = torch.rand(rows, length, generator=random).argsort(1)
        pairs = torch.stack([keys, self.num_keys + values], -1).flatten(1)
        return {
            "tokens": torch.cat([pairs, keys.gather(1, order)], 1),
            "targets": F.pad(values.gather(1, order), (2 * length, 0), value=IGNORED),
        }

"""Which rows make up a batch: the one place where finite data is shuffled."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def batch_count(n_rows: int, batch_size: int) -> int:
    """Returns the batches of one pass over `n_rows`; the last one may be smaller."""
    return -(-n_rows // batch_size)


def rows(n_rows: int, batch_size: int, i: int, *, seed: int, shuffle: bool) -> torch.Tensor:
    """Returns the row numbers of batch `i`, an int64 tensor of at most `batch_size` entries.

    With `shuffle`, `i` counts on through the epochs and every epoch has its own permutation of all rows, a function of
    (seed, epoch) alone; without, row order is kept and `i` is taken modulo one pass.
    """
    import torch

    epoch, position = divmod(i, batch_count(n_rows, batch_size))
    span = slice(position * batch_size, (position + 1) * batch_size)
    if not shuffle:
        return torch.arange(n_rows)[span]
    return torch.randperm(n_rows, generator=generator(seed, epoch))[span]


def generator(*key: int) -> torch.Generator:
    """Returns a CPU generator whose stream is a function of the integers in `key` alone."""
    import torch

    state = 0x9E3779B97F4A7C15
    for part in key:  # splitmix64 over the parts: nearby keys give unrelated streams
        state = (state ^ (part & 0xFFFFFFFFFFFFFFFF)) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
        state ^= state >> 27
        state = state * 0x94D049BB133111EB & 0xFFFFFFFFFFFFFFFF
        state ^= state >> 31
    return torch.Generator().manual_seed(state & 0x7FFFFFFFFFFFFFFF)

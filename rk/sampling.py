"""The rows of a batch: the only place where finite data is shuffled."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["batch_count", "generator", "rows", "with_every_class"]


def batch_count(n_rows: int, batch_size: int) -> int:
    """Returns the batches of one pass over `n_rows`; the last one may be smaller."""
    return -(-n_rows // batch_size)


def rows(n_rows: int, batch_size: int, i: int, *, seed: int, shuffle: bool) -> torch.Tensor:
    """Returns the row numbers of batch `i`, an int64 tensor of at most `batch_size` entries.

    With `shuffle`, `i` counts on through the epochs and every epoch has its own permutation of all rows, a function of
    (seed, epoch) alone; without, row order is kept and `i` is taken modulo one pass.

    A shuffled epoch does not end with a batch of one row, on which batch normalisation cannot train. Where one row is
    left over, the last batch has two: the batch before gives it one of its rows. Where `batch_size` is 2, the last
    batch repeats a row instead. So only a `batch_size` of 1, or a single row, makes a batch of one.

    Args:
        n_rows: All rows.
        batch_size: Most rows of a batch.
        i: Number of the batch, from 0.
        seed: Of the permutations.
        shuffle: Whether rows are shuffled, as for training.
    """
    import torch

    count = batch_count(n_rows, batch_size)
    epoch, position = divmod(i, count)
    start, stop = position * batch_size, min((position + 1) * batch_size, n_rows)
    if not shuffle:
        return torch.arange(start, stop)
    if n_rows > batch_size > 1 and n_rows % batch_size == 1:
        if position == count - 1:
            start -= 1
        elif position == count - 2 and batch_size > 2:
            stop -= 1
    return torch.randperm(n_rows, generator=generator(seed, epoch))[start:stop]


def with_every_class(
    order: torch.Tensor, classes: torch.Tensor, start: int = 0, stop: int | None = None
) -> torch.Tensor:
    """Returns `order` with rows of every class between `start` and `stop`: what is split at random leaves none out.

    An order that has them already is returned as it is. Else the first row of each class that is missing there changes
    places with the last row of a class that has several there. Where there are fewer places than classes, as many
    classes as possible are there.

    Args:
        order: Row numbers in any order, (n,).
        classes: The class of each row, (n,).
        start: First place that counts.
        stop: The place after the last one that counts; None: the end.
    """
    found = classes[order].tolist()
    places = range(*slice(start, stop).indices(len(found)))
    counts = dict.fromkeys(sorted(set(found)), 0)
    for place in places:
        counts[found[place]] += 1
    order = order.clone()
    for missing in [label for label, count in counts.items() if not count]:
        giver = next((place for place in reversed(places) if counts[found[place]] > 1), None)
        if giver is None:
            break
        taken = found.index(missing)
        counts[found[giver]] -= 1
        counts[missing] += 1
        found[giver], found[taken] = found[taken], found[giver]
        order[[giver, taken]] = order[[taken, giver]]
    return order


def generator(*key: int | str) -> torch.Generator:
    """Returns a CPU generator whose stream is a function of `key` alone.

    Args:
        *key: What distinguishes this stream from others: integers and texts, ``generator(seed, split, i)``.
    """
    import hashlib

    import torch

    state = 0x9E3779B97F4A7C15
    for part in key:
        if isinstance(part, str):
            part = int.from_bytes(hashlib.blake2b(part.encode(), digest_size=8).digest(), "little")
        # splitmix64 over the parts: nearby keys give unrelated streams
        state = (state ^ (part & 0xFFFFFFFFFFFFFFFF)) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
        state ^= state >> 27
        state = state * 0x94D049BB133111EB & 0xFFFFFFFFFFFFFFFF
        state ^= state >> 31
    return torch.Generator().manual_seed(state & 0x7FFFFFFFFFFFFFFF)

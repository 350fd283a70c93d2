"""States: tensors, and tuples, lists and dicts of them, with the batch first (`rk.protocols.StatefulSequenceLayer`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

__all__ = ["map_states", "tensors_of", "with_rows_from"]


def map_states(function: Callable[..., Tensor], state: Any, *others: Any) -> Any:
    """Returns `function` of the tensors at the same place in `state` and `others`, in the same structure."""
    if isinstance(state, dict):
        return {key: map_states(function, state[key], *(other[key] for other in others)) for key in state}
    if isinstance(state, tuple | list):
        return type(state)(map_states(function, *parts) for parts in zip(state, *others, strict=True))
    return function(state, *others)


def tensors_of(state: Any) -> Iterator[Tensor]:
    """Yields the tensors of a state."""
    if isinstance(state, Tensor):
        yield state
        return
    for part in state.values() if isinstance(state, dict) else state:
        yield from tensors_of(part)


def with_rows_from(other: object, rows: Bool[Tensor, "batch"], state: object) -> Any:
    """Returns `state` with the rows that are True in `rows` taken from `other`."""

    def chosen(old: Tensor, new: Tensor) -> Tensor:
        return torch.where(rows.to(old.device).view(-1, *[1] * (old.ndim - 1)), new, old)

    return map_states(chosen, state, other)

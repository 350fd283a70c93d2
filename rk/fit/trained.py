"""The weights that are trained, where a checkpoint's own weights are others: those that answer, an average."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from rk.protocols import State


def copied(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns copies of the tensors, one for all names that share their memory; all else stays as it is."""
    made: dict[tuple[object, ...], Tensor] = {}
    result: dict[str, Tensor] = {}
    for name, value in weights.items():
        if not isinstance(value, Tensor):  # of a module's get_extra_state()
            result[name] = value
            continue
        key = (value.data_ptr(), value.shape, value.stride(), value.dtype)
        if key not in made or not value.numel():
            made[key] = value.detach().clone()
        result[name] = made[key]
    return result


def trained_weights(learner: nn.Module) -> State:
    """Returns the tensors of `learner` by name."""
    return {name: value for name, value in copied(learner.state_dict()).items() if isinstance(value, Tensor)}


def load_trained(learner: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Writes what `trained_weights` returned into `learner`. Raises `KeyError` when a name is missing."""
    own = learner.state_dict()
    with torch.no_grad():
        for name, value in state.items():
            own[name].copy_(value)

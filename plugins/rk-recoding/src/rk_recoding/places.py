"""Which tensors of a state are recoded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from torch import Tensor

from rk.states import map_states, tensors_of

Layers = Literal["all", "top"]


def chosen(state: Any, layers: Layers, states: Sequence[int] | None) -> list[int]:
    """Returns the numbers, in the order of `tensors_of`, of the tensors of a state that may be recoded.

    Args:
        state: Of a model, ``{"layers": (state of each layer, ...)}``; of any other form, it counts as one layer.
        layers: Those of `all` layers, or of the `top` one.
        states: Numbers of the tensors within the state of a layer; None: all that hold floating-point numbers.
    """
    parts = state["layers"] if isinstance(state, dict) and "layers" in state else (state,)
    wanted = {
        id(tensor)
        for part in (parts if layers == "all" else parts[-1:])
        for k, tensor in enumerate(tensors_of(part))
        if tensor.is_floating_point() and (states is None or k in states)
    }
    return [i for i, tensor in enumerate(tensors_of(state)) if id(tensor) in wanted]


def first_of_top(state: Any, numbers: Sequence[int]) -> int:
    """Returns which of `numbers` is the first tensor of the top layer that is among them."""
    if not (isinstance(state, dict) and "layers" in state):
        return 0
    top = {id(tensor) for tensor in tensors_of(state["layers"][-1])}
    places = list(tensors_of(state))
    return next((k for k, i in enumerate(numbers) if id(places[i]) in top), 0)


def replaced(state: Any, new: dict[int, Tensor]) -> Any:
    """Returns a state with other tensors at these numbers."""
    count = iter(range(len(list(tensors_of(state)))))

    def one(tensor: Tensor) -> Tensor:
        return new.get(next(count), tensor)

    return map_states(one, state)

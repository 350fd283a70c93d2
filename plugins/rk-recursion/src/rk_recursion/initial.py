"""What the blocks of a looped stack begin with: blocks of a stack without loops, or their mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from rk.sampling import generator
from rk_recursion.layouts import Layout

Initial = Literal["stepwise", "average", "lower", "upper", "random-layers", "random"]
"""How a shared block begins; see `sources`."""


def sources(layout: Layout, initial: Initial, seed: int = 0) -> list[tuple[int, ...]]:
    """Returns the layers of a stack without loops whose mean each block begins with (arXiv:2410.20672, Sec. 2.3).

    Args:
        layout: Of the looped stack; layers that have a block of their own keep it.
        initial: ``stepwise``: layers at even distances, the first and the last among them. ``average``: all layers that
            the block runs for. ``lower``, ``upper``: the first, the last layers. ``random-layers``: layers drawn at
            random, in their order. ``random``: no layers.
        seed: Of ``random-layers``.

    Returns:
        One tuple of layers for each block: empty where it keeps the random numbers that it has.

    Examples:
        >>> from rk_recursion.layouts import Layout
        >>> sources(Layout(6, 2), "stepwise")
        [(0,), (2,), (5,)]
        >>> sources(Layout(6, 2), "average")
        [(0, 3), (1, 4), (2, 5)]
    """
    first, count = int(layout.has_ends), layout.num_shared
    last = layout.num_layers - 1 - first
    if initial == "average":
        shared = [layout.layers(first + block) for block in range(count)]
    elif initial == "random":
        shared = [()] * count
    else:
        shared = [(layer,) for layer in _chosen(first, last, count, initial, seed)]
    return [(0,), *shared, (layout.num_layers - 1,)] if layout.has_ends else shared


def _chosen(first: int, last: int, count: int, initial: Initial, seed: int) -> list[int]:
    if initial == "stepwise":  # halves to the even number, as in the published sets of layers
        return [round(first + (last - first) * i / max(count - 1, 1)) for i in range(count)]
    if initial == "lower":
        return list(range(first, first + count))
    if initial == "upper":
        return list(range(last - count + 1, last + 1))
    order = torch.randperm(last - first + 1, generator=generator(seed))
    return sorted(first + int(i) for i in order[:count])


def redraw(module: nn.Module, seed: int) -> None:
    """Draws the weights of all layers within a module again, each as its class does (``reset_parameters``)."""

    def draw(part: nn.Module) -> None:
        reset: Any = getattr(part, "reset_parameters", None)
        if reset is not None:
            reset()

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module.apply(draw)


def mean_of(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Returns the mean of several layers' weights by name, computed in 32 bits at least."""
    found = {}
    for name, like in states[0].items():
        if not like.is_floating_point():  # a counter, for instance
            found[name] = like.clone()
            continue
        wide = torch.promote_types(like.dtype, torch.float32)
        found[name] = torch.stack([state[name].to(wide) for state in states]).mean(0).to(like.dtype)
    return found

"""A looped stack: a list of as many layers as run, of which several are one block, or have its weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

from rk_recursion.initial import Initial, mean_of, sources
from rk_recursion.layouts import Layout

Layers = nn.ModuleList | Sequence[nn.Module]
"""A stack: its layers in the order in which they run."""


def looped(make: Callable[[], nn.Module], layout: Layout) -> nn.ModuleList:
    """Returns a list of layers, of which those that share a block are one module.

    Whatever runs a list of layers runs it: a layer that streams has a state of its own, such as a cache of keys and
    values, for each time it runs.

    Args:
        make: Makes a block; it is called once for each block of the layout.
        layout: Which block each layer runs.

    Examples:
        >>> from torch import nn
        >>> from rk_recursion.layouts import Layout
        >>> layers = looped(lambda: nn.Linear(3, 3), Layout(num_layers=6, num_loops=2))
        >>> len(layers), len(list(layers.parameters())), layers[0] is layers[3]
        (6, 6, True)
    """
    blocks = [make() for _ in range(layout.num_blocks)]
    return nn.ModuleList(blocks[i] for i in layout.blocks)


def tied(layers: Layers, layout: Layout) -> nn.ModuleList:
    """Returns a list in which layers share blocks: of the layers of one block, the first takes the others' places.

    Args:
        layers: Layers of one shape without loops; see `initialise` for weights made of those of all.
        layout: Which block each layer runs.

    Raises:
        ValueError: When weights of layers that would share a block differ in name or shape, or there are more or fewer
            layers than the layout has.
    """
    if len(layers) != layout.num_layers:
        raise ValueError(f"the layout is for {layout.num_layers} layers, got {len(layers)}")
    firsts = [layers[layout.layers(block)[0]] for block in range(layout.num_blocks)]
    for layer, block in zip(layers, layout.blocks, strict=True):
        if _shapes(layer) != _shapes(firsts[block]):
            raise ValueError("layers that share a block must have weights of the same names and shapes")
    return nn.ModuleList(firsts[i] for i in layout.blocks)


def _shapes(layer: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in layer.state_dict().items()}


def initialise(
    layers: Layers,
    layout: Layout,
    states: Sequence[Mapping[str, Tensor]],
    initial: Initial = "stepwise",
    seed: int = 0,
) -> None:
    """Gives the blocks of a looped stack the weights of layers without loops, or their mean.

    Args:
        layers: The looped stack, from `looped` or `tied`.
        layout: Which block each layer runs.
        states: The weights of each layer without loops: `layout.num_layers` of them.
        initial: Which of them each block begins with; see `rk_recursion.initial.sources`.
        seed: Of the choice of layers at random.
    """
    for block, chosen in enumerate(sources(layout, initial, seed)):
        if chosen:
            layers[layout.layers(block)[0]].load_state_dict(mean_of([states[layer] for layer in chosen]))

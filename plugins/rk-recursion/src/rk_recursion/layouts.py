"""Layouts of a looped stack: which of its few blocks each layer runs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

Sharing = Literal["cycle", "sequence", "middle-cycle", "middle-sequence"]
"""How layers share blocks; see `Layout`."""


@dataclass(frozen=True)
class Layout:
    """Which block each layer of a looped stack runs (Bae et al., arXiv:2507.10524, Sec. 2.1).

    With L layers in B loops, there are K = L / B shared blocks:

    | `sharing` | layer l runs block |
    | --- | --- |
    | ``cycle`` | l mod K: all blocks, then all of them again |
    | ``sequence`` | l div B: each block B times in a row |
    | ``middle-cycle``, ``middle-sequence`` | the same between a first and a last layer of their own; K = (L - 2) / B |

    Args:
        num_layers: L, the layers that run, from 1.
        num_loops: B, how often a shared block runs; 1: every layer has its own block.
        sharing: How layers share blocks.

    Raises:
        ValueError: When the loops do not divide the layers that share blocks.

    Examples:
        >>> Layout(6, 2, "cycle").blocks
        (0, 1, 2, 0, 1, 2)
        >>> Layout(6, 2, "middle-sequence").blocks
        (0, 1, 1, 2, 2, 3)
    """

    num_layers: int
    num_loops: int = 1
    sharing: Sharing = "cycle"

    def __post_init__(self) -> None:
        shared = self.num_layers - 2 * self.has_ends
        if shared < 1 or shared % self.num_loops:
            between = " between the first and the last" if self.has_ends else ""
            raise ValueError(
                f"num_loops must divide the {max(shared, 0)} layers{between} that share blocks, got {self.num_loops}"
            )

    @property
    def has_ends(self) -> bool:
        """Whether the first and the last layer have blocks of their own."""
        return self.num_loops > 1 and self.sharing.startswith("middle")

    @property
    def num_shared(self) -> int:
        """K, the blocks that run `num_loops` times."""
        return (self.num_layers - 2 * self.has_ends) // self.num_loops

    @property
    def num_blocks(self) -> int:
        """All blocks, of which the model has weights."""
        return self.num_shared + 2 * self.has_ends

    @cached_property
    def blocks(self) -> tuple[int, ...]:
        """The number of the block that each layer runs, from 0."""
        inner = range(self.num_shared * self.num_loops)
        cycle = self.sharing.endswith("cycle")
        shared = [l % self.num_shared if cycle else l // self.num_loops for l in inner]  # noqa: E741  # l as in the paper
        if not self.has_ends:
            return tuple(shared)
        return (0, *(1 + block for block in shared), self.num_blocks - 1)

    @cached_property
    def loops(self) -> tuple[int, ...]:
        """Of each layer, how often its block has run before it: 0 where it is the first."""
        return tuple(self.blocks[:layer].count(block) for layer, block in enumerate(self.blocks))

    def layers(self, block: int) -> tuple[int, ...]:
        """Returns the layers that run a block."""
        return tuple(layer for layer, other in enumerate(self.blocks) if other == block)

    @cached_property
    def exits(self) -> tuple[int, ...]:
        """How many layers have run after each loop over the shared blocks: where a looped model can be left early.

        Only the layouts that go round in a cycle have any before the end. The last is the whole model's.
        """
        if self.num_loops == 1 or not self.sharing.endswith("cycle"):
            return (self.num_layers,)
        ends = [self.has_ends + self.num_shared * loop for loop in range(1, self.num_loops + 1)]
        return (*ends[:-1], self.num_layers)

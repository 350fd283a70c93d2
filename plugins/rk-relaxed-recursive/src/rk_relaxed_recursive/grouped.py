"""One shared block for rows at different loops: its matrices in one product, those of the loops grouped."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from rk_recursion.relaxation import NAME, LowRank, linear_layers, without
from torch import Tensor, nn

from rk import UserError


class Groups:
    """Rows sorted by their loop: how many there are of each, and where they are in a padded batch of all loops.

    Args:
        sizes: Rows at each loop, from the first.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        self.sizes = tuple(sizes)
        self.present = tuple(loop for loop, size in enumerate(sizes) if size)
        most, start = max(sizes), 0
        into: list[int] = []
        back: list[int] = []
        for place, loop in enumerate(self.present):
            size = sizes[loop]
            into += [*range(start, start + size), *[start] * (most - size)]  # the padding repeats a row; none reads it
            back += range(place * most, place * most + size)
            start += size
        self.is_even = all(size == most for size in (sizes[loop] for loop in self.present))
        self.into, self.back = torch.tensor(into), torch.tensor(back)

    def padded(self, x: Float[Tensor, "rows time d"]) -> Float[Tensor, "loops items d"]:
        """Returns the rows of each loop that has some, as many for each."""
        taken = x if self.is_even else x[self.into]
        return taken.reshape(len(self.present), -1, x.shape[-1])

    def unpadded(self, y: Float[Tensor, "loops items d"], time: int) -> Float[Tensor, "rows time d"]:
        """Returns the rows in their order again."""
        rows = y.reshape(-1, time, y.shape[-1])
        return rows if self.is_even else rows[self.back]


class GroupedLowRank(nn.Module):
    """The matrices of low rank of one linear layer at all loops, for rows at different loops.

    Args:
        parts: Of each loop; those of one rank.

    Attributes:
        A: (loops, in_features, rank).
        B: (loops, rank, out_features).
    """

    def __init__(self, parts: Sequence[LowRank]) -> None:
        super().__init__()
        self.register_buffer("A", torch.stack([part.A.detach().T for part in parts]))
        self.register_buffer("B", torch.stack([part.B.detach().T for part in parts]))
        self.A: Tensor
        self.B: Tensor

    def forward(self, x: Float[Tensor, "rows time in_features"], groups: Groups) -> Float[Tensor, "rows time out"]:
        """Returns ``B_b A_b x`` for each row at its loop b, by two batched products over the loops."""
        chosen = slice(None) if len(groups.present) == len(self.A) else list(groups.present)
        low = torch.bmm(groups.padded(x), self.A[chosen])
        return groups.unpadded(torch.bmm(low, self.B[chosen]), x.shape[1])


class SharedBlock(nn.Module):
    """A shared block of a looped stack, which maps rows that are at different loops at once.

    Args:
        layers: The layers that run the block, by loop.

    Attributes:
        block: The block without what layers add.
        groups: Which loops the rows of the next call are at.

    Raises:
        rk.UserError: When the layers differ by more than matrices of low rank: in their norms, for instance.
    """

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.block = without(layers[0])
        self.groups = Groups([1])
        shared = dict(self.block.named_parameters())
        for layer in layers[1:]:
            for name, parameter in without(layer).named_parameters():
                if parameter is not shared[name]:
                    raise UserError(
                        f"layers that share a block have {name} of their own: they cannot map one batch",
                        "tie_norms=true",
                    )
        by_name = [dict(linear_layers(layer)) for layer in layers]
        for name, linear in linear_layers(self.block):
            parts = [found[name]._modules.get(NAME) for found in by_name]
            if all(isinstance(part, LowRank) for part in parts):
                linear.add_module(NAME, GroupedLowRank([part for part in parts if isinstance(part, LowRank)]))
                linear.register_forward_hook(self._add)

    def _add(self, linear: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        added: Tensor = linear.get_submodule(NAME)(inputs[0], self.groups)
        return output + added

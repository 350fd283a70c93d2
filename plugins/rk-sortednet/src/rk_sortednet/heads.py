"""Fewer heads: layers that declare their heads run with the first of them alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn

from rk import UserError


class Heads:
    """The number of heads at which the layers of a module run; all of them at first (arXiv:2309.00255, Sec. 3.1).

    A layer declares heads by `num_heads`, which it reads whenever it runs, and by `head_projections`: name of a linear
    layer whose outputs are (parts, heads, width of a head) -> its parts. Queries, keys and values in one projection are
    three. The layers behind take as many inputs as come.

    Args:
        module: Whose layers are looked at.
        numbers: The numbers of heads that there are; nothing: heads are left as they are.

    Attributes:
        projections: The linear layers whose outputs are heads -> the layer that declares them.

    Raises:
        rk.UserError: When there are numbers and no heads, or the last number is not that of a layer.
    """

    def __init__(self, module: nn.Module, numbers: Iterable[int] = ()) -> None:
        self.full: dict[nn.Module, int] = {}
        self.projections: dict[nn.Module, nn.Module] = {}
        wanted = sorted(numbers)
        for name, layer in module.named_modules():
            declared: Any = layer  # Any: heads are declared by any layer, of any plugin
            if not isinstance(getattr(layer, "head_projections", None), Mapping):
                continue
            self.full[layer] = declared.num_heads
            self.projections |= {layer.get_submodule(child): layer for child in declared.head_projections}
            if wanted and wanted[-1] != declared.num_heads:
                raise UserError(f"{name} has {declared.num_heads} heads: heads must end with that, got {wanted[-1]}")
        if wanted and not self.full:
            raise UserError(f"no layer of {type(module).__name__} declares heads", "leave heads out")

    def keep(self, number: int | None) -> None:
        """Runs with the first heads; None: with all."""
        for layer, full in self.full.items():
            layer.num_heads = full if number is None else number  # type: ignore[assignment]  # a number, no module

    def kept(self, projection: nn.Module, outputs: int) -> int:
        """Returns how many of the outputs of one part of a projection there are."""
        layer: Any = self.projections[projection]
        kept: int = outputs // self.full[layer] * layer.num_heads
        return kept


def fused_parts(module: nn.Module) -> dict[str, int]:
    """Returns name of a linear layer -> parts of its outputs, of those that some layer declares.

    Layers declare them by `head_projections`, or by `fused_projections` where the parts have no heads.
    """
    found: dict[str, int] = {}
    for name, layer in module.named_modules():
        for declared in ("head_projections", "fused_projections"):
            parts = getattr(layer, declared, None)
            if isinstance(parts, Mapping):
                found |= {f"{name}.{child}".lstrip("."): int(count) for child, count in parts.items()}
    return found

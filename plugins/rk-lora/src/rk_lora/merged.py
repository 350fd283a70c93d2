"""Exporter: a run of `lora` as a run of its base, with the adapters merged into its linear layers."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from rk import LoadedRun, UserError
from rk_lora.lora import NAME, Lora, adapters

TARGET = f"{Lora.__module__}:{Lora.__qualname__}"
"""How a recipe's component names the wrapper's class."""


class Merged:
    """The run without adapters: ``W + (alpha / rank) B A`` is the weight of each adapted layer (Hu et al., Eq. 3).

    The folder is a run of the base model: `rk eval`, `rk predict` and `rk export` take it, and recipes begin from it.

    Examples:
        rk export last --to merged -o merged
    """

    def export(self, run: LoadedRun, out: Path) -> list[Path]:
        """Writes the run into `out`, an empty folder.

        Raises:
            rk.UserError: When the run has no model `lora`, or one within another.
        """
        found = [spec for spec in run.recipe.specs() if spec.component.target == TARGET]
        if len(found) != 1 or found[0].base is None:
            raise UserError(f"{run.folder.label} has {len(found)} models lora: one is merged", "--to safetensors")
        changes = {found[0].key: found[0].base.plain()}
        folder = run.derive(changes, merged(run.learner), out)
        return sorted(path for path in folder.path.rglob("*") if path.is_file())


def merged(learner: nn.Module) -> dict[str, Tensor]:
    """Returns the weights of a learner without adapters, by the names that they have without the wrapper (Eq. 3)."""
    updates = {f"{name}.weight": adapter.update() for name, adapter in adapters(learner)}
    small = {f"{name}.{NAME}.{own}" for name, adapter in adapters(learner) for own in adapter.state_dict()}
    wrapped = [name for name, part in learner.named_modules(remove_duplicate=False) if isinstance(part, Lora)]
    weights: dict[str, Tensor] = {}
    for name, value in learner.state_dict().items():
        if name in small:
            continue
        total = value + updates[name].to(value.dtype) if name in updates else value
        weights[_without_wrapper(name, wrapped)] = total
    return weights


def _without_wrapper(name: str, wrapped: list[str]) -> str:
    for prefix in wrapped:
        start = f"{prefix}.base." if prefix else "base."
        if name.startswith(start):
            return (f"{prefix}." if prefix else "") + name[len(start) :]
    return name

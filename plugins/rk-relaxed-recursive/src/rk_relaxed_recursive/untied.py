"""Exporter `untied`: a looped run as a run of its base, each layer with weights of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rk_recursion.recursive import Recursive
from rk_recursion.relaxation import NAME, LowRank
from torch import Tensor, nn

from rk import LoadedRun, UserError
from rk_relaxed_recursive.multi_exit import MultiExit, MultiExitTrainer

TARGET = f"{Recursive.__module__}:{Recursive.__qualname__}"
"""How a recipe's component names the wrapper's class."""
EXITS = f"{MultiExitTrainer.__module__}:{MultiExitTrainer.__qualname__}"


class Untied:
    """The run without loops: each layer has the shared matrices with its own of low rank added (arXiv:2410.20672).

    The folder is a run of the base, with as many weights as the model had before it was tied: `rk eval`, `rk predict`
    and `rk export` take it, and recipes begin from it. It answers as the looped run does.

    Examples:
        rk export last --to untied -o untied
    """

    def export(self, run: LoadedRun, out: Path) -> list[Path]:
        """Writes the run into `out`, an empty folder.

        Raises:
            rk.UserError: When the run has no model `recursive`, or one within another.
        """
        found = [spec for spec in run.recipe.specs() if spec.component.target == TARGET]
        if len(found) != 1 or found[0].base is None:
            raise UserError(f"{run.folder.label} has {len(found)} models recursive: one is untied", "--to safetensors")
        changes: dict[str, Any] = {found[0].key: found[0].base.plain()}
        for spec in run.recipe.specs():
            if spec.component.target == EXITS and isinstance(run.learner, MultiExit):
                changes[f"{spec.key}.exits"] = list(run.learner.exits)  # the base has no loops to count them by
        folder = run.derive(changes, untied(run.learner), out)
        return sorted(path for path in folder.path.rglob("*") if path.is_file())


def untied(learner: nn.Module) -> dict[str, Tensor]:
    """Returns the weights of a learner without loops, by the names that they have without the wrapper `recursive`."""
    added = dict(_added(learner))
    wrapped = [name for name, part in learner.named_modules(remove_duplicate=False) if isinstance(part, Recursive)]
    weights: dict[str, Tensor] = {}
    for name, value in learner.state_dict().items():
        if f".{NAME}." in name:
            continue
        low = added.get(name)
        total = value.clone() if low is None else value + (low.B @ low.A).detach().to(value.dtype)
        weights[_without_wrapper(name, wrapped)] = total
    return weights


def _added(learner: nn.Module) -> Iterator[tuple[str, LowRank]]:
    """Yields the name of each matrix that has one of low rank beside it, and that."""
    for name, part in learner.named_modules(remove_duplicate=False):
        low = part._modules.get(NAME)
        if isinstance(low, LowRank):
            yield f"{name}.weight", low


def _without_wrapper(name: str, wrapped: list[str]) -> str:
    for prefix in wrapped:
        start = f"{prefix}.base." if prefix else "base."
        if name.startswith(start):
            return (f"{prefix}." if prefix else "") + name[len(start) :]
    return name

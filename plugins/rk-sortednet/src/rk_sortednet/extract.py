"""The analysis `extract-subnet`: one sub-network of a run as a run of its own, dense and ordinary."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rk import LoadedRun, Run, UserError
from rk_sortednet.heads import fused_parts
from rk_sortednet.nested import Nested
from rk_sortednet.slicing import leading, statistics_name


class ExtractSubnet:
    """Writes a sub-network as a run of its own, with the ordinary trainer `backprop`.

    The weights are the leading entries of the run's. So the changes of the recipe must make every layer as large as it
    is in the sub-network. The result is a run like any other: `rk eval`, `rk predict`, `rk export`, and recipes that
    begin with it (``init_from``).

    Args:
        run: A run whose trainer is `sorted`.
        width: The share of the width that the changes are for: which statistics of batch normalisation are taken.
        changes: Key of the recipe -> its value in the sub-network: ``{model.hidden_size: 32, model.num_layers: 2}``.
            With fewer heads, `head_dim` keeps their width.

    Examples:
        rk analyze extract-subnet --run last --changes '{model.hidden_size: 32, model.num_layers: 1}'
    """

    def __init__(self, run: Run, changes: dict[str, Any], width: float = 1.0) -> None:
        self.run = run
        self.changes = changes
        self.width = width

    def analyze(self, out: Path) -> dict[str, float]:
        """Writes the run into ``out/subnet``; returns how many parameters it has, and the share of the whole run's.

        Raises:
            rk.UserError: When the run has no nested network, or the changes make a layer larger than the run's.
        """
        learner = self.run.learner
        if not isinstance(learner, Nested):
            raise UserError("the run has no nested network", "train it with trainer: {name: sorted, ...}")
        changes = {**self.changes, "trainer": {"name": "backprop", "optimizer": "adam"}, "callbacks": []}
        weights, parts = own_statistics(learner.state_dict(), self.width), fused_parts(learner)
        folder = LoadedRun.open(Path(self.run.folder.path)).derive(
            changes, lambda small: leading(weights, _shapes(small), parts), out / "subnet"
        )
        found = LoadedRun.open(folder.path)
        count = sum(p.numel() for p in found.learner.parameters())
        print(f"{count} parameters; the run is in {folder.label}")
        return {"parameters": float(count), "share": count / sum(p.numel() for p in learner.parameters())}


def own_statistics(state: Mapping[str, Any], width: float) -> dict[str, Tensor]:
    """Returns the tensors of a state; running statistics are those of a width, where there are any."""
    found = {name: tensor for name, tensor in state.items() if isinstance(tensor, Tensor)}
    for kind in ("running_mean", "running_var"):
        suffix = statistics_name(kind, width)
        for name in [n for n in found if n.endswith(f".{suffix}")]:
            found[name.removesuffix(suffix) + kind] = found[name]
    return found


def _shapes(module: nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in module.state_dict().items() if isinstance(tensor, Tensor)}

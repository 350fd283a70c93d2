"""Figures of a batch and its outputs: the data draws inputs and answers, the learner draws how it came to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from rk.fit.returns import check_paths
from rk.protocols import Batch, Outputs


def artists(data: Any, learner: nn.Module) -> list[Any]:
    """Returns those of the two that draw, in the order in which they do."""
    return [one for one in (data, learner) if hasattr(one, "render")]


def draw(data: Any, learner: nn.Module, batch: Batch, outputs: Outputs, out: Path) -> list[Path]:
    """Lets them draw into files whose names begin with that of `out`, and returns the files."""
    return [
        path for one in artists(data, learner) for path in check_paths(one, one.render(batch, outputs, out), "render")
    ]

"""Figures of a batch and its outputs: the data draws inputs and answers, the learner draws how it came to them."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from rk.capabilities import SupportsRender, supports
from rk.fit.returns import check_paths
from rk.protocols import Batch, Outputs
from rk.values import Part


def artists(data: Part, learner: nn.Module) -> list[SupportsRender]:
    """Returns those of the two that draw, in the order in which they do."""
    return [one for one in (data, learner) if supports(one, SupportsRender)]


def draw(data: Part, learner: nn.Module, batch: Batch, outputs: Outputs, out: Path) -> list[Path]:
    """Lets them draw into files whose names begin with that of `out`, and returns the files."""
    return [
        path for one in artists(data, learner) for path in check_paths(one, one.render(batch, outputs, out), "render")
    ]

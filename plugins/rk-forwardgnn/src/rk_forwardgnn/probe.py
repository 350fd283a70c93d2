"""The accuracy of the layers up to each: what another layer adds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
from annotated_types import Ge
from jaxtyping import Float, Int
from torch import Tensor

from rk import Run
from rk.authoring import answers
from rk.charts import chart, draw_lines, plain, save
from rk.fields import IGNORED
from rk.protocols import Share
from rk.writing import write_csv


class DepthAccuracy:
    """Accuracy of the answer of the first layers of `forward-local`. Items without a target are left out.

    Args:
        depth: How many layers; of those that there are, at most.

    Examples:
        metrics: {first-layer: {name: depth-accuracy, depth: 1}}
    """

    def __init__(self, depth: Annotated[int, Ge(1)] = 1) -> None:
        self.depth = depth

    def __call__(self, *, depth_logits: Float[Tensor, "items depth classes"], targets: Int[Tensor, "items"]) -> Share:
        """Returns the number of hits and of items."""
        place = min(self.depth, depth_logits.shape[1]) - 1
        hits = depth_logits[:, place].argmax(-1) == targets
        return hits.sum(), (targets != IGNORED).sum()


class LayerProbe:
    """The accuracy of the layers up to each of a run of `forward-local`.

    Args:
        run: The run.
        split: The split of the examples.
        batches: The most batches to take; null takes all.

    Examples:
        rk analyze layer-probe --run last
    """

    def __init__(self, run: Run, split: str = "test", batches: Annotated[int, Ge(1)] | None = None) -> None:
        self.run = run
        self.split = split
        self.limit = batches

    def analyze(self, out: Path) -> dict[str, float]:
        """Writes `layer-probe.csv` and a figure into `out`; returns the accuracy at each depth."""
        hits, count = torch.zeros(0), 0
        needs, hint = ("depth_logits", "targets"), "layer-probe takes runs of forward-local"
        for batch, outputs in answers(self.run, self.split, self.limit, needs=needs, hint=hint):
            targets = batch["targets"]
            found = (outputs["depth_logits"].argmax(-1) == targets.unsqueeze(1)).sum(0).double().cpu()
            hits = found if not count else hits + found
            count += int((targets != IGNORED).sum())
        accuracies = (hits / max(count, 1)).tolist()
        write_csv(out / "layer-probe.csv", ("depth", "accuracy"), enumerate(accuracies, 1))
        with chart(5, 3) as (figure, axis):
            draw_lines(axis, {"layers up to each": accuracies}, marker="o")
            axis.set_xlabel("layers")
            axis.set_ylabel(f"accuracy ({plain(self.split)})")
            save(figure, out / "layer-probe.png")
        return {f"depth-{i}": accuracy for i, accuracy in enumerate(accuracies, 1)}

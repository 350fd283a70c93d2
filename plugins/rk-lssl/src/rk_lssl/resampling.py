"""The analysis `resampling`: a trained model on signals that are sampled less often."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge

from rk import Run, UserError
from rk.authoring import evaluating
from rk.protocols import Batch
from rk.writing import write_csv
from rk_lssl.layer import LSSL


class Resampling:
    """Accuracy on series of which only every second, fourth, ... step is given, without any training on them.

    A state-space layer follows the new rate by longer steps of its equation (arXiv:2110.13985, Sec. 5.3); the same
    model with its old steps is measured beside it.

    Args:
        run: A run of a model with layers `lssl`, whose data has `inputs` of (batch, time, features) and a class each.
        split: The split to measure.
        every: Every so many-th step is given; 1 is the data as it is.
        limit: Batches at most; null: all.
        seed: Seeds what a learner draws when it answers.

    Examples:
        rk analyze resampling --run last --every '[1, 2, 4]'
    """

    def __init__(
        self,
        run: Run,
        split: str = "test",
        every: tuple[Annotated[int, Ge(1)], ...] = (1, 2, 4),
        limit: Annotated[int, Ge(1)] | None = None,
        seed: int = 0,
    ) -> None:
        self.run = run
        self.split = split
        self.every = every
        self.limit = limit
        self.seed = seed

    def analyze(self, out: Path) -> dict[str, float]:
        """Writes ``resampling.csv`` and a figure; returns both accuracies by rate: ``stretched/2``, ``as-trained/2``.

        Raises:
            UserError: When the run has no such layers, or its data no series with classes.
        """
        from rk_lssl.drawing import draw_rates

        layers = [part for part in self.run.learner.modules() if isinstance(part, LSSL)]
        if not layers:
            raise UserError(f"{self.run.folder.label}: its model has no layer lssl, so that no step can be stretched")
        curves: dict[str, list[float]] = {"stretched": [], "as-trained": []}
        for every in self.every:
            with _stretched(layers, every):
                curves["stretched"].append(self._accuracy(every))
            curves["as-trained"].append(curves["stretched"][-1] if every == 1 else self._accuracy(every))
        table = [[every, *(curve[i] for curve in curves.values())] for i, every in enumerate(self.every)]
        write_csv(out / "resampling.csv", ["every", *curves], table, digits=5)
        draw_rates(self.every, curves, out / "resampling.png")
        return {f"{name}/{every}": curve[i] for name, curve in curves.items() for i, every in enumerate(self.every)}

    def _accuracy(self, every: int) -> float:
        right = total = 0
        learner: Any = self.run.learner  # Any: every learner predicts
        with evaluating(self.run.learner, self.seed):
            for batch in self.run.batches(self.split, self.limit):
                logits = learner.predict(_thinned(batch, every))["logits"]
                if logits.shape[:-1] != batch["targets"].shape:
                    raise UserError(f"{self.run.folder.label}: expected one class for each series")
                right += int((logits.argmax(-1) == batch["targets"]).sum())
                total += batch["targets"].numel()
        return right / total


@contextmanager
def _stretched(layers: list[LSSL], factor: float) -> Iterator[None]:
    before = [layer.rate for layer in layers]
    for layer, rate in zip(layers, before, strict=True):
        layer.rate = rate * factor
    try:
        yield
    finally:
        for layer, rate in zip(layers, before, strict=True):
            layer.rate = rate


def _thinned(batch: Batch, every: int) -> Batch:
    """Returns every so many-th step of a batch."""
    if "inputs" not in batch or "targets" not in batch or batch["inputs"].dim() != 3:
        raise UserError("resampling needs data of series: inputs of (batch, time, features) and a class each")
    thinned = {name: batch[name][:, ::every] for name in ("inputs", "mask") if name in batch}
    return {**batch, **thinned}

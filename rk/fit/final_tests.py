"""The final tests of a run: every test split with the weights that are kept, and the figure of each."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from rk.fit.build import Parts
from rk.fit.evaluate import Each
from rk.fit.figures import artists, draw
from rk.fit.signals import StopSignal
from rk.protocols import Batch, Outputs
from rk.runs import RunFolder


class TestsStopped(Exception):
    """A signal came during the final tests: they are done again when the run is resumed."""

    __test__ = False


@dataclass
class FinalTests:
    """Measures the test splits.

    Attributes:
        parts: What was built.
        splits: All splits of the data.
        folder: The run.
        measure: Split and what is called after each of its batches -> its metrics.
        warn: Prints a line.
        draws: Whether the first batch of each split becomes a figure.
    """

    __test__ = False

    parts: Parts
    splits: tuple[str, ...]
    folder: RunFolder
    measure: Callable[[str, Each], dict[str, float]]
    warn: Callable[[str], None]
    draws: bool = True

    def run(self, source: int, signal: StopSignal) -> dict[str, float]:
        """Returns the metrics of all test splits, and those of the validation of step `source`, whose weights are kept.

        Raises:
            TestsStopped: When a signal came.
        """
        metrics: dict[str, float] = {}
        for record in self.folder.metrics():
            if record["step"] == source:
                metrics |= {k: math.nan if v is None else v for k, v in record.items() if k.startswith("val")}
        for split in self.splits:
            if split.startswith("test"):
                if self.parts.runtime.agree(signal.caught or 0):
                    raise TestsStopped
                metrics |= self.measure(split, self.after_batch(split, signal))
        self.folder.append_metrics({"step": source, **{k: v for k, v in metrics.items() if k.startswith("test")}})
        return metrics

    def after_batch(self, split: str, signal: StopSignal) -> Each:
        """Returns what is called after each batch: it draws the first one, and stops at a signal."""

        def call(i: int, batch: Batch, outputs: Outputs) -> None:
            if i == 0 and self.draws and self.parts.runtime.is_main:
                self._draw(split, batch, outputs)
            if signal.caught is not None and self.parts.runtime.world == 1:  # several processes stop between splits
                raise TestsStopped

        return call

    def _draw(self, split: str, batch: Batch, outputs: Outputs) -> None:
        if not artists(self.parts.data, self.parts.learner):
            return
        self.folder.figures.mkdir(exist_ok=True)
        try:
            draw(self.parts.data, self.parts.learner, batch, outputs, self.folder.figures / split)
        except Exception as error:  # a figure is never worth the run
            self.warn(f"warning: the figure of {split} could not be drawn: {error}")

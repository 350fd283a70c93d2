"""The search `quantize`: a run whose weights, and activations, have few bits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn

from rk import Run, Runtime
from rk_quantization import report
from rk_quantization.activations import Per
from rk_quantization.post_training import PostTraining, Row, total_bits
from rk_quantization.ranges import Observer
from rk_quantization.scheme import Clip, Granularity, Levels, Scheme
from rk_quantization.settings import Rounding, Settings

Bits = Annotated[int, Ge(1), Le(8)]


class Quantize:
    """Quantises the weights of a trained run, and what its layers take, after training.

    The result is a run like any other: `rk eval`, `rk predict` and `rk export` take it. Its weights keep their names
    and have their rounded values; scales of activations are stored beside them, and the run answers as quantised. It
    works on any learner: each step takes one weight. The table ``layers.csv`` and the figure ``figures/layers.png``
    have each weight's bits, range, size and signal-to-noise ratio.

    Args:
        run: The trained run.
        bits: Bits of a weight.
        levels: `narrow` (-Q..Q), `symmetric` (-Q-1..Q), `affine` (with a zero point), `power-of-two`, `codebook`
            (k-means), `ternary` (bits=2), `binary` (bits=1).
        granularity: What shares a scale: the `tensor`, each output `channel`, each `group` of a channel.
        group_size: Weights of a group.
        clip: How ranges of weights are found: `min-max`, `percentile`, or by the lowest squared error, `mse`.
        activations: Bits of what layers take; null leaves it in floating point.
        observer: How ranges of activations are chosen.
        percentile: Share of the values within a range, in hundredths, where `clip` or `observer` is `percentile`.
        dynamic: Whether ranges of activations are those of each batch, not calibrated.
        per: What shares a scale of dynamic activations.
        include: Regular expressions of names: only these weights.
        exclude: Regular expressions of names of weights that stay as they are.
        first_last_bits: Bits of the first and the last weight; null: as all others.
        rounding: `nearest`; or, layer by layer, `adaround`, which is learned, or `gptq`, column by column.
        rounds: Steps of AdaRound for each layer.
        bias_correction: Whether biases are moved by the mean error of their layer.
        equalize: Whether neighbouring layers around a ReLU are scaled to the same ranges before.
        split: The split of the calibration batches.
        samples: Calibration batches.

    Examples:
        rk search quantize --run last --bits 8 --activations 8
    """

    defaults = ("fit.log_every=1",)

    def __init__(
        self,
        run: Run,
        bits: Bits = 8,
        levels: Levels = "narrow",
        granularity: Granularity = "channel",
        group_size: Annotated[int, Ge(1)] = 64,
        clip: Clip = "min-max",
        activations: Annotated[int, Ge(2), Le(8)] | None = None,
        observer: Observer = "min-max",
        percentile: Annotated[float, Gt(50), Le(100)] = 99.99,
        dynamic: bool = False,
        per: Per = "tensor",
        include: tuple[str, ...] = (),
        exclude: tuple[str, ...] = (),
        first_last_bits: Annotated[int, Ge(2), Le(8)] | None = None,
        rounding: Rounding = "nearest",
        rounds: Annotated[int, Ge(1)] = 1000,
        bias_correction: bool = False,
        equalize: bool = False,
        split: str = "train",
        samples: Annotated[int, Ge(1)] = 8,
    ) -> None:
        self.run = run
        self.settings = Settings(
            Scheme(bits, levels, granularity, group_size, clip, percentile),
            activations,
            observer,
            percentile,
            dynamic,
            per,
            include,
            exclude,
            first_last_bits,
            rounding,
            rounds,
            bias_correction,
            equalize,
            split,
            samples,
        )
        self.rows: list[Row] = []

    def setup(self, *, runtime: Runtime) -> nn.Module:
        """Returns the learner of the run, with a child more where activations are quantised."""
        self.runtime = runtime
        learner = self.run.learner.to(runtime.device)
        self.work = PostTraining(learner, self.settings)
        self.total_steps = len(self.work.weights)
        return learner

    def batches(self) -> Any:
        """Yields the calibration batches."""
        return self.run.batches(self.settings.split, self.settings.samples)

    @property
    def seed(self) -> int:
        seed: int = self.run.recipe.fit.seed
        return seed

    def step(self) -> dict[str, Tensor] | None:
        """Quantises one weight; returns its bits and its signal-to-noise ratio, or None when all are done."""
        if len(self.rows) == len(self.work.weights):
            return None
        if not self.rows:
            self.work.prepare(self.batches, self.seed)
        name = [*self.work.weights][len(self.rows)]
        row = self.work.quantize(name, self.batches, self.seed)
        self.rows.append(row)
        return {"bits": torch.tensor(float(row.bits)), "sqnr": torch.tensor(min(row.sqnr, 1e3))}

    def finish(self) -> None:
        """Writes the table and the figure."""
        if self.runtime.folder is not None and self.runtime.is_main:
            report.write(self.rows, self.runtime.folder)

    lower_is_better = ("bits", "kilobytes")

    def results(self) -> Mapping[str, float]:
        """Returns the mean bits of a weight, and the size of the quantised weights with their scales."""
        return {"bits": total_bits(self.rows), "kilobytes": sum(row.size for row in self.rows) / 1000}

    def summary(self) -> str:
        """Returns what came out, in a few lines."""
        return report.text(self.rows)

    def state_dict(self) -> dict[str, Any]:
        return {"rows": [list(vars(row).values()) for row in self.rows]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.rows = [Row(*values) for values in state["rows"]]

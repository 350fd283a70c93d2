"""The analysis `memory-probe`: how far back the states of state-space systems remember, without any training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
from annotated_types import Ge, Gt

from rk.sampling import generator
from rk.writing import write_csv
from rk_lssl.hippo import Measure, hippo
from rk_lssl.memory import explained, last_states, smooth_noise
from rk_lssl.ops import Method, discretize


class MemoryProbe:
    """What a linear readout recovers of the input of d steps ago from the state of a system, in closed form.

    Smooth noise runs through ``x' = A x + B u``; a ridge regression on the last state gives back the input at each
    delay. R^2 is measured on signals that it has not seen. HiPPO matrices keep it near 1 up to the length of their
    window (arXiv:2110.13985, Sec. 2; arXiv:2008.07669), random ones forget at once.

    Args:
        measures: The matrices to compare.
        order: Numbers of a state.
        dt: Length of a step: the window of `legt` is 1 / dt steps long.
        length: Steps of a signal.
        width: How smooth the signals are: the deviation in steps of the Gaussian that smooths white noise.
        delays: Steps before the last; null: 0 and five more up to 1 / dt, as far as signals reach.
        train_signals: Signals that fit the readout.
        test_signals: Signals that measure it.
        method: How time becomes steps.
        seed: Of the signals and the random matrices.

    Raises:
        ValueError: When a delay exceeds the length.

    Examples:
        rk analyze memory-probe --order 64 --dt 0.004
    """

    def __init__(
        self,
        measures: tuple[Measure, ...] = ("legt", "legs", "lagt", "random"),
        order: Annotated[int, Ge(1)] = 64,
        dt: Annotated[float, Gt(0)] = 1 / 256,
        length: Annotated[int, Ge(2)] = 512,
        width: Annotated[float, Gt(0)] = 4.0,
        delays: tuple[Annotated[int, Ge(0)], ...] | None = None,
        train_signals: Annotated[int, Ge(2)] = 1000,
        test_signals: Annotated[int, Ge(2)] = 500,
        method: Method = "bilinear",
        seed: int = 0,
    ) -> None:
        most = min(length - 1, round(1 / dt))
        self.delays = delays or tuple(dict.fromkeys(round(most * i / 5) for i in range(6)))
        if too_long := [d for d in self.delays if d >= length]:
            raise ValueError(f"delays must be less than the length of {length} steps, got {too_long[0]}")
        self.measures = measures
        self.order = order
        self.dt = dt
        self.length = length
        self.width = width
        self.train_signals = train_signals
        self.test_signals = test_signals
        self.method = method
        self.seed = seed

    def analyze(self, out: Path) -> dict[str, float]:
        """Writes ``memory.csv`` and a figure; returns R^2 by matrices and delay: ``legt/64``."""
        from rk_lssl.drawing import draw_memory

        rows = self.train_signals + self.test_signals
        signals = smooth_noise(rows, self.length, self.width, generator(self.seed, 0))
        curves: dict[str, list[float]] = {}
        for measure in self.measures:
            a, b = hippo(measure, self.order, generator(self.seed, 1))
            dt = torch.tensor(self.dt, dtype=torch.float64)
            states = last_states(*discretize(a, b, dt, self.method), signals)
            curves[measure] = explained(states, signals, self.delays, self.train_signals)
        table = [[d, *(round(curve[i], 4) for curve in curves.values())] for i, d in enumerate(self.delays)]
        write_csv(out / "memory.csv", ["delay", *curves], table)
        draw_memory(self.delays, curves, out / "memory.png")
        return {f"{m}/{d}": curve[i] for m, curve in curves.items() for i, d in enumerate(self.delays)}

"""The analysis `snnk-error`: how far random features are from what they estimate, by their number."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from rk.charts import chart, save
from rk.writing import write_csv
from rk_snnk.features import ReluFeatures, TrigFeatures


class SnnkError:
    """Root mean square errors of Psi(w) . Phi(x) over random inputs, weights and projections of each kind.

    Inputs and weights are N(0, I / width) times `size`. Cosine and sine features estimate cos and sin of w . x; ReLU
    features estimate their kernel. Writes ``snnk-error.csv`` and ``snnk-error.png``.

    Args:
        seed: Of all draws.
        random_features: Numbers of projections.
        width: Numbers of an input.
        size: Root mean square norm of inputs and weights.
        draws: Sets of projections for each number.
        pairs: Pairs of an input and weights for each set.
        damping: M of the damped cosines.

    Examples:
        rk analyze snnk-error --width 16 --random-features '[64,256,1024,4096]'
    """

    def __init__(
        self,
        seed: int = 0,
        random_features: tuple[Annotated[int, Ge(1)], ...] = (64, 256, 1024, 4096),
        width: Annotated[int, Ge(1)] = 16,
        size: Annotated[float, Gt(0)] = 1.0,
        draws: Annotated[int, Ge(1)] = 50,
        pairs: Annotated[int, Ge(1)] = 20,
        damping: Annotated[float, Ge(0)] = 0.02,
    ) -> None:
        self.seed = seed
        self.numbers = tuple(sorted(set(random_features)))
        self.width = width
        self.deviation = size / width**0.5
        self.draws = draws
        self.pairs = pairs
        self.damping = damping

    def analyze(self, out: Path) -> dict[str, float]:
        """Draws and writes all errors; returns them by kind and number, and the slope of each kind."""
        kinds: dict[str, tuple[Callable[..., ReluFeatures | TrigFeatures], Callable[[Tensor, Tensor], Tensor]]] = {
            "cos": (TrigFeatures, lambda x, w: (x * w).sum(-1).cos()),
            "cos, orthogonal": (_with(TrigFeatures, orthogonal=True), lambda x, w: (x * w).sum(-1).cos()),
            "cos, damped": (_with(TrigFeatures, damping=self.damping), lambda x, w: (x * w).sum(-1).cos()),
            "sin": (_with(TrigFeatures, activation="sin"), lambda x, w: (x * w).sum(-1).sin()),
            "relu": (ReluFeatures, arc_cosine),
            "relu, orthogonal": (_with(ReluFeatures, orthogonal=True), arc_cosine),
        }
        found: dict[str, list[float]] = {}
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(self.seed)
            for name, (build, wanted) in kinds.items():
                found[name] = [self._error(build, wanted, m) for m in self.numbers]
        rows = [[m, *(errors[i] for errors in found.values())] for i, m in enumerate(self.numbers)]
        write_csv(out / "snnk-error.csv", ["random features", *found], rows, digits=5)
        self._draw(found, out / "snnk-error.png")
        return {f"{name}/{m}": e for name, errors in found.items() for m, e in zip(self.numbers, errors, strict=True)}

    def _error(
        self, build: Callable[..., ReluFeatures | TrigFeatures], wanted: Callable[[Tensor, Tensor], Tensor], m: int
    ) -> float:
        squares = []
        for _ in range(self.draws):
            x, w = self.deviation * torch.randn(2, self.pairs, self.width)
            features = build(in_features=self.width, random_features=m)
            squares.append(((features(x) * features.of_weights(w)).sum(-1) - wanted(x, w)).square())
        return math.sqrt(float(torch.stack(squares).mean()))

    def _draw(self, found: dict[str, list[float]], path: Path) -> None:
        with chart(5.0, 3.4) as (figure, axis):
            for name, errors in found.items():
                axis.plot(self.numbers, errors, "o-", label=name, markersize=3, linewidth=1)
            first = found["cos"][0]
            theory = [first * (m / self.numbers[0]) ** -0.5 for m in self.numbers]
            axis.plot(self.numbers, theory, "--", color="0.5", label="slope -1/2", linewidth=1)
            axis.set_xscale("log")
            axis.set_yscale("log")
            axis.set_xlabel("random features")
            axis.set_ylabel("root mean square error")
            axis.legend()
            save(figure, path)


def arc_cosine(x: Tensor, w: Tensor) -> Tensor:
    """Returns |x| |w| (sin t + (pi - t) cos t) / (2 pi) of rows, t the angle between them: the mean of ReLU features.

    Examples:
        >>> x = torch.tensor([[2.0, 0.0]])
        >>> arc_cosine(x, x)  # half of the squared norm
        tensor([2.])
    """
    sizes = x.norm(dim=-1) * w.norm(dim=-1)
    cosine = ((x * w).sum(-1) / sizes.clamp(min=1e-12)).clamp(-1, 1)
    t = cosine.acos()
    return sizes * (t.sin() + (math.pi - t) * cosine) / (2 * math.pi)


def _with(
    build: type[ReluFeatures] | type[TrigFeatures], **settings: str | float
) -> Callable[..., ReluFeatures | TrigFeatures]:
    def built(**common: int) -> ReluFeatures | TrigFeatures:
        return build(**common, **settings)  # type: ignore[arg-type]  # settings of either class

    return built

"""The analysis `depth-limit`: what depth makes of an activation, predicted and measured."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

import torch
from annotated_types import Ge
from rk_kernels.covariance import Kind
from rk_kernels.depth import depth_map
from rk_kernels.duals import Dual
from rk_kernels.linalg import kernel_regression, with_ridge
from rk_kernels.series import Hermite
from torch import Tensor
from torch.nn import functional

from rk.charts import chart, save
from rk.writing import write_csv
from rk_wide_deep.activations import dual
from rk_wide_deep.data import DirichletSphere
from rk_wide_deep.deep import log_deep
from rk_wide_deep.kernel import DeepKernel, limit_weights
from rk_wide_deep.smoothers import gaps, voting
from rk_wide_deep.taxonomy import RIDGE, Limit, limit_of

NEAR = (1e-6, 1e-3)
"""Distances between which the exponent is measured."""
TESTS = 300
NAMES = {
    "nearest": "the nearest neighbour",
    "singular": "a singular kernel",
    "majority": "the majority",
    "linear": "none: the kernel stays the cosine",
}


class DepthLimit:
    """Predicts the classifier that depth makes of an activation, and measures it on networks of finite depth.

    The prediction: A, a and b (the normalised dual at 0, its slope at 0 and at 1), which of the paper's classes they
    are in, the exponent alpha of a singular kernel, the d of the sphere S^d for which that is optimal, and about how
    many layers it takes. The measurement: the slope of the logarithm of the kernel at distances of 1e-6 to 1e-3, and
    the share of 300 inputs of `dirichlet-sphere` on which kernel regression with a network of each depth gives the
    class that the limit gives. Writes ``depth-limit.csv`` and ``depth-limit.png``.

    Args:
        activation: As in `deep-kernel`: a name, Hermite coefficients, or module:name of an elementwise function.
        dimension: d of the sphere of the measurement, and of opt.
        kind: nngp or ntk.
        rows: Training inputs.
        depths: Layers; empty: 1, and an eighth, a quarter, half and all of the depth that is predicted to do.
        seed: Of the inputs.

    Examples:
        rk analyze depth-limit --activation tanh
        rk analyze depth-limit --activation '[0, 0, 1]' --dimension 2
        rk analyze depth-limit --activation torch.nn:Mish
    """

    def __init__(
        self,
        activation: str | tuple[float, ...] = "opt",
        dimension: Literal[1, 2, 4, 8] = 2,
        kind: Literal["nngp", "ntk"] = "nngp",
        rows: Annotated[int, Ge(10)] = 60,
        depths: tuple[Annotated[int, Ge(1)], ...] = (),
        seed: int = 1717,
    ) -> None:
        self.activation = activation
        self.dimension = dimension
        self.kind = kind
        self.rows = rows
        self.depths = depths
        self.seed = seed
        self.dual = dual(activation, dimension)

    def analyze(self, out: Path) -> dict[str, float]:
        """Returns the prediction and what was measured; what is not finite is left out."""
        limit = limit_of(self.dual)
        needed = limit.depth(self.rows, self.dimension, self.kind)
        found = {"A": limit.shared, "a": limit.far, "b": limit.near, "alpha": limit.alpha, "depth": needed}
        optimal = "no S^d" if limit.dimension is None else f"S^{limit.dimension}"
        print(f"limit of infinite depth: {NAMES[limit.rule]}; optimal on {optimal}")
        if limit.rule == "singular" and isinstance(self.dual, Hermite):
            found["alpha/measured"] = measured_alpha(self.dual, limit, self.kind)
        shares = self._agreement(needed) if limit.rule != "linear" else {}
        write_csv(out / "depth-limit.csv", ("depth", "agreement"), list(shares.items()))
        self._draw(limit, shares, out / "depth-limit.png")
        found |= {f"agreement/{depth}": share for depth, share in shares.items()}
        return {name: value for name, value in found.items() if math.isfinite(value)}

    def _agreement(self, needed: float) -> dict[int, float]:
        """Returns depth -> share of test inputs with the class of the limit."""
        data = DirichletSphere(self.seed, self.dimension, train_examples=self.rows, test_examples=TESTS)
        data.prepare()
        train, new = data.batch("train", 0), data.batch("test", 0)["inputs"]
        targets = functional.one_hot(train["targets"], 2).double() - 0.5
        apart = gaps(new, train["inputs"])
        limit = (limit_weights(self.dual, apart) @ targets).argmax(1)
        depths = self.depths or sorted({1, *(math.ceil(needed * part) for part in (0.125, 0.25, 0.5, 1))})
        found = {}
        for depth in depths:
            answers = self._scores(depth, train["inputs"], targets, apart).argmax(1)
            found[depth] = float((answers == limit).double().mean())
        return found

    def _scores(self, depth: int, inputs: Tensor, targets: Tensor, apart: Tensor) -> Tensor:
        """Returns what kernel regression answers at a finite depth, up to a factor for each input."""
        kernel = DeepKernel(self.activation, depth, self.kind, self.dimension)
        if isinstance(self.dual, Hermite) and self.dual.lowest:  # entries far below the smallest float
            coefficients = kernel_regression(kernel(inputs), targets)
            return voting(*log_deep(self.dual, apart, depth, self.kind)) @ coefficients
        coefficients = kernel_regression(with_ridge(kernel(inputs), RIDGE), targets)
        return kernel.entries(apart, self.dimension) @ coefficients

    def _draw(self, limit: Limit, shares: dict[int, float], path: Path) -> None:
        distances = torch.logspace(-3, 0, 300, dtype=torch.float64)
        if not shares:
            return
        with chart(8.4, 3.2, columns=2) as (figure, left, right):
            for depth in shares:
                logs = log_kernel(self.dual, distances.square() / 2, depth, self.kind) / math.log(10)
                left.plot(distances, logs - logs[-1], label=f"depth {depth}")
            if limit.rule == "singular":
                line = -limit.alpha * distances.log10()
                left.plot(distances, line, "--", color="0.5", label=f"predicted slope -{limit.alpha:.3g}")
            left.set_xscale("log")
            left.set_xlabel("distance")
            left.set_ylabel("kernel over that at distance 1,\npowers of ten")
            left.legend()
            right.plot(list(shares), list(shares.values()), "o-")
            right.axhline(1, color="0.5", linestyle="--")
            right.set_xscale("log")
            right.set_xlabel("depth")
            right.set_ylabel("share of answers of the limit")
            save(figure, path)


def log_kernel(dual: Dual, gaps: Tensor, depth: int, kind: Kind) -> Tensor:
    """Returns the logarithm of a kernel of finite depth that is positive at these gaps."""
    if isinstance(dual, Hermite) and dual.lowest:
        return log_deep(dual, gaps, depth, kind)[0]
    return depth_map(dual, 1 - gaps, depth, kind).log()


def measured_alpha(dual: Hermite, limit: Limit, kind: Kind = "nngp") -> float:
    """Returns minus the slope of the logarithm of the kernel over that of the distance, between 1e-6 and 1e-3.

    The network is just deep enough that the nearest of these inputs has forgotten that it was near: ten further layers
    change the slope by less than it is measured to. The NTK has alpha + 2 at such a depth: it follows the slope of the
    limit until the depth exceeds 1 / gap.

    Args:
        dual: Of the activation.
        limit: What is predicted; b and a decide the depth, and nothing else of it is used.
        kind: nngp or ntk.
    """
    near, far = (math.log10(end) for end in NEAR)
    distances = torch.logspace(near, far, 400, dtype=torch.float64)
    depth = math.ceil(math.log(2 / NEAR[0] ** 2) / math.log(limit.near) + 20 / -math.log(limit.far))
    logs = log_deep(dual, distances.square() / 2, depth, kind)[0]
    design = torch.stack([distances.log(), torch.ones_like(distances)], 1)
    return -float(torch.linalg.lstsq(design, logs.unsqueeze(1)).solution[0])

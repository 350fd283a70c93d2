"""Many small regression problems whose scale differs from problem to problem: where a mixture over it can pay."""

from __future__ import annotations

from typing import Annotated, TypedDict

import torch
from annotated_types import Ge, Gt
from jaxtyping import Float
from rk_kernels.kernel import Kernel
from rk_kernels.linalg import cholesky, with_ridge
from rk_kernels.metrics import CalibrationError, NegativeLogLikelihood
from torch import Tensor

from rk.sampling import batch_count, generator

CHUNK = 50
"""Problems that are drawn at once, whatever the batch."""


class ProblemBatch(TypedDict):
    """Problems: observations, and where to answer."""

    context_inputs: Float[Tensor, "batch context features"]
    context_targets: Float[Tensor, "batch context"]
    inputs: Float[Tensor, "batch targets features"]
    targets: Float[Tensor, "batch targets"]


class ScaleProblems:
    """Draws from a scale mixture of Gaussian processes: each problem has a scale sigma^2 ~ InvGamma(a, a) of its own.

    Inputs are N(0, I), f | sigma^2 ~ GP(0, sigma^2 K), and targets have noise of variance sigma^2 noise.

    Args:
        kernel: K.
        seed: Of the problems.
        a: Shape and scale of the inverse gamma.
        noise: Variance of the noise, relative to sigma^2.
        num_features: Numbers per input.
        contexts: Observations of a problem; a split test-N for each.
        targets: Points of a problem where the answer is judged.
        num_problems: Problems of each split.
        batch_size: Problems per batch.

    Examples:
        data: {name: scale-problems, kernel: {name: mlp-kernel, depth: 4}, a: 1.0, contexts: [10, 40]}
    """

    metrics = {"nll": NegativeLogLikelihood, "calibration-error": CalibrationError}

    def __init__(
        self,
        kernel: Kernel,
        seed: int,
        a: Annotated[float, Gt(0)] = 1.0,
        noise: Annotated[float, Gt(0)] = 0.05,
        num_features: Annotated[int, Ge(1)] = 5,
        contexts: tuple[Annotated[int, Ge(1)], ...] = (10, 40),
        targets: Annotated[int, Ge(1)] = 20,
        num_problems: Annotated[int, Ge(1)] = 300,
        batch_size: Annotated[int, Ge(1)] = 100,
    ) -> None:
        if len(set(contexts)) < len(contexts) or not contexts:
            raise ValueError("contexts must be different numbers, at least one")
        self.kernel = kernel.requires_grad_(False)
        self.seed = seed
        self.a = a
        self.noise = noise
        self.num_features = num_features
        self.targets = targets
        self.num_problems = num_problems
        self.batch_size = batch_size
        self._context = {f"test-{n}": n for n in contexts}
        self.splits = tuple(self._context)

    def batches(self, split: str) -> int:
        return batch_count(self.num_problems, self.batch_size)

    def batch(self, split: str, i: int, stage: int = 0) -> ProblemBatch:
        first, last = i * self.batch_size, min((i + 1) * self.batch_size, self.num_problems)
        chunks = [self._chunk(split, c) for c in range(first // CHUNK, (last - 1) // CHUNK + 1)]
        skipped = first - first // CHUNK * CHUNK
        x, y = (torch.cat(parts)[skipped : skipped + last - first] for parts in zip(*chunks, strict=True))
        n = self._context[split]
        return {"context_inputs": x[:, :n], "context_targets": y[:, :n], "inputs": x[:, n:], "targets": y[:, n:]}

    def _chunk(self, split: str, number: int) -> tuple[Tensor, Tensor]:
        """Returns inputs (CHUNK, points, features) and targets (CHUNK, points)."""
        n = self._context[split]
        random = generator(self.seed, n, number)
        points = n + self.targets
        x = torch.randn(CHUNK, points, self.num_features, generator=random, dtype=torch.float64)
        factor = cholesky(with_ridge(self.kernel(x), self.noise))
        y = (factor @ torch.randn(CHUNK, points, 1, generator=random, dtype=torch.float64)).squeeze(-1)
        shape = torch.full((CHUNK, 1), self.a, dtype=torch.float64)
        variance = self.a / torch._standard_gamma(shape, generator=random)  # one for all points of a problem
        return x, y * variance.sqrt()

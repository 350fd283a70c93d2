"""The data `dirichlet-sphere`: two classes on a sphere, of which the best possible classifier is known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import Ge, Gt, Lt
from jaxtyping import Float, Int
from rk_kernels.tables import read_table
from scipy.special import gammaln
from torch import Tensor
from torch.nn import functional

from rk import UserError
from rk.builtin.metrics import Accuracy
from rk.fields import ClassificationBatch
from rk.protocols import Batch, Outputs
from rk.sampling import batch_count, generator, rows
from rk_wide_deep.metrics import ExcessError, as_majority, as_nearest, bayes_accuracy
from rk_wide_deep.smoothers import NearestKernel

ALPHAS: dict[int, tuple[tuple[float, ...], tuple[float, ...]]] = {
    1: ((1, 2), (2, 1)),
    2: ((0.5, 0.5, 2.5), (2.5, 0.1, 0.5)),
    4: ((3, 1, 2, 1, 1), (1, 2, 2, 2, 3)),
    8: ((1, 2, 1, 2, 1, 1, 1, 1, 1), (1, 1, 1, 2, 3, 4, 2, 2, 1)),
}
"""Dimension of the sphere -> concentrations of both classes, of the paper's experiments."""
LEAST = 1e-300


class SphereBatch(ClassificationBatch):
    """Inputs, classes, and the classes that three rules answer."""

    bayes: Int[Tensor, "batch"]
    nearest: Int[Tensor, "batch"]
    majority: Int[Tensor, "batch"]


class DirichletSphere:
    """Two classes with Dirichlet distributions, each sample divided by its norm: all is generated.

    The map from the simplex to the sphere is a bijection, so that the Bayes rule is that of the two densities. Beside
    `test/accuracy` there are `test/bayes`, its accuracy; `test/excess`, the error beyond it; `test/as-nearest` and
    `test/as-majority`, the shares of answers that the nearest neighbour and the most frequent class give too.

    Args:
        seed: Of all samples.
        dimension: d of the sphere S^d; inputs have d + 1 features.
        alpha1: Concentrations of class 0; null: the paper's.
        alpha2: Concentrations of class 1; null: the paper's.
        prior: Probability of class 0.
        train_examples: Examples to train on.
        val_examples: Examples to validate on.
        test_examples: Examples to test on.
        batch_size: Examples per batch; null: all of a split at once, as closed forms like it.
        radius: Of the sphere: sqrt(d + 1) gives networks inputs of mean square 1. Kernels divide by the norm.

    Examples:
        data: {name: dirichlet-sphere, dimension: 4, train_examples: 1000}
    """

    splits = ("train", "val", "test")
    metrics = {
        "accuracy": Accuracy,
        "bayes": bayes_accuracy,
        "excess": ExcessError,
        "as-nearest": as_nearest,
        "as-majority": as_majority,
    }
    num_features: int
    input_shape: tuple[int, ...]
    num_classes: int = 2
    labels: tuple[str, ...] = ("0", "1")

    def __init__(
        self,
        seed: int,
        dimension: Literal[1, 2, 4, 8] = 2,
        alpha1: tuple[Annotated[float, Gt(0)], ...] | None = None,
        alpha2: tuple[Annotated[float, Gt(0)], ...] | None = None,
        prior: Annotated[float, Gt(0), Lt(1)] = 0.4,
        train_examples: Annotated[int, Ge(2)] = 1000,
        val_examples: Annotated[int, Ge(1)] = 500,
        test_examples: Annotated[int, Ge(1)] = 3000,
        batch_size: Annotated[int, Ge(1)] | None = None,
        radius: Annotated[float, Gt(0)] = 1.0,
    ) -> None:
        if (alpha1 is None) != (alpha2 is None):
            raise ValueError("alpha1 and alpha2 must both be given, or none of them")
        first, second = ALPHAS[dimension] if alpha1 is None or alpha2 is None else (alpha1, alpha2)
        if len(first) != len(second) or len(first) < 2:
            raise ValueError(
                f"alpha1 and alpha2 must have the same number of values, 2 at least, got {len(first)} and {len(second)}"
            )
        self.seed = seed
        self.alphas = np.array([first, second], dtype=float)
        self.prior = prior
        self.counts = {"train": train_examples, "val": val_examples, "test": test_examples}
        self.batch_size = batch_size
        self.radius = radius
        self.num_features = len(first)
        self.input_shape = (len(first),)

    def prepare(self) -> None:
        drawn = {split: self._drawn(split, count) for split, count in self.counts.items()}
        train, targets, _ = drawn["train"]
        frequent = targets.bincount(minlength=2).argmax()
        nearest = NearestKernel()
        self._rows: dict[str, SphereBatch] = {}
        for split, (inputs, classes, bayes) in drawn.items():
            votes = nearest(inputs, train) @ functional.one_hot(targets, 2).double()
            self._rows[split] = {
                "inputs": inputs,
                "targets": classes,
                "bayes": bayes,
                "nearest": votes.argmax(1),
                "majority": frequent.expand(len(classes)),
            }

    def _drawn(self, split: str, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Returns inputs, classes and the answers of the Bayes rule; inputs that coincide are drawn again."""
        random = np.random.default_rng(generator(self.seed, "dirichlet-sphere", split).initial_seed())
        found, classes = np.empty((0, self.num_features)), np.empty(0, dtype=np.int64)
        while len(found) < count:
            drawn = (random.random(count - len(found)) >= self.prior).astype(np.int64)
            gamma = random.standard_gamma(self.alphas[drawn]).clip(LEAST)
            found = np.concatenate([found, gamma / np.linalg.norm(gamma, axis=1, keepdims=True)])
            classes = np.concatenate([classes, drawn])
            kept = np.sort(np.unique(found.astype(np.float32), axis=0, return_index=True)[1])
            found, classes = found[kept], classes[kept]
        exact = torch.from_numpy(found)
        return (self.radius * exact).float(), torch.from_numpy(classes), (self.log_odds(exact) < 0).long()

    def log_odds(self, inputs: Float[Tensor, "n features"]) -> Float[Tensor, "n"]:
        """Returns log P(class 0 | x) - log P(class 1 | x), of inputs of any length."""
        simplex = inputs.double() / inputs.double().sum(1, keepdim=True)
        powers = torch.from_numpy(self.alphas[0] - self.alphas[1])
        norms = gammaln(self.alphas.sum(1)) - gammaln(self.alphas).sum(1)
        odds = np.log(self.prior / (1 - self.prior)) + norms[0] - norms[1]
        return simplex.clamp(min=LEAST).log() @ powers + float(odds)

    def batches(self, split: str) -> int:
        return batch_count(self.counts[split], self.batch_size or self.counts[split])

    def batch(self, split: str, i: int, stage: int = 0) -> SphereBatch:
        found, n = self._rows[split], self.counts[split]
        chosen = rows(n, self.batch_size or n, i, seed=self.seed, shuffle=split == "train")
        return {
            "inputs": found["inputs"][chosen],
            "targets": found["targets"][chosen],
            "bayes": found["bayes"][chosen],
            "nearest": found["nearest"][chosen],
            "majority": found["majority"][chosen],
        }

    def read(self, path: Path) -> Batch:
        """Reads a CSV file of d + 1 numbers above 0 a line, divided by their norm."""
        table = read_table(path)
        if table.width != self.num_features:
            raise UserError(f"{path}: expected {self.num_features} columns, got {table.width}")
        values = table.values
        if bool((wrong := (values <= 0).any(1)).any()):
            line = table.lines[int(wrong.nonzero()[0])]
            raise UserError(f"{path}:{line}: the numbers must be > 0", "the densities are those of shares of a whole")
        return {"inputs": (self.radius * functional.normalize(values)).float()}

    def answers(self, batch: Batch, outputs: Outputs) -> list[dict[str, Any]]:
        """Returns the class, and what the Bayes rule answers, with the probability that it gives class 0."""
        odds = self.log_odds(batch["inputs"])
        return [
            {"class": int(c), "bayes": int(o < 0), "bayes_probability_0": round(float(o.sigmoid()), 4)}
            for c, o in zip(outputs["logits"].argmax(-1), odds, strict=True)
        ]

"""The data `hierarchical-polynomial`: Gaussian inputs whose target is a function of a hidden polynomial."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import torch
from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor

from rk.charts import chart, save
from rk.fields import RegressionBatch
from rk.protocols import Batch, Outputs
from rk.sampling import batch_count, generator, rows
from rk_hierarchical_polynomials.metrics import FeatureCorrelation, NormalisedError
from rk_hierarchical_polynomials.targets import Form, LinkName, linear_component, link_of, quadratic, separable

WEAK = 0.05
"""Correlation of target and polynomial below which stage 1 has nothing to find."""


class PolynomialBatch(RegressionBatch):
    """Inputs, targets, and the hidden polynomial, which only metrics may see."""

    polynomial: Float[Tensor, "batch"]


class HierarchicalPolynomial:
    """Targets g(p(x)) of x ~ N(0, I_d): p is a polynomial of degree k and of unit variance, g a link.

    Wang et al. 2024, arXiv:2311.13774. A link without a linear component, E g'(p) = 0, is warned of: such as any even
    function. A run draws what it has found beside p, and its answers beside the targets.

    Args:
        seed: Draws the polynomial and the rows.
        num_features: d.
        degree: k.
        form: separable: a sum of +-h_k(x_i) / sqrt(d), the Hermite polynomials; quadratic: a random form, degree 2.
        link: z3: z^3 / sqrt(15); he3plus1: (h_3(z) + z) / sqrt(2); tanh: tanh(3z); polynomial: by its coefficients.
        coefficients: Of the link `polynomial`, from that of degree 0.
        noise_std: Standard deviation of noise on the training targets.
        train_examples: Rows to train on, all stages together.
        val_examples: Rows to validate on.
        test_examples: Rows to test on.
        batch_size: Rows per batch; shares of the trainer `stages` are whole batches.

    Examples:
        data: {name: hierarchical-polynomial, num_features: 24, link: tanh}
    """

    splits = ("train", "val", "test")
    metrics = {"nmse": NormalisedError, "correlation": FeatureCorrelation}
    num_features: int
    num_outputs: int

    def __init__(
        self,
        seed: int,
        num_features: Annotated[int, Ge(2)] = 24,
        degree: Literal[1, 2, 3] = 2,
        form: Form = "separable",
        link: LinkName = "tanh",
        coefficients: tuple[float, ...] = (),
        noise_std: Annotated[float, Ge(0)] = 0.0,
        train_examples: Annotated[int, Ge(1)] = 4608,
        val_examples: Annotated[int, Ge(1)] = 1000,
        test_examples: Annotated[int, Ge(1)] = 4000,
        batch_size: Annotated[int, Ge(1)] = 64,
    ) -> None:
        if form == "quadratic" and degree != 2:
            raise ValueError(f"a quadratic form must have degree 2, got {degree}")
        if (link == "polynomial") != bool(coefficients):
            raise ValueError(f"coefficients are for the link polynomial, got {list(coefficients)} for {link}")
        self.seed = seed
        self.num_features = num_features
        self.num_outputs = 1
        self.degree = degree
        self.form = form
        self.link = link
        self.coefficients: Sequence[float] = coefficients
        self.noise_std = noise_std
        self.sizes = {"train": train_examples, "val": val_examples, "test": test_examples}
        self.batch_size = batch_size

    def prepare(self) -> None:
        """Draws the polynomial and all rows."""
        link = link_of(self.link, self.coefficients)
        found = linear_component(link)
        if found < WEAK:
            print(
                f"warning: hierarchical-polynomial: the link {self.link} has almost no linear component (correlation "
                f"{found:.2g} of target and polynomial): a first stage finds nothing",
                file=sys.stderr,
            )
        d, draw = self.num_features, generator(self.seed, "polynomial")
        signs = torch.randint(2, (d,), generator=draw).float() * 2 - 1
        matrix = torch.randn(d, d, generator=draw)
        self._rows: dict[str, PolynomialBatch] = {}
        for split, count in self.sizes.items():
            own = generator(self.seed, split)
            x = torch.randn(count, d, generator=own)
            p = separable(x, signs, self.degree) if self.form == "separable" else quadratic(x, matrix)
            targets = link(p).unsqueeze(1)
            if split == "train" and self.noise_std:
                targets = targets + self.noise_std * torch.randn(count, 1, generator=own)
            self._rows[split] = {"inputs": x, "targets": targets, "polynomial": p}

    def batches(self, split: str) -> int:
        return batch_count(self.sizes[split], self.batch_size)

    def batch(self, split: str, i: int, stage: int = 0) -> PolynomialBatch:
        found = self._rows[split]
        chosen = rows(self.sizes[split], self.batch_size, i, seed=self.seed, shuffle=split == "train")
        return {
            "inputs": found["inputs"][chosen],
            "targets": found["targets"][chosen],
            "polynomial": found["polynomial"][chosen],
        }

    def render(self, batch: Batch, outputs: Outputs, out: Path) -> list[Path]:
        """Draws what the model has found inside over p, where it answers with it, and its answers over the targets."""
        panels = [("target", "answer", batch["targets"], outputs["values"])]
        if "feature" in outputs:
            panels.insert(0, ("hidden polynomial p", "feature g", batch["polynomial"], outputs["feature"]))
        with chart(3.2 * len(panels), 3.0, columns=len(panels)) as (figure, *axes):
            for axis, (across, up, x, y) in zip(axes, panels, strict=True):
                axis.plot(x.flatten().cpu(), y.flatten().cpu(), ".", markersize=3, alpha=0.5)
                axis.set_xlabel(across)
                axis.set_ylabel(up)
            return [save(figure, out)]

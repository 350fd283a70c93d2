"""The data `multisphere-field`: Gaussian random fields of a hierarchical kernel, over inputs whose patches are unit."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import torch
from annotated_types import Ge
from rk_kernels.hierarchical_kernel import HierarchicalKernel
from rk_kernels.linalg import cholesky
from rk_kernels.metrics import SquaredError
from torch import Tensor

from rk.fields import RegressionBatch
from rk.sampling import batch_count, rows


class MultisphereField:
    """Functions of a chosen locality: each target is a draw of the Gaussian process of a teacher's kernel.

    Cagnetta, Favero and Wyart 2023, arXiv:2208.01003. Inputs have `size` numbers in patches, each patch uniform on the
    unit sphere. A teacher with filters (2,) is a sum of functions of one patch each; with (2, 2, 2) of eight numbers it
    is a function of the whole input. Targets have a variance of the teacher's layers + 1 (ntk) or 1 (nngp).

    With the same seed and other values of `train_examples`, the test rows are the same and the training rows are the
    first ones of one sequence: learning curves compare sizes on one function.

    Args:
        seed: Of the inputs and the functions; orders the training batches.
        size: Numbers of an input.
        patch_size: Numbers of a patch; the first filter of the kernels that fit.
        teacher: Filter sizes of the teacher; their product divides `size`.
        kind: The teacher's kernel: ntk or nngp, whose functions are smoother.
        train_examples: Training rows.
        test_examples: Test rows.
        num_fields: Functions, the numbers of a target, all of the same inputs.
        noise: Standard deviation of what is added to the training targets.
        batch_size: Rows per batch; null: all of a split at once, as closed forms like it.

    Examples:
        data: {name: multisphere-field, size: 8, teacher: [2, 2], train_examples: 256}
    """

    splits = ("train", "test")
    metrics = {"squared-error": SquaredError}

    def __init__(
        self,
        seed: int,
        size: Annotated[int, Ge(2)] = 8,
        patch_size: Annotated[int, Ge(2)] = 2,
        teacher: tuple[Annotated[int, Ge(1)], ...] = (2,),
        kind: Literal["ntk", "nngp"] = "ntk",
        train_examples: Annotated[int, Ge(1)] = 512,
        test_examples: Annotated[int, Ge(1)] = 512,
        num_fields: Annotated[int, Ge(1)] = 1,
        noise: Annotated[float, Ge(0)] = 0.0,
        batch_size: Annotated[int, Ge(1)] | None = None,
    ) -> None:
        if size % patch_size:
            raise ValueError(f"patch_size must divide size, {size}, got {patch_size}")
        self.kernel = HierarchicalKernel(teacher, size, kind)
        self.seed = seed
        self.size = size
        self.patch_size = patch_size
        self.train_examples = train_examples
        self.test_examples = test_examples
        self.num_fields = num_fields
        self.noise = noise
        self.batch_size = batch_size

    @property
    def num_features(self) -> int:
        """Numbers of an input."""
        return self.size

    @property
    def num_outputs(self) -> int:
        """Numbers of a target."""
        return self.num_fields

    @torch.no_grad()
    def prepare(self) -> None:
        # Tests first, rows in order, and a factor from above: what is drawn for a row depends on none behind it
        count = self.test_examples + self.train_examples
        # numpy fills an array in order; torch's normal numbers depend on how many are drawn
        streams = [np.random.default_rng((self.seed % 2**32, stream)) for stream in range(3)]
        inputs = torch.from_numpy(streams[0].standard_normal((count, self.size))).view(count, -1, self.patch_size)
        inputs = (inputs / inputs.norm(dim=-1, keepdim=True)).flatten(1).float()
        drawn, noise = (torch.from_numpy(stream.standard_normal((count, self.num_fields))) for stream in streams[1:])
        targets = cholesky(self.kernel(inputs)) @ drawn
        targets[self.test_examples :] += self.noise * noise[self.test_examples :]
        tests, trains = slice(None, self.test_examples), slice(self.test_examples, None)
        self._rows: dict[str, tuple[Tensor, Tensor]] = {
            "train": (inputs[trains], targets[trains].float()),
            "test": (inputs[tests], targets[tests].float()),
        }

    def batches(self, split: str) -> int:
        count = len(self._rows[split][1])
        return batch_count(count, self.batch_size or count)

    def batch(self, split: str, i: int, stage: int = 0) -> RegressionBatch:
        inputs, targets = self._rows[split]
        chosen = rows(len(targets), self.batch_size or len(targets), i, seed=self.seed, shuffle=split == "train")
        return {"inputs": inputs[chosen], "targets": targets[chosen]}

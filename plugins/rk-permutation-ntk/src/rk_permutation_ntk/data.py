"""The data `permutation`: basis vectors and where a permutation takes them; tested on vectors with several ones."""

from __future__ import annotations

import math
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge
from torch import Tensor

from rk import UserError
from rk.fields import InputsOnly, RegressionBatch
from rk.protocols import Batch, Outputs
from rk.reading import lines_of, read_text
from rk.sampling import batch_count, generator, rows
from rk_permutation_ntk.metrics import BitAccuracy, ExactBits, bits_of

EXHAUSTIVE = 14
"""The most bits whose 2^bits - 1 vectors are all tested."""


class Permutation:
    """Trains on the k basis vectors alone, and tests on other vectors of bits: arXiv:2502.16763.

    Inputs have unit length, x / sqrt(number of ones), and so have targets. An output above 0 is a one. `rk predict`
    takes a text file with one vector per line, such as ``01101``.

    Args:
        seed: Of the permutation and of the vectors that are drawn.
        bits: k.
        permutation: Where each bit goes, from 0; null: at random.
        ones: What is tested: vectors with these numbers of ones, a split ``test-N`` for each; ``uniform``: any nonzero
            vectors, at random; ``all``: every nonzero vector.
        num_tests: The most vectors of a split. Where fewer have that number of ones, each of them is tested once.
        batch_size: Test vectors per batch; null: all at once. Training always takes all k.

    Examples:
        data: {name: permutation, bits: 10, ones: [2, 3]}
    """

    metrics = {"exact-match": ExactBits, "bit-accuracy": BitAccuracy}
    num_features: int
    num_outputs: int

    def __init__(
        self,
        seed: int,
        bits: Annotated[int, Ge(2)] = 5,
        permutation: tuple[Annotated[int, Ge(0)], ...] | None = None,
        ones: tuple[Annotated[int, Ge(1)], ...] | Literal["uniform", "all"] = (2,),
        num_tests: Annotated[int, Ge(1)] = 1000,
        batch_size: Annotated[int, Ge(1)] | None = None,
    ) -> None:
        if permutation is not None and sorted(permutation) != list(range(bits)):
            raise ValueError(f"permutation must have each of 0 to {bits - 1} once, got {list(permutation)}")
        if isinstance(ones, tuple) and (not ones or len(set(ones)) < len(ones) or max(ones) > bits):
            raise ValueError(f"ones must be different numbers up to bits, which is {bits}, got {list(ones)}")
        if ones == "all" and bits > EXHAUSTIVE:
            raise ValueError(
                f"bits must be <= {EXHAUSTIVE} where all vectors are tested, got {bits}; take ones=uniform"
            )
        self.seed = seed
        self.num_features = self.num_outputs = bits
        self.num_tests = num_tests
        self.batch_size = batch_size
        self._places = torch.tensor(
            permutation or torch.randperm(bits, generator=generator(seed, "permutation")).tolist()
        )
        self._tests = {"test": ones} if isinstance(ones, str) else {f"test-{n}": n for n in ones}
        self.splits = ("train", *self._tests)

    def prepare(self) -> None:
        """Draws the vectors."""
        self._vectors = {"train": torch.eye(self.num_features, dtype=torch.bool)}
        for split, which in self._tests.items():
            self._vectors[split] = self._drawn(which, generator(self.seed, split))

    def batches(self, split: str) -> int:
        return 1 if split == "train" else batch_count(len(self._vectors[split]), self._size(split))

    def batch(self, split: str, i: int, stage: int = 0) -> RegressionBatch:
        vectors = self._vectors[split]
        chosen = rows(len(vectors), self._size(split), i, seed=self.seed, shuffle=False)
        inputs = unit(vectors[chosen])
        return {"inputs": inputs, "targets": self._permuted(inputs)}

    def read(self, path: Path) -> InputsOnly:
        """Reads lines of zeros and ones.

        Raises:
            rk.UserError: When a line is not a nonzero vector of as many bits as were trained.
        """
        accepted = f"a line has {self.num_features} zeros and ones, such as {'01101'.ljust(self.num_features, '0')}"
        found = []
        for number, line in enumerate(lines_of(read_text(path, accepted)), 1):
            text = line.strip()
            if not text:
                continue
            if len(text) != self.num_features or set(text) - set("01") or "1" not in text:
                raise UserError(
                    f"{path}:{number}: must be {self.num_features} bits, at least one of them 1, got {text!r}", accepted
                )
            found.append([character == "1" for character in text])
        if not found:
            raise UserError(f"{path}: the file is empty", accepted)
        return {"inputs": unit(torch.tensor(found))}

    def answers(self, batch: Batch, outputs: Outputs) -> list[dict[str, Any]]:
        """Returns the bits of each answer, and the output that is nearest to changing its sign."""
        values: Tensor = outputs["values"]
        return [
            {"bits": "".join("01"[bit] for bit in row.tolist()), "margin": float(value.abs().min())}
            for row, value in zip(bits_of(values), values, strict=True)
        ]

    def _size(self, split: str) -> int:
        whole = len(self._vectors[split])
        return whole if split == "train" else self.batch_size or whole

    def _permuted(self, inputs: Tensor) -> Tensor:
        targets = torch.empty_like(inputs)
        targets[:, self._places] = inputs
        return targets

    def _drawn(self, which: int | str, random: torch.Generator) -> Tensor:
        """Returns vectors of bits, (vectors, bits)."""
        bits = self.num_features
        if which == "all":
            numbers = torch.arange(1, 2**bits)
            return (numbers.unsqueeze(1) >> torch.arange(bits)) % 2 == 1
        if which == "uniform":
            found = torch.rand(self.num_tests, bits, generator=random) < 0.5
            while (zero := ~found.any(1)).any():
                found[zero] = torch.rand(int(zero.sum()), bits, generator=random) < 0.5
            return found
        ones = int(which)
        if math.comb(bits, ones) <= self.num_tests:
            chosen = torch.tensor(list(combinations(range(bits), ones)))
        else:
            chosen = torch.rand(self.num_tests, bits, generator=random).topk(ones).indices
        return torch.zeros(len(chosen), bits, dtype=torch.bool).scatter_(1, chosen, True)


def unit(vectors: Tensor) -> Tensor:
    """Returns vectors of bits as numbers, each divided by its length."""
    numbers = vectors.float()
    return numbers / numbers.sum(1, keepdim=True).sqrt()

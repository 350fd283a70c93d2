"""Walks from noise to a label, several at once, and what is kept of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypedDict

import torch
from jaxtyping import Float
from torch import Tensor

KEPT = 10
"""Most steps of a walk that its path keeps."""


class PathOutputs(TypedDict):
    """The outputs of walks. All but `run_logits` are those of the first run."""

    logits: Float[Tensor, "batch classes"]
    run_logits: Float[Tensor, "batch runs classes"]
    """The logits of each run: runs differ in their noise."""
    guesses: Float[Tensor, "batch steps classes"]
    """Probabilities of the classes, as each step has them; of long walks, of some steps."""
    path: Float[Tensor, "batch states z"]
    """z_0 ... z_T, the states before, between and after those steps."""


class DenoisingWalks:
    """`num_walks` walks for each example of a batch, all at once.

    Args:
        n_steps: Steps of a walk.
        num_walks: Walks per example, each with its own noise.
        size: Numbers of a label embedding.
        like: Inputs of (batch, *x_shape): for the batch size, dtype and device.
    """

    def __init__(self, n_steps: int, num_walks: int, size: int, like: Tensor) -> None:
        self.n_steps = n_steps
        self.num_walks = num_walks
        self.batch = like.shape[0]  # not len(): exporters follow it
        self.start = torch.randn(num_walks * self.batch, size, dtype=like.dtype, device=like.device)
        self._kept = kept_steps(n_steps)

    def __call__(
        self,
        step: Callable[[int, Tensor], tuple[Tensor, Tensor]],
        guess: Callable[[Tensor], Tensor],
        read_out: Callable[[Tensor], Tensor],
    ) -> PathOutputs:
        """Walks.

        Args:
            step: Number of the step, from 0, and states -> the block's output, and the next states.
            guess: A block's output -> probabilities of the classes.
            read_out: Last states -> logits.
        """
        z = self.start
        guesses, path = [], [z[: self.batch]]
        for i in range(self.n_steps):
            said, z = step(i, z)
            if i in self._kept:
                guesses.append(guess(said[: self.batch]))
                path.append(z[: self.batch])
        logits = read_out(z).view(self.num_walks, self.batch, -1)
        return {
            "logits": logits[0],
            "run_logits": logits.transpose(0, 1),
            "guesses": torch.stack(guesses, dim=1),
            "path": torch.stack(path, dim=1),
        }


def kept_steps(n_steps: int) -> list[int]:
    """Returns the numbers, from 0, of the steps that a path keeps: all of a short walk, the last one always."""
    count = min(n_steps, KEPT)
    return [round(n_steps * (i + 1) / count) - 1 for i in range(count)]

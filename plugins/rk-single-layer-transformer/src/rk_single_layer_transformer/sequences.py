"""The data `continuous-sequences`: samples of a continuous map, and a grid on which its errors are measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor

from rk import UserError
from rk.protocols import Batch, Outputs
from rk.sampling import batch_count, generator, rows
from rk_single_layer_transformer.fields import ContinuousBatch
from rk_single_layer_transformer.files import read_labelled, read_sequences
from rk_single_layer_transformer.functions import FUNCTIONS, Function, Name
from rk_single_layer_transformer.metrics import RootMeanSquaredError, SupError

MOST_AXES = 8
"""Most numbers of a sequence: a grid of three points along each axis then has 6561 points."""
MOST_POINTS = 10_000
"""Points of the test grid, over all axes."""
POINTS = 41
"""Points of the test grid along an axis, where there are not too many axes."""

Pairs = tuple[Float[Tensor, "samples time features"], Float[Tensor, "samples time outputs"]]
"""Sequences and their answers, float64."""


class ContinuousSequences:
    """Sequences of [0, 1], uniform, with the values of a continuous function; or your own samples of one.

    ``train`` and ``val`` are uniform samples. ``test`` is a regular grid with an odd number of points along each axis,
    so that the kinks (x1 = x2, the edges of the box) are on it: the largest error of random points is too small.

    A file of your own is a table with columns ``x1, x2, ..., y1, y2, ...``, a row per sequence (``x1_2``: feature 2 of
    step 1), or an .npz file with `inputs` and `targets` of (samples, steps) or (samples, steps, numbers). A tenth of
    its sequences is validated, a tenth tested.

    Args:
        seed: Of the samples, and of the order of batches.
        function: What is approximated; null where there is a file. `sort` and `max-sin` need positions, `running-mean`
            needs what came before, `equivariant` no positions, `tokenwise` no attention.
        file: Your own samples.
        num_steps: Length of the sequences, n; a file has its own.
        num_features: Numbers of a step, d; a file has its own.
        train_samples: Training sequences; null: new ones for every batch, without an end.
        val_samples: Sequences of ``val``.
        grid: Points along each axis of ``test``; null: at most 41, and at most 10000 points together.
        batch_size: Sequences per batch; null: all of a split at once, as closed forms like it.

    Raises:
        ValueError: When there is neither a function nor a file, or both; when a sequence has more than 8 numbers, which
            no grid covers, or `max-sin` is not asked for two steps of one number.

    Examples:
        data: {name: continuous-sequences, function: sort, num_steps: 3}
    """

    splits = ("train", "val", "test")
    metrics = {"rmse": RootMeanSquaredError, "sup-error": SupError}
    vocab_size: None = None
    readout: Literal["step"] = "step"

    def __init__(
        self,
        *,
        seed: int,
        function: Name | None = None,
        file: Path | None = None,
        num_steps: Annotated[int, Ge(1)] = 2,
        num_features: Annotated[int, Ge(1)] = 1,
        train_samples: Annotated[int, Ge(1)] | None = 4000,
        val_samples: Annotated[int, Ge(1)] = 1000,
        grid: Annotated[int, Ge(2)] | None = None,
        batch_size: Annotated[int, Ge(1)] | None = None,
    ) -> None:
        if (function is None) == (file is None):
            raise ValueError("give function, a function of the plugin, or file, samples of your own")
        if function == "max-sin" and (num_steps, num_features) != (2, 1):
            raise ValueError(f"max-sin has 2 steps of 1 number, got {num_steps} of {num_features}")
        if function is not None and num_steps * num_features > MOST_AXES:
            raise ValueError(
                f"num_steps * num_features must be <= {MOST_AXES}, so that a grid covers the domain, "
                f"got {num_steps} * {num_features}"
            )
        if train_samples is None and batch_size is None:
            raise ValueError("batch_size is needed where train_samples is null")
        self.seed = seed
        self.function = function
        self.file = file
        self.train_samples = train_samples
        self.val_samples = val_samples
        self.grid = grid or grid_points(num_steps * num_features)
        self.batch_size = batch_size
        self._steps, self._features, self._outputs = num_steps, num_features, num_features
        self._domain = ((0.0, 1.0),) * num_features
        self._pairs: dict[str, Pairs] = {}

    @property
    def num_steps(self) -> int:
        """Length of all sequences, n."""
        return self._steps

    @property
    def num_features(self) -> int:
        """Numbers of a step, d."""
        return self._features

    @property
    def num_outputs(self) -> int:
        """Numbers of an answer, p."""
        return self._outputs

    @property
    def domain(self) -> tuple[tuple[float, float], ...]:
        """Least and largest value of each feature."""
        return self._domain

    @property
    def map(self) -> Function | None:
        """The function; None where only samples are known."""
        return None if self.function is None else FUNCTIONS[self.function]

    def prepare(self) -> None:
        self._pairs = {}
        if self.file is None:
            return
        inputs, targets = read_labelled(self.file)
        if len(inputs) < 3:
            raise UserError(f"{self.file}: expected at least 3 sequences, got {len(inputs)}")
        self._steps, self._features, self._outputs = inputs.shape[1], inputs.shape[2], targets.shape[2]
        flat = inputs.flatten(0, 1)
        low, high = flat.amin(0), flat.amax(0)
        if bool((low == high).any()):
            k = int((low == high).nonzero()[0])
            raise UserError(f"{self.file}: feature {k + 1} has the same value everywhere, {float(low[k]):g}")
        self._domain = tuple(zip(low.tolist(), high.tolist(), strict=True))
        order = rows(len(inputs), len(inputs), 0, seed=self.seed, shuffle=True)
        held = max(1, len(inputs) // 10)
        parts = {"val": order[:held], "test": order[held : 2 * held], "train": order[2 * held :]}
        self._pairs = {split: (inputs[chosen], targets[chosen]) for split, chosen in parts.items()}

    def batches(self, split: str) -> int | None:
        if split == "train" and self.function is not None and self.train_samples is None:
            return None
        count = len(self._split(split)[0])
        return batch_count(count, self.batch_size or count)

    def batch(self, split: str, i: int, stage: int = 0) -> ContinuousBatch:
        if split == "train" and self.function is not None and self.train_samples is None:
            inputs, targets = self._sampled(self.batch_size or 1, "train", i)
        else:
            every, answers = self._split(split)
            size = self.batch_size or len(every)
            chosen = rows(len(every), size, i, seed=self.seed, shuffle=split == "train")
            inputs, targets = every[chosen], answers[chosen]
        return {"inputs": inputs.float(), "targets": targets.float()}

    def points(self) -> Pairs:
        """Returns where errors are measured, float64: the grid, or the test split of a file."""
        return self._split("test")

    def values_on_grid(self) -> Float[Tensor, "*grid time outputs"] | None:
        """Returns the function on the grid, an axis for each number of a sequence; None for samples of a file."""
        if self.function is None:
            return None
        m = self.num_steps * self.num_features
        return self.points()[1].view(*[self.grid] * m, self.num_steps, self.num_outputs)

    def read(self, path: Path) -> Batch:
        """Reads sequences, with their answers or without, from a table or an .npz file.

        Raises:
            rk.UserError: When the file is none, or its sequences have another shape than those of the run.
        """
        inputs, targets = read_sequences(path)
        if inputs.shape[1:] != (self.num_steps, self.num_features):
            raise UserError(
                f"{path}: expected {self.num_steps} steps of {self.num_features} numbers, "
                f"got {inputs.shape[1]} of {inputs.shape[2]}",
                "the run was trained on such sequences",
            )
        self._check_domain(inputs, path)
        found = {"inputs": inputs.float()}
        return found if targets is None else found | {"targets": targets.float()}

    def answers(self, batch: Batch, outputs: Outputs) -> list[dict[str, Any]]:
        """Returns the values at each step, and their largest error where the targets are known."""
        values = outputs["values"].double()
        plain = values.squeeze(-1) if values.shape[-1] == 1 else values
        found: list[dict[str, Any]] = [
            {"sequence": i + 1, "values": [*map(_rounded, row)]} for i, row in enumerate(plain.tolist())
        ]
        if "targets" in batch:
            errors = (values - batch["targets"]).abs().flatten(1).amax(1)
            for answer, error in zip(found, errors.tolist(), strict=True):
                answer["error"] = _rounded(error)
        return found

    def render(self, batch: Batch, outputs: Outputs, out: Path) -> list[Path]:
        """Draws the values at each step against the targets, where they are known."""
        if "targets" not in batch:
            return []
        from rk_single_layer_transformer.drawing import draw_answers  # matplotlib: loaded only to draw

        return [draw_answers(outputs["values"].detach().cpu(), batch["targets"].cpu(), out)]

    def state_dict(self) -> dict[str, Any]:
        """Returns the shape of sequences and the domain, which a file determines."""
        shape = [self._steps, self._features, self._outputs]
        return {"shape": shape, "domain": [list(bounds) for bounds in self._domain]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._steps, self._features, self._outputs = state["shape"]
        self._domain = tuple((low, high) for low, high in state["domain"])

    def _split(self, split: str) -> Pairs:
        if split not in self._pairs:
            if self.function is None:
                self.prepare()
            elif split == "test":
                axis = torch.linspace(0, 1, self.grid, dtype=torch.float64)
                m = self.num_steps * self.num_features
                inputs = torch.cartesian_prod(*[axis] * m).view(-1, self.num_steps, self.num_features)
                self._pairs[split] = inputs, FUNCTIONS[self.function](inputs)
            else:
                count = self.val_samples if split == "val" else self.train_samples or 1
                self._pairs[split] = self._sampled(count, split, 0)
        return self._pairs[split]

    def _sampled(self, count: int, *key: int | str) -> Pairs:
        assert self.function is not None  # a file has been read in its place
        shape = (count, self.num_steps, self.num_features)
        inputs = torch.rand(shape, generator=generator(self.seed, *key), dtype=torch.float64).float().double()
        return inputs, FUNCTIONS[self.function](inputs)

    def _check_domain(self, inputs: Float[Tensor, "samples time features"], path: Path) -> None:
        """Refuses sequences outside of the domain: units could be on at positions of others, and no bound holds."""
        low, high = torch.tensor(self._domain, dtype=torch.float64).T
        outside = ((inputs < low - 1e-6) | (inputs > high + 1e-6)).nonzero()
        if len(outside):
            row, step, k = outside[0].tolist()
            raise UserError(
                f"{path}: sequence {row + 1}, step {step + 1}: {float(inputs[row, step, k]):g} is outside of the "
                f"domain, {float(low[k]):g} to {float(high[k]):g}",
                "a continuous function is approximated on its domain alone",
            )


def grid_points(m: int) -> int:
    """Returns the points along each of `m` axes: odd, at most 41, at least 3, and at most 10000 together."""
    most = min(POINTS, int(MOST_POINTS ** (1 / m) + 1e-9))
    return max(3, most - (most + 1) % 2)


def _rounded(value: Any) -> Any:
    """Returns a number, or a list of numbers, with six digits."""
    return [_rounded(v) for v in value] if isinstance(value, list) else float(f"{value:.6g}")

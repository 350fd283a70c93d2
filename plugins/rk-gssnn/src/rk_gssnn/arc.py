"""The data `arc-rules`: real tasks on grids, ARC-AGI-1, as a question of yes or no."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Ge, Le
from jaxtyping import Float
from torch import Tensor

from rk import UserError
from rk.builtin.metrics import Accuracy
from rk.fields import ClassificationBatch, InputsOnly
from rk.files import data_folder
from rk.protocols import Batch, Outputs
from rk.reading import parse_json, read_text
from rk.sampling import batch_count, generator, rows

COLORS = 10
ACCEPTED = '{"train": [{"input": [[0, 1], ...], "output": [...]}, ...], "test": [...]}, two pairs in "train" at least'
SOURCE = "https://github.com/fchollet/ARC-AGI"

Grid = np.ndarray
"""Colours 0 to 9 of (height, width)."""
Pair = tuple[Grid, Grid]
Task = list[Pair]


class ArcRules:
    """Tasks of ARC-AGI-1 (Chollet, arXiv:1911.01547): does the last output follow the rule of the other pairs?

    A task has pairs of grids, and every output is made of its input by the rule of the task. An image has three pairs,
    one below the other: inputs on the left, outputs on the right, a channel for each colour. In half of the images the
    last output is altered: two colours change places, it is mirrored, or it is shifted around by a cell. `train` and
    `val` are of the set's training tasks, `test` is of its evaluation tasks: no rule is in two splits.

    The file is ``arc-agi/arc-agi-1.tar.gz`` in the data folder: the folders `training` and `evaluation` of the
    repository's `data`, packed. `rk predict` takes a task as JSON, and judges each output in its "test".

    Args:
        seed: Orders the batches, and chooses pairs and what is altered.
        max_side: Tasks with a longer side in any grid are left out.
        batch_size: Images of a batch.
        val_tasks: Training tasks that are kept for `val`.
        repeats: Images of each task in `val` and `test`.

    Examples:
        data: {name: arc-rules, max_side: 10}
    """

    splits = ("train", "val", "test")
    metrics = {"accuracy": Accuracy}
    num_classes: int = 2
    labels: tuple[str, ...] = ("altered", "follows the rule")

    def __init__(
        self,
        seed: int,
        max_side: Annotated[int, Ge(3), Le(30)] = 10,
        batch_size: Annotated[int, Ge(1)] = 32,
        val_tasks: Annotated[int, Ge(1)] = 40,
        repeats: Annotated[int, Ge(1)] = 4,
    ) -> None:
        self.seed = seed
        self.max_side = max_side
        self.batch_size = batch_size
        self.val_tasks = val_tasks
        self.repeats = repeats
        self._tasks: dict[str, list[Task]] = {}

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one image: three pairs of grids, each with a margin, to a multiple of 4."""
        cell = self.max_side + 2 - (self.max_side + 2) % -4
        return COLORS, 3 * cell, 2 * cell

    def prepare(self) -> None:
        training, evaluation = _read_archive(self.max_side)
        if len(training) <= self.val_tasks:
            raise UserError(f"data.val_tasks must be below {len(training)}, the tasks, got {self.val_tasks}")
        self._tasks = {
            "train": training[self.val_tasks :],
            "val": training[: self.val_tasks],
            "test": evaluation,
        }

    def batches(self, split: str) -> int:
        return batch_count(self._count(split), self.batch_size)

    def _count(self, split: str) -> int:
        return len(self._tasks[split]) * (1 if split == "train" else self.repeats)

    def batch(self, split: str, i: int, stage: int = 0) -> ClassificationBatch:
        tasks = self._tasks[split]
        chosen = rows(self._count(split), self.batch_size, i, seed=self.seed, shuffle=split == "train")
        images, targets = [], []
        random = np.random.default_rng(torch.randint(2**31, (2,), generator=generator(self.seed, split, i)).tolist())
        for number in chosen.tolist():
            task = tasks[number % len(tasks)]
            *shown, (given, output) = (task[k] for k in random.permutation(len(task))[:3])
            follows = bool(random.integers(2))
            images.append(self._image([*shown, (given, output if follows else altered(output, random))]))
            targets.append(int(follows))
        return {"inputs": torch.stack(images), "targets": torch.tensor(targets)}

    def read(self, path: Path) -> InputsOnly:
        """Reads a task as JSON: an image for each pair in "test". Raises `rk.UserError` for anything else."""
        value = parse_json(read_text(path, ACCEPTED), path, accepted=ACCEPTED)
        if not isinstance(value, dict):
            raise UserError(f"{path}: expected an object", ACCEPTED)
        shown, asked = (_pairs(value, name, path, self.max_side) for name in ("train", "test"))
        if len(shown) < 2 or not asked:
            raise UserError(f"{path}: expected two pairs in train and one in test", ACCEPTED)
        return {"inputs": torch.stack([self._image([*shown[:2], pair]) for pair in asked])}

    def answers(self, batch: Batch, outputs: Outputs) -> list[dict[str, Any]]:
        """Returns for each output whether it follows the rule."""
        shares = outputs["logits"].softmax(-1)
        return [
            {"class": self.labels[int(share.argmax())], "probability": round(float(share.max()), 4)} for share in shares
        ]

    def render(self, batch: Batch, outputs: Outputs, out: Path) -> list[Path]:
        """Draws up to 8 images with their answers."""
        from rk_gssnn.arc_drawing import draw_grids  # matplotlib: loaded only to draw

        answers = self.answers(batch, outputs)[:8]
        captions = [f"{a['class']}  {a['probability']:.0%}" for a in answers]
        known = batch.get("targets")
        found = outputs["logits"].argmax(-1)
        right = None if known is None else [bool(found[i] == known[i]) for i in range(len(answers))]
        return [draw_grids(batch["inputs"][: len(answers)], captions, right, out)]

    def state_dict(self) -> dict[str, Any]:
        """Returns the tasks, so that a run can be measured without the file."""
        return {
            "tasks": json.dumps(
                {s: [[[g.tolist() for g in p] for p in t] for t in ts] for s, ts in self._tasks.items()}
            )
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        plain = json.loads(state["tasks"])
        self._tasks = {s: [[(np.array(a), np.array(b)) for a, b in t] for t in ts] for s, ts in plain.items()}

    def _image(self, pairs: Sequence[Pair]) -> Float[Tensor, "colors height width"]:
        colors, height, width = self.input_shape
        image = np.zeros((colors, height, width), dtype=np.float32)
        for row, pair in enumerate(pairs):
            for column, grid in enumerate(pair):
                top, left = row * (height // 3) + 1, column * (width // 2) + 1
                image[:, top : top + grid.shape[0], left : left + grid.shape[1]] = (
                    grid == np.arange(colors)[:, None, None]
                )
        return torch.from_numpy(image)


def altered(grid: Grid, random: np.random.Generator) -> Grid:
    """Returns another grid: two of its colours changed, mirrored, or shifted around by a cell.

    What would leave the grid as it is, is not chosen; of a grid that nothing changes, all cells get another colour.
    """
    ways = [grid[::-1], grid[:, ::-1], np.roll(grid, 1, 0), np.roll(grid, 1, 1)]
    there = np.unique(grid)
    if len(there) > 1:
        one, other = random.choice(there, 2, replace=False)
        ways += [np.where(grid == one, other, np.where(grid == other, one, grid))] * 2
    ways = [way for way in ways if not np.array_equal(way, grid)]
    return ways[int(random.integers(len(ways)))] if ways else (grid + 1) % COLORS


def _read_archive(max_side: int) -> tuple[list[Task], list[Task]]:
    path = data_folder() / "arc-agi/arc-agi-1.tar.gz"
    if not path.is_file():
        raise UserError(
            f"{path}: no such file", f"pack the folders training and evaluation in `data` of {SOURCE} into it"
        )
    found: dict[str, list[Task]] = {"training": [], "evaluation": []}
    try:
        with tarfile.open(path) as archive:
            for member in sorted(archive.getmembers(), key=lambda m: m.name):
                part = Path(member.name).parent.name
                file = archive.extractfile(member) if part in found and member.name.endswith(".json") else None
                if file is None:
                    continue
                value = json.load(file)
                pairs = [_arrays(pair) for name in ("train", "test") for pair in value[name]]
                if len(pairs) >= 3 and max(side for pair in pairs for grid in pair for side in grid.shape) <= max_side:
                    found[part].append(pairs)
    except (OSError, tarfile.TarError, ValueError, KeyError) as error:
        raise UserError(f"{path} cannot be read: {error}", f"it must have the files of {SOURCE}") from None
    if not all(found.values()):
        raise UserError(f"{path}: no tasks with sides up to {max_side}", f"it must have the files of {SOURCE}")
    return found["training"], found["evaluation"]


def _arrays(pair: Any) -> Pair:
    return np.array(pair["input"]), np.array(pair["output"])


def _pairs(value: dict[str, Any], name: str, path: Path, max_side: int) -> list[Pair]:
    found = []
    for i, pair in enumerate(value.get(name) or [], 1):
        grids = []
        for part in ("input", "output"):
            place = f"{path}: {name} {i}: {part}"
            grid = pair.get(part) if isinstance(pair, dict) else None
            lines = grid if isinstance(grid, list) and grid and all(isinstance(line, list) for line in grid) else [[]]
            if not lines[0] or any(len(line) != len(lines[0]) for line in lines):
                raise UserError(f"{place} must be a list of lines of the same length", ACCEPTED)
            if any(type(cell) is not int or not 0 <= cell < COLORS for line in lines for cell in line):
                raise UserError(f"{place}: cells must be numbers from 0 to {COLORS - 1}", ACCEPTED)
            if max(len(lines), len(lines[0])) > max_side:
                raise UserError(f"{place}: sides must be at most {max_side}, got {len(lines)} x {len(lines[0])}")
            grids.append(np.array(lines))
        found.append((grids[0], grids[1]))
    return found

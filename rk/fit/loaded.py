"""A run taken up again: its learner with the weights, its data, its recipe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rk.capabilities import SupportsAnswers, SupportsRead, supports
from rk.catalog import Catalog
from rk.errors import RunFailed, UserError, printable_lines
from rk.fit.build import Builder, Parts, load_data_state, prepare
from rk.fit.checkpoint import all_finite, read_checkpoint, read_last_checkpoint
from rk.fit.evaluate import evaluate, evaluating, predicted, widened
from rk.fit.figures import artists, draw
from rk.fit.fingerprint import warn_of_changes
from rk.fit.pieces import divided
from rk.fit.returns import check_answers, check_batch, check_batches, check_outputs, check_paths
from rk.fit.runtime import Runtime, choose_device
from rk.fit.stream import to_device
from rk.fit.weights import load_weights
from rk.protocols import Batch, Outputs
from rk.recipe.model import Recipe
from rk.recipe.stored import read_stored
from rk.runs import RunFolder
from rk.values import Facts, Part, PlainDict


class LoadedRun:
    """A run from its folder.

    Attributes:
        folder: The run folder.
        catalog: The installed components.
        recipe: The stored recipe, with the given overrides.
        learner: The learner with the run's weights, in eval mode.
        data: The task; prepared on first use of its batches.
        facts: The data's facts.
        device: Where the learner lives.
    """

    def __init__(self, folder: RunFolder, recipe: Recipe, parts: Parts, catalog: Catalog | None = None) -> None:
        self.folder = folder
        self.catalog = catalog or Catalog()
        self.recipe = recipe
        self.parts = parts
        self.learner: nn.Module = parts.learner
        self.data: Part = parts.data
        self.facts: Facts = parts.facts
        self.device: torch.device = parts.runtime.device
        self._prepared = False

    @property
    def runtime(self) -> Runtime:
        """Where the learner lives, and what answers are computed in."""
        return self.parts.runtime

    @classmethod
    def open(cls, path: Path, catalog: Catalog | None = None, overrides: tuple[str, ...] = ()) -> LoadedRun:
        """Loads the run in the folder `path`.

        Args:
            path: The run folder.
            catalog: The installed components.
            overrides: ``data.x=...`` and decoding parameters (`Decode`); anything else would not fit the weights.

        Raises:
            UserError: When the run cannot be loaded: not a run, no weights yet, a plugin that is gone.
        """
        catalog = catalog or Catalog()
        folder = RunFolder(Path(path))
        info = folder.read()
        facts = info.get("facts")
        if not isinstance(facts, dict):
            raise UserError(f"{folder.label} was never started: it has no weights")
        recipe = read_stored(folder, overrides, catalog)
        builder = Builder(recipe, catalog, cls.open, facts, training=False)
        runtime = Runtime(
            choose_device(recipe.fit.accelerator),
            training=False,
            folder=folder.path,
            precision=recipe.fit.precision,
        )
        data = builder.data()
        if data is not None:
            load_data_state(data, folder.data_state)
        parts = builder.parts(data, runtime)
        cls._load_weights(folder, parts.learner, ended=info.get("status") == "done")
        if not all_finite(parts.learner):
            raise RunFailed(f"the weights of {folder.label} are not finite: its answers would be NaN", "train it again")
        parts.learner.eval()
        return cls(folder, recipe, parts, catalog)

    @staticmethod
    def _load_weights(folder: RunFolder, learner: nn.Module, ended: bool) -> None:
        """Takes the result of a run that has ended; else, or where it is damaged, the best or the last checkpoint.

        A run that was given more steps has the result of its first end until it ends again.
        """
        steps = folder.checkpoint_steps()
        if folder.model.exists() and (ended or not steps):
            try:
                return load_weights(learner, folder.model)
            except RunFailed as error:
                if not steps:
                    raise
                print(f"warning: {printable_lines(error.message)}; using a checkpoint", file=sys.stderr)
        if (best := folder.best_step()) is not None:
            try:
                read_checkpoint(folder, best, learner)
                return None
            except RunFailed as error:
                print(f"warning: {printable_lines(error.message)}; using the last checkpoint", file=sys.stderr)
        read_last_checkpoint(folder, learner)
        return None

    def batches(self, split: str, limit: int | None = None) -> Iterator[Batch]:
        """Yields the batches of `split`, on the learner's device. Raises `UserError` when there is no such split."""
        self.prepare()
        self._check_splits(split)
        total = check_batches(self.data, split)
        if total is None and limit is None:
            raise UserError(f"the split {split} has no end", "give the number of batches to take")
        for i in range(min(n for n in (total, limit) if n is not None)):
            yield to_device(self.data.batch(split, i), self.device)

    def _check_splits(self, *splits: str) -> None:
        unknown = [s for s in splits if s not in self.data.splits]
        if unknown:
            raise UserError(f"unknown split {unknown[0]!r}", f"splits: {', '.join(self.data.splits)}")

    def evaluate(self, splits: tuple[str, ...] = (), limit: int | None = None) -> dict[str, float]:
        """Measures the learner on `splits`; by default on all that are validated or tested."""
        self.prepare()
        chosen = splits or tuple(s for s in self.data.splits if s.startswith(("val", "test")))
        self._check_splits(*chosen)
        metrics, seed = self.parts.all_metrics(), self.recipe.fit.seed
        results: dict[str, float] = {}
        for split in chosen:
            results |= evaluate(self.learner, self.data, split, metrics, self.parts.runtime, seed=seed, limit=limit)
        return results

    def predict(self, path: Path) -> tuple[Batch, Outputs, list[dict[str, Any]]]:  # Any: plain values
        """Answers a user's own file.

        Returns:
            The batch that the data read, the learner's outputs, and one dict per example.

        Raises:
            UserError: When the data reads no files, or cannot read this one.
        """
        return self.answer(self._read(path))

    def answer(self, batch: Batch) -> tuple[Batch, Outputs, list[dict[str, Any]]]:  # Any: plain values
        """Answers a batch; it returns what `predict` does.

        Args:
            batch: The fields that the learner reads, on any device.
        """
        with evaluating(self.learner, self.recipe.fit.seed), self.parts.runtime.autocast():
            return self._answered(batch)

    def answer_pieces(
        self, path: Path, most: int | None
    ) -> Iterator[tuple[Batch, Outputs, list[dict[str, Any]]]]:  # Any: plain values
        """Answers a user's own file in pieces, each as `predict` returns it: memory holds the outputs of one piece.

        Args:
            path: The file.
            most: Most examples of a piece; None: the file is one piece. So is one whose batch cannot be divided.

        Raises:
            UserError: As `predict`.
        """
        batch = self._read(path)
        with evaluating(self.learner, self.recipe.fit.seed), self.parts.runtime.autocast():
            yield from map(self._answered, divided(self.data, batch, most))

    def _read(self, path: Path) -> Batch:
        if not supports(self.data, SupportsRead):
            name = self.recipe.data.component.name if self.recipe.data else "this run's data"
            raise UserError(f"data {name} cannot read files (it has no `read` method)")
        return check_batch(self.data, self.data.read(path), "read")

    def _answered(self, batch: Batch) -> tuple[Batch, Outputs, list[dict[str, Any]]]:  # Any: plain values
        batch = to_device(batch, self.device)
        outputs = widened(check_outputs(self.learner, predicted(self.learner, batch)))
        if not supports(self.data, SupportsAnswers):
            return batch, outputs, _rows(outputs)
        return batch, outputs, check_answers(self.data, self.data.answers(batch, outputs))

    def render(self, batch: Batch, outputs: Outputs, out: Path | None, stem: str = "") -> list[Path]:
        """Draws a batch and its outputs into `out`, or into the run's own figures as `stem`."""
        if not artists(self.data, self.learner):
            if out is not None:
                raise UserError("this run's data draws no figures", "write .json or .csv")
            return []
        if out is None:
            out = self.folder.figures / stem
        out.parent.mkdir(parents=True, exist_ok=True)
        return draw(self.data, self.learner, batch, outputs, out)

    def write(self, batch: Batch, outputs: Outputs, out: Path) -> list[Path]:
        """Writes a batch and its outputs into a file of the data's own kind, ``.wav`` or ``.npz``; returns its paths.

        Raises:
            UserError: When the file cannot be written.
            RunFailed: When the data returns a path of a file that is not there.
        """
        try:
            return check_paths(self.data, self.data.write(batch, outputs, out), "write")
        except OSError as error:
            raise UserError(f"cannot write {out}: {error.strerror or error}") from None

    def derive(
        self,
        changes: Mapping[str, Any],
        weights: nn.Module | Mapping[str, Tensor] | Callable[[nn.Module], Mapping[str, Tensor]],
        out: Path,
    ) -> RunFolder:
        """Writes a run folder with other weights: what was extracted, merged or baked, or the best of many.

        It is checked as it is written: the changed recipe, and that the weights are exactly those that it builds. Then
        it is a run like any other, for `rk eval`, `rk predict`, `rk export` and recipes that begin from it.

        Args:
            changes: Key of the recipe -> its new value: ``{"model.hidden_sizes": [16, 16]}``.
            weights: The learner of the changed recipe, or its tensors by name, or a function that returns them for the
                learner that the changed recipe builds.
            out: A new folder.

        Returns:
            The folder. Its metrics are empty: ``LoadedRun.open(folder.path).evaluate()`` measures it.

        Raises:
            RecipeError: When the changed recipe does not check.
            RunFailed: When the weights do not fit the learner that it builds.
            UserError: When the folder exists already, or cannot be written.
        """
        from rk.fit.derive import derive

        return derive(self, changes, weights, out, type(self).open)

    def prepare(self) -> None:
        """Lets the data do its I/O, once."""
        if self.data is None:
            raise UserError(f"{self.folder.label} has no data")
        if not self._prepared:
            prepare(self.data, self.recipe.data)
            warn_of_changes(self.folder, self.recipe)
            self._prepared = True


def _rows(outputs: Outputs) -> list[PlainDict]:
    """Returns the outputs as they are, one dict per example, for data without `answers`."""
    plain = {name: value.tolist() for name, value in outputs.items() if isinstance(value, torch.Tensor) and value.ndim}
    return [dict(zip(plain, row, strict=True)) for row in zip(*plain.values(), strict=True)]

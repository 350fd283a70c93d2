"""The callback and the analysis `asm-predictor`: which failures of a model a program predicts."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge
from jaxtyping import Bool, Int
from rk_sequence.metrics import first_errors
from torch import Tensor

from rk import FitContext, Run, UserError
from rk.authoring import answers
from rk.writing import write_csv

Program = Literal["asm", "first-flip", "no-growth", "bounded", "input-order"]
HINT = "it is made for models from sequence to sequence, on binary-successor and tree-traversal"
MOST = 24
"""Values of a limit that are tried."""


@dataclass
class Predictions:
    """How a program's failures agree with a model's.

    Attributes:
        limits: Of the program, as they were fitted.
        examples: How many there are.
        failures: The model's.
        predicted: The program's.
        both: Examples that both fail.
        same: Examples on which both give the same wrong answer.
        model_accuracy: Share of the model's answers that are right.
    """

    limits: dict[str, int]
    examples: int
    failures: int
    predicted: int
    both: int
    same: int

    def numbers(self) -> dict[str, float]:
        """Returns precision and recall, where they exist, with what they are of."""
        found = {
            "accuracy": 1 - self.failures / self.examples,
            "program-accuracy": 1 - self.predicted / self.examples,
            **{f"limit-{name}": float(value) for name, value in self.limits.items()},
        }
        if self.predicted:
            found["precision"] = self.both / self.predicted
        if self.failures:
            found["recall"] = self.both / self.failures
            found["same-mistake"] = self.same / self.failures
        return found


def predicted_failures(
    run: Run | FitContext, program: str, split: str, fit_split: str, limit: int | None = None
) -> Predictions:
    """Returns how well the failures of a program predict those of a model.

    Limits of the program are those with the highest F1 over `fit_split`; of equal ones, the widest.

    Args:
        run: A run, finished or training.
        program: The program; the data must have it.
        split: Where the predictions are judged.
        fit_split: Where limits are fitted.
        limit: The most batches of each split; None takes all.

    Raises:
        UserError: When the data has no such program, or the run decodes no answers.
    """
    programs: Mapping[str, tuple[str, ...]] = getattr(run.data, "programs", {})
    if program not in programs:
        raise UserError(f"the data has no program {program!r}", f"it has {', '.join(programs)}" if programs else HINT)
    names = programs[program]
    limits = _fitted(run, program, names, fit_split, limit) if names else {}
    counts = torch.zeros(5, dtype=torch.int64)
    for batch, outputs in answers(run, split, limit, needs=("decoded", "targets"), hint=HINT):
        decoded, targets = outputs["decoded"].cpu(), batch["targets"].cpu()
        written = run.data.run_program(batch, program, limits)
        wrong, expected = _wrong(decoded, targets), _wrong(written, targets)
        same = wrong & ~_wrong(decoded, written)
        counts += torch.stack([torch.ones_like(wrong), wrong, expected, wrong & expected, same]).sum(1)
    return Predictions(limits, *counts.tolist())


def _wrong(answers: Int[Tensor, "b t"], targets: Int[Tensor, "b s"]) -> Bool[Tensor, "b"]:
    return first_errors(answers, targets) >= 0


def _fitted(
    run: Run | FitContext, program: str, names: tuple[str, ...], split: str, most: int | None
) -> dict[str, int]:
    """Returns the limits of a program whose failures agree best with the model's."""
    found = answers(run, split, most, needs=("decoded", "targets"), hint=HINT)
    seen = [(batch, _wrong(outputs["decoded"].cpu(), batch["targets"].cpu())) for batch, outputs in found]
    widest = {name: max(run.data.limits(batch)[name] for batch, _ in seen) for name in names}
    best, chosen = -1.0, dict(widest)
    for values in itertools.product(*(range(min(widest[name], MOST), 0, -1) for name in names)):
        limits = dict(zip(names, values, strict=True))
        both = total = 0
        for batch, wrong in seen:
            expected = _wrong(run.data.run_program(batch, program, limits), batch["targets"].cpu())
            both += int((wrong & expected).sum())
            total += int(wrong.sum()) + int(expected.sum())
        score = 2 * both / total if total else 1.0
        if score > best:
            best, chosen = score, limits
    return chosen


class AsmPredictor:
    """Measures, at the end, how well the failures of a program predict those of the model.

    Programs of binary-successor: `asm`, the abstract state machine, which never fails; `first-flip` flips the first
    digit and copies the rest; `no-growth` never gives a digit more; `bounded` carries over and copies so many
    digits only. Of tree-traversal: `asm`; `input-order` writes labels as they come; `bounded` recurses into so many
    levels only. Limits are fitted on `fit_split`. Results: ``precision`` and ``recall`` of the predicted failures,
    ``same-mistake`` (the share of failures with just the program's answer), ``program-accuracy``, ``accuracy`` and the
    limits. Where there are no failures there is no recall, and where none is predicted no precision.

    Args:
        program: The program.
        split: Where predictions are judged.
        fit_split: Where its limits are fitted.
        limit: The most batches of each split; null takes all.

    Examples:
        callbacks: [{name: asm-predictor, program: bounded}]
    """

    def __init__(
        self,
        program: Program = "bounded",
        split: str = "test",
        fit_split: str = "val",
        limit: Annotated[int, Ge(1)] | None = None,
    ) -> None:
        self.program = program
        self.split = split
        self.fit_split = fit_split
        self.limit = limit
        self._found: dict[str, float] = {}

    def fit_end(self, fit: FitContext) -> None:
        """Measures."""
        self._found = predicted_failures(fit, self.program, self.split, self.fit_split, self.limit).numbers()

    def results(self) -> Mapping[str, float]:
        """Returns precision, recall and what belongs to them."""
        return {f"{self.program}-{name}": value for name, value in self._found.items()}


class AsmPredictorAnalysis:
    """Which failures of a run its data's programs predict: the callback of this name, for each program.

    Args:
        run: The run.
        split: Where predictions are judged.
        fit_split: Where limits are fitted.
        limit: The most batches of each split; null takes all.

    Examples:
        rk analyze asm-predictor --run last --split test
    """

    def __init__(
        self, run: Run, split: str = "test", fit_split: str = "val", limit: Annotated[int, Ge(1)] | None = None
    ) -> None:
        self.run = run
        self.split = split
        self.fit_split = fit_split
        self.limit = limit

    def analyze(self, out: Path) -> dict[str, float]:
        """Writes `asm-predictor.csv`, a line for each program and number; returns the numbers."""
        programs: Mapping[str, Any] = getattr(self.run.data, "programs", {})
        if not programs:
            raise UserError("the data has no programs", HINT)
        found: dict[str, float] = {}
        for program in programs:
            predictions = predicted_failures(self.run, program, self.split, self.fit_split, self.limit)
            found |= {f"{program}/{name}": value for name, value in predictions.numbers().items()}
        lines = [(*key.split("/"), value) for key, value in found.items()]
        write_csv(out / "asm-predictor.csv", ("program", "number", "value"), lines)
        return found

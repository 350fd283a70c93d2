"""The analysis `recoding-sweep`: a trained language model, recoded with several step sizes."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Gt, Lt
from torch import nn
from torch.nn import functional as F

from rk import Run, UserError
from rk.authoring import evaluating
from rk.fields import IGNORED
from rk.protocols import Batch
from rk.writing import write_csv
from rk_recoding.model import Recoded
from rk_recoding.signals import Signal

COLUMNS = ("perplexity", "drop", "falls", "tokens-per-second")


class RecodingSweep:
    """Perplexity, the fall of the signal at the same step, and speed, by the size of the step; nothing is trained.

    The model is that of the run; of a run with `recoded`, the model inside. Beside it, the model as it is.

    Args:
        run: A run of a language model that streams.
        signal: What the steps lower.
        steps: Fixed step sizes.
        num_samples: Dropout samples of mc-entropy.
        mc_dropout: Share that a sample drops.
        split: The split to measure.
        limit: Batches at most; null: all.
        seed: Seeds the dropout samples.

    Examples:
        rk analyze recoding-sweep --run last --signal mc-entropy --steps '[0.03, 0.1, 0.3]'
    """

    def __init__(
        self,
        run: Run,
        signal: Signal = "nll",
        steps: tuple[Annotated[float, Ge(0)], ...] = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0),
        num_samples: Annotated[int, Ge(1)] = 8,
        mc_dropout: Annotated[float, Gt(0), Lt(1)] = 0.2,
        split: str = "test",
        limit: Annotated[int, Ge(1)] | None = None,
        seed: int = 0,
    ) -> None:
        self.run = run
        self.signal: Signal = signal
        self.steps = steps
        self.num_samples = num_samples
        self.mc_dropout = mc_dropout
        self.split = split
        self.limit = limit
        self.seed = seed

    def analyze(self, out: Path) -> dict[str, float]:
        """Writes ``recoding-sweep.csv`` and a figure; returns all numbers by step, as ``perplexity/0.5``.

        Raises:
            UserError: When the model does not stream, or its data has no text.
        """
        from rk_recoding.drawing import draw_sweep

        base = plain_model(self.run)
        plain = self._measure(base)
        rows = [self._measure(self._recoded(base, step)) for step in self.steps]
        write_csv(out / "recoding-sweep.csv", ["step", *COLUMNS], [["none", *plain], *_labelled(self.steps, rows)], 6)
        draw_sweep(self.signal, self.steps, [row[0] for row in rows], [row[1] for row in rows], plain[0], out)
        found = {f"{name}/none": plain[i] for i, name in enumerate(COLUMNS) if name != "drop" and name != "falls"}
        for step, row in zip(self.steps, rows, strict=True):
            found |= {f"{name}/{step:g}": value for name, value in zip(COLUMNS, row, strict=True)}
        return found

    def _recoded(self, base: Any, step: float) -> Recoded:
        return recoded(
            self.run, base, signal=self.signal, step_size=step, num_samples=self.num_samples, mc_dropout=self.mc_dropout
        )

    def _measure(self, model: Any) -> list[float]:
        """Returns perplexity, mean fall, share of falls, and tokens per CPU second."""
        total = drop = 0.0
        count = falls = 0
        begin = time.process_time()
        with evaluating(model, self.seed):
            for batch in self.run.batches(self.split, self.limit):
                tokens, targets = text_of(batch)
                if isinstance(model, Recoded):
                    start = model.initial_state(len(tokens))
                    logits, before, after, _ = model.loop(start, tokens, batch.get("mask"), targets, measure=True)
                    fell = before - after
                    drop += float(fell.sum())
                    falls += int(((fell > 0) & (targets != IGNORED)).sum())
                else:
                    logits = model(tokens=tokens, mask=batch.get("mask"))["logits"]
                flat = targets.flatten()
                total += float(F.cross_entropy(logits.flatten(0, 1), flat, ignore_index=IGNORED, reduction="sum"))
                count += int((flat != IGNORED).sum())
        seconds = time.process_time() - begin
        mean = total / max(count, 1)
        return [math.exp(mean) if mean < 700 else math.inf, drop / count, falls / count, count / seconds]


def plain_model(run: Run) -> Any:
    """Returns the model of a run without recoding. Raises `UserError` when it does not stream."""
    model: Any = getattr(run.learner, "model", None)
    if isinstance(model, Recoded):
        model = model.base
    if not (isinstance(model, nn.Module) and all(hasattr(model, name) for name in ("initial_state", "scan", "head"))):
        raise UserError(f"{run.folder.label}: its model is not a language model that streams")
    return model


def recoded(run: Run, base: Any, **settings: Any) -> Recoded:
    """Returns the model in eval mode, recoded. Raises `UserError` when it cannot be."""
    try:
        model: Any = Recoded(base, **settings)
    except ValueError as error:
        raise UserError(f"{run.folder.label}: {error}") from None
    return model.to(next(base.parameters()).device).eval()


def text_of(batch: Batch) -> tuple[Any, Any]:
    """Returns tokens and targets of a batch. Raises `UserError` when it has none."""
    if "tokens" not in batch or "targets" not in batch or batch["targets"].shape != batch["tokens"].shape:
        raise UserError("recoding needs data of texts: tokens of (batch, time), and the next one of each as targets")
    return batch["tokens"], batch["targets"]


def _labelled(steps: Iterable[float], rows: Iterable[list[float]]) -> list[list[float]]:
    return [[step, *row] for step, row in zip(steps, rows, strict=True)]

"""The analysis `text-loss`: what a pretrained language model's loss on a text is, and what it is with few bits."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn

from rk import UserError
from rk.reading import read_text
from rk.writing import write_csv
from rk_quantization.post_training import PostTraining, Row, total_bits
from rk_quantization.scheme import Clip, Granularity, Levels, Scheme
from rk_quantization.settings import Rounding, Settings


class TextLoss:
    """Measures a pretrained language model on a text, quantises its weights, and measures it again.

    The model is one that rk-lm loads: an alias (`smollm2`), an id on the Hugging Face hub, or a folder. The text is cut
    into windows; the loss is the mean cross-entropy of each token given those before it in its window, in nats. The
    table ``text-loss.csv`` has both losses, ``layers.csv`` the bits and the signal-to-noise ratio of each weight.

    Args:
        model: As rk-lm takes it. Weights that are not on this machine are downloaded.
        text: A text file.
        bits: Bits of a weight.
        levels: As in the search `quantize`.
        granularity: What shares a scale.
        group_size: Weights of a group.
        clip: How ranges of weights are found.
        rounding: `nearest`, `adaround` or `gptq`.
        exclude: Regular expressions of names of weights that stay as they are.
        length: Tokens of a window.
        limit: Windows that are measured at most; null: all.
        samples: Windows for `rounding`, the first of the text; they are not measured then.
        random_init: Takes a tiny random model of the same family: this shows the mechanics alone.

    Examples:
        rk analyze text-loss --model smollm2 --text book.txt --bits 8
    """

    def __init__(
        self,
        model: str,
        text: Path,
        bits: Annotated[int, Ge(1), Le(8)] = 8,
        levels: Levels = "narrow",
        granularity: Granularity = "channel",
        group_size: Annotated[int, Ge(1)] = 64,
        clip: Clip = "min-max",
        rounding: Rounding = "nearest",
        exclude: tuple[str, ...] = (),
        length: Annotated[int, Ge(2)] = 512,
        limit: Annotated[int, Ge(1)] | None = 64,
        samples: Annotated[int, Ge(1)] = 8,
        random_init: bool = False,
    ) -> None:
        self.text, self.model, self.random_init = text, model, random_init
        self.length, self.limit = length, limit
        scheme = Scheme(bits, levels, granularity, group_size, clip)
        self.settings = Settings(scheme, exclude=exclude, rounding=rounding, samples=samples)

    def analyze(self, out: Path) -> dict[str, float]:
        """Writes the tables into `out`; returns both losses, their difference, the mean bits and the size."""
        lm = loaded(self.model, self.random_init)
        longest = lm.layered.context_length
        if longest is not None and self.length > longest:
            raise UserError(f"length must be <= {longest}, the model's context, got {self.length}", "length=512")
        tokens = torch.tensor(lm.tokenizer(read_text(self.text, "a text file"), add_special_tokens=False).input_ids)
        windows = list(tokens.split(self.length))
        if windows and len(windows[-1]) < 2:
            windows.pop()
        first = self.settings.samples if self.settings.needs_data else 0
        measured = windows[first:][: self.limit]
        if not measured:
            raise UserError(
                f"{self.text} has {len(tokens)} tokens: too few for {first + 1} windows of {self.length}",
                "a longer text, or smaller length and samples",
            )
        learner = Scored(lm.layered.model)
        whole, seconds = loss(learner, measured)
        rounded = copy.deepcopy(learner)

        def batches() -> Iterator[dict[str, Tensor]]:
            return ({"tokens": window[None]} for window in windows[:first])

        rows = PostTraining(rounded, self.settings).all(batches, 0)
        few, seconds_few = loss(rounded, measured)
        result = {
            "float": whole,
            "quantized": few,
            "increase": few - whole,
            "bits": total_bits(rows),
            "kilobytes": sum(row.size for row in rows) / 1000,
        }
        self._write(rows, [("float", whole, seconds), ("quantized", few, seconds_few)], out)
        return result

    def _write(self, rows: list[Row], lines: list[tuple[str, float, float]], out: Path) -> None:
        write_csv(
            out / "text-loss.csv",
            ["weights", "loss (nats)", "perplexity", "seconds"],
            [[name, value, math.exp(min(value, 700.0)), seconds] for name, value, seconds in lines],
            digits=6,
        )
        write_csv(
            out / "layers.csv",
            ["weight", "numbers", "bits", "SQNR (dB)", "bytes"],
            [[r.name, r.entries, r.bits, r.sqnr, r.size] for r in rows],
            digits=5,
        )


class Scored(nn.Module):
    """A language model as a learner: `tokens`, int64 of (1, time), to `logits` of (1, time, vocabulary)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def predict(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        answer: Any = self.model(input_ids=batch["tokens"], use_cache=False)
        return {"logits": answer.logits}


@torch.no_grad()
def loss(learner: Scored, windows: list[Tensor]) -> tuple[float, float]:
    """Returns the mean cross-entropy of the tokens of all windows but the first of each, and the seconds it took."""
    began, total, count = time.perf_counter(), 0.0, 0
    for window in windows:
        logits = learner.predict({"tokens": window[None]})["logits"][0, :-1]
        total += float(nn.functional.cross_entropy(logits.double(), window[1:], reduction="sum"))
        count += len(window) - 1
    return total / count, time.perf_counter() - began


def loaded(name: str, random_init: bool) -> Any:
    """Returns what rk-lm loads. Raises `rk.UserError` where rk-lm is not installed, or the model is not to be had."""
    try:
        from rk_lm.load import load
    except ImportError as error:
        raise UserError(f"text-loss needs {error.name or error}", 'pip install "rk-quantization[lm]"') from None
    return load(name, random_init=random_init)

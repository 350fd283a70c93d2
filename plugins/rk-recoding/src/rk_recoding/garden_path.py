"""Data `garden-path`: sentences whose first reading may turn out wrong, at a known word."""

# b batch, t time

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Lt
from jaxtyping import Bool, Float, Int
from rk_sequence.fields import StepsBatch
from rk_sequence.metrics import token_accuracy
from rk_sequence.task import GeneratedTask
from rk_sequence.text import Perplexity
from torch import Tensor
from torch.nn import functional as F

from rk.protocols import Batch, Outputs, Share

NOUNS = ("horse", "boat", "cat", "man", "woman", "child", "car", "dog")
PLACES = ("barn", "river", "house", "tree", "bridge", "field", "road", "shop")
ADJECTIVES = ("old", "small", "red", "quick")
VERBS = ("raced", "pushed", "dropped", "carried", "pulled", "rolled")
PREPOSITIONS = ("past", "near", "behind", "over")
SECOND = ("fell", "slept", "sank", "stopped", "broke", "smiled")
WORDS = ("<unk>", "<eos>", "the", ".", *NOUNS, *PLACES, *ADJECTIVES, *VERBS, *PREPOSITIONS, *SECOND)
_NUMBER = {word: i for i, word in enumerate(WORDS)}
SHOWN = 4
"""Words on both sides of the second verb in the figure."""


class GardenBatch(StepsBatch):
    """Pieces of text, each token's next, and where that is a second verb: it undoes the first reading."""

    tokens: Int[Tensor, "batch time"]
    targets: Int[Tensor, "batch time"]
    peak: Bool[Tensor, "batch time"]


class PeakSurprisal:
    """Mean surprisal of second verbs, in nats; an ideal reader has -log(share of such sentences) + log 6."""

    higher_is_better = False

    def __call__(
        self,
        *,
        logits: Float[Tensor, "batch time classes"],
        targets: Int[Tensor, "batch time"],
        peak: Bool[Tensor, "batch time"],
    ) -> Share:
        losses = F.cross_entropy(logits.transpose(1, 2), targets, reduction="none")
        return (losses * peak).sum(), peak.sum()


class GardenPath(GeneratedTask):
    """Sentences as "the horse raced past the barn ." and, with the probability `share`, "... the barn fell .".

    Up to the last noun both are the same: the verb seems to be the main one, until a second verb shows that it is a
    reduced relative clause. So surprisal has a peak at a known word. Half of the nouns have an
    adjective. A sequence is a stream of sentences.

    Args:
        seed: Every sequence is a function of it.
        length: Tokens of a sequence.
        share: Sentences with a second verb, of all.

    Examples:
        data: {name: garden-path, share: 0.1}
    """

    metrics = {"accuracy": token_accuracy, "perplexity": Perplexity, "peak-surprisal": PeakSurprisal}
    num_features: None = None
    vocab_size: int = 40
    num_outputs: int = 40
    readout = "step"
    _shortest = 20

    def __init__(
        self,
        *,
        seed: int,
        length: Annotated[int, Ge(20)] = 48,
        share: Annotated[float, Gt(0), Lt(1)] = 0.1,
        **common: Any,
    ) -> None:
        super().__init__(seed=seed, length=length, **common)
        self.share = share

    def draw(self, rows: int, length: int, random: torch.Generator) -> Batch:
        """Returns streams of sentences, each behind the token ``<eos>``."""
        found = torch.zeros(rows, length + 1, dtype=torch.int64)
        second = torch.zeros(rows, length + 1, dtype=torch.bool)
        most = length // 7 + 2  # no sentence is shorter than 7 tokens
        draws = torch.rand(rows, most, 8, generator=random).tolist()
        for row, sentences in enumerate(draws):
            words: list[str] = []
            peaks: list[int] = []
            for sentence in sentences:
                words += self._sentence(sentence)
                if words[-2] in SECOND:
                    peaks.append(len(words) - 2)
            found[row] = torch.tensor([_NUMBER[word] for word in words[: length + 1]])
            for peak in peaks:
                if peak <= length:
                    second[row, peak] = True
        return {"tokens": found[:, :-1], "targets": found[:, 1:], "peak": second[:, 1:]}

    def _sentence(self, draws: list[float]) -> list[str]:
        first, one, noun, verb, preposition, two, place, last = draws

        def of(words: tuple[str, ...], draw: float) -> str:
            return words[int(draw * len(words))]

        def described(draw: float) -> list[str]:
            return [of(ADJECTIVES, 2 * draw)] if draw < 0.5 else []

        end = [of(SECOND, last)] if first < self.share else []
        return [
            "<eos>", "the", *described(one), of(NOUNS, noun), of(VERBS, verb), of(PREPOSITIONS, preposition), "the",
            *described(two), of(PLACES, place), *end, ".",
        ]  # fmt: skip

    def batch(self, split: str, i: int, stage: int = 0) -> GardenBatch:
        drawn: GardenBatch = self._drawn(split, i)
        return drawn

    def preprocessing(self) -> dict[str, Any]:
        """Returns how a text becomes ``tokens``."""
        return {"field": "tokens", "from": "text", "encoding": "utf-8", "unit": "word", "vocabulary": list(WORDS),
                "unknown": 0, "line": "<eos>"}  # fmt: skip

    def render(self, batch: Batch, outputs: Outputs, out: Path) -> list[Path]:
        """Draws the surprisal of the words around second verbs."""
        from rk_recoding.drawing import draw_peak

        losses = F.cross_entropy(outputs["logits"].transpose(1, 2).float(), batch["targets"], reduction="none")
        row, place = batch["peak"].nonzero(as_tuple=True)
        inside = (place >= SHOWN) & (place < losses.shape[1] - SHOWN)
        if not inside.any():
            return []
        offsets = range(-SHOWN, SHOWN + 1)
        means = [float(losses[row[inside], place[inside] + k].mean()) for k in offsets]
        return [draw_peak(offsets, means, out.with_name(out.name + "peak.png"))]

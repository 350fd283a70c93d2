"""Data `text`: a text as contiguous streams of characters or words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt, Lt
from jaxtyping import Float, Int
from torch import Tensor

from rk import UserError
from rk.fields import IGNORED
from rk.protocols import Batch, Outputs
from rk.reading import read_text
from rk.sampling import batch_count, generator, rows
from rk_sequence.corpora import CORPORA
from rk_sequence.fields import StepsBatch
from rk_sequence.metrics import token_accuracy
from rk_sequence.vocabulary import LINE, Unit, Vocabulary, split_text

ACCEPTED = "name a text file in UTF-8"
SHOWN = 5
"""The number of likely next tokens in an answer where a model cannot generate."""


class TextBatch(StepsBatch):
    """Pieces of a text, and each token's next; ``starts_meta`` marks the rows of a training batch that start a new
    stream.
    """

    tokens: Int[Tensor, "batch time"]
    targets: Int[Tensor, "batch time"]


class Perplexity:
    """The exponential of the mean cross-entropy per token: among how many tokens one would be as much at a loss."""

    higher_is_better = False

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forgets all tokens."""
        self.total, self.count = 0.0, 0

    def update(self, *, logits: Float[Tensor, "batch time classes"], targets: Int[Tensor, "batch time"]) -> None:
        """Adds the tokens of a batch."""
        flat = targets.flatten()
        self.total += float(
            torch.nn.functional.cross_entropy(logits.flatten(0, 1), flat, ignore_index=IGNORED, reduction="sum")
        )
        self.count += int((flat != IGNORED).sum())

    def merge(self, other: Perplexity) -> None:
        """Adds the tokens that another metric has seen."""
        self.total += other.total
        self.count += other.count

    def compute(self) -> float:
        """Returns the perplexity; NaN over nothing, infinity beyond what a float holds."""
        if not self.count:
            return math.nan
        return math.exp(mean) if (mean := self.total / self.count) < 700 else math.inf


class BitsPerByte(Perplexity):
    """The mean cross-entropy of a byte in bits: how long a code the model would need."""

    def compute(self) -> float:
        """Returns the bits per byte; NaN over nothing."""
        return self.total / self.count / math.log(2) if self.count else math.nan


class Text:
    """A text to be continued, by characters, by the bytes of its UTF-8, or by words (what white space separates).

    The training text is cut into `batch_size` streams, and each batch has the next `length` tokens of each: row b of a
    batch continues where row b of the previous one ended, which the trainer `tbptt` uses. Where the streams
    begin is drawn for each epoch. Held-out text is cut into windows that are read one by one.

    Of `wikitext-2` (CC BY-SA 3.0) the published test text is trained on, 245 000 words, and the validation text is
    halved into ``val`` and ``test``: the training text, ten times as long, is more than a small machine asks for.
    `enwiki-piece` is 6 MB of XML, 206 pages of English Wikipedia (CC BY-SA 3.0): a piece of what enwik8 was cut from.

    Args:
        seed: Chooses where the streams of an epoch begin.
        corpus: A published text.
        path: A text file of your own, in its place.
        unit: Tokens are characters, `char`, bytes, or words. Bytes are measured in bits each, too.
        vocab_limit: Most tokens that are known, one for all unknown ones included; null: all of the training text.
        length: Tokens of a row of a training batch: gradients go back so far.
        batch_size: Rows of a batch.
        eval_length: Tokens of a window of held-out text.
        held_out: Share of the text that is validated, and the same again that is tested.
        train_limit: Trains on so many tokens at most, those at the beginning; null: on all.
        eval_limit: Validates, and tests, on so many windows at most; null: on all.

    Examples:
        data: {name: text, corpus: tiny-shakespeare, length: 64}
    """

    splits = ("train", "val", "test")
    num_features: None = None
    readout: Literal["step"] = "step"

    def __init__(
        self,
        *,
        seed: int,
        corpus: Literal["tiny-shakespeare", "wikitext-2", "enwiki-piece"] = "tiny-shakespeare",
        path: Path | None = None,
        unit: Unit = "char",
        vocab_limit: Annotated[int, Ge(2)] | None = None,
        length: Annotated[int, Ge(1)] = 64,
        batch_size: Annotated[int, Ge(1)] = 32,
        eval_length: Annotated[int, Ge(1)] = 256,
        held_out: Annotated[float, Gt(0), Lt(0.5)] = 0.05,
        train_limit: Annotated[int, Ge(2)] | None = None,
        eval_limit: Annotated[int, Ge(1)] | None = None,
    ) -> None:
        self.seed = seed
        self.corpus = corpus
        self.path = path
        self.unit = unit
        self.vocab_limit = vocab_limit
        self.length = length
        self.streams = batch_size
        self.eval_length = eval_length
        self.held_out = held_out
        self.train_limit = train_limit
        self.eval_limit = eval_limit

    @property
    def metrics(self) -> Mapping[str, Any]:
        """Accuracy and perplexity of tokens; of bytes, the bits of one too."""
        own = {"bits-per-byte": BitsPerByte} if self.unit == "byte" else {}
        return {"accuracy": token_accuracy, "perplexity": Perplexity, **own}

    def prepare(self) -> None:
        train, val, test = self._parts()
        train = train[: self.train_limit]
        self._vocabulary = self._known(train)
        self._train = self._vocabulary.encode(train)
        self._windows = {"val": self._cut(val, "validation"), "test": self._cut(test, "test")}
        self._pieces = (len(self._train) - 1) // (self.streams * self.length)
        if self._pieces < 1:
            shape = f"{self.streams} streams of {self.length} need {self.streams * self.length + 1}"
            raise UserError(
                f"the training text has {len(self._train)} tokens; {shape}",
                "a smaller data.batch_size or data.length, or a longer text",
            )

    def _known(self, train: list[str]) -> Vocabulary:
        """Returns the vocabulary of the tokens that are trained on; data with tokens of their own have their own."""
        return Vocabulary.of(train, self.unit, self.vocab_limit)

    def _split(self, text: str) -> list[str]:
        """Returns the tokens of a text."""
        return split_text(text, self.unit)

    def _parts(self) -> tuple[list[str], list[str], list[str]]:
        """Returns the tokens to train on, to validate and to test."""
        if self.path is not None:
            text, held_out = read_text(self.path, ACCEPTED), None
        else:
            source, other = CORPORA[self.corpus]
            text, held_out = source.read(), other and other.read()
        tokens = self._split(text)
        if held_out is not None:
            rest = self._split(held_out)
            return tokens, rest[: len(rest) // 2], rest[len(rest) // 2 :]
        size = round(self.held_out * len(tokens))
        return tokens[: len(tokens) - 2 * size], tokens[-2 * size : -size], tokens[-size:]

    def _cut(self, tokens: list[str], what: str) -> Int[Tensor, "n window"]:
        """Returns windows that overlap by one token: each has the target of its last one."""
        if len(tokens) <= self.eval_length:
            raise UserError(
                f"the {what} text has {len(tokens)} tokens, a window of {self.eval_length} needs one more",
                "a smaller data.eval_length, a larger data.held_out, or a longer text",
            )
        numbers = self._vocabulary.encode(tokens)
        return numbers.unfold(0, self.eval_length + 1, self.eval_length)[: self.eval_limit]

    @property
    def vocab_size(self) -> int:
        return len(self._vocabulary)

    @property
    def num_outputs(self) -> int:
        return len(self._vocabulary)

    def state_dict(self) -> dict[str, Any]:
        return {"tokens": self._vocabulary.tokens[1:]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._vocabulary = Vocabulary(state["tokens"], self.unit)

    def batches(self, split: str) -> int:
        return self._pieces if split == "train" else batch_count(len(self._windows[split]), self.streams)

    def batch(self, split: str, i: int, stage: int = 0) -> TextBatch:
        if split == "train":
            epoch, piece = divmod(i, self._pieces)
            stream = self._pieces * self.length
            slack = len(self._train) - 1 - self.streams * stream
            first = int(torch.randint(slack + 1, (), generator=generator(self.seed, epoch)))
            start = first + torch.arange(self.streams) * stream + piece * self.length
            window = self._train[start.unsqueeze(1) + torch.arange(self.length + 1)]
        else:
            piece = 0
            windows = self._windows[split]
            window = windows[rows(len(windows), self.streams, i, seed=self.seed, shuffle=False)]
        starts = torch.full((len(window),), piece == 0)
        fields: TextBatch = {"tokens": window[:, :-1], "targets": window[:, 1:]}
        fields["starts_meta"] = starts  # type: ignore[typeddict-unknown-key]  # an entry in _meta is not declared
        return fields

    def preprocessing(self) -> dict[str, Any]:
        """Returns how a text becomes ``tokens``."""
        words = self.unit == "word"
        return {
            "field": "tokens",
            "from": "text",
            "encoding": "utf-8",
            "unit": self.unit,
            "vocabulary": list(self._vocabulary.tokens),
            "unknown": 0,
            "line": LINE if words else None,
        }

    def read(self, path: Path) -> Batch:
        """Reads a text file that is to be continued."""
        text = read_text(path, ACCEPTED)
        tokens = self._vocabulary.encode(split_text(text, self.unit))
        if self.unit == "word" and not text.endswith("\n"):
            tokens = tokens[:-1]  # the line continues
        if not len(tokens):
            raise UserError(f"{path}: the file is empty", "give the beginning of a text")
        return {"tokens": tokens.unsqueeze(0), "continue_meta": True}

    def answers(self, batch: Batch, outputs: Outputs) -> list[dict[str, Any]]:
        """Returns the continuation of each text, or likely next tokens where the model cannot generate."""
        if "continuation" in outputs:
            return [{"continuation": self._vocabulary.decode(row)} for row in outputs["continuation"].tolist()]
        likely = outputs["logits"][:, -1].softmax(-1).topk(min(SHOWN, self.vocab_size))
        return [
            {self._vocabulary.tokens[token]: round(share, 4) for token, share in zip(*row, strict=True)}
            for row in zip(likely.indices.tolist(), likely.values.tolist(), strict=True)
        ]

"""Sentences as tokens of a run, and their surprisals."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional as F

from rk import Run, UserError
from rk.fields import IGNORED
from rk_recoding.model import Recoded

_WORD = re.compile(r"\w+(?:['’-]\w+)*|[^\w\s]")
LINE = {"word": "<eos>", "char": "\n"}
ROWS = 64
"""Sentences that are read at once."""


class Reader:
    """Makes tokens of sentences as a run's data `text` does, and counts the words that it does not know.

    A word that is known only in small letters is taken in small letters.

    Args:
        run: A run with data of texts.

    Raises:
        UserError: When its data has no vocabulary of words or characters.
    """

    def __init__(self, run: Run) -> None:
        data: Any = run.data
        spec = data.preprocessing() if hasattr(data, "preprocessing") else {}
        if spec.get("unit") not in LINE or "vocabulary" not in spec:
            raise UserError(f"{run.folder.label}: expected data of texts by words or characters, as data text")
        self.unit = spec["unit"]
        self.numbers = {token: i for i, token in enumerate(spec["vocabulary"])}
        self.line = self.numbers.get(LINE[self.unit], 0)
        self.unknown: Counter[str] = Counter()
        self.words = 0

    def tokens(self, text: str) -> list[int]:
        """Returns the tokens of a piece of a sentence."""
        found = []
        for word in _WORD.findall(text) if self.unit == "word" else list(" " + text.strip() if text.strip() else ""):
            known = word if word in self.numbers else word.lower()
            self.words += 1
            if known not in self.numbers:
                self.unknown[word] += 1
            found.append(self.numbers.get(known, 0))
        return found


def surprisals(model: Any, sentences: Sequence[Sequence[int]], line: int) -> list[list[float]]:
    """Returns the surprisal of each token of each sentence, in nats; all are read behind the token `line`."""
    found: list[list[float]] = []
    device = next(model.parameters()).device
    for start in range(0, len(sentences), ROWS):
        rows = sentences[start : start + ROWS]
        width = max(len(row) for row in rows)
        tokens = torch.zeros(len(rows), width + 1, dtype=torch.int64)
        targets = torch.full((len(rows), width), IGNORED)
        for i, row in enumerate(rows):
            tokens[i, : len(row) + 1] = torch.tensor([line, *row])
            targets[i, : len(row)] = torch.tensor(row)
        tokens, targets = tokens[:, :-1].to(device), targets.to(device)
        mask = targets != IGNORED
        if isinstance(model, Recoded):
            logits, *_ = model.loop(model.initial_state(len(rows)), tokens, mask, targets)
        else:
            logits = model(tokens=tokens, mask=mask)["logits"]
        losses = F.cross_entropy(logits.transpose(1, 2), targets, ignore_index=IGNORED, reduction="none")
        found += [losses[i, : len(row)].tolist() for i, row in enumerate(rows)]
    return found

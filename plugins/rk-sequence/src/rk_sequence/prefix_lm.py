"""Data `prefix-lm`: pairs of sequences as one sequence, for models of the next token."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rk import UserError
from rk.fields import IGNORED
from rk.protocols import Batch, Data, Outputs
from rk.wrappers import DataWrapper
from rk_sequence.fields import StepsBatch
from rk_sequence.metrics import MacroAverage, sequence_accuracy, token_accuracy
from rk_sequence.seq2seq import END, before, present


class PrefixBatch(StepsBatch):
    """Input, separator and answer as one sequence, and each token of the answer as the target of the one before it."""

    tokens: Int[Tensor, "batch time"]
    targets: Int[Tensor, "batch time"]
    depth: Int[Tensor, "batch"]


class StepMacroAccuracy(MacroAverage):
    """Mean over the depths of the share of sequences in which every step with a target is right."""

    def update(
        self,
        *,
        logits: Float[Tensor, "batch time classes"],
        targets: Int[Tensor, "batch time"],
        depth: Int[Tensor, "batch"],
    ) -> None:
        """Adds the sequences of a batch."""
        self.add(depth, ((logits.argmax(-1) == targets) | (targets == IGNORED)).all(1))


class PrefixLM(DataWrapper):
    """Pairs of sequences for causal models of the next token: input, separator, answer (a prefix language model).

    So `sequence`, `language-model` and whatever else takes tokens can be trained on any data of pairs. Tokens of inputs
    and of answers are apart, the separator is the token that ends an answer, and only the answer has targets: train it
    with the loss ``{name: cross-entropy, ignore_index: -100}``. An answer is right if each of its tokens is the
    likeliest after those before it, which is when greedy decoding gives it. A `language-model` answers a user's file.

    Args:
        base: Data of pairs, such as `token-pairs`, binary-successor or scan.

    Examples:
        data: {name: prefix-lm, base: {name: token-pairs, file: pairs.tsv}}
    """

    metrics: Mapping[str, Any] = {
        "accuracy": token_accuracy,
        "sequence-accuracy": sequence_accuracy,
        "macro-accuracy": StepMacroAccuracy,
    }
    num_features: None = None
    readout: Literal["step"] = "step"

    def __init__(self, base: Data) -> None:
        super().__init__(base)
        self._pairs: Any = base  # Any: data of pairs has facts besides what all data has

    @property
    def vocab_size(self) -> int:
        """Tokens of inputs, then those of answers."""
        return int(self._pairs.vocab_size + self._pairs.num_outputs)

    @property
    def num_outputs(self) -> int:
        """The same."""
        return self.vocab_size

    def batch(self, split: str, i: int, stage: int = 0) -> PrefixBatch:
        pairs = self.base.batch(split, i, stage)
        tokens, targets = pairs["tokens"], pairs["targets"]
        lengths, first = self._lengths(pairs), int(self._pairs.vocab_size)
        answered = targets != IGNORED
        counts = lengths + answered.sum(1)
        width = int(counts.max())
        place = lengths.unsqueeze(1) + torch.arange(targets.shape[1])
        place = torch.where(answered, place, width)  # a column for what is not there
        steps = torch.nn.functional.pad(tokens * present(tokens, lengths), (0, max(0, width + 1 - tokens.shape[1])))
        aims = torch.full_like(steps, IGNORED)
        steps.scatter_(1, place, before(targets) + first)
        aims.scatter_(1, place, targets + first)
        depth = pairs["depth"] if "depth" in pairs else answered.sum(1) - 1
        fields: PrefixBatch = {"tokens": steps[:, :width], "targets": aims[:, :width], "depth": depth}
        return fields if (counts == width).all() else {**fields, "mask": present(fields["tokens"], counts)}

    def _lengths(self, pairs: Batch) -> Int[Tensor, "batch"]:
        tokens: Tensor = pairs["tokens"]
        lengths: Tensor = pairs["lengths"] if "lengths" in pairs else torch.full((len(tokens),), tokens.shape[1])
        return lengths

    def read(self, path: Path) -> Batch:
        """Reads a user's file as the base does: inputs, with the separator behind each, to be continued."""
        pairs = self.base.read(path)
        lengths = self._lengths(pairs)
        steps = torch.nn.functional.pad(pairs["tokens"], (0, 1))
        steps = steps.scatter(1, lengths.unsqueeze(1), int(self._pairs.vocab_size) + END)
        return {"tokens": steps, "mask": present(steps, lengths + 1), "continue_meta": True}

    def answers(self, batch: Batch, outputs: Outputs) -> list[dict[str, Any]]:
        """Returns each input with its answer, as the base does.

        Raises:
            UserError: When the model does not continue sequences.
        """
        if "continuation" not in outputs:
            raise UserError("this model does not continue a sequence", "train the model language-model")
        first = int(self._pairs.vocab_size)
        decoded = (outputs["continuation"] - first).clamp(min=END)
        ended = (decoded == END).cumsum(1) - (decoded == END).long() > 0
        lengths = batch["mask"].sum(1) - 1
        fields = {"tokens": batch["tokens"][:, :-1] * present(batch["tokens"][:, :-1], lengths), "lengths": lengths}
        return self.base.answers(fields, {"decoded": decoded.masked_fill(ended, IGNORED)})

"""The analysis `depthwise-batching`: what a run's language model generates in a second, batched in three ways."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt, Le
from torch import nn

from rk import Run, UserError
from rk.sampling import generator
from rk.writing import write_csv
from rk_relaxed_recursive.depthwise import Batcher, Missing, Request, Result, oracle

ONE, SEQUENCE, DEPTH = "one at a time", "sequence-wise", "depth-wise"


class DepthwiseBatching:
    """Continues texts with a looped language model, batched depth-wise and otherwise (arXiv:2410.20672, Fig. 8).

    Prompts are the beginnings of windows of a split; how many tokens each gets is drawn between half of `new_tokens`
    and all. Each token is the likeliest. The table ``batching.csv`` compares one sequence at a time, batches that wait
    for their deepest sequence at each token, and depth-wise batches, whose slots begin a new token at once.

    Args:
        run: A run of `language-model` with loops, or of `recursive` around one.
        exit: `none`: each token takes all loops. `oracle`: it leaves after the first loop whose likeliest token is the
            whole model's, which only a simulation knows. `confidence`: after the first that is sure enough.
        threshold: What `confidence` asks of the probability of the likeliest token.
        missing: Keys and values of loops that were left out: computed when a later token needs them (`lazy`, the
            tokens are then those of all loops), or those of the loop that was left (`copy`).
        slots: Sequences in a batch.
        sequences: Texts that are continued.
        prompt_length: Tokens of a prompt.
        new_tokens: Tokens that are added to a text at most.
        split: Whose windows begin with the prompts.

    Examples:
        rk analyze depthwise-batching --run last --exit oracle
    """

    def __init__(
        self,
        run: Run,
        exit: Literal["none", "oracle", "confidence"] = "oracle",
        threshold: Annotated[float, Gt(0), Le(1)] = 0.9,
        missing: Missing = "lazy",
        slots: Annotated[int, Ge(1)] = 16,
        sequences: Annotated[int, Ge(1)] = 48,
        prompt_length: Annotated[int, Ge(1)] = 16,
        new_tokens: Annotated[int, Ge(1)] = 64,
        split: str = "test",
    ) -> None:
        self.run, self.exit, self.missing, self.split = run, exit, missing, split
        self.threshold = threshold if exit == "confidence" else None
        self.slots, self.sequences = slots, sequences
        self.prompt_length, self.new_tokens = prompt_length, new_tokens

    def analyze(self, out: Path) -> dict[str, float]:
        """Writes the table into `out`; returns tokens in a second, how they compare, and how many loops a token took.

        Raises:
            rk.UserError: When the run has no looped language model, or its data no tokens.
        """
        model = getattr(self.run.learner, "model", None)
        if not isinstance(model, nn.Module):
            raise UserError("depthwise-batching needs a run of a looped language-model")
        requests = self._requests()
        whole = Batcher(model, self.slots).run(requests)
        if self.exit == "oracle":
            found = [oracle(model, r.prompt, tokens) for r, tokens in zip(requests, whole.tokens, strict=True)]
            requests = [Request(r.prompt, r.new_tokens, exits) for r, exits in zip(requests, found, strict=True)]
        results = {
            ONE: Batcher(model, 1, self.threshold, "depth", self.missing).run(requests),
            SEQUENCE: Batcher(model, self.slots, self.threshold, "sequence", self.missing).run(requests),
            DEPTH: Batcher(model, self.slots, self.threshold, "depth", self.missing).run(requests),
        }
        rows = [
            [name, r.tokens_per_second, r.tokens_per_second / results[ONE].tokens_per_second, r.steps, r.rows / r.steps]
            for name, r in results.items()
        ]
        write_csv(out / "batching.csv", ["batching", "tokens per second", "times", "steps", "busy slots"], rows)
        depth = results[DEPTH]
        return {
            "depth-wise": depth.tokens_per_second,
            "times-one": depth.tokens_per_second / results[ONE].tokens_per_second,
            "times-sequence-wise": depth.tokens_per_second / results[SEQUENCE].tokens_per_second,
            "loops": 1 + _mean([loop for exits in depth.exits for loop in exits]),
            "same-tokens": same_tokens(whole, depth),
        }

    def _requests(self) -> list[Request]:
        prompts: list[list[int]] = []
        for batch in self.run.batches(self.split):
            if "tokens" not in batch:
                raise UserError("depthwise-batching needs data with tokens")
            prompts += batch["tokens"][:, : self.prompt_length].tolist()
            if len(prompts) >= self.sequences:
                break
        random = generator(self.run.recipe.fit.seed)
        least = max(1, self.new_tokens // 2)
        counts = torch.randint(least, self.new_tokens + 1, (self.sequences,), generator=random).tolist()
        return [Request(prompts[i % len(prompts)], count) for i, count in enumerate(counts)]


def same_tokens(whole: Result, other: Result) -> float:
    """Returns the share of tokens that another way gives too, each counted up to the first that differs."""
    same = []
    for expected, found in zip(whole.tokens, other.tokens, strict=True):
        first = next(
            (i for i, pair in enumerate(zip(expected, found, strict=True)) if pair[0] != pair[1]), len(expected)
        )
        same += [1.0] * first + [0.0] * (len(expected) - first)
    return _mean(same)


def _mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers)

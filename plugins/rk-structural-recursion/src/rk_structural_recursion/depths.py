"""What an answer is judged by: whether it is right, where it first is not, how deep its recursion is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from rk_sequence.metrics import first_errors
from torch import Tensor

from rk import FitContext, Run, UserError
from rk.authoring import answers, evaluating
from rk.binding import Bound
from rk.fields import IGNORED
from rk.protocols import Batch

HINT = "it is made for models from sequence to sequence, on binary-successor, tree-traversal, token-pairs and the like"


@dataclass
class Judged:
    """The answers over a split.

    Attributes:
        depth: The depth of each example.
        length: The tokens of its input.
        first_error: The place of the first wrong token of its answer, from 0; -1 where it is right.
        forced_error: The same of the likeliest token after each token of the true answer; None where the model gives
            no scores.
    """

    depth: Int[Tensor, "n"]
    length: Int[Tensor, "n"]
    first_error: Int[Tensor, "n"]
    forced_error: Int[Tensor, "n"] | None

    @property
    def right(self) -> Bool[Tensor, "n"]:
        """Which answers are right."""
        return self.first_error < 0

    @property
    def agreement(self) -> float | None:
        """The share of examples of which greedy decoding and the true answer's scores judge alike; None: no scores.

        The first wrong token of both is the same: up to it, both are given the same tokens.
        """
        if self.forced_error is None:
            return None
        return (self.forced_error == self.first_error).double().mean().item()

    def shares(self, keys: Int[Tensor, "n"]) -> dict[int, tuple[float, int]]:
        """Returns, for each number in `keys`, the share of right answers and how many there are."""
        found = {}
        for key in keys.unique().tolist():
            chosen = self.right[keys == key]
            found[key] = chosen.double().mean().item(), len(chosen)
        return found


def judged(run: Run | FitContext, split: str, limit: int | None = None, forced: bool = True) -> Judged:
    """Returns how each answer over a split is judged.

    Of models of the next token (on prefix-lm), the scores behind the true answer take the place of decoded answers.

    Args:
        run: A run, finished or training.
        split: The split.
        limit: The most batches to take; None takes all.
        forced: Whether the scores behind the true answers are looked at too.

    Raises:
        UserError: When the run neither decodes answers nor scores each token, or the data gives no depths.
    """
    model = getattr(run.learner, "model", None)
    scores = Bound(model.forward, call=model) if forced and model is not None else None
    depth, length, error, forced_error = [], [], [], []
    for batch, outputs in answers(run, split, limit, needs=("targets", "depth"), hint=HINT):
        targets = batch["targets"]
        depth.append(batch["depth"].cpu())
        if "decoded" in outputs:
            length.append(batch["lengths"].cpu())
            error.append(first_errors(outputs["decoded"], targets).cpu())
            if scores is not None:
                forced_error.append(_forced(run, scores, batch))
        elif "logits" in outputs and outputs["logits"].shape[:-1] == targets.shape:
            start = (targets != IGNORED).int().argmax(1)
            found = _first_errors(outputs["logits"], targets)
            length.append(start.cpu())
            error.append(torch.where(found < 0, found, found - start).cpu())
        else:
            raise UserError(f"{run.recipe.name} gives no decoded answers", HINT)
    return Judged(
        torch.cat(depth), torch.cat(length), torch.cat(error), torch.cat(forced_error) if forced_error else None
    )


def _forced(run: Run | FitContext, scores: Bound, batch: Batch) -> Int[Tensor, "b"]:
    with evaluating(run.learner, 0), run.runtime.autocast():
        logits = scores(dict(batch))["logits"]
    return _first_errors(logits, batch["targets"]).cpu()


def _first_errors(logits: Float[Tensor, "b t classes"], targets: Int[Tensor, "b t"]) -> Int[Tensor, "b"]:
    return first_errors(logits.argmax(-1).masked_fill(targets == IGNORED, IGNORED), targets)


def curve(shares: dict[int, tuple[float, int]]) -> tuple[list[int], list[float]]:
    """Returns the numbers and their shares, for a line."""
    keys = sorted(shares)
    return keys, [shares[key][0] for key in keys]


def solved_depth(shares: dict[int, tuple[float, int]], least: float = 0.9) -> int:
    """Returns the depth up to which each depth has at least this share of right answers; 0 for none."""
    solved = 0
    for key in sorted(shares):
        if shares[key][0] < least:
            break
        solved = key
    return solved


def rows_of(what: str, shares: dict[int, tuple[float, int]]) -> list[tuple[Any, ...]]:
    """Returns lines of a table: what the number is, the number, examples, and the share that is right."""
    return [(what, key, count, share) for key, (share, count) in sorted(shares.items())]

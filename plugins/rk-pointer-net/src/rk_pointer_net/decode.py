"""Reading an answer out of a decoder, step by step: greedily or with a beam.

Both searches see a decoder as one function, ``step(previous, state) -> (logits, state)``, whose tensors begin with
(batch, beams), and a constraint as another, ``allowed(chosen)``. Choice 0 is END: after it, an answer holds zeros and
its probability stays. A search stops when all answers have ended, except where `torch.export` traces it: a graph cannot
look.
"""

# b batch, k beams, c choices (END and the points), t choices so far

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

State = tuple[Tensor, ...]
Step = Callable[[Tensor, State], tuple[Tensor, State]]
"""Previous choices (b, k) and state tensors (b, k, ...) -> logits (b, k, c) and the next state."""

Allowed = Callable[[Int[Tensor, "b k t"]], Bool[Tensor, "b k c"]]
"""All choices so far -> which ones may follow: probabilities are then among these. None allows everything."""

Answers = tuple[Int[Tensor, "b steps"], Float[Tensor, "b"]]
"""The choices, padded with 0 after END, and the log-probability of each answer as a whole."""


def greedy(step: Step, state: State, max_steps: int, allowed: Allowed | None = None) -> Answers:
    """Takes the most probable choice at every step until every answer of the batch has ended.

    Args:
        step: The decoder.
        state: Its first state, one beam wide.
        max_steps: Most choices of an answer, END included.
        allowed: What may follow.
    """
    previous = torch.zeros(state[0].shape[:2], dtype=torch.long, device=state[0].device)
    ended = torch.zeros_like(previous, dtype=torch.bool)
    total = state[0].new_zeros(previous.shape)
    chosen = previous.new_zeros((*previous.shape, 0))
    for _ in range(max_steps):
        logits, state = step(previous, state)
        log_probs = _log_probs(logits, chosen, allowed)
        best, previous = log_probs.max(-1)
        total = total + best.masked_fill(ended, 0.0)
        previous = previous.masked_fill(ended, 0)
        chosen = torch.cat([chosen, previous.unsqueeze(-1)], -1)
        ended = previous == 0
        if not torch.compiler.is_exporting() and ended.all():
            break
    return _padded(chosen[:, 0], max_steps), total[:, 0]


def beam(step: Step, state: State, max_steps: int, size: int, allowed: Allowed | None = None) -> Answers:
    """Keeps the `size` most probable beginnings at every step and returns the best answer.

    Args:
        step: The decoder.
        state: Its first state, one beam wide.
        max_steps: Most choices of an answer, END included.
        size: Beginnings that are kept.
        allowed: What may follow.
    """
    b = state[0].shape[0]
    chosen = torch.zeros((b, 1, 0), dtype=torch.long, device=state[0].device)
    previous = chosen.new_zeros((b, 1))
    ended = torch.zeros_like(previous, dtype=torch.bool)
    total = state[0].new_zeros((b, 1))
    for _ in range(max_steps):
        logits, state = step(previous, state)
        log_probs = _log_probs(logits, chosen, allowed)
        c = log_probs.shape[-1]
        stay = torch.full_like(log_probs[0, 0], -torch.inf)
        stay[0] = 0.0  # an ended answer continues with END at no cost
        log_probs = torch.where(ended.unsqueeze(-1), stay, log_probs)
        candidates = (total.unsqueeze(-1) + log_probs).flatten(1)
        total, best = candidates.topk(min(size, candidates.shape[1]))  # sorted: beam 0 is the best
        parent, previous = best // c, best % c
        state = tuple(_rows(tensor, parent) for tensor in state)
        chosen = torch.cat([_rows(chosen, parent), previous.unsqueeze(-1)], -1)
        ended = previous == 0
        # probabilities only fall: nothing overtakes a best answer that has ended
        if not torch.compiler.is_exporting() and ended[:, 0].all():
            break
    return _padded(chosen[:, 0], max_steps), total[:, 0]


def _log_probs(
    logits: Float[Tensor, "b k c"], chosen: Int[Tensor, "b k t"], allowed: Allowed | None
) -> Float[Tensor, "b k c"]:
    """Returns log-probabilities among the allowed choices; among END alone where nothing is allowed."""
    if allowed is not None:
        mask = allowed(chosen)
        mask = torch.cat([mask[..., :1] | ~mask.any(-1, keepdim=True), mask[..., 1:]], -1)
        logits = logits.masked_fill(~mask, -torch.inf)
    return logits.log_softmax(-1)


def _padded(choices: Int[Tensor, "b m"], max_steps: int) -> Int[Tensor, "b steps"]:
    """Fills up with END, so that the width of answers does not depend on their content."""
    return nn.functional.pad(choices, (0, max_steps - choices.shape[1]))


def _rows(tensor: Tensor, parent: Int[Tensor, "b k"]) -> Tensor:
    """Returns the beams `parent` of a tensor (b, beams, ...)."""
    index = parent.reshape(*parent.shape, *[1] * (tensor.dim() - 2))
    return tensor.gather(1, index.expand(-1, -1, *tensor.shape[2:]))

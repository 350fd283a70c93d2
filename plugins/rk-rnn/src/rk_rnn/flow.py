"""The norm of a loss's gradient at every lag (arXiv:1506.00019, Sec. 3.3)."""

# b batch, t time

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from rk import UserError
from rk.fields import IGNORED
from rk.protocols import Batch
from rk.writing import write_csv


def gradient_by_lag(learner: nn.Module, batch: Batch, layer: int = 0) -> list[float]:
    """Returns the mean norm over the batch of dL/dS_n-k, for lag k = 1, 2, ..., where L is the loss at the last step n
    that has a target.

    S is the whole state of a layer, for example h and s of an LSTM. The layer is run step by step for it.

    Args:
        learner: A learner with an objective.
        batch: What the loss is of. Of targets for each step, a row's last one alone counts.
        layer: Which of the learner's layers with a state, from 0.

    Raises:
        UserError: When the learner has no such layer, or no loss with a separate last step.
    """
    if not hasattr(learner, "forward") or type(learner).forward is nn.Module.forward:
        raise UserError("this learner has no loss, so there is no gradient to follow")
    batch, until = _last_alone(batch, learner)
    with torch.enable_grad(), _recorded(_layers(learner)[_checked(layer, learner)]) as recorded:
        objective = learner(batch)
        total = sum(share for share, _ in (objective.values() if isinstance(objective, dict) else [objective]))
        (states, mask), *others = recorded
        if others:
            raise UserError("the layer is called more than once for one answer: its steps have no one order")
        flat = [tensor for state in states for tensor in state]
        gradients = torch.autograd.grad(total, flat, allow_unused=True)
    found = [torch.zeros_like(s) if g is None else g for s, g in zip(flat, gradients, strict=True)]
    width = len(states[0])
    squares = torch.stack([g.flatten(1).double().square().sum(1) for g in found], 1)
    return _by_lag(squares.unflatten(1, (-1, width)).sum(-1).sqrt(), mask if until is None else until)


def write_by_lag(path: Path, curves: Mapping[str, Sequence[float]]) -> None:
    """Writes one line per lag from 1: the lag, then a column per curve; shorter curves end in empty cells."""
    rows = enumerate(zip_longest(*curves.values()), 1)
    write_csv(path, ["lag", *curves], ([lag, *row] for lag, row in rows))


def _by_lag(norms: Float[Tensor, "b t"], mask: Bool[Tensor, "b t"] | None) -> list[float]:
    """Averages over rows what is as far from the last step in `mask`; lag 0, which nothing follows, is left out."""
    exists = torch.ones_like(norms, dtype=torch.bool) if mask is None else mask
    lags = exists.sum(1, keepdim=True) - exists.cumsum(1)
    sums = torch.bincount(lags[exists], weights=norms[exists])
    return (sums / torch.bincount(lags[exists]))[1:].tolist()


def _layers(learner: nn.Module) -> list[nn.Module]:
    """Returns the innermost modules that have a state: a model of such layers may well stream itself.

    What a layer that does not stream is made of is none of them: one half of a bidirectional layer begins at the end.
    """

    def within(module: nn.Module, streams: bool) -> list[nn.Module]:
        found = []
        for part in module.children():
            if streams and not hasattr(part, "scan") and not isinstance(part, nn.ModuleList | nn.Sequential):
                continue
            is_stateful = hasattr(part, "scan") and hasattr(part, "initial_state")
            is_innermost = is_stateful and not any(hasattr(m, "scan") for m in part.modules() if m is not part)
            found += [part] if is_innermost else within(part, streams or is_stateful)
        return found

    return within(learner, False)


def _checked(layer: int, learner: nn.Module) -> int:
    count = len(_layers(learner))
    if layer < count:
        return layer
    if not count:
        raise UserError("no layer of this model keeps a state", "it is for layers with initial_state and scan, as lstm")
    raise UserError(f"there is no layer {layer} with a state", f"this model has {count}, counted from 0")


@contextmanager
def _recorded(layer: nn.Module) -> Iterator[list[tuple[list[list[Tensor]], Tensor | None]]]:
    """Lets a layer go step by step; yields, for each of its calls, the state after every step, and the mask."""
    calls: list[tuple[list[list[Tensor]], Tensor | None]] = []
    streaming: Any = layer  # Any: whichever layer with `initial_state` and `scan` was found

    def forward(x: Float[Tensor, "b t d"], mask: Bool[Tensor, "b t"] | None = None) -> Float[Tensor, "b t d"]:
        state, outputs = streaming.initial_state(len(x)), []
        states: list[list[Tensor]] = []
        for t in range(x.shape[1]):
            y, state = streaming.scan(x[:, t : t + 1], state, None if mask is None else mask[:, t : t + 1])
            states.append([])
            state = _passed_on(state, states[-1])
            outputs.append(y)
        calls.append((states, mask))
        return torch.cat(outputs, 1)

    streaming.forward = forward  # the instance's own, before that of its class
    try:
        yield calls
    finally:
        del streaming.forward


def _passed_on(state: Any, parts: list[Tensor]) -> Any:
    """Returns the state as the next step sees it, and adds its tensors to `parts`.

    They are new ones: how a step made them from one another, h from s in an LSTM, is not visible to the next step.
    """
    if isinstance(state, Tensor):
        if not state.requires_grad:
            return state
        parts.append(state.view_as(state))
        return parts[-1]
    if isinstance(state, dict):
        return {key: _passed_on(part, parts) for key, part in state.items()}
    return type(state)(_passed_on(part, parts) for part in state)


def _last_alone(batch: Batch, learner: nn.Module) -> tuple[Batch, Bool[Tensor, "b t"] | None]:
    """Leaves of targets for each step each row's last one; returns also the steps up to it, None for all that exist."""
    targets = batch.get("targets")
    sequence = batch.get("tokens", batch.get("inputs"))
    if targets is None or sequence is None or targets.shape[:2] != sequence.shape[:2] or targets.ndim != 2:
        return batch, None
    if getattr(getattr(learner, "loss", None), "ignore_index", None) != IGNORED or targets.is_floating_point():
        raise UserError(
            "the loss is over all steps, and cannot be asked about the last one alone",
            f"a loss with ignore_index: {IGNORED} can: cross-entropy",
        )
    mask = batch.get("mask", torch.ones_like(targets, dtype=torch.bool))
    asked = mask & (targets != IGNORED)
    left = asked.flip(1).cumsum(1).flip(1)  # targets from a step on
    last = asked & (left == 1)
    return {**batch, "targets": torch.where(last, targets, IGNORED)}, mask & (left > 0)

"""Recoding one sentence, one token and one tensor of the state at a time (arXiv:2101.00674)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rk.states import map_states, tensors_of
from rk_recoding.places import chosen, replaced


def error_signal(model: Any, signal: str, hidden: Tensor, gold: int, masks: Tensor | None) -> Tensor:
    """Returns delta_t of one sentence: from probabilities, as the thesis writes them.

    Args:
        model: A model with `head`.
        signal: As of `recoded`.
        hidden: (d,), what the head is given.
        gold: The token that came next.
        masks: (k, d), dropout masks.
    """
    if signal in ("nll", "ppl-token"):
        p = model.head(hidden).softmax(-1)[gold]
        return -p.log() if signal == "nll" else p ** (-p) - 1
    if signal == "mc-entropy":
        assert masks is not None
        answers = [model.head(hidden * mask).softmax(-1) for mask in masks]
    else:
        head = model.head
        answers = [(w @ hidden + b).softmax(-1) for w, b in zip(head.weight, head.bias, strict=True)]
    mean = sum(answers, torch.zeros(())) / len(answers)
    return -(mean * mean.log()).sum()


def recode_sentence(
    model: Any,
    tokens: Tensor,
    gold: Tensor,
    signal: str,
    step: float,
    *,
    redecode: bool,
    num_samples: int = 8,
    mc_dropout: float = 0.2,
) -> tuple[Tensor, list[float]]:
    """Reads one sentence with s' = s - step * d delta / d s after each token, with a pass of autograd per tensor.

    Args:
        model: A language model that streams, without recoding.
        tokens: (t,).
        gold: (t,), the token after each.
        signal: As of `recoded`.
        step: The fixed step.
        redecode: Whether the prediction is that of the recoded activations.
        num_samples: Dropout samples.
        mc_dropout: Share that a sample drops.

    Returns:
        The logits, (t, tokens), and the signal before each step.
    """
    state = model.initial_state(1)
    found, signals = [], []
    seen: list[Tensor] = []
    handle = model.head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        for token, answer in zip(tokens, gold.tolist(), strict=True):
            state = map_states(lambda s: s.detach().requires_grad_() if s.is_floating_point() else s, state)
            with torch.enable_grad():
                seen.clear()
                outputs, state = model.scan(state=state, tokens=token.view(1, 1))
                given = seen[0]
                hidden, masks = given[0, -1], None
                if signal == "mc-entropy":
                    kept = torch.rand(num_samples, 1, hidden.shape[-1]) >= mc_dropout
                    masks = kept[:, 0].to(hidden.dtype) / (1 - mc_dropout)
                delta = error_signal(model, signal, hidden, answer, masks)
            signals.append(delta.item())
            places = list(tensors_of(state))
            new = {}
            for i in chosen(state, "all", None):
                (gradient,) = torch.autograd.grad(delta, places[i], retain_graph=True, allow_unused=True)
                if gradient is not None:
                    new[i] = places[i] - step * gradient
            (of_hidden,) = torch.autograd.grad(delta, given)
            state = map_states(Tensor.detach, replaced(state, new))
            with torch.no_grad():
                recoded = (given - step * of_hidden)[0, -1]
                found.append(model.head(recoded) if redecode else outputs["logits"][0, -1].detach())
    finally:
        handle.remove()
    return torch.stack(found), signals

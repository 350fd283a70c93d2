"""The engine's computation written plainly: one forward pass for every continuation of every path."""

from __future__ import annotations

import torch

from rk_lm.items import Item, Scores
from rk_lm.layered import LayeredModel, Path, run_path


@torch.inference_mode()
def score(model: LayeredModel, item: Item, path: Path) -> Scores:
    """Returns the scores of `item` under `path`: prompt and continuation are run as one sequence, by themselves."""
    greedy, log_probs = [], []
    for continuation in item.continuations:
        tokens = torch.tensor([[*item.prompt, *continuation]])
        logits = run_path(model, tokens, path)[0, len(item.prompt) - 1 : -1].float()
        wanted = torch.tensor(continuation)
        greedy.append(bool((logits.argmax(-1) == wanted).all()))
        log_probs.append(logits.log_softmax(-1).gather(1, wanted.unsqueeze(1)).sum())
    return Scores(torch.tensor(greedy), torch.stack(log_probs))

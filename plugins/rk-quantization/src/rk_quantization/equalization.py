"""Cross-layer equalisation: neighbouring layers around a ReLU share their ranges."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rk import Batch
from rk.authoring import evaluating
from rk_quantization.weights import Weight

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d)
TOLERANCE = 1e-4


@torch.no_grad()
def equalize(learner: nn.Module, weights: Sequence[Weight], batches: Callable[[], Iterator[Batch]], seed: int) -> int:
    """Scales the channels between pairs of layers so that both have the same range there; returns the pairs.

    Nagel et al. 2019 (arXiv:1906.04721), Eq. 11: s_i = sqrt(r1_i r2_i) / r2_i; W1_i and b1_i are divided by s_i,
    column i of W2 is multiplied by it. Because ReLU(s x) = s ReLU(x), the answers stay. A pair is found by what a
    batch goes through: what a layer gives is what a ReLU takes, and what that gives is what the next layer takes. A
    pair whose scaling changes an answer (a residual connection uses the activations too) is taken back.
    """
    batch = next(batches())
    chosen = {id(w.module) for w in weights if isinstance(w.module, LAYERS) and w.parameter is w.module.weight}
    found = 0
    for first, second in _pairs(learner, batch, seed):
        if id(first) not in chosen or id(second) not in chosen or _tied(learner, first, second):
            continue
        kept = [p.clone() for m in (first, second) for p in m.parameters(recurse=False)]
        before = _tensors(learner, batch, seed)
        scale_pair(first, second)
        after = _tensors(learner, batch, seed)
        same = all(torch.allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE) for a, b in zip(before, after, strict=True))
        if same:
            found += 1
        else:
            for p, old in zip((p for m in (first, second) for p in m.parameters(recurse=False)), kept, strict=True):
                p.copy_(old)
    return found


def scale_pair(first: Any, second: Any) -> None:
    """Equalises the channels between two layers, in place: Nagel et al. 2019, Eq. 11."""
    outgoing = first.weight.flatten(1).abs().amax(1)
    incoming = second.weight.transpose(0, 1).flatten(1).abs().amax(1)
    s = (outgoing * incoming).sqrt() / incoming
    s = torch.where((outgoing > 0) & (incoming > 0), s, torch.ones_like(s))
    first.weight.div_(s.view(-1, *[1] * (first.weight.dim() - 1)))
    if first.bias is not None:
        first.bias.div_(s)
    second.weight.mul_(s.view(1, -1, *[1] * (second.weight.dim() - 2)))


def _pairs(learner: nn.Module, batch: Batch, seed: int) -> list[tuple[nn.Module, nn.Module]]:
    """Returns layers with a ReLU between them, as one batch went through them."""
    calls: list[tuple[nn.Module, Tensor, Tensor]] = []

    def see(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if args and isinstance(args[0], Tensor) and isinstance(output, Tensor):
            calls.append((module, args[0], output))

    watched = [m for m in learner.modules() if isinstance(m, (*LAYERS, nn.ReLU, nn.MaxPool1d, nn.MaxPool2d))]
    handles = [m.register_forward_hook(see) for m in watched]
    try:
        _tensors(learner, batch, seed)
    finally:
        for handle in handles:
            handle.remove()
    pairs = []
    for module, _, output in calls:
        if isinstance(module, LAYERS):
            passed, at = False, output
            while len(takers := [c for c in calls if c[1] is at]) == 1:
                follower, _, at = takers[0]
                if isinstance(follower, LAYERS):
                    if passed and type(follower) is type(module) and getattr(follower, "groups", 1) == 1:
                        pairs.append((module, follower))
                    break
                passed = passed or isinstance(follower, nn.ReLU)
    once = [m for m, _, _ in calls]
    return [(a, b) for a, b in pairs if once.count(a) == 1 and once.count(b) == 1]


def _tied(learner: nn.Module, *modules: nn.Module) -> bool:
    """Whether another module has a parameter of one of these too."""
    owned = {id(p) for m in modules for p in m.parameters(recurse=False)}
    if len(owned) < sum(len(list(m.parameters(recurse=False))) for m in modules):
        return True
    return any(id(p) in owned for m in learner.modules() if m not in modules for p in m.parameters(recurse=False))


def _tensors(learner: Any, batch: Batch, seed: int) -> list[Tensor]:
    with evaluating(learner, seed):
        return [v.float() for v in learner.predict(batch).values() if isinstance(v, Tensor)]

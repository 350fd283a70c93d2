"""rk-gradient-noise against the same operations written tensor by tensor, or one network at a time; one thread.

python benchmarks/gradient_noise.py
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import torch
from paired import interleave, report, seconds
from rk_gradient_noise import naive
from rk_gradient_noise.clipping import clip_members
from rk_gradient_noise.ensemble import DeepMLPEnsemble
from rk_gradient_noise.loss import MemberCrossEntropy
from rk_gradient_noise.model import DeepMLP
from rk_gradient_noise.noise import add_noise
from torch import Tensor, nn
from torch.nn import functional

FEATURES, CLASSES, BATCH = 64, 10, 32


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    noise("Noise on the gradients of deep-mlp (20 x 50)", DeepMLP(FEATURES, CLASSES), repeat=20)
    noise("Noise on the gradients of ten of them", DeepMLPEnsemble(FEATURES, CLASSES, 10), repeat=5)
    clipping(members=10)
    for members in (1, 4, 10):
        restarts(members)


def noise(title: str, model: nn.Module, repeat: int) -> None:
    """One draw and one fused addition, against a draw, two filled tensors and an addition for every parameter."""
    gradients = [torch.zeros_like(p) for p in model.parameters()]
    random, steps = torch.Generator().manual_seed(0), count()

    def at_once() -> None:
        for _ in range(repeat):
            add_noise(gradients, 1e-3, 0, next(steps))

    def tensor_by_tensor() -> None:
        for _ in range(repeat):
            naive.add_noise(gradients, 1e-3, random)

    compare(f"{title}, {repeat} times", {"torch.normal, tensor by tensor": tensor_by_tensor, "at once": at_once}, 30)


def clipping(members: int) -> None:
    """All members by their own norms at once, against torch's clip_grad_norm_ for one after the other."""
    model = DeepMLPEnsemble(FEATURES, CLASSES, members)
    gradients = [torch.randn_like(p) for p in model.parameters()]
    slow = [g.clone() for g in gradients]
    clip_members(gradients, 10.0)
    naive.clip_members(slow, 10.0)
    for fast, plain in zip(gradients, slow, strict=True):
        torch.testing.assert_close(fast, plain)
    contestants = {
        "clip_grad_norm_, one by one": lambda: naive.clip_members(slow, 10.0),
        "all members at once": lambda: clip_members(gradients, 10.0),
    }
    compare(f"Clipping {members} members, each by its own norm", contestants, 30)


def restarts(members: int) -> None:
    """A training step of all members, gradients clipped and noisy, against a step of each network on its own."""
    ensemble = DeepMLPEnsemble(FEATURES, CLASSES, members, init="he")
    alone = [ensemble.member(k) for k in range(members)]
    inputs, targets = torch.rand(BATCH, FEATURES), torch.randint(CLASSES, (BATCH,))
    steps = count()

    def one_step(model: nn.Module, loss: Callable[[], Tensor], clip: Callable[[list[Tensor]], object]) -> None:
        loss().backward()
        gradients = [p.grad for p in model.parameters()]
        clip(gradients)
        add_noise(gradients, 1e-3, 0, next(steps))
        with torch.no_grad():
            torch._foreach_add_(list(model.parameters()), gradients, alpha=-1e-3)
        model.zero_grad()

    def together() -> None:
        def loss() -> Tensor:
            total, examples = MemberCrossEntropy()(**ensemble(inputs=inputs), targets=targets)
            return total / examples

        one_step(ensemble, loss, lambda gradients: clip_members(gradients, 10.0))

    def one_by_one() -> None:
        for network in alone:
            one_step(
                network,
                lambda network=network: functional.cross_entropy(network(inputs=inputs)["logits"], targets),
                lambda gradients, network=network: nn.utils.clip_grad_norm_(network.parameters(), 10.0),
            )

    title = f"A step of {members} restarts of deep-mlp, batch {BATCH}"
    compare(title, {"networks one by one": one_by_one, "one ensemble": together}, 20)


def compare(title: str, contestants: dict[str, Callable[[], object]], rounds: int) -> None:
    """Takes turns and reports medians; the first contestant is the baseline."""
    timed = {name: lambda call=call: seconds(call) for name, call in contestants.items()}
    report(title, interleave(timed, rounds), baseline=next(iter(contestants)))


if __name__ == "__main__":
    main()

"""rk-timescales against the loop that such networks are trained by otherwise: masks and copies in each step, all heads.

python benchmarks/timescales.py
"""

from __future__ import annotations

from functools import partial

import torch
from paired import interleave, process_seconds, report
from rk_timescales import naive
from rk_timescales.dms import NDMS
from rk_timescales.layer import Leaky
from rk_timescales.loss import HeadCrossEntropy
from torch import Tensor, nn
from torch.nn import functional as F

from rk.fields import IGNORED

HEADS = 100
"""Heads that are allocated up front."""


class StepByStep(nn.Module):
    """The equations, step by step: W is masked, tau clamped and the state copied in each; all heads answer."""

    def __init__(self, layer: Leaky, inputs: nn.Linear, bank: nn.Linear) -> None:
        super().__init__()
        self.layer, self.inputs = layer, inputs
        self.heads = nn.ModuleList(nn.Linear(bank.in_features, 2) for _ in range(HEADS))
        with torch.no_grad():
            for k, head in enumerate(self.heads):
                head.weight.copy_(bank.weight[2 * k : 2 * k + 2])
                head.bias.copy_(bank.bias[2 * k : 2 * k + 2])

    def forward(self, bits: Tensor, state: Tensor, targets: Tensor) -> Tensor:
        states = []
        for x_t in self.inputs(bits).split(1, 1):
            state = naive.leaky(self.layer, x_t, state).squeeze(1).clone()
            states.append(state)
        answers = [head(states[-1]) for head in self.heads]
        asked = [k for k in range(HEADS) if targets[0, k] != IGNORED]
        return sum(F.cross_entropy(answers[k], targets[:, k]) for k in asked)


class Hoisted(nn.Module):
    """The layer and the loss of this plugin, as the model `sequence` runs them."""

    def __init__(self, layer: Leaky, inputs: nn.Linear, bank: nn.Linear) -> None:
        super().__init__()
        self.layer, self.inputs, self.bank = layer, inputs, bank

    def forward(self, bits: Tensor, state: Tensor, targets: Tensor) -> Tensor:
        last = self.layer.scan(self.inputs(bits), state)[1]
        total, count = HeadCrossEntropy()(logits=self.bank(last), targets=targets)
        return total / count


def main() -> None:
    """Prints training steps of a small and of the paper's size, and each part of the difference alone."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for neurons, batch, newest in ((128, 128, 6), (500, 256, 11)):
        compared(neurons, batch, newest)


def compared(neurons: int, batch: int, newest: int) -> None:
    """Times forward and backward of one batch that asks all N up to `newest`, after seeing that the losses agree."""
    layer = Leaky(d_model=neurons, input_weights=False)
    inputs, bank = nn.Linear(1, neurons), nn.Linear(neurons, 2 * HEADS)
    data = NDMS(seed=0, largest=HEADS + 1, batch_size=batch)
    examples = data.batch("train", 0, newest - 2)
    bits, targets, state = examples["inputs"], examples["targets"], layer.initial_state(batch)
    ways = {"step by step, all heads": StepByStep(layer, inputs, bank), "the layer": Hoisted(layer, inputs, bank)}
    losses = [way(bits, state, targets) for way in ways.values()]
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-4, atol=1e-4)

    def train(way: nn.Module) -> None:
        way.zero_grad()
        way(bits, state, targets).backward()

    title = f"{neurons} neurons, batch {batch}, {bits.shape[1]} steps, N = 2 to {newest}: forward and backward"
    found = interleave({name: partial(process_seconds, partial(train, way)) for name, way in ways.items()}, rounds=9)
    report(title, found, baseline="step by step, all heads")


if __name__ == "__main__":
    main()

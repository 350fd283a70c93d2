"""rk-rnn against the same cells written as their equations, and as a loop over torch's cells; one thread.

python benchmarks/rnn.py
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from paired import interleave, report, seconds
from rk_rnn import naive
from rk_rnn.gru import GRU
from rk_rnn.jordan import Jordan
from rk_rnn.lstm import LSTM
from rk_rnn.lstm_loop import unroll
from rk_rnn.recurrent import Recurrent
from torch import Tensor
from torch.nn import functional as F

SIZES = ((50, 50, 48, 48), (32, 100, 64, 128), (32, 100, 256, 256))
"""Batch, steps, width, hidden size: that of the recipes, a middling one, a large one."""


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for b, t, d, h in SIZES:
        lstm(torch.randn(b, t, d), h)
    b, t, d, h = SIZES[1]
    x = torch.randn(b, t, d)
    for title, layer in {
        "LSTM, no forget gate": LSTM(d_model=d, hidden_size=h, forget="none"),
        "LSTM, coupled gates": LSTM(d_model=d, hidden_size=h, forget="coupled"),
        "LSTM, peepholes": LSTM(d_model=d, hidden_size=h, peepholes=True),
        "GRU": GRU(d_model=d, hidden_size=h),
        "GRU, reset before": GRU(d_model=d, hidden_size=h, reset="before"),
        "Jordan": Jordan(d_model=d, hidden_size=h),
        "Jordan, no self-connections": Jordan(d_model=d, hidden_size=h, self_connection=0.0),
    }.items():
        against_equations(title, layer, x)
    masks(x, h)
    decoding(d, h)


def lstm(x: Tensor, h: int) -> None:
    """Four ways through one LSTM, forward and backward."""
    layer = LSTM(d_model=x.shape[2], hidden_size=h)

    def cells() -> Tensor:
        hidden, steps = layer.initial_state(len(x)), []
        for x_t in x.unbind(1):
            hidden = torch.lstm_cell(x_t, hidden, *layer.weights)
            steps.append(hidden[0])
        return layer.out(torch.stack(steps, 1))

    def loop() -> Tensor:
        sums = F.linear(x.transpose(0, 1), layer.weight_ih, layer.bias_ih + layer.bias_hh)
        peephole = torch.zeros(3, h)
        hidden, _ = unroll(sums, *layer.initial_state(len(x)), layer.weight_hh, peephole, None, "gate")
        return layer.out(hidden.transpose(0, 1))

    ways = {
        "eight products a step (the equations)": lambda: naive.lstm(layer, x, layer.initial_state(len(x)))[0],
        "a loop over torch's cell": cells,
        "products with inputs hoisted, backward by hand": loop,
        "fused kernel (the layer)": lambda: layer(x),
    }
    compare(f"LSTM, {describe(x, h)}", layer, ways)


def against_equations(title: str, layer: Recurrent, x: Tensor) -> None:
    """A layer and its naive twin, forward and backward."""
    twin = naive.TWINS[type(layer)]
    ways = {
        "the equations": lambda: twin(layer, x, layer.initial_state(len(x)))[0],
        "the layer": lambda: layer(x),
    }
    compare(f"{title}, {describe(x, layer.hidden_size)}", layer, ways)


def masks(x: Tensor, h: int) -> None:
    """Rows of different lengths: what a mask costs the fused kernel."""
    layer = LSTM(d_model=x.shape[2], hidden_size=h)
    mask = torch.arange(x.shape[1]) < torch.randint(x.shape[1] // 2, x.shape[1] + 1, (len(x), 1))
    ways = {
        "the equations, masked": lambda: naive.lstm(layer, x, layer.initial_state(len(x)), mask)[0],
        "the layer, masked": lambda: layer(x, mask),
    }
    compare(f"LSTM, {describe(x, h)}, half to all of the steps", layer, ways)
    timed = {"without a mask": partial(backward, layer, lambda: layer(x))}
    timed["with one"] = partial(backward, layer, lambda: layer(x, mask))
    report(
        "The same, a mask alone", interleave({k: partial(seconds, f) for k, f in timed.items()}, 9), "without a mask"
    )


def decoding(d: int, h: int) -> None:
    """One step at a time, as when generating."""
    layer, x = LSTM(d_model=d, hidden_size=h), torch.randn(1, 1, d)
    state = layer.initial_state(1)

    @torch.no_grad()
    def steps(scan: Callable) -> None:
        for _ in range(100):
            scan(x, state)

    timed = {"the equations": partial(naive.lstm, layer), "the layer": layer.scan}
    found = interleave({k: partial(seconds, partial(steps, scan)) for k, scan in timed.items()}, 20)
    report(f"100 single steps of an LSTM, batch 1, {d} -> {h}", found, "the equations")


def describe(x: Tensor, h: int) -> str:
    b, t, d = x.shape
    return f"batch {b}, {t} steps, {d} -> {h}"


def backward(layer: Recurrent, forward: Callable[[], Tensor]) -> tuple[Tensor, ...]:
    return torch.autograd.grad(forward().square().mean(), list(layer.parameters()))


def compare(title: str, layer: Recurrent, ways: dict[str, Callable[[], Tensor]]) -> None:
    """Takes turns and reports medians, after seeing that all agree; the first one is the baseline."""
    calls = {name: partial(backward, layer, way) for name, way in ways.items()}
    expected, *others = (call() for call in calls.values())
    for gradients in others:
        torch.testing.assert_close(gradients, expected, rtol=1e-3, atol=1e-6)
    found = interleave({name: partial(seconds, call) for name, call in calls.items()}, rounds=9)
    report(f"{title}: forward and backward", found, baseline=next(iter(ways)))


if __name__ == "__main__":
    main()

"""rk-sparse-rnn against loops over steps with a product of weights and mask in each; CPU seconds of one thread.

python benchmarks/sparse_rnn.py
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from paired import interleave, process_seconds, report
from rk_rnn.gru import GRU
from rk_sparse_rnn import naive
from rk_sparse_rnn.layer import GraphRNN
from rk_sparsity.masks import Masks
from torch import Tensor
from torch.nn import functional as F

BATCH, STEPS, WIDTH = 64, 21, 50
"""Those of the recipes; a Reber string has 21 symbols on average."""


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    pruned()
    for graph in ("watts-strogatz", "barabasi-albert"):
        wired(GraphRNN(d_model=16, seed=1, graph=graph, nodes=30))


def pruned() -> None:
    """A step of training of three layers of GRU cells with a tenth of their weights."""
    layers = [GRU(d_model=WIDTH) for _ in range(3)]
    weights = {f"{i}.{name}": w for i, one in enumerate(layers) for name, w in one.named_parameters() if w.dim() == 2}
    masks = Masks(weights)
    masks.set({name: torch.rand_like(w) < 0.1 for name, w in weights.items()})
    numbers = {name: kept.float() for name, kept in masks.kept.items()}
    parameters = [w for one in layers for w in one.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=0.0)
    x = torch.randn(BATCH, STEPS, WIDTH)
    masks.apply()

    def fused(hidden: Tensor) -> Tensor:
        for one in layers:
            hidden = one(hidden)
        return hidden

    def published(hidden: Tensor) -> Tensor:
        for i, one in enumerate(layers):
            state, states = hidden.new_zeros(len(hidden), WIDTH), []
            for x_t in hidden.unbind(1):
                of_input = F.linear(x_t, one.weight_ih * numbers[f"{i}.weight_ih"], one.bias_ih)
                of_state = F.linear(state, one.weight_hh * numbers[f"{i}.weight_hh"], one.bias_hh)
                i_r, i_z, i_n = of_input.chunk(3, 1)
                h_r, h_z, h_n = of_state.chunk(3, 1)
                r, z = (i_r + h_r).sigmoid(), (i_z + h_z).sigmoid()
                n = (i_n + r * h_n).tanh()
                state = n + z * (state - n)
                states.append(state)
            hidden = torch.stack(states, 1)
        return hidden

    torch.testing.assert_close(fused(x), published(x), atol=1e-5, rtol=1e-4)

    def step(forward: Callable[[Tensor], Tensor], masked: bool) -> None:
        optimizer.zero_grad()
        forward(x).square().mean().backward()
        if masked:
            masks.mask_gradients(parameters)
        optimizer.step()
        if masked:
            masks.apply()

    contestants = {
        "product with the mask in each step": (published, False),
        "fused kernels, masks after the update": (fused, True),
        "fused kernels, dense": (fused, False),
    }
    found = interleave({name: partial(process_seconds, partial(step, *how)) for name, how in contestants.items()}, 15)
    report(f"GRU 3 x {WIDTH}, {BATCH} strings of {STEPS}, a step of training", found, next(iter(contestants)))


def wired(layer: GraphRNN) -> None:
    """Forward and backward of a network that a graph wires."""
    x = torch.randn(BATCH, STEPS, 16)

    def one_by_one() -> None:
        naive.unroll(layer, x, parts).square().mean().backward()

    def fused() -> None:
        layer(x).square().mean().backward()

    parts = naive.cells(layer)
    torch.testing.assert_close(layer(x), naive.unroll(layer, x, parts), atol=1e-5, rtol=1e-4)
    for part in parts:  # matrices of its own, as in the published code
        part.weight_ih = part.weight_ih.detach().requires_grad_()
        part.weight_hh = part.weight_hh.detach().requires_grad_()
        part.bias_ih, part.bias_hh = (b.detach().requires_grad_() for b in (part.bias_ih, part.bias_hh))
    contestants = {"cell by cell, step by step": one_by_one, "a recurrence for each layer": fused}
    found = interleave({name: partial(process_seconds, call) for name, call in contestants.items()}, 9)
    title = f"{len(parts)} cells in {len(layer.plan.levels)} layers, {layer.edges.shape[1]} edges, forward and backward"
    report(title, found, next(iter(contestants)))


if __name__ == "__main__":
    main()

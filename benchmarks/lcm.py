"""rk-lcm's tree against a fold by a GRU and against PyTorch Geometric's LCMAggregation, by the CPU time of one thread.

python benchmarks/lcm.py
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from paired import interleave, report
from rk_graphs.aggregators import GRUAggregator
from rk_lcm import naive
from rk_lcm.aggregator import LCM
from torch import Tensor
from torch_geometric.nn.aggr import LCMAggregation

WIDTH = 48
LONG = 1024


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    against_the_fold()
    against_the_recursion()
    against_pytorch_geometric()
    growth()


def seconds(function: Callable[[], object]) -> float:
    """Returns the CPU seconds of one call: with one thread, the time that it takes when nothing else runs."""
    start = time.process_time()
    function()
    return time.process_time() - start


def as_theirs(layer: LCM) -> LCMAggregation:
    """Returns PyTorch Geometric's aggregation with the weights of ours, without a projection."""
    theirs, operator, d = LCMAggregation(WIDTH, WIDTH, project=False), layer.operator, WIDTH
    with torch.no_grad():
        theirs.gru_cell.weight_ih.copy_(torch.cat([operator.both.weight[:, :d], operator.new_input.weight]))
        theirs.gru_cell.weight_hh.copy_(torch.cat([operator.both.weight[:, d:], operator.new_state.weight]))
        theirs.gru_cell.bias_ih.copy_(torch.cat([operator.both.bias, operator.new_input.bias]))
        theirs.gru_cell.bias_hh.copy_(torch.cat([torch.zeros(2 * d), operator.new_state.bias]))
    return theirs


def make(**settings: object) -> LCM:
    return LCM(d_model=WIDTH, project=False, shuffle="never", **settings)


def forward(layer: Callable[..., Tensor], x: Tensor, index: Tensor, groups: int) -> Callable[[], Tensor]:
    @torch.no_grad()
    def run() -> Tensor:
        return layer(x, index, groups)

    return run


def both(layer: Callable[..., Tensor], x: Tensor, index: Tensor, groups: int) -> Callable[[], Tensor]:
    x = x.clone().requires_grad_()

    def run() -> Tensor:
        return torch.autograd.grad(layer(x, index, groups).sum(), x)[0]

    return run


def compare(title: str, runs: dict[str, Callable[[], Tensor]], limits: dict[str, float] | None = None) -> None:
    """Takes turns and reports medians; the first contestant is the baseline."""
    for run in runs.values():
        run()
    timed = {name: lambda run=run: seconds(run) for name, run in runs.items()}
    report(title, interleave(timed, 7), baseline=next(iter(runs)), limits=limits)


def against_the_fold() -> None:
    """Sets of 1024 items: ten levels against 1024 steps."""
    tree, small, fold = make(), make(symmetrize="max-min"), GRUAggregator(d_model=WIDTH, shuffle=False)
    for sets in (1, 4, 32):
        x, index = torch.randn(sets * LONG, WIDTH), torch.arange(sets).repeat_interleave(LONG)
        layers = {"GRU, item by item": fold, "tree": tree, "tree, max-min": small}
        title = f"{sets} sets of {LONG} items, width {WIDTH}"
        limits = {"tree": 1 / 5} if sets == 1 else None
        compare(f"{title}, forward", {name: forward(layer, x, index, sets) for name, layer in layers.items()}, limits)
        compare(f"{title}, both passes", {name: both(layer, x, index, sets) for name, layer in layers.items()}, limits)


def against_the_recursion(sets: int = 16, size: int = 32) -> None:
    """The same tree, written as a recursion over each set."""
    layer = make()
    x, index = torch.randn(sets * size, WIDTH), torch.arange(sets).repeat_interleave(size)

    def one_by_one(x: Tensor, index: Tensor, groups: int) -> Tensor:
        return torch.stack([naive.aggregate(layer, list(x[index == group])) for group in range(groups)])

    torch.testing.assert_close(layer(x, index, sets), one_by_one(x, index, sets), rtol=1e-4, atol=1e-5)
    layers = {"recursion": one_by_one, "levels": layer}
    compare(f"{sets} sets of {size} items, forward", {n: forward(f, x, index, sets) for n, f in layers.items()})


def against_pytorch_geometric() -> None:
    """The same operator on sets of one size, where both agree, and on sizes as neighbourhoods have them."""
    layer = make()
    theirs = as_theirs(layer)
    layers = {"PyTorch Geometric": lambda x, index, groups: theirs(x, index, dim_size=groups), "tree": layer}
    for sets, size in ((128, 9), (128, 64), (4, LONG)):
        x, index = torch.randn(sets * size, WIDTH), torch.arange(sets).repeat_interleave(size)
        torch.testing.assert_close(
            layer(x, index, sets), layers["PyTorch Geometric"](x, index, sets), rtol=1e-4, atol=1e-5
        )
        title = f"{sets} sets of {size} items"
        compare(f"{title}, forward", {name: forward(f, x, index, sets) for name, f in layers.items()})
        compare(f"{title}, both passes", {name: both(f, x, index, sets) for name, f in layers.items()})
    sizes = (1 / (1 - torch.rand(1000))).clamp(max=200).long()  # most have one to four items, a few a hundred
    index = torch.arange(1000).repeat_interleave(sizes)
    x = torch.randn(len(index), WIDTH)
    title = f"1000 neighbourhoods of 1 to {int(sizes.max())} items, {len(index)} in all"
    compare(f"{title}, forward", {name: forward(f, x, index, 1000) for name, f in layers.items()})
    compare(f"{title}, both passes", {name: both(f, x, index, 1000) for name, f in layers.items()})


def growth(rounds: int = 7) -> None:
    """Time of one set as it grows: ratios are formed round by round."""
    tree, fold = make(), GRUAggregator(d_model=WIDTH, shuffle=False)
    sizes = (64, 256, 1024, 4096)
    print(f"\nOne set, forward, width {WIDTH}: median of {rounds} rounds")
    for name, layer in (("tree", tree), ("GRU, item by item", fold)):
        runs = {n: forward(layer, torch.randn(n, WIDTH), torch.zeros(n, dtype=torch.int64), 1) for n in sizes}
        for run in runs.values():
            run()
        times = interleave({str(n): lambda run=run: seconds(run) for n, run in runs.items()}, rounds)
        for n in sizes:
            print(
                f"  {name:20} {n:5} items {times[str(n)] * 1e3:9.3f} ms   {n // sizes[0]:3}x items: "
                f"{times[str(n)] / times[str(sizes[0])]:6.1f}x time"
            )


if __name__ == "__main__":
    main()

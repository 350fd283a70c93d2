"""rk-rrn against its naive forms and a message-passing layer of torch_geometric, by the CPU time of one thread.

python benchmarks/rrn.py

All of them compute one step of messages, forward and backward, with the same weights: `usual` concatenates both ends of
every edge and scatters; `torch_geometric` does the same by its `MessagePassing`; `loops` is the twin of the tests.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from paired import interleave, report
from rk_graphs.layers import delete_generated
from rk_rrn import naive
from rk_rrn.graph import Edges, neighbour_index
from rk_rrn.messages import Messages
from rk_rrn.puzzles import minimal_puzzles, random_grids
from rk_rrn.recurrence import Recurrence
from rk_rrn.solver import Grid, neighbours
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torch_geometric.nn import MessagePassing
from torch_geometric.nn.aggr import SumAggregation

SMALL, LARGE = Grid(2, 3), Grid(3, 3)


class PyGMessages(MessagePassing):
    """The same messages as a torch_geometric layer: nodes of all graphs in one axis, an edge index."""

    def __init__(self, messages: Messages) -> None:
        super().__init__(aggr=SumAggregation())
        self.messages = messages
        delete_generated(self)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.propagate(edge_index, x=x)

    def message(self, x_i: Tensor, x_j: Tensor) -> Tensor:
        return naive.mlp(self.messages.f, x_j, x_i)


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    messages("6x6, 32 sudokus, 48 wide", SMALL, 32, 48)
    messages("9x9, 8 sudokus, 96 wide", LARGE, 8, 96)
    loops()
    checkpoints()
    puzzles()


def seconds(function: Callable[[], object]) -> float:
    """Returns the CPU seconds of one call: with one thread, the time that it takes when nothing else runs."""
    start = time.process_time()
    function()
    return time.process_time() - start


def differentiated(function: Callable[[Tensor], Tensor], x: Tensor, net: nn.Module) -> Callable[[], float]:
    """Returns the seconds of a forward and a backward pass."""

    def run() -> float:
        def both() -> None:
            function(x).square().sum().backward()
            net.zero_grad()

        return seconds(both)

    return run


def messages(title: str, grid: Grid, batch: int, width: int) -> None:
    """One step of messages of a batch."""
    rows = neighbours(grid)
    net = Messages(width, 3)
    edges = Edges(*neighbour_index(rows))
    x = torch.randn(grid.cells, batch, width, requires_grad=True)
    flat = torch.randn(batch * grid.cells, width, requires_grad=True)
    pairs = torch.tensor([(i, j) for j, row in enumerate(rows) for i in row]).T
    edge_index = (pairs.unsqueeze(1) + grid.cells * torch.arange(batch).view(1, -1, 1)).flatten(1)
    holder = Recurrence(width, 3)
    holder.messages = net
    pyg = PyGMessages(net)
    forms: dict[str, tuple[Callable[[Tensor], Tensor], Tensor]] = {
        "usual": (lambda h: naive.concatenated_step(holder, h, rows), x),
        "torch_geometric": (lambda h: pyg(h, edge_index), flat),
        "rk-rrn": (lambda h: net(h, edges), x),
    }
    found = interleave({name: differentiated(form, at, net) for name, (form, at) in forms.items()}, 7)
    report(title, found, "usual")
    for name, (form, at) in forms.items():
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            form(at)
        print(f"  {name:<44} {counter.get_total_flops() / 2e6:10.1f} M multiply-adds forward")


def loops() -> None:
    """One step of one sudoku, edge by edge."""
    rows = neighbours(SMALL)
    net = Recurrence(48, 3)
    edges = Edges(*neighbour_index(rows))
    x = torch.randn(SMALL.cells, 48, requires_grad=True)
    contestants = {
        "loops over edges": differentiated(lambda h: naive.recurrence(net, h, rows, 1), x, net),
        "rk-rrn": differentiated(lambda h: net(h.unsqueeze(1), edges, 1), x, net),
    }
    report("6x6, one sudoku, one step", interleave(contestants, 5), "loops over edges")


def checkpoints() -> None:
    """What a step that is computed again costs; what it saves is memory: activations of one step in place of all."""
    rows = neighbours(SMALL)
    edges = Edges(*neighbour_index(rows))
    x = torch.randn(SMALL.cells, 32, 48, requires_grad=True)
    nets = {name: Recurrence(48, 3, checkpoint_steps=again) for name, again in (("kept", False), ("again", True))}
    contestants = {name: differentiated(lambda h, net=net: net(h, edges, 8), x, net) for name, net in nets.items()}
    report("6x6, 32 sudokus, 8 steps: activations kept, or computed again", interleave(contestants, 3), "kept")


def puzzles() -> None:
    """Minimal 6x6 puzzles, as `sudoku` generates them."""
    random = np.random.default_rng(0)
    solutions = random_grids(1000, SMALL, random)
    taken = seconds(lambda: minimal_puzzles(solutions, SMALL, random))
    print(f"\n1000 minimal 6x6 puzzles\n  {taken:.2f} s")


if __name__ == "__main__":
    main()

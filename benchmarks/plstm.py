"""rk-plstm: parallel forms against their loops over nodes, growth with the length, by CPU time of one thread.

python benchmarks/plstm.py
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from unittest.mock import patch

import numpy as np
import torch
from paired import interleave, process_seconds, report
from rk_plstm import gates, naive, ops
from rk_plstm.gates import GridGates, line_segment
from rk_plstm.layer import PLSTM
from rk_sequence.attention import Attention
from torch import Tensor

LENGTHS = (128, 256, 512, 1024, 2048, 4096)
SIDES = (4, 8, 12, 16, 24)


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    lines()
    depth()
    grids()
    layers()
    decoding()


def line_inputs(t: int) -> list[Tensor]:
    """Two sequences, four heads of 16."""
    parts = [torch.randn(2, 4, t, 16, requires_grad=True) for _ in range(3)]
    return [*parts, *(torch.rand(2, 4, t, requires_grad=True) for _ in range(4)), torch.zeros(2, 4, 16, 16)]


def compared(
    title: str, sizes: tuple[int, ...], made: Callable[[int], dict[str, Callable[[], Tensor]]], baseline: str
) -> None:
    """Prints forward and backward passes at every size, and the exponents that fit them."""
    times: dict[str, list[float]] = {}
    for size in sizes:
        calls = {name: (lambda f=f: f().square().sum().backward()) for name, f in made(size).items()}
        found = interleave({n: (lambda f=f: process_seconds(f)) for n, f in calls.items()}, 3)  # type: ignore[misc]
        report(f"{title}, forward and backward, {size}", found, baseline)
        for name, value in found.items():
            times.setdefault(name, []).append(value)
    print("\nexponents:")
    for name, values in times.items():
        print(f"  {name:<44} {exponent(sizes[-len(values) :], values):.2f}")


def lines() -> None:
    """Prints a line in chunks, as one gate matrix, and step by step."""

    def made(t: int) -> dict[str, Callable[[], Tensor]]:
        inputs = line_inputs(t)
        functions: dict[str, Callable[[], Tensor]] = {
            "chunks of 64": lambda: ops.plstm_1d(*inputs, chunk=64)[0],
            "one chunk": lambda: ops.plstm_1d(*inputs, chunk=t)[0],
            "step by step": lambda: naive.line(*inputs)[0],
        }
        return functions

    compared("steps", LENGTHS, made, "chunks of 64")


def counted(function: Callable[[], object]) -> int:
    """Returns the rounds that follow each other: merges of segments or rows, both halves of each round over chunks."""
    calls = [0]

    def counting(inner: Callable[..., object], rounds: int) -> Callable[..., object]:
        def wrapped(*args: object) -> object:
            calls[0] += rounds
            return inner(*args)

        return wrapped

    with (
        patch.object(gates, "merge", counting(gates.merge, 1)),
        patch.object(gates, "_stacked", counting(gates._stacked, 1)),
        patch.object(ops, "carried", counting(ops.carried, 2)),
    ):
        function()
    return calls[0]


def depth() -> None:
    """Prints the rounds that follow each other, against the length or the side, and the exponents that fit them."""
    print("\nrounds one after the other:")
    lengths, rounds = [2**n for n in range(4, 17, 2)], []
    for t in lengths:
        inputs = [x.detach() for x in line_inputs(t)]
        chunked = counted(lambda inputs=inputs: ops.plstm_1d(*inputs, chunk=64))  # type: ignore[misc]
        rounds.append(chunked)
        tree = counted(lambda t=t: line_segment(*torch.rand(4, t))) if t <= 4096 else 0  # type: ignore[misc]
        print(f"  {t:>6} steps   chunks of 64: {chunked:>3}   one gate matrix: {tree or '-':>3}   step by step: {t}")
    print(f"  chunks of 64: {growth(lengths, rounds)}")
    sides, rounds = [4, 8, 16, 32], []
    for side in sides:
        grid, direct = GridGates(*(torch.rand(4, side, side) for _ in range(8))), torch.rand(side, side)
        rounds.append(counted(lambda grid=grid, direct=direct: gates.grid_matrix(grid, direct)))  # type: ignore[misc]
        print(f"  {side:>6} x {side:<4} cells, gate matrix: {rounds[-1]:>3}   cell by cell: {4 * side * side}")
    print(f"  cells, by side: {growth(sides, rounds)}")


def exponent(sizes: Sequence[int], values: Sequence[float]) -> float:
    """Returns the power of the size that fits the values."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def growth(sizes: Sequence[int], rounds: Sequence[int]) -> str:
    """Returns the power of the size that fits the rounds, and what each doubling of the size adds to them."""
    added = np.polyfit(np.log2(sizes), rounds, 1)[0]
    return f"exponent {exponent(sizes, rounds):.2f}; a doubling adds {added:.1f}"


def grids() -> None:
    """Prints a grid in four orientations, and the loop over its cells."""

    def made(side: int) -> dict[str, Callable[[], Tensor]]:
        q, k, v = (torch.randn(4, 2, side, side, 16, requires_grad=True) for _ in range(3))
        grid = GridGates(*((torch.rand(4, 2, 4, side, side) / 2).requires_grad_() for _ in range(8)))
        direct = torch.rand(4, 2, side, side, requires_grad=True)
        return {
            "gate matrix": lambda: ops.plstm_2d(q, k, v, grid, direct),
            "cell by cell": lambda: naive.grid(q, k, v, grid, direct),
        }

    compared("grids of n x n cells", SIDES, made, "gate matrix")


def layers() -> None:
    """Prints the layer beside attention over all steps."""
    plstm, attention = PLSTM(d_model=64), Attention(d_model=64)

    def made(t: int) -> dict[str, Callable[[], Tensor]]:
        x = torch.randn(2, t, 64)
        return {"plstm": lambda: plstm(x), "attention": lambda: attention(x)}

    compared("layers, steps", LENGTHS, made, "plstm")


def decoding() -> None:
    """Prints one more step after 2000, from the state and from the beginning."""
    layer = PLSTM(d_model=64).eval()
    x = torch.randn(1, 2001, 64)
    with torch.no_grad():
        _, state = layer.scan(x[:, :2000], layer.initial_state(1))
        calls: dict[str, Callable[[], object]] = {
            "from the state": lambda: layer.scan(x[:, 2000:], state),
            "all steps again": lambda: layer(x),
        }
        found = interleave({n: (lambda f=f: process_seconds(f)) for n, f in calls.items()}, 5)  # type: ignore[misc]
    report("one more step after 2000", found, "from the state")


if __name__ == "__main__":
    main()

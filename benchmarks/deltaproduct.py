"""rk-deltaproduct against the recurrence and flash-linear-attention's torch code, by the CPU time of one thread.

python benchmarks/deltaproduct.py

The lines of flash-linear-attention appear where `fla-core` and `einops` are installed. Its kernels need a GPU; what it
has for the CPU is the code that its own tests compare with, read here from the files that it installs.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import torch
from paired import interleave, process_seconds, report
from rk_deltaproduct import naive
from rk_deltaproduct.layer import DeltaProduct
from rk_deltaproduct.ops import delta_product
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

Operation = Callable[..., tuple[Tensor, Tensor]]
BATCH, HEADS, WIDTH = 4, 4, 32


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for n in (1, 2, 4):
        against_the_recurrence(n)
    against_chunkwise_torch()
    chunk_sizes()
    growth()
    decoding()


def make_inputs(t: int, n: int) -> list[Tensor]:
    """Returns q, k, v and beta, all of which ask for a gradient."""
    inputs = [
        torch.randn(BATCH, t, HEADS, WIDTH),
        F.normalize(torch.randn(BATCH, t, n, HEADS, WIDTH), dim=-1),
        torch.randn(BATCH, t, n, HEADS, WIDTH),
        2 * torch.rand(BATCH, t, n, HEADS),
    ]
    return [x.requires_grad_() for x in inputs]


def differentiated(operation: Operation, inputs: list[Tensor]) -> Callable[[], tuple[Tensor, ...]]:
    """Returns a forward and backward pass."""

    def run() -> tuple[Tensor, ...]:
        outputs, state = operation(*inputs)
        return torch.autograd.grad(outputs.sum() + state.sum(), inputs)

    return run


def against_the_recurrence(n: int, t: int = 512) -> None:
    """Forward and backward pass over 512 tokens."""
    inputs = make_inputs(t, n)
    contestants: dict[str, Operation] = {"the recurrence": naive.delta_product, "in chunks": delta_product}
    if reference := installed("fla/ops/gated_delta_product/naive.py"):

        def fla(q: Tensor, k: Tensor, v: Tensor, beta: Tensor) -> tuple[Tensor, Tensor]:
            return reference.naive_recurrent_gated_delta_product(
                q, k.flatten(1, 2), v.flatten(1, 2), None, beta.flatten(1, 2), WIDTH**-0.5, num_householder=n
            )

        contestants["flash-linear-attention, recurrence"] = fla
    title = f"Forward and backward, batch {BATCH}, {t} tokens, {HEADS} heads of {WIDTH}, n_h {n}"
    compare(title, contestants, inputs, rounds=5, limits={"in chunks": 1 / 15} if n == 2 else None)


def against_chunkwise_torch(t: int = 512) -> None:
    """The same for DeltaNet, which flash-linear-attention has in chunks too."""
    reference = installed("fla/ops/delta_rule/naive.py")
    if reference is None:
        return
    inputs = make_inputs(t, 1)

    def fla(q: Tensor, k: Tensor, v: Tensor, beta: Tensor) -> tuple[Tensor, Tensor]:
        heads_first = (x.transpose(1, 2) for x in (q, k.squeeze(2), v.squeeze(2), beta.squeeze(2)))
        outputs, state = reference.delta_rule_chunkwise(*heads_first)
        return outputs.transpose(1, 2), state

    title = f"DeltaNet, forward and backward, batch {BATCH}, {t} tokens, {HEADS} heads of {WIDTH}"
    contestants = {"flash-linear-attention, chunks of 32": fla, "in chunks": delta_product}
    compare(title, contestants, inputs, rounds=9)


def chunk_sizes(t: int = 512, n: int = 2) -> None:
    """The effect of the chunk size."""
    inputs = make_inputs(t, n)
    contestants: dict[str, Operation] = {"the size that is chosen": delta_product}
    for size in (4, 8, 16, 32, 64, 128):
        contestants[f"{size} tokens"] = lambda *x, size=size: delta_product(*x, chunk_size=size)
    compare(f"Chunks, {t} tokens, n_h {n}", contestants, inputs, rounds=9)


def growth(rounds: int = 7) -> None:
    """Time and operations of both passes, and memory that is kept from the first for the second, as sequences grow.

    Products of matrices are counted. Times are the best of some rounds; their ratios are formed round by round, so that
    what else the machine does shows in their spread.
    """
    print(f"\nForward and backward, batch {BATCH}, {HEADS} heads of {WIDTH}, n_h 2, by length; best of {rounds}")
    lengths = (512, 1024, 2048, 4096, 8192)
    runs = {t: differentiated(delta_product, make_inputs(t, 2)) for t in lengths}
    for run in runs.values():
        run()
    times = [{t: process_seconds(run) for t, run in runs.items()} for _ in range(rounds)]
    memory = {t: kept_for_backward(delta_product, t) for t in lengths}
    products = {t: operations(run) for t, run in runs.items()}
    for t in lengths:
        best = min(turn[t] for turn in times)
        ratio = best / min(turn[512] for turn in times)
        each = sorted(turn[t] / turn[512] for turn in times)
        print(
            f"  {t:5} tokens {best * 1e3:8.1f} ms {memory[t] / 2**20:7.1f} MiB   {t / 512:4.1f}x tokens: "
            f"{products[t] / products[512]:4.1f}x operations, {memory[t] / memory[512]:4.1f}x memory, "
            f"{ratio:4.1f}x time (round by round {each[0]:.1f}x to {each[-1]:.1f}x)"
        )
    print(f"  the recurrence keeps {kept_for_backward(naive.delta_product, 512) / 2**20:.1f} MiB for 512 tokens")


def operations(run: Callable[[], object]) -> int:
    """Returns the floating-point operations of the matrix products of a call."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def kept_for_backward(operation: Operation, t: int) -> int:
    """Returns the bytes of all different tensors that the backward pass waits for."""
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        results = operation(*make_inputs(t, 2))
    del results  # until here nothing is freed, and no address is used twice
    return sum(kept.values())


def decoding(t: int = 256) -> None:
    """A layer asked for one step after another, against asking for everything again at each step."""
    layer = DeltaProduct(d_model=128, head_dim=WIDTH, num_heads=HEADS)
    x = torch.randn(BATCH, t, 128)

    @torch.no_grad()
    def step_by_step() -> Tensor:
        state, steps = layer.initial_state(BATCH), []
        for piece in x.split(1, 1):
            y, state = layer.scan(piece, state)
            steps.append(y)
        return torch.cat(steps, 1)

    @torch.no_grad()
    def all_again() -> Tensor:
        return torch.cat([layer(x[:, : i + 1])[:, -1:] for i in range(t)], 1)

    torch.testing.assert_close(step_by_step(), all_again(), rtol=1e-3, atol=1e-5)
    timed = {
        "all again for each step": lambda: process_seconds(all_again),
        "scan": lambda: process_seconds(step_by_step),
    }
    report(f"Decoding {t} steps of {BATCH} sequences", interleave(timed, 3), baseline="all again for each step")


def compare(
    title: str,
    contestants: dict[str, Operation],
    inputs: list[Tensor],
    rounds: int,
    limits: dict[str, float] | None = None,
) -> None:
    """Sees that all agree, takes turns and reports medians; the first contestant is the baseline."""
    runs = {name: differentiated(operation, inputs) for name, operation in contestants.items()}
    expected = next(iter(runs.values()))()
    for run in runs.values():
        torch.testing.assert_close(run(), expected, rtol=1e-3, atol=1e-3)
    timed = {name: lambda run=run: process_seconds(run) for name, run in runs.items()}
    report(title, interleave(timed, rounds), baseline=next(iter(contestants)), limits=limits)


def installed(path: str) -> ModuleType | None:
    """Returns one module of flash-linear-attention by its file: the package itself asks for Triton when imported."""
    package, einops = importlib.util.find_spec("fla"), importlib.util.find_spec("einops")
    if package is None or einops is None:
        return None
    root = Path(next(iter(package.submodule_search_locations or ()))).parent
    spec = importlib.util.spec_from_file_location(Path(path).stem, root / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()

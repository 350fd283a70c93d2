"""Speed on a GPU: layers against the best public kernels, and a step of the loop against a bare one.

python benchmarks/gpu.py

Without a GPU it measures nothing. flash-linear-attention's Triton kernels are compared with rk-deltaproduct
where `fla-core` is installed, cuDNN's LSTM beside rk-rnn's.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from paired import interleave, report
from rk_deltaproduct import naive
from rk_deltaproduct.ops import delta_product
from rk_rnn.gru import GRU
from rk_rnn.lstm import LSTM
from torch import Tensor, nn
from torch.nn import functional as F

BATCH, HEADS, WIDTH, HOUSEHOLDERS = 8, 8, 64, 2


def main() -> None:
    if not torch.cuda.is_available():
        print("torch finds no GPU: nothing to measure")
        return
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    for length, dtype in ((512, torch.float32), (4096, torch.float32), (4096, torch.bfloat16)):
        deltaproduct(length, dtype)
    for b, t, width in ((32, 100, 128), (128, 512, 256)):
        recurrent(b, t, width)


def seconds(function: Callable[[], object], calls: int = 5) -> float:
    """Returns the seconds that the GPU takes for one call."""
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize()
    begin.record()
    for _ in range(calls):
        function()
    end.record()
    torch.cuda.synchronize()
    return begin.elapsed_time(end) / 1e3 / calls


def deltaproduct(t: int, dtype: torch.dtype) -> None:
    """Forward and backward pass; the recurrence, one token after the other, is the baseline at 512 tokens."""
    inputs = [
        torch.randn(BATCH, t, HEADS, WIDTH, device="cuda"),
        F.normalize(torch.randn(BATCH, t, HOUSEHOLDERS, HEADS, WIDTH, device="cuda"), dim=-1),
        torch.randn(BATCH, t, HOUSEHOLDERS, HEADS, WIDTH, device="cuda"),
        2 * torch.rand(BATCH, t, HOUSEHOLDERS, HEADS, device="cuda"),
    ]
    inputs = [x.to(dtype).requires_grad_() for x in inputs]
    contestants: dict[str, Callable[..., Tensor]] = {}
    if t <= 512:
        contestants["the recurrence"] = lambda *x: naive.delta_product(*x)[0]
    contestants["rk, in chunks of matrix products"] = lambda *x: delta_product(*x)[0]
    try:
        from fla.ops.gated_delta_product import chunk_gated_delta_product
    except ImportError:
        print("flash-linear-attention is not installed")
    else:

        def triton(q: Tensor, k: Tensor, v: Tensor, beta: Tensor) -> Tensor:
            no_gate = None
            flat = [x.flatten(1, 2) for x in (k, v, beta)]
            return chunk_gated_delta_product(q, *flat[:2], no_gate, flat[2], HOUSEHOLDERS)[0]

        contestants["flash-linear-attention, Triton"] = triton
    found, outputs = {}, {}
    for name, operation in contestants.items():

        def run(operation: Callable[..., Tensor] = operation) -> tuple[Tensor, ...]:
            return torch.autograd.grad(operation(*inputs).float().square().sum(), inputs)

        try:
            run()
        except (RuntimeError, ValueError, AssertionError) as error:
            print(f"{name} refuses {dtype}: {str(error)[:100]}")
            continue
        outputs[name] = operation(*inputs).detach().float()
        found[name] = lambda run=run: seconds(run)
    title = f"DeltaProduct, n_h {HOUSEHOLDERS}, batch {BATCH}, {t} tokens, {HEADS} heads of {WIDTH}, {dtype}"
    report(title, interleave(found, 5), baseline=next(iter(found)))
    for (one, a), (other, b) in pairwise(outputs.items()):
        print(f"  outputs of {one} and {other} differ by {((a - b).norm() / b.norm()).item():.1e} of their norm")


def recurrent(b: int, t: int, width: int) -> None:
    """Forward and backward pass of the layers of rk-rnn, against cuDNN's."""
    x = torch.randn(b, t, width, device="cuda", requires_grad=True)
    layers = {
        "cuDNN LSTM": nn.LSTM(width, width, batch_first=True).cuda(),
        "rk lstm": LSTM(d_model=width, hidden_size=width).cuda(),
        "rk lstm, peepholes": LSTM(d_model=width, hidden_size=width, peepholes=True).cuda(),
        "cuDNN GRU": nn.GRU(width, width, batch_first=True).cuda(),
        "rk gru": GRU(d_model=width, hidden_size=width).cuda(),
        "rk gru, reset before": GRU(d_model=width, hidden_size=width, reset="before").cuda(),
    }
    found = {}
    for name, layer in layers.items():

        def run(layer: nn.Module = layer) -> None:
            outputs = layer(x)
            (outputs[0] if isinstance(outputs, tuple) else outputs).sum().backward()

        run()
        found[name] = lambda run=run: seconds(run, calls=3)
    report(f"Batch {b}, {t} steps, width {width}, forward and backward", interleave(found, 3), "cuDNN LSTM")


if __name__ == "__main__":
    main()

"""rk-tcnca: convolutions as a stack and as one filter, MEGA's EMA and full attention, by CPU time of one thread.

python benchmarks/tcnca.py
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from paired import interleave, process_seconds, report
from rk_sequence.attention import Attention
from rk_tcnca.convolution import causal_filter, long_filter
from rk_tcnca.layer import TCNCA
from rk_tcnca.mixers import Convolutions, DampedEMA
from torch import Tensor

BATCH, WIDTH = 2, 64
LENGTHS = (512, 1024, 2048, 4096, 8192)


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    mixers()
    layers()
    decoding()


def trained(function: Callable[[Tensor], Tensor], x: Tensor) -> Callable[[], None]:
    """Returns a forward and backward pass."""
    return lambda: function(x).square().sum().backward()


def compared(title: str, functions: dict[str, Callable[[Tensor], Tensor]], baseline: str, rounds: int = 3) -> None:
    """Prints forward and backward passes at every length, and the exponents that fit them."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for length in LENGTHS:
        x = torch.randn(BATCH, length, WIDTH)
        calls = {name: trained(function, x) for name, function in functions.items()}
        found = interleave({n: (lambda f=f: process_seconds(f)) for n, f in calls.items()}, rounds)  # type: ignore[misc]
        report(f"{title}, forward and backward, {length} steps", found, baseline)
        for name, value in found.items():
            times[name].append(value)
    print("\nexponents:")
    for name, values in times.items():
        print(f"  {name:<44} {np.polyfit(np.log(LENGTHS), np.log(values), 1)[0]:.2f}")


def mixers() -> None:
    """Prints the mixers alone: the same convolutions in both ways, and the EMA."""
    convolutions, ema = Convolutions(WIDTH, 4, 4, 5), DampedEMA(WIDTH, 16)
    functions: dict[str, Callable[[Tensor], Tensor]] = {
        "stack of 5 convolutions": convolutions,
        "the same as one filter of 1024, by FFT": lambda x: causal_filter(x, long_filter(convolutions.weight, 4)),
        "damped EMA of order 16, by FFT": ema,
    }
    compared("mixers", functions, "damped EMA of order 16, by FFT")


def layers() -> None:
    """Prints whole layers beside attention over all steps."""
    compared(
        "layers",
        {
            "tcnca, chunks of 128": TCNCA(d_model=WIDTH, chunk_size=128, depth=5),
            "MEGA (ema), chunks of 128": TCNCA(d_model=WIDTH, chunk_size=128, mixer="ema", ema_order=16),
            "attention over all steps": Attention(d_model=WIDTH, num_heads=1),
        },
        "tcnca, chunks of 128",
    )


def decoding() -> None:
    """Prints one more step after 2000, from the state and from the beginning."""
    layer = TCNCA(d_model=WIDTH, chunk_size=128, depth=5).eval()
    x = torch.randn(1, 2001, WIDTH)
    with torch.no_grad():
        _, state = layer.scan(x[:, :2000], layer.initial_state(1))
        found = interleave(
            {
                "from the state": lambda: process_seconds(lambda: layer.scan(x[:, 2000:], state)),
                "all steps again": lambda: process_seconds(lambda: layer(x)),
            },
            5,
        )
    report("one more step after 2000", found, "from the state")


if __name__ == "__main__":
    main()

"""rk-lssl: the convolution against the recurrence and torch's GRU, doubling against steps, by CPU time of one thread.

python benchmarks/lssl.py
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from paired import interleave, process_seconds, report
from rk_lssl.hippo import hippo
from rk_lssl.layer import LSSL
from rk_lssl.ops import discretize, krylov, recur
from torch import Tensor, nn

BATCH, WIDTH, ORDER = 2, 16, 32
LENGTHS = (256, 512, 1024, 2048, 4096, 8192, 16384)


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    growth()
    doubling()
    kept_basis()
    decoding()


def stepwise(layer: LSSL, x: Tensor) -> Tensor:
    """Returns what the layer answers, by its recurrence."""
    a, b = layer.system()
    states, _ = recur(a, b, x.transpose(1, 2), layer.initial_state(len(x)))
    y = torch.einsum("hmn,bhtn->bhmt", layer.C, states) + layer.D.unsqueeze(-1) * x.transpose(1, 2).unsqueeze(2)
    return layer._out(y)


def trained(module: Callable[[Tensor], Tensor], x: Tensor) -> Callable[[], None]:
    """Returns a forward and backward pass."""
    return lambda: module(x).square().sum().backward()


def growth() -> None:
    """Prints the time of a forward and backward pass against the length, and the exponents that fit it."""
    layer, gru = LSSL(d_model=WIDTH, order=ORDER), nn.GRU(WIDTH, WIDTH, batch_first=True)
    times: dict[str, list[float]] = {"convolution": [], "recurrence": [], "torch's GRU": []}
    for length in LENGTHS:
        x = torch.randn(BATCH, length, WIDTH)
        contestants = {
            "convolution": trained(layer, x),
            "recurrence": trained(lambda u: stepwise(layer, u), x),
            "torch's GRU": trained(lambda u: gru(u)[0], x),
        }
        found = interleave({n: (lambda f=f: process_seconds(f)) for n, f in contestants.items()}, 3)  # type: ignore[misc]
        report(f"forward and backward, {length} steps", found, "convolution")
        for name, value in found.items():
            times[name].append(value)
    print("\nexponents over the last five lengths:")
    for name, values in times.items():
        slope = np.polyfit(np.log(LENGTHS[-5:]), np.log(values[-5:]), 1)[0]
        print(f"  {name:<20} {slope:.2f}")


def doubling() -> None:
    """Prints the time of a Krylov matrix, by doubling and step by step."""
    a, b = discretize(*hippo("legs", 64), torch.logspace(-3, -1, 64, dtype=torch.float64))

    def steps() -> Tensor:
        found = [b]
        for _ in range(1023):
            found.append(torch.einsum("hij,hj->hi", a, found[-1]))
        return torch.stack(found, -1)

    found = interleave(
        {
            "doubling": lambda: process_seconds(lambda: krylov(1024, a, b)),
            "step by step": lambda: process_seconds(steps),
        },
        3,
    )
    report("Krylov matrix of 64 features, order 64, 1024 steps, 64 bits", found, "doubling")


def kept_basis() -> None:
    """Prints the time of a training step where the matrices are fixed, shared and per feature."""
    x = torch.randn(16, 784, 32)
    layers = {name: LSSL(d_model=32, order=64, learned=name) for name in ("fixed", "shared", "per-feature")}
    found = interleave({n: (lambda m=m: process_seconds(trained(m, x))) for n, m in layers.items()}, 3)  # type: ignore[misc]
    report("forward and backward of 16 x 784 steps, what is learned", found, "fixed")


def decoding() -> None:
    """Prints the time of one more step after 1000, from the state and from the beginning."""
    layer = LSSL(d_model=64, order=64).eval()
    x = torch.randn(1, 1001, 64)
    with torch.no_grad():
        _, state = layer.scan(x[:, :1000], layer.initial_state(1))
        found = interleave(
            {
                "from the state": lambda: process_seconds(lambda: layer.scan(x[:, 1000:], state)),
                "all steps again": lambda: process_seconds(lambda: layer(x)),
            },
            5,
        )
    report("one more step after 1000", found, "from the state")


if __name__ == "__main__":
    main()

"""rk-wide-cnn: hierarchical kernels in tiles against all patch matrices at once: CPU time, memory, and growth with n.

python benchmarks/wide_cnn.py
"""

from __future__ import annotations

import math
import resource
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import torch
from paired import interleave, process_seconds, report
from rk_kernels.hierarchical_kernel import HierarchicalKernel
from rk_kernels.linalg import kernel_regression
from torch import Tensor

SIZES = (2, 2, 2)
FEATURES = 16
ROWS = (150, 300, 600, 1200)


def materialised(x: Tensor) -> Tensor:
    """Returns the NTK from the cosines of all patches at once, (patches, n, n), by arc cosines."""
    patches = x.unflatten(1, (-1, SIZES[0])).transpose(0, 1)
    cosines = (patches @ patches.mT).clamp(-1, 1)
    tangents = cosines
    for size in (*SIZES[1:], None):
        k0 = (math.pi - torch.arccos(cosines)) / math.pi
        k1 = (1 - cosines.square()).sqrt() / math.pi + cosines * k0
        cosines, tangents = k1, tangents * k0 + k1
        group = size or len(cosines)
        cosines, tangents = (q.unflatten(0, (-1, group)).mean(1) for q in (cosines, tangents))
        cosines = cosines.clamp(max=1)
    return tangents[0]


def inputs(n: int) -> Tensor:
    """Returns n inputs whose patches are unit."""
    torch.manual_seed(0)
    x = torch.randn(n, FEATURES // SIZES[0], SIZES[0], dtype=torch.float64)
    return (x / x.norm(dim=-1, keepdim=True)).flatten(1)


METHODS: dict[str, Callable[[Tensor], Tensor]] = {
    "in tiles": HierarchicalKernel(SIZES, FEATURES),
    "all patches at once": materialised,
}


def main() -> None:
    torch.set_num_threads(1)
    x = inputs(100)
    torch.testing.assert_close(*(method(x) for method in METHODS.values()), atol=1e-6, rtol=0)
    times: dict[str, list[float]] = {name: [] for name in METHODS}
    for n in ROWS:
        x = inputs(n)
        calls = {name: (lambda f=f, x=x: process_seconds(lambda: f(x))) for name, f in METHODS.items()}  # type: ignore[misc]
        found = interleave(calls, 3)
        report(f"the kernel matrix of {n} inputs, {FEATURES // SIZES[0]} patches", found, "all patches at once")
        for name, value in found.items():
            times[name].append(value)
    print("\nexponents of the time:")
    for name, values in times.items():
        print(f"  {name:<44} {np.polyfit(np.log(ROWS), np.log(values), 1)[0]:.2f}")
    print("\npeak memory above that of the imports, and of the result alone:")
    for n in ROWS:
        used = {name: int(subprocess.check_output([sys.executable, __file__, name, str(n)])) for name in METHODS}
        shown = ", ".join(f"{name} {value / 2**20:.0f} MiB" for name, value in used.items())
        print(f"  {n} inputs: {shown}, result {8 * n * n / 2**20:.0f} MiB")
    curves()


def peak(name: str, n: int) -> None:
    """Prints by how many bytes the peak of this process's memory rises."""
    torch.set_num_threads(1)
    METHODS[name](inputs(20))
    x = inputs(n)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    METHODS[name](x)
    print(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))


def curves() -> None:
    """Prints a learning curve of four sizes: one matrix and its blocks, or a matrix for each size."""
    x, tests, y = inputs(800), inputs(1000)[800:], torch.randn(800, 1, dtype=torch.float64)
    kernel = METHODS["in tiles"]
    assert isinstance(kernel, HierarchicalKernel)
    sizes = (100, 200, 400, 800)

    def nested() -> None:
        gram, cross = kernel(x), kernel(tests, x)
        for n in sizes:
            cross[:, :n] @ kernel_regression(gram[:n, :n], y[:n])

    def apart() -> None:
        for n in sizes:
            kernel(tests, x[:n]) @ kernel_regression(kernel(x[:n]), y[:n])

    calls = {"a matrix for each size": apart, "blocks of one matrix": nested}
    found = interleave({name: (lambda f=f: process_seconds(f)) for name, f in calls.items()}, 3)  # type: ignore[misc]
    report(f"a learning curve at {sizes} rows", found, "a matrix for each size")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        peak(sys.argv[1], int(sys.argv[2]))
    else:
        main()

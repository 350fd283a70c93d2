"""Times random-feature layers beside dense ones, bundles beside stacks, and scikit-learn's random features.

    python benchmarks/snnk.py

Everything takes turns on one thread; times are CPU seconds.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from paired import interleave, process_seconds, report
from rk_kernels.feature_regression import solve
from rk_snnk.features import ReluFeatures, TrigFeatures
from rk_snnk.model import SnnkMLP
from rk_snnk.naive import naive_relu, naive_universal
from sklearn.kernel_approximation import RBFSampler
from sklearn.linear_model import Ridge
from torch import Tensor, nn

ROWS = 256
ROUNDS = 7


def compared(title: str, calls: dict[str, Callable[[], object]], baseline: str) -> None:
    """Prints the medians of calls that take turns."""
    report(title, interleave({n: functools.partial(process_seconds, c) for n, c in calls.items()}, ROUNDS), baseline)


def backward(model: nn.Module, x: Tensor) -> None:
    """One forward and backward pass."""
    model.zero_grad()
    found = model(inputs=x)["logits"] if isinstance(model, SnnkMLP) else model(x)
    found.square().mean().backward()


def layers() -> None:
    """A dense layer beside random features of several sizes, d = out = 1024."""
    x = torch.randn(ROWS, 1024)
    calls: dict[str, Callable[[], object]] = {
        "dense layer with ReLU": functools.partial(backward, nn.Sequential(nn.Linear(1024, 1024), nn.ReLU()), x)
    }
    for m in (16, 64, 256, 1024):
        model = SnnkMLP(1024, 1024, functools.partial(ReluFeatures, random_features=m))
        calls[f"m = {m}, {1024 * m} weights"] = functools.partial(backward, model, x)
    compared("one layer of 1024 x 1024, forward and backward", calls, "dense layer with ReLU")


def bundles() -> None:
    """Eight layers of width 256 with 64 features: a matrix for each, for two, and one for all."""
    x = torch.randn(ROWS, 256)
    calls: dict[str, Callable[[], object]] = {}
    for bundle in ("none", "pairwise", "full"):
        features = functools.partial(ReluFeatures, random_features=64)
        model = SnnkMLP(256, 10, features, num_layers=8, hidden_size=256, bundle=bundle)  # type: ignore[arg-type]  # one of the literals
        calls[f"{bundle}, {sum(p.numel() for p in model.parameters())} weights"] = functools.partial(backward, model, x)
    compared("eight layers, forward and backward", calls, next(iter(calls)))


def naive() -> None:
    """The features beside one draw after the other, 20 inputs and 10 units, 64 draws."""
    x, w = torch.randn(20, 16) / 4, torch.randn(10, 16) / 4
    relu = ReluFeatures(in_features=16, random_features=64)
    cos = TrigFeatures(in_features=16, random_features=64)
    compared(
        "200 products of 64 draws",
        {
            "relu": lambda: relu(x) @ relu.of_weights(w).T,
            "relu, one after the other": lambda: [naive_relu(a, b, relu.projection) for a in x for b in w],
            "cos": lambda: cos(x) @ cos.of_weights(w).T,
            "cos, complex, one after the other": lambda: [
                naive_universal(a, b, 0.0, cos.projection, "cos") for a in x for b in w
            ],
        },
        "relu",
    )


def closed_form() -> None:
    """5000 rows of 64 numbers onto ten, by 512 features: here in one pass, and scikit-learn's sampler and ridge."""
    x, y = torch.randn(5000, 64) / 8, torch.randn(5000, 10)
    features = TrigFeatures(in_features=64, random_features=256)
    sampler = RBFSampler(gamma=0.5, n_components=512, random_state=0).fit(x.numpy())

    def ours() -> None:
        gram, cross = torch.zeros(513, 513).double(), torch.zeros(513, 10).double()
        for rows, targets in zip(x.split(256), y.split(256), strict=True):
            phi = features(rows).double()
            phi = torch.cat([phi, phi.new_ones(len(phi), 1)], 1)
            gram += phi.mT @ phi
            cross += phi.mT @ targets.double()
        solve(gram, cross, 1e-4)

    def theirs() -> None:
        Ridge(alpha=1.0).fit(sampler.transform(x.double().numpy()), y.double().numpy())

    compared("closed form", {"trig-features": ours, "RBFSampler and Ridge": theirs}, "RBFSampler and Ridge")


if __name__ == "__main__":
    torch.set_num_threads(1)
    layers()
    bundles()
    naive()
    closed_form()

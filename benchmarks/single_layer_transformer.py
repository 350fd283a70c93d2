"""rk-single-layer-transformer: ridges against the dense network, least squares against gradients; one thread.

python benchmarks/single_layer_transformer.py
"""

from __future__ import annotations

import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from paired import interleave, report, seconds
from rk_single_layer_transformer.construction import Construction, Settings
from rk_single_layer_transformer.hinges import least_squares, random_hinges
from rk_single_layer_transformer.model import SingleLayerTransformer
from rk_single_layer_transformer.naive import expanded
from rk_single_layer_transformer.sequences import ContinuousSequences
from rk_single_layer_transformer.table import cosine_settings

LIMIT = 60
"""Seconds after which gradients stop."""
SEEDS = 20
"""Choices of samples and hinges that are tried with a ridge and without."""


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with torch.no_grad():
        ridges()
        solvers()
    rivals()


def built(settings: Settings) -> tuple[Construction, ContinuousSequences]:
    data = ContinuousSequences(seed=0, function="max-sin")
    model = SingleLayerTransformer(num_features=1, num_outputs=1, num_steps=2, ffn_width=1)
    construction = Construction(model, settings, data.domain)
    batch = data.batch("train", 0)
    construction.write(batch["inputs"].double(), batch["targets"].double(), data.map)
    return construction, data


def rms(values: torch.Tensor, targets: torch.Tensor) -> float:
    return float((values - targets).square().mean().sqrt())


def ridges() -> None:
    for modes, sequences in ((2, 1024), (4, 1024), (8, 256)):
        construction, _ = built(cosine_settings(modes))
        ffn = construction.model.ffn
        dense = expanded(ffn, bounds=2.0 * modes + 1)
        stream = construction.model.mixed(torch.rand(sequences, 2, 1, dtype=torch.float64))
        torch.testing.assert_close(ffn(stream), dense(stream[..., : dense.hidden.in_features]), atol=1e-9, rtol=0)
        narrow = stream[..., : dense.hidden.in_features]
        rivals_of = {"dense W_1": lambda n=narrow, d=dense: d(n), "ridge by ridge": lambda s=stream, f=ffn: f(s)}
        found = interleave({name: lambda f=f: seconds(f) for name, f in rivals_of.items()}, 5)
        report(f"{modes} modes: {ffn.width} units, {2 * sequences} positions, time", found, "dense W_1")
        memory = {name: peak(call) for name, call in rivals_of.items()}
        print(f"  memory above the start: {', '.join(f'{name} {m:.0f} MiB' for name, m in memory.items())}")


def peak(call: Callable[[], object]) -> float:
    """Returns by how many MiB a call raises the largest memory of a process of its own."""
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()

    def run() -> None:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        call()
        queue.put((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)

    process = context.Process(target=run)
    process.start()
    process.join()
    return queue.get()


def solvers() -> None:
    data = ContinuousSequences(seed=0, function="sort", num_steps=3)
    batch = data.batch("train", 0)
    z, targets = batch["inputs"].double().flatten(1), batch["targets"].double().flatten(1)
    box = (torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64))
    for width in (256, 1024):
        features = random_hinges(z, box, width, 0)(z)
        contestants = {
            "numpy: singular values, each position": lambda x=features: [
                np.linalg.lstsq(x.numpy(), targets[:, i].numpy(), rcond=1e-10) for i in range(3)
            ],
            "singular values, all positions": lambda x=features: least_squares(x, targets, 0.0),
            "Cholesky, each position": lambda x=features: [
                least_squares(x, targets[:, i : i + 1], 1e-9) for i in range(3)
            ],
            "Cholesky, all positions": lambda x=features: least_squares(x, targets, 1e-9),
        }
        found = interleave({name: lambda f=f: seconds(f) for name, f in contestants.items()}, 3)
        report(f"{width} hinges, 4000 samples, three positions", found, "numpy: singular values, each position")
    worst = {ridge: [sup(ridge, seed) for seed in range(SEEDS)] for ridge in (0.0, 1e-9)}
    print(f"\nsup error of 1024 hinges on max-sin, {SEEDS} seeds: least, median, largest")
    for ridge, errors in worst.items():
        print(f"  ridge {ridge:<6g} {min(errors):.3f} {statistics.median(errors):.3f} {max(errors):.3f}")


def sup(ridge: float, seed: int) -> float:
    construction, data = built(Settings(seed=seed, width=1024, beta=14.0, ridge=ridge))
    inputs, targets = data.points()
    return float((construction.model(inputs=inputs)["values"] - targets).abs().max())


def rivals() -> None:
    """The same 4000 samples of max-sin; RMS errors on the grid."""
    data = ContinuousSequences(seed=0, function="max-sin")
    inputs, targets = data.points()
    print("\n4000 samples of max-sin: RMS error on the grid, seconds")

    def show(name: str, error: float, took: float) -> None:
        print(f"  {name:<58} {error:.5f}  {took:7.2f} s")

    for width in (16, 64, 256, 1024):
        start = time.perf_counter()
        construction, _ = built(Settings(width=width, beta=14.0))
        took = time.perf_counter() - start
        with torch.no_grad():
            error = rms(construction.model(inputs=inputs)["values"], targets)
        show(f"construction, {width} hinges", error, took)
        if width in (16, 64, 256):
            show(f"Adam, network of that size, until the error of {width} hinges", *descend(data, width, error))
    try:
        from sklearn.ensemble import ExtraTreesRegressor
        from sklearn.neural_network import MLPRegressor
    except ImportError:
        return
    batch = data.batch("train", 0)
    x, y = batch["inputs"].flatten(1).double().numpy(), batch["targets"].flatten(1).double().numpy()
    for name, estimator in {
        "scikit-learn, MLP of 256, lbfgs, 500 iterations": MLPRegressor(
            hidden_layer_sizes=(256,), solver="lbfgs", max_iter=500, random_state=0
        ),
        "scikit-learn, MLP of 256, adam, 500 epochs": MLPRegressor(
            hidden_layer_sizes=(256,), max_iter=500, random_state=0
        ),
        "scikit-learn, 200 extra trees": ExtraTreesRegressor(200, random_state=0),
    }.items():
        start = time.perf_counter()
        estimator.fit(x, y)
        took = time.perf_counter() - start
        show(name, rms(torch.from_numpy(estimator.predict(inputs.flatten(1).numpy())), targets.flatten(1)), took)


def descend(data: ContinuousSequences, width: int, goal: float) -> tuple[float, float]:
    """Returns the RMS error and the seconds of Adam over all weights of the model, until `goal` or `LIMIT`."""
    torch.manual_seed(0)
    model = SingleLayerTransformer(num_features=1, num_outputs=1, num_steps=2, d_model=32, ffn_width=2 * (width + 3))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    inputs, targets = (part.float() for part in data.points())
    batch = data.batch("train", 0)
    start, error, step = time.perf_counter(), float("inf"), 0
    while error > goal and time.perf_counter() - start < LIMIT:
        chosen = torch.randint(4000, (256,))
        optimizer.zero_grad()
        (model(inputs=batch["inputs"][chosen])["values"] - batch["targets"][chosen]).square().mean().backward()
        optimizer.step()
        step += 1
        if step % 50 == 0:
            with torch.no_grad():
                error = rms(model(inputs=inputs)["values"], targets)
    return error, time.perf_counter() - start


if __name__ == "__main__":
    main()

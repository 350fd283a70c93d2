"""rk-quantization: what rounding costs, and its results beside those of torchao and onnxruntime; one thread.

python benchmarks/quantization.py
"""

from __future__ import annotations

import functools
import importlib.util
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from paired import interleave, report, seconds
from rk_quantization.export import write_quantized
from rk_quantization.grids import fit
from rk_quantization.int_torch_export import Codes, with_codes
from rk_quantization.packing import pack, unpack
from rk_quantization.qat import QAT
from rk_quantization.recover import recover
from rk_quantization.scheme import Layout, Scheme
from torch import Tensor, nn

WIDTH = 512


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    kernels()
    training()
    beside_torchao()
    beside_onnxruntime()


def kernels() -> None:
    """Rounding and packing of a matrix of 1024 x 1024."""
    weight = torch.randn(1024, 1024)
    rows = Layout((1024, 1024), 0, "channel").rows(weight)
    codes = torch.randint(0, 16, (1024, 1024), dtype=torch.int16)
    three, packed = codes % 8, pack(codes, 4)
    rounded = fit(rows, Scheme(4)).snap(rows)
    found = {
        "round to 4 bits, by channel": lambda: fit(rows, Scheme(4)).snap(rows),
        "the same, range of the lowest error": lambda: fit(rows, Scheme(4, clip="mse")).snap(rows),
        "k-means, 16 levels": lambda: fit(rows.view(1, -1), Scheme(4, "codebook")).snap(rows.view(1, -1)),
        "pack 4 bits": lambda: pack(codes, 4),
        "unpack 4 bits": lambda: unpack(packed, 4, codes.numel()),
        "pack 3 bits": lambda: pack(three, 3),
        "find the levels of a rounded matrix": lambda: recover(rounded),
        "find that a matrix has none": lambda: recover(weight),
    }
    print("a matrix of 1024 x 1024, milliseconds")
    for name, work in found.items():
        best = min(seconds(work) for _ in range(3))
        print(f"  {name:<38}{1000 * best:8.1f}")


def network(layers: int = 6) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(*(m for _ in range(layers) for m in (nn.Linear(WIDTH, WIDTH), nn.ReLU())))


def training() -> None:
    """A step of Adam: float, weights rounded after each step, and torch's fake quantisation in the graph."""
    inputs, targets = torch.randn(64, WIDTH), torch.randint(0, WIDTH, (64,))

    def step(model: nn.Module, optimizer: torch.optim.Optimizer, qat: QAT | None = None) -> None:
        for _ in range(5):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs), targets).backward()
            if qat is not None:
                qat.before_clip(dict(model.named_parameters()))
                qat.before_update(list(model.parameters()))
            optimizer.step()
            if qat is not None:
                with torch.no_grad():
                    for weight in qat.weights.values():
                        weight.round()

    dense, ours, theirs = network(), network(), network()
    qat = attached(ours)
    for module in theirs:
        if isinstance(module, nn.Linear):
            nn.utils.parametrize.register_parametrization(module, "weight", FakeQuantized(WIDTH))
    made = {id(m): torch.optim.Adam(m.parameters(), lr=1e-4) for m in (dense, ours, theirs)}
    found = interleave(
        {
            "float": lambda: seconds(lambda: step(dense, made[id(dense)])),
            "qat, 4 bits, learned steps": lambda: seconds(lambda: step(ours, made[id(ours)], qat)),
            "torch's fake quantisation": lambda: seconds(lambda: step(theirs, made[id(theirs)])),
        },
        7,
    )
    report("5 steps of training, 6 layers of 512", found, "float")


def attached(model: nn.Module) -> QAT:
    """Returns the callback, begun over a model, without a run."""
    from types import SimpleNamespace

    qat = QAT(bits=4)
    runtime = SimpleNamespace(total_steps=1000)
    qat.fit_start(SimpleNamespace(learner=model, runtime=runtime, step=0))  # type: ignore[arg-type]
    return qat


class FakeQuantized(nn.Module):
    """torch's own fake quantisation with learned scales, per channel, as a parametrisation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((channels,), 0.01))
        self.register_buffer("zero", torch.zeros(channels))

    def forward(self, weight: Tensor) -> Tensor:
        rounded: Tensor = torch._fake_quantize_learnable_per_channel_affine(
            weight, self.scale, self.zero, 0, -7, 7, 1.0
        )
        return rounded


def error(found: Tensor, expected: Tensor) -> float:
    """Returns the signal-to-noise ratio in decibels."""
    return float(10 * torch.log10(expected.square().sum() / (found - expected).square().sum()))


def ours(model: nn.Module, scheme: Scheme) -> nn.Module:
    """Rounds the weights of a copy."""
    import copy

    model = copy.deepcopy(model)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            layout = Layout(tuple(module.weight.shape), 0, scheme.granularity, scheme.group_size)
            rows = layout.rows(module.weight.data)
            module.weight.data = layout.weight(fit(rows, scheme).snap(rows)).contiguous()
    return model


def beside_torchao() -> None:
    """The same network rounded by torchao, weights alone: the answers' signal-to-noise ratios, times and sizes."""
    if not importlib.util.find_spec("torchao"):
        print("\ntorchao is not installed: no comparison (pip install --no-deps torchao)")
        return
    import copy

    logging.getLogger("torchao").setLevel(logging.ERROR)  # it reports that its kernels for GPUs are not there
    from torchao.quantization import Int8WeightOnlyConfig, IntxWeightOnlyConfig, PerGroup, quantize_

    model, inputs = network(2), torch.randn(256, WIDTH)
    cases = {
        "8 bits, by channel": (Scheme(8, "symmetric"), Int8WeightOnlyConfig(version=2)),
        "4 bits, groups of 32": (
            Scheme(4, "symmetric", "group", 32),
            IntxWeightOnlyConfig(torch.int4, PerGroup(32)),
        ),
        "2 bits, groups of 32": (
            Scheme(2, "symmetric", "group", 32),
            IntxWeightOnlyConfig(torch.int2, PerGroup(32)),
        ),
    }
    print("\nanswers of two layers of 512, signal-to-noise ratio in dB; bytes of the stored weights")
    with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        expected = model(inputs)
        for name, (scheme, config) in cases.items():
            theirs = copy.deepcopy(model)
            quantize_(theirs, config)
            best = Scheme(scheme.bits, "narrow", scheme.granularity, scheme.group_size, "mse")
            rounded = [ours(model, scheme), ours(model, best)]
            found = [error(m(inputs), expected) for m in (*rounded, theirs)]
            files = [Path(folder) / part for part in ("ours", "theirs")]
            write_quantized(rounded[0], files[0], None)
            torch.save(theirs.state_dict(), files[1])
            sizes = [file.stat().st_size for file in files]
            print(
                f"  {name:<22} rk {found[0]:5.1f}  rk, clip=mse {found[1]:5.1f}  torchao {found[2]:5.1f}"
                f"   rk {sizes[0]:,}, torchao {sizes[1]:,}: {sizes[0] / sizes[1]:.2f} times"
            )
            if scheme.bits == 8:
                eight = theirs
        compare_times(model, eight, inputs)


def compare_times(model: nn.Module, theirs: nn.Module, inputs: Tensor) -> None:
    """Eight bits: what rounding takes, and an answer; rk's graph with int8 weights beside torchao's module."""
    import copy

    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    scheme = Scheme(8, "symmetric")
    found = interleave(
        {
            "torchao's quantize_": lambda: seconds(lambda: quantize_(copy.deepcopy(model), Int8WeightOnlyConfig())),
            "rk": lambda: seconds(lambda: ours(model, scheme)),
        },
        15,
    )
    report("rounding two layers of 512 to 8 bits", found, "torchao's quantize_")
    rounded = ours(model, scheme)
    weights = {f"model.{n}": p.detach() for n, p in rounded.named_parameters() if p.dim() == 2}
    codes = {n: Codes(found, True) for n, w in weights.items() if (found := recover(w)) is not None}
    for rows in (256, 1):
        fields = {"inputs": inputs[:rows]}
        graph = with_codes(torch.export.export(Fields(rounded), (fields,)), codes).module()
        assert torch.equal(graph(fields), rounded(inputs[:rows])), "the graph answers as the rounded module does"
        answers = {
            "float": model,
            "rk, rounded weights in floating point": rounded,
            "rk, graph with int8 weights": lambda x, graph=graph: graph({"inputs": x}),
            "torchao, int8 weights": theirs,
        }

        def timed(answer: Callable[[Tensor], Tensor], some: Tensor = inputs[:rows]) -> float:
            return seconds(lambda: [answer(some) for _ in range(20)])

        found = interleave({name: functools.partial(timed, answer) for name, answer in answers.items()}, 15)
        report(f"20 answers of a batch of {rows}, 8 bits", found, "float")


class Fields(nn.Module):
    """A module over a dict of fields."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, fields: dict[str, Tensor]) -> Tensor:
        answer: Tensor = self.model(fields["inputs"])
        return answer


def beside_onnxruntime() -> None:
    """Weights and activations of eight bits: rk's file beside that of onnxruntime's quantize_static."""
    if not (importlib.util.find_spec("onnxruntime") and importlib.util.find_spec("onnxscript")):
        print("\nonnxruntime or onnxscript is not installed: no comparison")
        return
    import numpy as np
    from onnxruntime import InferenceSession
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static
    from rk_quantization.onnx_qdq import ONNXQDQ

    from rk import LoadedRun
    from rk.catalog import Catalog
    from rk.recipe.find import find_recipe
    from rk.testing import Trial

    catalog = Catalog()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = find_recipe("quantization/digits-w8a8", catalog.plugins)
        plain = find_recipe("quantization/digits-float", catalog.plugins)
        trained = Trial(plain, catalog, folder / "float", ("callbacks=[]", "expect=[]")).run(600).folder.path
        path = Trial(file, catalog, folder / "int", (f"search.run={trained}", "expect=[]")).run(3).folder.path
        run, full = LoadedRun.open(path), LoadedRun.open(trained)
        for part in ("ours", "plain"):
            (folder / part).mkdir()
        ONNXQDQ().export(run, folder / "ours")
        catalog.load(catalog.resolve("exporter", "onnx"))().export(full, folder / "plain")

        class Reader(CalibrationDataReader):  # type: ignore[misc]
            def __init__(self) -> None:
                self.left = ({"inputs": b["inputs"].numpy()} for b in full.batches("train", 8))

            def get_next(self) -> dict[str, np.ndarray] | None:
                return next(self.left, None)

        quantize_static(
            str(folder / "plain/model.onnx"),
            str(folder / "theirs.onnx"),
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
        )
        hits: dict[str, int] = {}
        files = {"float": "plain/model.onnx", "rk": "ours/model.onnx", "quantize_static": "theirs.onnx"}
        total, answers = 0, {}
        for label, one in files.items():
            session = InferenceSession(str(folder / one), providers=["CPUExecutionProvider"])
            found = [
                (torch.from_numpy(session.run(None, {"inputs": b["inputs"].numpy()})[0]), b["targets"])
                for b in full.batches("test")
            ]
            answers[label] = torch.cat([logits for logits, _ in found])
            targets = torch.cat([t for _, t in found])
            hits[label], total = int((answers[label].argmax(1) == targets).sum()), len(targets)
        print("\ndigits, weights and activations of 8 bits, both files run by onnxruntime")
        for label, one in files.items():
            noise = "" if label == "float" else f", {error(answers[label], answers['float']):.1f} dB"
            size = (folder / one).stat().st_size
            print(f"  {label:<16} {hits[label]} of {total} right, {size:,} bytes{noise}")


if __name__ == "__main__":
    main()

"""The graph of an answer: its inputs, its dynamic axes, and that it answers as the run does."""

from __future__ import annotations

import pytest
import torch

from rk.errors import RunFailed, UserError
from rk.export.graph import _names, compare, trace
from rk.export.onnx import ONNX
from rk.export.torch_export import TorchExport

LEARNERS = '''
from typing import Annotated, TypedDict
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from rk.sampling import generator

class Batch(TypedDict):
    x: Float[Tensor, "batch time 3"]
    y: Float[Tensor, "batch time"]

class Outputs(TypedDict):
    total: Float[Tensor, "batch"]

class Task:
    """Sums."""
    splits = ("train", "test")
    def batches(self, split: str) -> int:
        return 1
    def batch(self, split: str, i: int, stage: int = 0) -> Batch:
        x = torch.rand(8, 5, 3, generator=generator(0, i))
        return {"x": x, "y": x.sum(-1)}

class Net(nn.Module):
    """A weight."""
    def __init__(self, way: str = "plain") -> None:
        super().__init__()
        self.way = way
        self.weight = nn.Parameter(torch.ones(3))
    def forward(self, *, x: Float[Tensor, "batch time 3"]) -> Outputs:
        if self.way == "loop":
            steps = [x[:, t] @ self.weight for t in range(len(x[0]))]
            return {"total": torch.stack(steps).sum(0)}
        if self.way == "branch" and (x @ self.weight).sum() > 0:
            return {"total": -(x @ self.weight).sum(-1)}
        if self.way == "rows":
            return {"total": (x @ self.weight).sum(-1) / len(x)}
        if self.way == "fft":
            return {"total": torch.fft.rfft(x @ self.weight, dim=-1).abs().sum(-1)}
        if self.way == "double":
            return {"total": torch.special.ndtri(torch.sigmoid(x.double() @ self.weight.double())).sum(-1).float()}
        if self.way == "solve":
            return {"total": torch.linalg.solve_triangular(torch.eye(3), (x * self.weight).mT, upper=False).sum((1, 2))}
        return {"total": (x @ self.weight).sum(-1)}

class Loss:
    """A loss."""
    def __call__(self, *, total: Float[Tensor, "batch"], y: Float[Tensor, "batch time"]) -> tuple[Tensor, int]:
        return (total - y.sum(-1)).square().sum(), total.shape[0]
'''
TASK = """
rk: 1
model: {name: net, way: WAY}
data: task
loss: loss
trainer: {name: backprop, optimizer: {name: sgd, lr: 1e-3}}
fit: {max_steps: 2, seed: 1, threads: 1, accelerator: cpu}
"""


@pytest.fixture
def sums(make_run, workshop):
    plugin = workshop.plugin("sums", LEARNERS, models={"net": "Net"}, data={"task": "Task"}, losses={"loss": "Loss"})
    return lambda way: make_run(TASK.replace("WAY", way), workshop.catalog(plugin))


@pytest.mark.parametrize(
    ("shape", "ndim", "names"),
    [
        ("batch points 2", 3, ("batch", "points", None)),
        ("batch *shape", 3, ("batch", None, None)),
        ("*batch 2", 3, (None, None, None)),
        ("batch ... time", 4, ("batch", None, None, "time")),
        ("batch 2*n", 2, ("batch", None)),
        ("", 0, ()),
    ],
)
def test_axes_have_the_names_of_the_declared_shape(shape, ndim, names):
    assert _names(shape, ndim) == names


def test_named_axes_are_dynamic_and_only_the_needed_fields_are_inputs(sums):
    graph = trace(sums("plain"), None, ("batch", "time"))
    assert graph.example.axes == {"x": ("batch", "time", None)}
    assert graph.describe() == "inputs: x (batch, time, 3); outputs: total"


def test_an_axis_that_a_loop_walks_keeps_its_size(sums):
    run = sums("loop")
    assert trace(run, None, ("batch",)).describe() == "inputs: x (batch, 5, 3); outputs: total"
    with pytest.raises(UserError, match=r"the axis 'time' cannot be dynamic: .* its size \(5\)"):
        trace(run, None, ("batch", "time"))


def test_a_model_that_depends_on_the_size_of_its_batch_is_refused(sums):
    with pytest.raises(UserError, match="the axis 'batch' cannot be dynamic"):
        trace(sums("rows"), None, ("batch",))


def test_a_model_that_branches_on_values_is_refused_with_torchs_reason(sums):
    with pytest.raises(UserError, match=r"this learner cannot be written as a graph: .*data-dependent") as caught:
        trace(sums("branch"), None, ("batch",))
    assert "safetensors and hub take any learner" in caught.value.hint


def test_unknown_axes_and_splits_are_named(sums):
    run = sums("plain")
    with pytest.raises(UserError) as caught:
        trace(run, None, ("row",))
    assert caught.value.hint == "there are: batch, time"
    with pytest.raises(UserError, match="unknown split 'tst'"):
        trace(run, "tst", ())


def test_a_graph_that_answers_otherwise_is_found_out_and_does_not_stay(sums, tmp_path):
    run, wrong = sums("plain"), tmp_path / "wrong.pt2"
    wrong.touch()
    graph = trace(run, None, ("batch",))
    with pytest.raises(RunFailed, match="does not answer as the run does: total differs by at most 1"):
        compare(run, graph, lambda fields: {"total": run.learner.predict(fields)["total"] * 1.01}, wrong)
    assert not wrong.exists()


@pytest.mark.parametrize("way", ["plain", "loop"])
def test_onnx_answers_as_the_run_does_whatever_the_batch(sums, way, tmp_path, capsys):
    onnxruntime = pytest.importorskip("onnxruntime")
    run = sums(way)
    (path,) = ONNX().export(run, tmp_path)
    session = onnxruntime.InferenceSession(str(path))
    (field,) = session.get_inputs()
    assert (field.name, field.shape) == ("x", ["batch", 5 if way == "loop" else "time", 3])
    x = torch.rand(11, 5, 3)
    torch.testing.assert_close(
        torch.from_numpy(session.run(["total"], {"x": x.numpy()})[0]), x.sum((1, 2)), atol=1e-2, rtol=0.1
    )
    assert "total differs by at most" in capsys.readouterr().out


def test_an_operation_that_onnx_does_not_have_is_named(sums, tmp_path):
    pytest.importorskip("onnxruntime")
    with pytest.raises(UserError, match=r"no counterpart of the operation aten\.linalg_solve_triangular") as caught:
        ONNX().export(sums("solve"), tmp_path)
    assert "torch-export" in caught.value.hint


@pytest.mark.parametrize("way", ["fft", "double"])
def test_a_model_that_onnx_cannot_express_or_run_is_reported_and_not_as_a_bug(sums, tmp_path, way):
    pytest.importorskip("onnxruntime")
    run, tmp_path = sums(way), tmp_path / "out"
    tmp_path.mkdir()
    try:
        ONNX().export(run, tmp_path)
    except UserError as error:
        assert "torch-export" in error.hint and not [*tmp_path.iterdir()]
        assert "ONNX" in error.message or "onnxruntime" in error.message
    else:  # a later torch can
        assert (tmp_path / "model.onnx").is_file()
    assert TorchExport().export(run, tmp_path)


def test_a_runtime_that_refuses_its_own_file_is_reported(sums, tmp_path):
    run, file = sums("plain"), tmp_path / "model.onnx"
    file.touch()

    def refuses(fields):
        raise ValueError("not implemented\nand pages of it")

    with pytest.raises(UserError, match=r"the exported graph cannot be run: not implemented$"):
        compare(run, trace(run, None, None), refuses, file)
    assert not file.exists()


FLAT = '''
from typing import TypedDict
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from rk.sampling import generator

class Batch(TypedDict):
    x: Float[Tensor, "nodes 3"]
    graph_index: Int[Tensor, "nodes"]
    y: Float[Tensor, "graphs"]

class Outputs(TypedDict):
    total: Float[Tensor, "nodes"]

class Task:
    """Flat graphs."""
    splits = ("train", "test")
    def batches(self, split: str) -> int:
        return 1
    def batch(self, split: str, i: int, stage: int = 0) -> Batch:
        x = torch.rand(7, 3, generator=generator(0, i))
        return {"x": x, "graph_index": torch.tensor([0, 0, 0, 1, 1, 1, 1]), "y": torch.ones(2)}

class Net(nn.Module):
    """A weight."""
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))
    def forward(self, *, x: Float[Tensor, "nodes 3"]) -> Outputs:
        return {"total": x @ self.weight}

class Loss:
    """A loss."""
    def __call__(self, *, total: Float[Tensor, "nodes"], y: Float[Tensor, "graphs"]) -> tuple[Tensor, int]:
        return (total.sum() - y.sum()).square(), 1
'''


@pytest.fixture
def flat(make_run, workshop):
    plugin = workshop.plugin("flat", FLAT, models={"net": "Net"}, data={"task": "Task"}, losses={"loss": "Loss"})
    return make_run(TASK.replace("{name: net, way: WAY}", "net"), workshop.catalog(plugin))


def test_flat_graphs_export_without_a_batch_axis(flat):
    assert trace(flat, None, None).describe() == "inputs: x (nodes, 3); outputs: total"
    with pytest.raises(UserError, match="no input has an axis 'batch'") as caught:
        trace(flat, None, ("batch",))
    assert "exporter.dynamic=[]" in caught.value.hint


def test_an_answer_that_needs_plain_values_is_refused_by_name(flat, monkeypatch):
    learner, predict = flat.learner, flat.learner.predict
    whole = flat.data.batch("test", 0)
    monkeypatch.setattr(flat.data, "batch", lambda split, i: {**whole, "names_meta": ["a"], "other_meta": 1})
    monkeypatch.setattr(learner, "predict", lambda batch: batch["names_meta"] and predict(batch))
    with pytest.raises(UserError, match=r"its answer needs names_meta, which the batch has as plain values"):
        trace(flat, None, None)
    monkeypatch.setattr(learner, "predict", lambda batch: {"text": "no tensor"})
    with pytest.raises(UserError, match="none of its answers is a tensor"):
        trace(flat, None, None)


def test_a_pt2_file_answers_without_rk_as_the_run(mlp, tmp_path, capsys):
    (path,) = TorchExport().export(mlp, tmp_path)
    inputs = torch.rand(7, 8, 8)
    answer = torch.export.load(path).module()({"inputs": inputs})
    torch.testing.assert_close(answer["logits"], mlp.learner.predict({"inputs": inputs})["logits"])
    assert "logits differs by at most 0.0e+00 (random batches of 1, 3, 17)" in capsys.readouterr().out


def test_without_onnx_the_error_names_what_to_install(mlp, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError) as caught:
        ONNX().export(mlp, tmp_path)
    assert caught.value.hint == 'pip install "recursion-kit[onnx]"'


def test_exporting_leaves_the_run_as_it_was(mlp, tmp_path):
    before = {k: v.clone() for k, v in mlp.learner.state_dict().items()}
    TorchExport().export(mlp, tmp_path)
    assert all(torch.equal(v, before[k]) for k, v in mlp.learner.state_dict().items())

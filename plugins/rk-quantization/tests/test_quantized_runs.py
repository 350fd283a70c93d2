"""Quantisation in whole runs of several plugins: resumed and loaded bit-equal, exported exactly."""

from __future__ import annotations

import csv
import importlib.util

import pytest
import torch
from rk_quantization.export import read_quantized
from rk_quantization.hessian import traces
from rk_quantization.int_torch_export import IntTorchExport
from rk_quantization.onnx_qdq import ONNXQDQ
from rk_quantization.post_training import PostTraining
from rk_quantization.recover import recover
from rk_quantization.scheme import Scheme
from rk_quantization.settings import Settings
from safetensors.torch import load_file

from rk import LoadedRun, UserError
from rk.catalog import Catalog
from rk.cli import cli
from rk.recipe.find import RecipeFile, find_recipe
from rk.testing import Trial

BASE = """
rk: 1
model: {name: mlp, hidden_sizes: [32, 16]}
data: {name: digits, batch_size: 32}
loss: cross-entropy
trainer: {name: backprop, optimizer: {name: adam, lr: 1e-2, weight_decay: 0.1}}
fit: {max_steps: 12, seed: 1, threads: 1}
"""
LSTM = """
rk: 1
model: {name: sequence, layer: lstm, d_model: 8}
data: {name: adding, length: 8, batch_size: 8}
loss: mse
trainer: {name: backprop, optimizer: {name: adam, lr: 1e-2}}
fit: {max_steps: 6, seed: 1, threads: 1, accumulate: 2, gradient_clip: 0.5}
"""
CONV = """
rk: 1
model: {name: conv-net, channels: [4], hidden_sizes: [8]}
data: {name: digits, batch_size: 32}
loss: cross-entropy
trainer: {name: backprop, optimizer: {name: adam, lr: 1e-2}}
fit: {max_steps: 6, seed: 1, threads: 1}
"""
LANGUAGE = """
rk: 1
model: {name: language-model, layer: gru, d_model: 8}
data: {name: text, corpus: tiny-shakespeare, length: 16, batch_size: 4, eval_limit: 2}
loss: cross-entropy
trainer: {name: tbptt, optimizer: {name: adam, lr: 1e-2}}
fit: {max_steps: 4, seed: 1, threads: 1}
"""
QAT = {
    "lsq": "{name: qat, bits: 2}",
    "range": "{name: qat, bits: 3, step_size: range, granularity: tensor, start: 0.4}",
    "binary": "{name: qat, bits: 1, levels: binary}",
    "codebook": "{name: qat, bits: 2, levels: codebook, granularity: tensor}",
}


def trial(tmp_path, text=BASE, *callbacks, name="quantized", overrides=()):
    path = tmp_path / f"{name}.yaml"
    path.write_text(f"{text}callbacks: [{', '.join(callbacks)}]\n" if callbacks else text)
    return Trial(RecipeFile(path), Catalog(), tmp_path / "runs", overrides)


def weights_of(learner):
    return {n: p.detach().clone() for n, p in learner.state_dict().items() if isinstance(p, torch.Tensor)}


def levels_of(weight):
    return max(len(row.unique()) for row in weight.flatten(1))


def search(folder, tmp_path, *options, name="quantize", out="quantized"):
    """Runs a search over a run; returns the finished run."""
    command = ["search", name, "--run", str(folder), *options, "--runs-dir", str(tmp_path / out)]
    assert not cli(command, standalone_mode=False)
    return LoadedRun.open(max((tmp_path / out).glob("*/*"), key=lambda p: p.stat().st_mtime))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run that several tests quantise."""
    return trial(tmp_path_factory.mktemp("float")).run(60).folder.path


# -- quantisation-aware training ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", QAT)
def test_a_run_that_is_cut_resumes_bit_equal_and_every_checkpoint_is_on_its_levels(tmp_path, name):
    one = trial(tmp_path, BASE, QAT[name])
    whole = one.run(12, checkpoint_every=4)
    cut = one.run(12, checkpoint_every=4, cut_at=9)
    resumed = one.run(12, checkpoint_every=4, resume=cut.folder)
    expected, found = weights_of(whole.learner), weights_of(resumed.learner)
    assert all(torch.equal(found[n], w) for n, w in expected.items())
    bits = whole.parts.callbacks[0].scheme.bits
    loaded = LoadedRun.open(whole.folder.path)
    for key, weight in weights_of(loaded.learner).items():
        assert torch.equal(weight, expected[key]), "what is loaded is what was trained"
        if weight.dim() >= 2:
            assert levels_of(weight) <= 2**bits


def test_the_optimizer_moves_the_full_precision_copies_with_the_gradient_at_the_rounded_weights(tmp_path):
    sgd = ("trainer={name: backprop, optimizer: {name: sgd, lr: 0.1}}",)
    one = trial(tmp_path, BASE, "{name: qat, bits: 3, step_size: range}", overrides=sgd)
    first = one.run(12, cut_at=1)
    callback = first.parts.callbacks[0]
    masters = {n: w.master.clone() for n, w in callback.weights.items()}
    learner, batch = first.learner, first.data.batch("train", 1)
    total, count = learner(batch)
    (total / count).backward()
    expected = {}
    for name, weight in callback.weights.items():
        rows, grid = weight.layout.rows(masters[name]), weight.grid()
        slope = weight.layout.rows(weight.parameter.grad) * grid.inside(rows)
        expected[name] = masters[name] - 0.1 * weight.layout.weight(slope)
    second = one.run(12, cut_at=2).parts.callbacks[0]
    for name, weight in second.weights.items():
        torch.testing.assert_close(weight.master, expected[name])
        assert torch.equal(weight.parameter, weight.layout.weight(weight.grid().snap(weight.rows)))


@pytest.mark.parametrize(
    "text", [LSTM, CONV, LANGUAGE], ids=["lstm, accumulated and clipped", "conv net", "language model"]
)
def test_recurrent_convolutional_and_language_models_are_trained_with_two_bits(tmp_path, text):
    ended = trial(tmp_path, text, "{name: qat, bits: 2}").run(4)
    weights = ended.parts.callbacks[0].weights
    assert weights and all(levels_of(w.parameter.movedim(w.layout.axis, 0)) <= 3 for w in weights.values())
    assert any(not torch.equal(w.master, w.parameter) for w in weights.values())


@pytest.mark.parametrize("recipe", ["noprop/digits-dt", "pointer-net/convex-hull-quick"])
def test_learners_of_other_plugins_take_part(tmp_path, recipe):
    catalog = Catalog()
    file = find_recipe(recipe, catalog.plugins)
    overrides = ("callbacks=[{name: qat, bits: 4}]", "data.batch_size=8")
    ended = Trial(file, catalog, tmp_path / "runs", overrides).run(2)
    assert all(levels_of(w.parameter) <= 15 for w in ended.parts.callbacks[0].weights.values())
    batch = ended.data.batch("train", 0)
    work = PostTraining(ended.learner, Settings(Scheme(8), activations=8))
    rows = work.all(lambda: iter([batch]), 0)
    assert {row.name for row in rows} == {*ended.parts.callbacks[0].weights}
    assert any(q.calibrated for q in work.inputs.values()), "some layers were called, and calibrated"
    assert all(v.isfinite().all() for v in ended.learner.predict(batch).values() if v.is_floating_point())


def test_a_tied_embedding_is_quantised_once():
    from rk_quantization.weights import quantizable

    embedding, head = torch.nn.Embedding(9, 4), torch.nn.Linear(4, 9, bias=False)
    head.weight = embedding.weight
    learner = torch.nn.ModuleDict({"embedding": embedding, "head": head})
    assert [*quantizable(learner)] == ["embedding.weight"]


# -- after training ----------------------------------------------------------------------------------------------------


def test_a_quantised_run_is_loaded_evaluated_and_answers_bit_equal(trained, tmp_path):
    run = search(trained, tmp_path, "--bits", "4", "--activations", "8", "--observer", "percentile")
    again = LoadedRun.open(run.folder.path)
    batch = next(run.batches("test", 1))
    before = LoadedRun.open(trained)
    with torch.no_grad():
        answer = run.learner.predict(batch)["logits"]
        assert torch.equal(answer, again.learner.predict(batch)["logits"])
        assert not torch.equal(answer, before.learner.predict(batch)["logits"])
    assert set(weights_of(before.learner)) < set(weights_of(run.learner)), "weights keep their names"
    metrics = run.folder.read()["metrics"]
    assert run.evaluate(("test",))["test/accuracy"] == pytest.approx(metrics["test/accuracy"])
    assert metrics["run/bits"] == 4
    rows = [*csv.DictReader((run.folder.path / "layers.csv").open())]
    assert [row["weight"] for row in rows] == [n for n, w in weights_of(before.learner).items() if w.dim() >= 2]
    for row in rows:
        was, now = weights_of(before.learner)[row["weight"]], weights_of(run.learner)[row["weight"]]
        noise = 10 * torch.log10(was.square().sum() / (now - was).square().sum())
        assert float(row["SQNR (dB)"]) == pytest.approx(float(noise), rel=1e-3) and levels_of(now) <= 15


def test_activations_are_rounded_as_the_definition_says(trained, tmp_path):
    run = search(trained, tmp_path, "--bits", "8", "--activations", "4", "fit.threads=1")
    learner, batch = run.learner, next(run.batches("test", 1))
    weights = weights_of(learner)
    hidden = batch["inputs"].flatten(1)
    for i, layer in enumerate(("blocks.0.0", "blocks.1.0", "head")):
        quantizer = learner.quantized_inputs.of(f"model.{layer}")
        codes = (torch.round(hidden / quantizer.scale) + quantizer.zero).clamp(0, 15)
        rounded = (codes - quantizer.zero) * quantizer.scale
        hidden = rounded @ weights[f"model.{layer}.weight"].T + weights[f"model.{layer}.bias"]
        hidden = hidden if i == 2 else hidden.relu()
    with torch.no_grad():
        torch.testing.assert_close(learner.predict(batch)["logits"], hidden)


def test_dynamic_ranges_per_token_do_not_depend_on_the_batch(trained, tmp_path):
    options = ("--activations", "6", "--dynamic", "--per", "token")
    run = search(trained, tmp_path, *options)
    inputs = next(run.batches("test", 1))["inputs"]
    with torch.no_grad():
        together = run.learner.predict({"inputs": inputs})["logits"]
        alone = torch.cat([run.learner.predict({"inputs": inputs[i : i + 1]})["logits"] for i in range(8)])
    torch.testing.assert_close(together[:8], alone)


def test_mixed_precision_keeps_the_budget_and_writes_its_front(trained, tmp_path):
    options = ("--budget", "3.5", "--choices", "[2, 4, 8]", "--samples", "2", "--probes", "4")
    run = search(trained, tmp_path, *options, name="mixed-precision")
    assert run.folder.read()["metrics"]["run/bits"] <= 3.5
    rows = [*csv.DictReader((run.folder.path / "layers.csv").open())]
    assert {int(row["bits"]) for row in rows} <= {2, 4, 8} and all(row["trace"] for row in rows)
    points = [(int(r["size"]), float(r["omega"])) for r in csv.DictReader((run.folder.path / "pareto.csv").open())]
    assert points == sorted(points) and [c for _, c in points] == sorted((c for _, c in points), reverse=True)


# -- files -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "bits"),
    [
        (("--bits", "3", "--levels", "codebook", "--granularity", "tensor"), 3),
        (("--bits", "8", "--levels", "affine", "--granularity", "group", "--group-size", "16"), 8),
    ],
)
def test_packed_files_come_back_exactly_and_are_small(trained, tmp_path, monkeypatch, options, bits):
    monkeypatch.chdir(tmp_path)
    run = search(trained, tmp_path, *options)
    assert not cli(["export", str(run.folder.path), "--to", "int-safetensors", "-o", "small"], standalone_mode=False)
    expected, found = weights_of(run.learner), read_quantized(tmp_path / "small/model.int.safetensors")
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[n], w) for n, w in expected.items())
    stored = load_file(tmp_path / "small/model.int.safetensors")
    packed = stored["model.blocks.0.0.weight.packed"]
    assert packed.dtype == torch.uint8 and packed.numel() == 32 * 64 * bits // 8


def test_a_graph_with_codes_answers_bit_equal_and_is_arithmetic_alone(trained, tmp_path, capsys):
    run = LoadedRun.open(trained)
    settings = Settings(Scheme(2, "affine", "group", 8), activations=6, exclude=("head",))
    PostTraining(run.learner, settings).all(lambda: run.batches("train", 1), 0)
    (path,) = IntTorchExport().export(run, tmp_path)
    program = torch.export.load(path)
    weights = [name for name in weights_of(run.learner) if "blocks" in name and "weight" in name]
    assert f"{len(weights)} integer weights" in capsys.readouterr().out
    for name in weights:
        held = program.state_dict[f"learner.{name}.codes"]
        assert held.dtype == torch.uint8 and held.numel() == run.learner.get_parameter(name).numel() // 4
        assert f"learner.{name}" not in program.state_dict
    kinds = {node.target.namespace for node in program.graph.nodes if hasattr(node.target, "namespace")}
    assert kinds == {"aten"}, "any program with torch can load it"
    fields = {"inputs": next(run.batches("test", 1))["inputs"]}
    expected = run.learner.predict(fields)
    assert all(torch.equal(value, expected[name]) for name, value in program.module()(fields).items())


def test_a_run_in_full_precision_has_no_codes_to_export(trained, tmp_path):
    with pytest.raises(UserError, match="no weight of the run is quantised"):
        IntTorchExport().export(LoadedRun.open(trained), tmp_path)


def test_a_weight_in_full_precision_has_no_levels():
    assert recover(torch.randn(64, 64, generator=torch.Generator().manual_seed(0))) is None


# -- what cannot be ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("callback", "message"),
    [
        ("{name: qat, bits: 9}", "bits: must be <= 8"),
        ("{name: qat, bits: 4, granularity: group, group_size: 7}", "group_size: 7 does not divide the 64 weights"),
        ("{name: qat, include: ['haed']}", "include: 'haed' matches no weight"),
        ("{name: qat, exclude: ['(']}", "is not a regular expression"),
        ("{name: qat, levels: ternary}", "levels=ternary has 2 bits"),
        ("{name: quantized-score, label: x, activations: 8, calibration: tests}", "has no split 'tests'"),
        ("{name: quantized-score, label: x, dynamic: true}", "dynamic is of activations"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, callback, message):
    with pytest.raises(UserError) as error:
        trial(tmp_path, BASE, callback).run(2)
    assert message in error.value.render()


def test_a_budget_below_the_smallest_choice_is_refused(trained, tmp_path):
    with pytest.raises(UserError, match="budget=2 is below the smallest choice for all weights, 4 bits"):
        search(trained, tmp_path, "--budget", "2", "--choices", "[4, 8]", "--probes", "1", name="mixed-precision")


def test_a_model_with_a_learned_clipping_resumes_loads_and_is_exported_with_integers(tmp_path, capsys):
    text = CONV.replace("model: {name: conv-net", "model: {name: quantized, bits: 4, base: {name: conv-net")
    one = trial(tmp_path, text.replace("[8]}", "[8]}}"), "{name: qat, bits: 4}")
    whole = one.run(6, checkpoint_every=3)
    resumed = one.run(6, checkpoint_every=3, resume=one.run(6, checkpoint_every=3, cut_at=5).folder)
    expected = weights_of(whole.learner)
    assert all(torch.equal(w, expected[n]) for n, w in weights_of(resumed.learner).items())
    assert all(torch.equal(w, expected[n]) for n, w in weights_of(LoadedRun.open(whole.folder.path).learner).items())
    clips = [w for n, w in expected.items() if n.endswith("alpha")]
    assert len(clips) == 3 and all(float(clip) > 0 for clip in clips)
    if not importlib.util.find_spec("onnxruntime"):
        return
    import onnx

    (path,) = ONNXQDQ().export(LoadedRun.open(whole.folder.path), tmp_path)
    said = capsys.readouterr().out
    assert "3 integer weights, 3 quantised activations" in said, "weights before a normalisation stay on their levels"
    graph = onnx.load(str(path)).graph
    four = {onnx.TensorProto.INT4, onnx.TensorProto.UINT4}
    assert {t.data_type for t in graph.initializer if len(t.dims) >= 2} <= four
    assert sum(node.op_type == "DequantizeLinear" for node in graph.node) == 6


ATTENTION = """
rk: 1
model: {name: sequence, layer: {name: attention, num_heads: 2}, d_model: 8}
data: {name: adding, length: 8, batch_size: 8}
loss: mse
trainer: {name: backprop, optimizer: {name: adam, lr: 1e-2}}
fit: {max_steps: 4, seed: 1, threads: 1}
"""


def test_the_hessian_is_computed_through_attention(tmp_path):
    (tmp_path / "r.yaml").write_text(ATTENTION)
    parts = Trial(RecipeFile(tmp_path / "r.yaml"), Catalog(), tmp_path / "runs").build().parts
    weights = {n: p for n, p in parts.learner.named_parameters() if p.dim() == 2}
    found = traces(parts.learner, weights, lambda: [parts.data.batch("train", 0)], probes=2, seed=0)
    assert found.keys() == weights.keys() and any(value != 0 for name, value in found.items() if "blocks" in name)

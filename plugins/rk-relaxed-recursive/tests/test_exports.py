"""A looped run without its loops, and with each tensor once."""

from __future__ import annotations

import json

import pytest
import torch
from rk_relaxed_recursive.tied import read_tied
from safetensors import safe_open

import rk
from rk import LoadedRun, UserError

RECIPE = """rk: 1
model: {model}
data: digits
loss: cross-entropy
trainer: {trainer}
fit: {{max_steps: 20, seed: 0}}
"""
FLAT = "{name: mlp, hidden_sizes: [64, 64, 64, 64]}"
PLAIN = "{name: backprop, optimizer: {name: adam, lr: 3e-3}}"


@pytest.fixture(scope="module", params=[PLAIN, "{name: multi-exit, optimizer: adam}"], ids=["plain", "exits"])
def looped(tmp_path_factory, request):
    """A run of four blocks of which two run twice, with matrices of low rank that have learned."""
    folder = tmp_path_factory.mktemp("looped")
    model = f"{{name: recursive, base: {FLAT}, num_loops: 2, rank: 4}}"
    (folder / "loop.yaml").write_text(RECIPE.format(model=model, trainer=request.param))
    return rk.train(folder / "loop.yaml", runs_dir=folder / "runs")


def test_an_untied_run_is_one_of_the_base_and_answers_alike(looped, tmp_path):
    looped.export("untied", tmp_path / "alone")
    alone, before = LoadedRun.open(tmp_path / "alone"), LoadedRun.open(looped.path)
    assert type(alone.learner.model).__name__ == "MLP"
    batch = next(before.batches("test", 1))
    answers = [run.learner.predict(batch)["logits"] for run in (alone, before)]
    torch.testing.assert_close(*answers, atol=1e-5, rtol=1e-5)
    weights = [block.state_dict()["0.weight"] for block in alone.learner.model.blocks]
    assert not torch.equal(weights[0], weights[2])


def test_a_tied_file_has_each_tensor_once_and_gives_back_all_names(looped, tmp_path):
    (path,) = looped.export("tied-safetensors", tmp_path / "small")
    model = LoadedRun.open(looped.path).learner.model
    with safe_open(path, framework="pt") as file:
        stored, head = list(file.keys()), file.metadata()
    assert len(stored) == len(list(model.parameters()))
    assert json.loads(head["layout"])["blocks"] == [0, 1, 0, 1]
    weights, layout = read_tied(path)
    assert layout == model.layout
    expected = model.state_dict()
    assert set(weights) == set(expected)
    assert all(torch.equal(weights[name], tensor) for name, tensor in expected.items())


def test_other_runs_and_files_are_refused(tmp_path):
    (tmp_path / "flat.yaml").write_text(RECIPE.format(model=FLAT, trainer=PLAIN))
    flat = rk.train(tmp_path / "flat.yaml", runs_dir=tmp_path / "runs", fit={"max_steps": 1})
    with pytest.raises(UserError, match="has 0 models recursive: one is untied"):
        flat.export("untied", tmp_path / "a")
    with pytest.raises(UserError, match="has no model whose blocks run in loops"):
        flat.export("tied-safetensors", tmp_path / "b")
    with pytest.raises(UserError, match="is not a file of tied weights"):
        read_tied(flat.path / "model.safetensors")
    (tmp_path / "x.safetensors").write_bytes(b"no")
    with pytest.raises(UserError, match="cannot be read"):
        read_tied(tmp_path / "x.safetensors")


def test_an_untied_language_model_is_read_by_the_transformers_library(tmp_path, monkeypatch):
    transformers = pytest.importorskip("transformers")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "book.txt").write_text("It was the best of times, it was the worst of times.\n" * 40)
    base = "{name: causal-lm, model: llama, random_init: true}"
    model = f"{{name: recursive, base: {base}, num_loops: 2, initial: average, rank: 4, tie_norms: false}}"
    text = RECIPE.format(model=model, trainer=PLAIN).replace(
        "digits",
        "{name: lm-text, model: llama, random_init: true, path: book.txt, length: 16, batch_size: 4, eval_length: 16}",
    )
    (tmp_path / "tied.yaml").write_text(text)
    run = rk.train(tmp_path / "tied.yaml", fit={"max_steps": 3})
    run.export("untied", tmp_path / "alone")
    rk.load(tmp_path / "alone").export("transformers", tmp_path / "library")
    tokens = torch.randint(250, (2, 9), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "library")(input_ids=tokens).logits
        expected = run.learner.predict({"tokens": tokens})["logits"]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)

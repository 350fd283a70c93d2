"""`rk export RUN --to path`: one path as a model of its own."""

import json
from collections import Counter
from pathlib import Path

import pytest
import torch
from rk_cola.paths import read_path
from rk_lm.layered import run_path
from rk_lm.load import load
from rk_lm.tiny import byte_tokenizer, tiny_model

import rk
from rk import UserError
from rk.blocks import layered_of, run_blocks
from rk.cli import cli
from rk.fit.loaded import LoadedRun
from rk.runs import RunFolder

WORDS = {
    "rk": 1,
    "model": {"name": "sequence", "layer": "attention", "num_layers": 3, "d_model": 8},
    "data": {"name": "group-words", "group": "S3", "length": 3, "val_examples": 8, "test_examples": 16},
    "loss": "cross-entropy",
    "trainer": {"name": "backprop", "optimizer": "adam"},
    "fit": {"max_steps": 3, "seed": 1, "threads": 1},
}
LOOPED = {**WORDS, "model": {**WORDS["model"], "num_layers": 4, "num_loops": 2}}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny model, a search over it, a trained run and a search over that, each with a best fixed path."""
    folder = tmp_path_factory.mktemp("export")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setattr("rk_cola.drawing.draw", lambda samples, depth, folder: [])
        tiny_model("llama", seed=2, tie_word_embeddings=True).save_pretrained("model")
        byte_tokenizer().save_pretrained("model")
        Path("asked.jsonl").write_text("\n".join(json.dumps({"prompt": f"{i}=", "answer": "a"}) for i in range(3)))
        run = rk.train(WORDS, runs_dir="trained", progress=False)
        looped = rk.train(LOOPED, runs_dir="trained-looped", progress=False)
        budget = ["--num-simulations", "3", "--controls", "fit.threads=1"]
        data = "{name: exact-jsonl, file: asked.jsonl}"
        cli(["search", "cola", "--model", "model", "--data", data, *budget, "--runs-dir", "lm"], standalone_mode=False)
        cli(["search", "cola", "--run", str(run.path), *budget, "--runs-dir", "words"], standalone_mode=False)
        cli(["search", "cola", "--run", str(looped.path), *budget, "--runs-dir", "looped"], standalone_mode=False)
    return folder


def only(folder: Path) -> Path:
    (run,) = RunFolder.all(folder)
    return run.path


def export(run: Path, *options: str) -> None:
    cli(["export", str(run), "--to", "path", *options, "-o", "out"], standalone_mode=False)


def test_plain_transformers_loads_the_path_with_its_tokenizer_and_equal_logits(folder, monkeypatch):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with monkeypatch.context() as patch:
        patch.chdir(folder)
        export(only(Path("lm")), "exporter.path=0-2 1-2 5-7")
        lm = load("model")
        model, tokenizer = AutoModelForCausalLM.from_pretrained("out").eval(), AutoTokenizer.from_pretrained("out")
    tokens = tokenizer("12+3=", return_tensors="pt").input_ids
    assert tokens.tolist() == [lm.tokenizer("12+3=").input_ids]
    with torch.inference_mode():
        assert torch.equal(model(tokens).logits, run_path(lm.layered, tokens, (0, 1, 2, 1, 2, 5, 6, 7)))
    assert (model.config.num_hidden_layers, model.config.rk_path) == (8, "0-2 1-2 5-7")


def test_the_best_fixed_path_is_the_default_and_the_weights_may_have_16_bits(folder, monkeypatch):
    from transformers import AutoModelForCausalLM

    monkeypatch.chdir(folder)
    run = only(Path("lm"))
    export(run, "exporter.dtype=bfloat16")
    model = AutoModelForCausalLM.from_pretrained("out")
    assert model.dtype == torch.bfloat16
    assert model.config.rk_path == json.loads((run / "summary.json").read_text())["fixed_path"]


@pytest.mark.parametrize(("searched", "trained"), [("words", "trained"), ("looped", "trained-looped")])
def test_the_path_of_a_trained_run_is_a_run(folder, capsys, searched, trained):
    """Of a looped one too: each layer of the path has weights of its own."""
    export(only(folder / searched), "exporter.path=0-1 1 0 2")
    derived, inner = LoadedRun.open(Path("out")), LoadedRun.open(only(folder / trained))
    batch = next(iter(inner.batches("test")))
    with torch.inference_mode():
        expected = run_blocks(layered_of(inner.learner), batch, (0, 1, 1, 0, 2))["logits"]
        assert torch.equal(derived.learner.predict(batch)["logits"], expected)
    cli(["eval", "out"], standalone_mode=False)
    assert "test/accuracy" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "option", "message"),
    [
        ("lm", "exporter.path=0-9", "there is no layer 8: the model has 8"),
        ("words", "exporter.path=0 3", "there is no layer 3: the model has 3"),
        ("lm", "exporter.path=a-b", "path must be runs of layers"),
        ("trained", "exporter.path=0-1", "is not a search of cola"),
    ],
)
def test_what_cannot_be_exported_is_one_message(folder, monkeypatch, name, option, message):
    monkeypatch.chdir(folder)
    with pytest.raises(UserError, match=message):
        export(only(Path(name)), option)


def test_without_a_fixed_path_the_one_that_is_valid_for_most_questions_is_written(folder):
    command = ["search", "cola", "--run", str(only(folder / "trained")), "--positions", "last", "--num-simulations"]
    cli([*command, "8", "--method", "random", "fit.threads=1"], standalone_mode=False)
    found = only(Path("runs"))
    rows = [json.loads(line) for line in (found / "samples.jsonl").read_text().splitlines()]
    counts = Counter(path["path"] for row in rows for path in row["paths"])
    export(found)
    written = read_path(min(counts, key=lambda path: (-counts[path], len(read_path(path)), read_path(path))))
    assert len(layered_of(LoadedRun.open(Path("out")).learner).blocks) == len(written)

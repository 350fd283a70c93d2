"""A run as an object: its results, its answers to files and to arrays, its figures, its exports."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import torch

import rk as kit
from rk.errors import RecipeError, UserError


@pytest.fixture
def csv(folder):
    """Two digits in a file, (2, 8, 8) from 0 to 16, and the array."""
    digits = np.random.default_rng(0).integers(0, 17, (2, 64))
    np.savetxt(folder / "digits.csv", digits, fmt="%d", delimiter=",")
    return folder / "digits.csv", digits.reshape(2, 8, 8)


# -- finding -------------------------------------------------------------------------------------------------------


def test_a_run_is_loaded_by_its_folder_its_name_or_last(run):
    root = run.path.parent.parent
    for name in (run.path, str(run.path), run.path.name, "last"):
        assert kit.load(name, runs_dir=root).path == run.path
    assert kit.load(run) is run


def test_last_is_the_default_and_follows_the_variable(run, folder, monkeypatch):
    monkeypatch.setenv("RK_RUNS", str(run.path.parent.parent))
    assert kit.load().path == run.path and kit.evaluate(splits="val") == kit.evaluate(run, "val")


def test_there_is_no_such_run(folder):
    with pytest.raises(UserError, match="no such run: nope"):
        kit.load("nope")
    with pytest.raises(UserError, match="cannot be read"):
        kit.StoredRun(folder)


# -- results -------------------------------------------------------------------------------------------------------


def test_results_are_those_of_the_folder(run):
    stored = json.loads((run.path / "run.json").read_text())
    assert run.status == "done" and run.metrics == stored["metrics"] and run.info == stored
    assert [line["step"] for line in run.history if "train/loss" in line] == [5, 10, 15, 20]
    assert run.recipe["model"] == {"name": "rk/mlp", "hidden_sizes": [16], "activation": "relu", "dropout": 0.0}
    assert sum(p.numel() for p in run.learner.parameters()) == stored["parameters"]


def test_measuring_again_gives_the_same_numbers(run):
    assert run.evaluate() == run.metrics
    assert run.evaluate("test") == {k: v for k, v in run.metrics.items() if k.startswith("test/")}
    assert run.evaluate(["val"], limit=1, data={"batch_size": 10}).keys() == {"val/loss", "val/accuracy"}


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda run: run.evaluate("tset"), UserError, "unknown split 'tset'"),
        (lambda run: run.evaluate(model={"hidden_sizes": [3]}), RecipeError, "override model.hidden_sizes=[3]: "),
        (lambda run: run.export("onx"), UserError, "onx"),
    ],
)
def test_a_mistake_is_an_error_of_the_user(run, call, error, said):
    with pytest.raises(error) as raised:
        call(run)
    assert said in str(raised.value)


def test_a_run_is_shown_as_a_table_of_its_results(run):
    page = run._repr_html_()
    assert "recipe: done, 20 steps" in page and "<td style='text-align: left'>test/accuracy</td>" in page
    assert "status='done'" in repr(run)


def test_a_page_shows_text_and_never_runs_it(run, recipe, folder):
    odd = kit.train(recipe, name="<script>x</script>", fit={"max_steps": 1}, progress=False)
    assert "<script>" not in odd._repr_html_() and "&lt;script&gt;" in odd._repr_html_()


def test_figures_are_shown_inline(run):
    assert run.figures and all(path.is_file() for path in run.figures)
    page = run.figures._repr_html_()
    assert page.count("<img ") == len(run.figures) and "src='data:image/" in page


def test_without_a_notebook_showing_prints(run, capsys):
    run.show()
    assert repr(run) in capsys.readouterr().out


# -- answers -------------------------------------------------------------------------------------------------------


def test_files_and_arrays_are_answered_alike(run, csv):
    path, digits = csv
    of_file = run.predict(path)
    of_array = run.predict({"inputs": digits / 16})
    of_tensor = run.predict({"inputs": torch.from_numpy(digits / 16)})
    assert of_file == of_array == of_tensor and len(of_file) == 2
    assert of_file[0].keys() == {"class", "probability", "probabilities"}
    assert torch.equal(of_file.outputs["logits"], of_array.outputs["logits"])


def test_answers_are_those_of_the_command_line(run, csv, rk_folder):
    path, _ = csv
    rk_folder.rk("predict", run.path, path, "-o", "answers.json")
    assert run.predict(str(path)) == json.loads((path.parent / "answers.json").read_text())


def test_several_files_are_one_list_and_keep_their_outputs_apart(run, csv):
    path, digits = csv
    np.savetxt(path.with_name("one.csv"), digits[:1].reshape(1, 64), fmt="%d", delimiter=",")
    answers = run.predict(["one.csv", path])
    assert [row["file"] for row in answers] == ["one.csv", str(path), str(path)]
    assert [len(part.outputs["logits"]) for part in answers.parts] == [1, 2]
    assert [row["file"] for row in run.predict("*.csv")] == ["digits.csv", "digits.csv", "one.csv"]
    with pytest.raises(UserError, match="the outputs of 2 inputs"):
        _ = answers.outputs


def test_a_data_frame_is_read_as_its_file_would_be(run, csv):
    path, _ = csv

    class Frame:
        def to_csv(self, target, index):
            assert index is False
            target.write_text(path.read_text())

    assert run.predict(Frame()) == run.predict(path)


def test_a_mistake_in_a_data_frame_is_named_by_it(run):
    polars = pytest.importorskip("polars")
    with pytest.raises(UserError, match="the data frame:1: expected 64 numbers, got 1"):
        run.predict(polars.DataFrame({"pixel": [1, 2]}))


def test_answers_are_a_table_and_draw_figures(run, csv, tmp_path):
    answers = run.predict(csv[0])
    assert answers._repr_html_().count("<tr>") == 3
    drawn = answers.figures(tmp_path / "drawn")
    assert [path.parent.name for path in drawn] == ["drawn"] and "data:image/png" in drawn._repr_html_()


@pytest.mark.parametrize(
    ("inputs", "said", "hint"),
    [
        (None, "which inputs?", "fields by name"),
        (np.zeros((1, 8, 8)), "expected files, or fields by name, got ndarray", "a mapping"),
        ([np.zeros((8, 8))], "expected files, or fields by name, got list", "a mapping"),
        ({"inputs": np.zeros((2, 5))}, "cannot answer these fields: RuntimeError: mat1", "inputs float32 (2, 5)"),
        ({"x": np.zeros((1, 64))}, "missing 1 required keyword-only argument: 'inputs'", "x float32 (1, 64)"),
        ({"inputs": ["a", "b"]}, "the field inputs must be an array or a tensor of numbers", None),
        ({}, "cannot answer these fields", "no tensor"),
        ("nothing.csv", "no such file: nothing.csv", None),
    ],
)
def test_inputs_that_do_not_fit_are_an_error_of_the_user(run, folder, inputs, said, hint):
    with pytest.raises(UserError) as raised:
        run.predict(inputs)
    assert said in str(raised.value) and (hint is None or hint in raised.value.hint)


@pytest.mark.parametrize("kind", ["<f8", ">f4", "f2", "u1", "<i2", "?"])
def test_arrays_of_all_kinds_become_what_batches_hold(kind):
    from rk.api.answers import tensors

    found = tensors({"x": np.ones((2, 3), kind), "words_meta": ["a"]})
    wanted = {"f": torch.float32, "u": torch.int64, "i": torch.int64, "?": torch.bool, "b": torch.bool}
    assert found["x"].dtype is wanted[np.dtype(kind).kind] and found["x"].all() and found["words_meta"] == ["a"]


# -- elsewhere -----------------------------------------------------------------------------------------------------


def test_an_export_is_that_of_the_command_line(run, tmp_path):
    files = run.export("safetensors", tmp_path / "out")
    assert {path.name for path in files} == {"model.safetensors", "recipe.yaml"} and all(p.is_file() for p in files)
    with pytest.raises(UserError, match="is the run itself"):
        run.export("safetensors", run.path)


def test_a_run_can_be_sent_to_another_process(run, csv):
    answers = run.predict(csv[0])
    assert pickle.loads(pickle.dumps(run)).predict(csv[0]) == answers

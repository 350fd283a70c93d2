"""Six natures of papers to come, each a plugin that lives only here: what the contract must carry.

Programs as what is learned, graphs, a run that begins from another one, waves, tasks in stages, lists with sparse
gradients. Trainings within trainings are in test_trainings_within.py.
"""

from __future__ import annotations

import json
import os
import signal

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from rk.errors import ExitCode
from rk.runs import RunFolder

RECIPES = {
    "programs": ("strain-programs/climb", 137),
    "graphs": ("strain-graphs/rings", 57),
    "student": ("strain-student/student", 37),
    "waves": ("strain-waves/tones", 37),
    "tasks": ("strain-tasks/two", 57),
    "pairs": ("strain-pairs/lists", 37),
}
FILES = {
    "programs": ("numbers.txt", "4 5"),
    "graphs": ("ring.json", '{"size": 6, "cut": true}'),
    "pairs": ("list.json", '{"query": [1, 2, 3], "candidates": [[30, 31, 32], [4, 5, 6]]}'),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Runs that several tests look at, by their nature."""
    return {"root": tmp_path_factory.mktemp("runs")}


@pytest.fixture(params=RECIPES)
def which(request):
    return request.param


@pytest.fixture
def whole(strain, made, which):
    """The run that nothing disturbed."""
    if which not in made:
        made[which] = train(strain, which, made["root"] / which)
    return made[which]


def train(strain, which, root):
    recipe, at = RECIPES[which]
    callback = {"name": "interrupt", "at": at}
    callbacks = [callback, "watch"] if which == "pairs" else [callback]
    code = strain("train", recipe, f"callbacks={json.dumps(callbacks)}", "--runs-dir", root)
    run = next(r for r in RunFolder.all(root) if r.read()["name"] == recipe)
    assert code == (ExitCode.INTERRUPTED if os.environ.get("RK_TEST_INTERRUPT") else ExitCode.OK)
    return run


def content(run):
    with safe_open(run.model, framework="pt") as file:
        return load_file(run.model), (file.metadata() or {}).get("extra_state")


def test_its_claims_hold_and_it_is_measured_again_as_it_was(strain, whole, capsys):
    from rk.report.summary import RunSummary

    judged = RunSummary(whole).judged
    assert [row.metric for row in judged if row.verdict == "NOT REACHED"] == []
    assert any(row.verdict in ("paper reached", "own bar only") for row in judged)
    capsys.readouterr()
    strain("eval", whole.path, "--json")
    again = json.loads(capsys.readouterr().out)["metrics"]
    assert again == pytest.approx({k: v for k, v in whole.read()["metrics"].items() if not k.startswith("run/")})


@pytest.mark.parametrize("how", ["INT", "KILL"])
def test_it_resumes_bit_equal_after_a_kill(strain, whole, which, tmp_path, monkeypatch, how):
    monkeypatch.setenv("RK_TEST_INTERRUPT", how)
    if how == "KILL":
        child = os.fork()
        if not child:
            train(strain, which, tmp_path / "cut")
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        runs = RunFolder.all(tmp_path / "cut")
        run = next(r for r in runs if r.read()["name"] == RECIPES[which][0])
    else:
        run = train(strain, which, tmp_path / "cut")
    monkeypatch.delenv("RK_TEST_INTERRUPT")
    assert strain("train", "--resume", run.path) == ExitCode.OK
    (expected, text), (found, again) = content(whole), content(run)
    assert expected.keys() == found.keys() and text == again
    assert all(torch.equal(value, found[name]) for name, value in expected.items())
    assert run.read()["metrics"] == whole.read()["metrics"]


def test_it_answers_a_file_and_goes_into_a_hub_folder(strain, whole, which, tmp_path, capsys):
    if which in FILES:
        name, text = FILES[which]
        (tmp_path / name).write_text(text)
        capsys.readouterr()
        assert strain("predict", whole.path, name, "-o", "answer.json") == ExitCode.OK
        assert len(json.loads((tmp_path / "answer.json").read_text())) == 1
    strain("export", whole.path, "--to", "hub", "-o", "hub")
    capsys.readouterr()
    strain("eval", "hub", "--json")
    found = json.loads(capsys.readouterr().out)["metrics"]
    assert found == pytest.approx({k: v for k, v in whole.read()["metrics"].items() if not k.startswith("run/")})


@pytest.mark.parametrize("which", ["waves"])
def test_data_writes_files_of_its_own_kind(strain, whole, tmp_path, capsys):
    import numpy

    from rk.errors import UserError

    numpy.savez(tmp_path / "in.npz", wave=3 + numpy.sin(numpy.arange(80)))
    assert strain("predict", whole.path, "in.npz", "-o", "out.wav", "-o", "out.npz") == ExitCode.OK
    assert "wrote out.wav" in capsys.readouterr().out
    assert numpy.load(tmp_path / "out.npz")["wave"].shape == (80,)
    assert strain("predict", whole.path, "out.wav", "-o", "again.npz") == ExitCode.OK, "what it writes it can read"
    with pytest.raises(UserError) as error:
        strain("predict", whole.path, "in.npz", "-o", "out.mp3")
    assert error.value.hint == "use one of the endings: .json, .jsonl, .csv, .svg, .png, .pdf, .wav, .npz"


@pytest.mark.parametrize("which", ["programs"])
def test_a_text_is_answered_without_a_file(strain, whole, capsys):
    from rk.errors import UserError

    capsys.readouterr()
    assert strain("predict", whole.path, "--text", "4 5") == ExitCode.OK
    assert "16" in capsys.readouterr().out
    with pytest.raises(UserError) as error:
        strain("predict", whole.path, "jump twice")
    assert error.value.hint == "--text 'jump twice' answers the text"


@pytest.mark.parametrize("which", ["pairs"])
def test_a_mask_on_gradients_and_rates_of_single_parameters_hold(strain, whole, made, tmp_path):
    recipe, _ = RECIPES["pairs"]
    first = tmp_path / "first"
    strain("train", recipe, "fit.max_steps=1", "callbacks=[watch]", "~expect", "--runs-dir", first)
    one, many = load_file(next(RunFolder.all(first)).model), load_file(whole.model)
    half = len(one["model.map.weight"]) // 2
    assert torch.equal(one["model.map.weight"][half:], many["model.map.weight"][half:])
    assert not torch.equal(one["model.map.weight"][:half], many["model.map.weight"][:half])
    rates = next(line for line in whole.metrics() if "lr/*" in line)
    assert {"lr/*", "lr/words.*"} <= rates.keys()
    logged = next(line for line in whole.metrics() if "train/size" in line)
    assert logged["train/loss"] == pytest.approx(logged["train/list"] + 0.01 * logged["train/size"], rel=1e-5)

"""Trainings within a search and an analysis: killed, resumed, and bit-equal."""

from __future__ import annotations

import json
import os
import signal

import click
import pytest
import torch
from safetensors.torch import load_file

from rk.errors import ExitCode, RecipeError, RunFailed, UserError
from rk.fit.loaded import LoadedRun
from rk.fit.runtime import Runtime
from rk.runs import RunFolder
from rk.training import train_inside

SEARCH = ("search", "students", "--data", "digits", "fit.seed=3", "fit.threads=1")


def search(strain, root, *more):
    code = strain(*SEARCH, "--runs-dir", root, *more)
    return code, next(RunFolder.all(root))


def trained(run):
    """Returns inner run -> whether it has its result and the number of lines that it has logged."""
    return {p.name: len(list(RunFolder(p).metrics())) for p in sorted((run.path / "inside").iterdir())}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The search that nothing disturbed: its run is made once, by the first test that asks."""
    return {"root": tmp_path_factory.mktemp("whole")}


@pytest.fixture
def undisturbed(strain, whole):
    if "run" not in whole:
        code, whole["run"] = search(strain, whole["root"])
        assert code == ExitCode.OK
    return whole["run"]


def equal(one, other):
    expected, found = load_file(one), load_file(other)
    return expected.keys() == found.keys() and all(torch.equal(value, found[name]) for name, value in expected.items())


def test_a_search_trains_ten_students_quietly_and_keeps_the_best(undisturbed, tmp_path, strain, capsys):
    assert len(trained(undisturbed)) == 11
    lines = [line for line in undisturbed.metrics() if "train/accuracy" in line]
    best = max(RunFolder(p).read()["metrics"]["val/accuracy"] for p in (undisturbed.path / "inside").glob("student-*"))
    metrics = undisturbed.read()["metrics"]
    assert metrics["val/accuracy"] == pytest.approx(best)
    assert metrics["run/width"] == float(load_file(undisturbed.model)["width"])
    assert len(lines) >= 1
    search(strain, tmp_path / "again", "search.n_trials=2")
    out = capsys.readouterr().out
    assert "student-0" not in out and "resume with" not in out, "only the outer run is shown"


@pytest.mark.parametrize("how", ["Ctrl-C", "kill"])
def test_it_resumes_bit_equal_and_trains_no_student_twice(strain, undisturbed, tmp_path, monkeypatch, capsys, how):
    monkeypatch.setenv("RK_TEST_INTERRUPT", "INT" if how == "Ctrl-C" else "KILL")
    if how == "kill":
        child = os.fork()
        if not child:
            search(strain, tmp_path / "cut")
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        run = next(RunFolder.all(tmp_path / "cut"))
        assert run.state() == "stopped"
    else:
        code, run = search(strain, tmp_path / "cut")
        assert (code, run.read()["status"]) == (ExitCode.INTERRUPTED, "interrupted")
        assert f"stopped within student-4; resume with: rk train --resume {run.label}" in capsys.readouterr().out
        assert RunFolder(run.path / "inside/student-4").checkpoint_steps() == [9]
    before = {p.name: p.stat().st_mtime_ns for p in (run.path / "inside").glob("*/model.safetensors")}
    assert run.checkpoint_steps() == [4]
    monkeypatch.delenv("RK_TEST_INTERRUPT")
    assert strain("train", "--resume", run.path) == ExitCode.OK
    assert before == {p.name: p.stat().st_mtime_ns for p in (run.path / "inside").glob("*/model.safetensors")} | before
    assert equal(undisturbed.model, run.model)
    assert run.read()["metrics"] == undisturbed.read()["metrics"]
    assert trained(run) == trained(undisturbed)


def test_a_derived_run_is_a_run_like_any_other(strain, undisturbed, tmp_path, capsys):
    derived = undisturbed.path / "derived"
    learned = load_file(undisturbed.model)
    assert torch.equal(load_file(derived / "model.safetensors")["model.head.weight"], learned["head.weight"][:, :2])
    capsys.readouterr()
    assert strain("eval", derived, "--split", "test", "--json") == ExitCode.OK
    assert 0 < json.loads(capsys.readouterr().out)["metrics"]["test/accuracy"] < 1
    assert RunFolder(derived).read()["changes"] == {"fit.max_steps": 2}
    assert strain("export", derived, "--to", "hub", "-o", tmp_path / "hub") == ExitCode.OK
    setting = f"init_from={{run: {derived}}}"
    assert strain("train", "strain-students/student", "model.hidden_sizes=[2]", "fit.max_steps=1", setting) == 0
    assert "init_from: 4 of 4 weights" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "cut", "error", "said"),
    [
        ({"model.hidden_sizes": [3]}, 2, "RunFailed", "does not fit the learner"),
        ({"model.hidden_size": [2]}, 2, "RecipeError", "did you mean hidden_sizes"),
        ({"data": {"name": "digits"}, "loss": None}, 2, "RecipeError", "backprop needs a loss"),
    ],
)
def test_a_derived_run_that_does_not_fit_is_refused_and_not_written(
    strain, undisturbed, tmp_path, changes, cut, error, said
):
    run = LoadedRun.open(undisturbed.path / "inside/two-units")
    with pytest.raises(Exception, match=said) as raised:
        run.derive(changes, run.learner, tmp_path / "derived")
    assert type(raised.value).__name__ == error
    assert not (tmp_path / "derived").exists()


def test_an_analysis_that_was_stopped_trains_only_what_is_missing(strain, tmp_path, monkeypatch, capsys):
    assert strain("analyze", "widths", "--widths", "[2, 8]", "--runs-dir", "whole") == ExitCode.OK
    expected = next(RunFolder.all(tmp_path / "whole")).read()["metrics"]
    monkeypatch.setenv("RK_TEST_INTERRUPT", "INT")
    with pytest.raises(click.Abort) as error:
        strain("analyze", "widths", "--widths", "[2, 8]")
    run = next(RunFolder.all(tmp_path / "runs"))
    said = f"stopped within width-2; resume with: rk analyze widths --resume {run.label}"
    assert str(error.value.__cause__) == said
    monkeypatch.delenv("RK_TEST_INTERRUPT")
    assert strain("analyze", "widths", "--resume", run.path) == ExitCode.OK
    assert run.read()["metrics"] == expected
    with pytest.raises(UserError, match="there is nothing to resume"):
        strain("analyze", "widths", "--resume", run.path)


@pytest.fixture
def runtime(tmp_path):
    return Runtime(folder=tmp_path)


def test_the_outer_run_keeps_its_generators_and_threads(strain, runtime):
    torch.set_num_threads(1)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train_inside("strain-students/student", ("fit.max_steps=1", "fit.threads=2"), name="a", within=runtime)
    assert torch.get_num_threads() == 1
    assert torch.equal(torch.rand(3), expected)


def test_one_name_is_one_training(strain, runtime):
    first = train_inside("strain-students/student", ("fit.max_steps=1",), name="a", within=runtime)
    assert (
        train_inside("strain-students/student", ("fit.max_steps=1",), name="a", within=runtime).metrics == first.metrics
    )
    with pytest.raises(UserError, match="a was trained with another recipe"):
        train_inside("strain-students/student", ("fit.max_steps=2",), name="a", within=runtime)


def test_a_wrong_recipe_is_the_users_mistake_and_a_wrong_name_the_authors(strain, runtime):
    with pytest.raises(RecipeError, match="unknown parameter"):
        train_inside("strain-students/student", ("model.width=1",), name="a", within=runtime)
    with pytest.raises(ValueError, match="letters, digits"):
        train_inside("strain-students/student", name="../a", within=runtime)


def test_a_mistake_of_an_inner_recipe_names_the_inner_run(strain, runtime):
    with pytest.raises(RecipeError) as error:
        train_inside("strain-students/student", ("fit.max_stps=1",), name="a", within=runtime)
    said = error.value.render()
    assert said.startswith("inner run a: fit.max_stps=1: fit.max_stps: unknown key")
    assert said.endswith("error: 1 problem found; the inner run a was not trained"), "the outer run's steps were done"
    with pytest.raises(UserError, match=r"^the inner run b: unknown recipe 'nope'"):
        train_inside("nope", name="b", within=runtime)


def test_an_inner_run_that_fails_is_named(strain, runtime):
    changes = ("trainer.optimizer={name: sgd, lr: 1e38}", "fit.log_every=1")
    with pytest.raises(RunFailed, match=r"^the inner run a: loss became"):
        train_inside("strain-students/student", changes, name="a", within=runtime)


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"overrides": "fit.max_steps=1"}, TypeError, "overrides must be a list of texts"),
        ({"overrides": {"fit.max_steps": 1}}, TypeError, "overrides must be a list of texts"),
        ({"overrides": [3]}, TypeError, "overrides must be a list of texts"),
        ({"name": "a" * 101}, ValueError, "up to 100 letters"),
        ({"name": 3}, ValueError, "got 3"),
    ],
)
def test_a_wrong_call_is_reported_at_once(strain, runtime, given, error, said):
    with pytest.raises(error, match=said):
        train_inside("strain-students/student", **({"name": "a", "within": runtime} | given))


def test_a_derived_run_with_weights_that_are_not_finite_is_refused(strain, undisturbed, tmp_path):
    run = LoadedRun.open(undisturbed.path / "inside/two-units")
    weights = {name: value * float("nan") for name, value in run.learner.state_dict().items()}
    with pytest.raises(RunFailed, match="not finite"):
        run.derive({}, weights, tmp_path / "derived")
    assert not (tmp_path / "derived").exists()

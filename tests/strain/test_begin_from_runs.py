"""Runs that begin from other runs: a student of a teacher, and a network that is tuned."""

from __future__ import annotations

import json
import shutil

import click
import pytest
import torch
from safetensors.torch import load_file, save_file

from rk.errors import ExitCode, RecipeError, UserError
from rk.runs import RunFolder

INTERRUPT = "callbacks=[{name: interrupt, at: 37}]"


def runs(root):
    return {run.read()["name"].rpartition("/")[2]: run for run in RunFolder.all(root)}


def equal(one, other):
    expected, found = load_file(one.model), load_file(other.model)
    return expected.keys() == found.keys() and all(torch.equal(value, found[name]) for name, value in expected.items())


def test_the_run_that_a_recipe_begins_from_is_trained_first_and_then_taken(strain, tmp_path, capsys):
    assert strain("train", "strain-student/student") == ExitCode.OK
    assert "strain-student/teacher comes first -> runs/teacher/" in capsys.readouterr().out
    first = runs(tmp_path / "runs")
    assert first.keys() == {"teacher", "student"}
    assert strain("train", "strain-student/student") == ExitCode.OK
    assert f"strain-student/teacher: {first['teacher'].label} is taken" in capsys.readouterr().out
    assert len(list((tmp_path / "runs/teacher").iterdir())) == 1
    assert equal(first["student"], runs(tmp_path / "runs")["student"])


def test_a_student_that_was_killed_resumes_bit_equal_also_where_its_teacher_is_gone(
    strain, tmp_path, monkeypatch, capsys
):
    strain("train", "strain-student/student", INTERRUPT, "--runs-dir", "whole")
    monkeypatch.setenv("RK_TEST_INTERRUPT", "1")
    assert strain("train", "strain-student/student", INTERRUPT, "--runs-dir", "cut") == ExitCode.INTERRUPTED
    monkeypatch.delenv("RK_TEST_INTERRUPT")
    student = runs(tmp_path / "cut")["student"]
    shutil.rmtree(tmp_path / "cut/teacher")
    assert strain("train", "--resume", student.path) == ExitCode.OK
    assert equal(runs(tmp_path / "whole")["student"], student)


def test_a_trained_student_answers_and_exports_without_its_teacher(strain, tmp_path, capsys):
    strain("train", "strain-student/student", "trainer.teacher.overrides=['fit.max_steps=5']", "fit.max_steps=5")
    student = runs(tmp_path / "runs")["student"]
    assert "recipe: strain-student/teacher" in student.recipe.read_text(), "the recipe still names what it began from"
    shutil.rmtree(tmp_path / "runs/teacher")
    shutil.rmtree(student.path / "from")
    strain("export", student.path, "--to", "hub", "-o", "hub")
    assert not (tmp_path / "hub/from").exists()
    assert str(tmp_path) not in (tmp_path / "hub/recipe.yaml").read_text()
    capsys.readouterr()
    strain("eval", "hub", "--split", "test", "--json")
    found = json.loads(capsys.readouterr().out)["metrics"]
    assert found["test/accuracy"] == pytest.approx(student.read()["metrics"]["test/accuracy"])


def test_state_set_by_begin_is_computed_once(strain, tmp_path):
    strain("train", "strain-student/student", "trainer.teacher.overrides=['fit.max_steps=1']", "fit.max_steps=1")
    student = runs(tmp_path / "runs")["student"]
    mean = load_file(student.model)["mean"].clone()
    assert mean != 0
    strain("train", "--resume", student.path, "fit.max_steps=2")
    assert load_file(student.model)["mean"] == mean


def test_claims_of_recipes_that_begin_from_runs_are_reproduced_from_nothing(strain, tmp_path, capsys):
    assert strain("reproduce", "strain-student") == ExitCode.OK
    out = capsys.readouterr().out
    assert "2 of 2 claims hold" in out
    assert len(list((tmp_path / "runs/teacher").iterdir())) == 1, "both begin from one teacher"
    assert strain("reproduce", "strain-student", "--stored") == ExitCode.OK


def test_a_tuned_network_begins_with_the_weights_that_fit(strain, tmp_path, capsys):
    strain("train", "strain-student/tuned", "fit.max_steps=1", "trainer.optimizer.lr=1e-12")
    out = capsys.readouterr().out
    assert "init_from: 2 of 4 weights are those of" in out
    assert "init_from: model.head.weight (10, 48) is newly initialised, as the recipe says" in out
    found = runs(tmp_path / "runs")
    teacher, tuned = load_file(found["teacher"].model), load_file(found["tuned"].model)
    torch.testing.assert_close(teacher["model.blocks.0.0.weight"], tuned["model.blocks.0.0.weight"])
    assert not torch.equal(teacher["model.head.weight"], tuned["model.head.weight"])


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("{run: last, rename: {head: blocks.0.0}}", "head.weight (10, 48) is newly initialised: the run has (48, 64)"),
        ("{run: last, only: ['*bias']}", "2 of 4 weights are those of"),
        ("{run: last}", "4 of 4 weights are those of"),
    ],
    ids=["renamed", "only", "all"],
)
def test_the_recipe_determines_which_weights_a_run_begins_with(strain, tmp_path, capsys, setting, said):
    strain("train", "strain-student/teacher", "fit.max_steps=1")
    strain("train", "strain-student/teacher", "fit.max_steps=1", f"init_from={setting}")
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("trainer.teacher=teacher", "write {recipe: teacher} for a run of it"),
        ("trainer.teacher={recipe: techer}", "did you mean teacher?"),
        ("trainer.teacher={recpe: teacher}", "did you mean recipe?"),
        ("trainer.teacher={recipe: student}", "strain-student/student begins from a run of itself"),
        (
            "trainer.teacher={recipe: teacher, overrides: ['model.hidden_size=3']}",
            "strain-student/teacher has a mistake",
        ),
        ("trainer.teacher={recipe: teacher, overrides: 3}", "expected a list of texts key=value"),
        ("init_from={only: [x]}", "init_from.run: missing"),
        ("init_from=last", "init_from: expected a mapping"),
    ],
)
def test_a_wrong_name_of_a_run_is_a_mistake_of_the_recipe(strain, override, said):
    with pytest.raises(RecipeError) as error:
        strain("train", "strain-student/student", override)
    assert said in error.value.message


def test_weights_without_any_match_are_refused(strain, tmp_path):
    strain("train", "strain-student/teacher", "fit.max_steps=1")
    with pytest.raises(UserError, match=r"init_from: no weight of .* fits"):
        strain("train", "strain-student/teacher", "model.hidden_sizes=[3]", "init_from={run: last, only: ['b*weight']}")


def test_weights_that_are_not_finite_are_not_taken(strain, tmp_path):
    strain("train", "strain-student/teacher", "fit.max_steps=1")
    teacher = runs(tmp_path / "runs")["teacher"]
    weights = load_file(teacher.model)
    weights["model.head.bias"][0] = float("nan")
    save_file(weights, teacher.model)
    with pytest.raises(RecipeError, match=r"init_from: the weight model\.head\.bias of .* is not finite"):
        strain("train", "strain-student/teacher", "init_from={run: last}")


def test_a_dry_run_trains_nothing(strain, tmp_path):
    with pytest.raises(UserError, match="there is no run of strain-student/teacher yet"):
        strain("train", "strain-student/student", "--dry-run")
    assert not (tmp_path / "runs").exists()
    strain("train", "strain-student/teacher")
    assert strain("train", "strain-student/student", "--dry-run") == ExitCode.OK


def test_a_signal_while_the_teacher_trains_is_recovered_by_the_same_command(strain, tmp_path, monkeypatch):
    teacher = "trainer.teacher.overrides=['callbacks=[{name: interrupt, at: 37}]']"
    monkeypatch.setenv("RK_TEST_INTERRUPT", "1")
    with pytest.raises(click.Abort) as error:
        strain("train", "strain-student/student", teacher)
    assert str(error.value.__cause__) == "stopped while strain-student/teacher was trained; the same command resumes it"
    assert error.value.__cause__.exit_code == ExitCode.INTERRUPTED
    monkeypatch.delenv("RK_TEST_INTERRUPT")
    assert strain("train", "strain-student/student", teacher) == ExitCode.OK
    assert len(list((tmp_path / "runs/teacher").iterdir())) == 1

"""Mistakes around runs that begin from others: each is one message, at its place, before anything is trained."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from rk.errors import Mark, RecipeError, UserError
from rk.export.portable import portable
from rk.fit.initial import take_weights
from rk.inputs import find_inputs
from rk.recipe.model import InitFrom, Recipe, RunRef, Wanted
from rk.runs import RunFolder

STUDENT, TEACHER = "strain-student/student", "strain-student/teacher"


@pytest.fixture
def folder(tmp_path):
    """A run that another could begin from, as far as can be seen without loading it."""
    path = tmp_path / "a run"
    path.mkdir()
    (path / "run.json").write_text(json.dumps({"name": "mine", "status": "done", "facts": {}}))
    (path / "recipe.yaml").write_text("rk: 1\n")
    save_file({"model.head.weight": torch.ones(2, 2), "other": torch.ones(3)}, path / "model.safetensors")
    return path


def cut_weights(path):
    content = (path / "model.safetensors").read_bytes()
    (path / "model.safetensors").write_bytes(content[:-4])


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: (path / "run.json").write_text('{"status": "starting"}'), "a run was never started"),
        (
            lambda path: (path / "run.json").write_text("[]"),
            "run.json cannot be read: it must hold an object, got list",
        ),
        (lambda path: (path / "recipe.yaml").unlink(), "a run was never started"),
        (lambda path: (path / "model.safetensors").unlink(), "a run has lost its weights"),
        (lambda path: (path / "model.safetensors").write_bytes(b"junk"), "the file is cut short"),
        (cut_weights, "the file is cut short"),
    ],
    ids=["not started", "no object", "no recipe", "no weights", "junk", "cut short"],
)
@pytest.mark.parametrize(("recipe", "key"), [(STUDENT, "trainer.teacher"), (TEACHER, "init_from.run")])
def test_a_run_that_gives_no_weights_is_a_mistake_at_its_key(strain, folder, damage, said, recipe, key):
    damage(folder)
    with pytest.raises(RecipeError) as error:
        strain("validate", recipe, f"{key}=a run")
    (problem,) = error.value.problems
    assert (problem.key, problem.mark.source) == (key, f"command line: {key}=a run")
    assert said in problem.message and problem.hint


def test_a_run_without_weights_yet_is_to_be_resumed(strain, folder):
    (folder / "run.json").write_text('{"status": "interrupted", "facts": {}}')
    (folder / "model.safetensors").unlink()
    with pytest.raises(RecipeError) as error:
        strain("validate", STUDENT, "trainer.teacher=a run")
    assert error.value.problems[0].hint == "rk train --resume 'a run'"


def test_a_whole_run_is_taken(strain, folder):
    assert strain("validate", STUDENT, "trainer.teacher=a run") == 0


@pytest.mark.parametrize(
    ("override", "said", "hint"),
    [
        ("model=5", "model=5: model: expected a model", "model: {name: ...}"),
        ("fit.max_stps=5", "fit.max_stps=5: fit.max_stps: unknown key", "did you mean max_steps?"),
        ("fit.max_steps", "an override has the form key=value", None),
    ],
)
def test_a_mistake_of_an_override_is_one_of_the_key_overrides(strain, override, said, hint):
    with pytest.raises(RecipeError) as error:
        strain("validate", STUDENT, f"trainer.teacher={{recipe: teacher, overrides: [{override}]}}")
    (problem,) = error.value.problems
    assert problem.key == "trainer.teacher.overrides"
    assert said in problem.message
    assert hint is None or hint in problem.hint


def test_a_mistake_of_the_inner_recipe_keeps_its_place_its_key_and_its_hint(strain, tmp_path):
    (tmp_path / "my own.yaml").write_text(f"rk: 1\nextends: {TEACHER}\nfit: {{max_stps: 3, sed: 1}}\n")
    with pytest.raises(RecipeError) as error:
        strain("validate", STUDENT, "trainer.teacher.recipe=my own.yaml")
    (problem,) = error.value.problems
    assert "my own has a mistake: my own.yaml:3:7: fit.max_stps: unknown key" in problem.message
    assert "did you mean max_steps?" in problem.hint
    assert "rk validate 'my own.yaml' shows all 2 problems" in problem.hint


def test_a_recipe_named_on_the_command_line_is_looked_for_in_the_working_folder(strain, tmp_path):
    (tmp_path / "my own.yaml").write_text(f"rk: 1\nextends: {TEACHER}\n")
    assert strain("validate", STUDENT, "trainer.teacher.recipe=my own.yaml") == 0


def test_recipes_in_a_circle_are_refused_with_the_whole_way(strain, tmp_path):
    for name, next_one in ("ab", "bc", "ca"):
        text = f"rk: 1\nextends: {STUDENT}\ntrainer: {{teacher: {{recipe: {next_one}.yaml}}}}\n"
        (tmp_path / f"{name}.yaml").write_text(text)
    with pytest.raises(RecipeError) as error:
        strain("validate", "a.yaml")
    message = error.value.message
    assert "b.yaml:3" in message and "c.yaml:3" in message and "a begins from a run of itself" in message


class Learner(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Module()
        self.model.head = nn.Linear(2, 2, bias=False)


@pytest.mark.parametrize(
    ("wrong", "key", "said"),
    [
        ({"only": ["hed.*"]}, "init_from.only.0", "'hed.*' matches no weight"),
        ({"skip": ["other", "["]}, "init_from.skip.1", "'[' matches no weight"),
        ({"rename": {"hed": "x"}}, "init_from.rename.hed", "no weight here begins with 'hed'"),
        ({"rename": {"head": "x"}}, "init_from", "no weight of the run of mine fits"),
        ({"skip": ["*"]}, "init_from", "only and skip leave no weight to be taken"),
    ],
)
def test_a_pattern_of_init_from_that_matches_nothing_is_a_mistake_of_the_recipe(folder, wrong, key, said):
    init = InitFrom(**({"run": RunRef(folder), "only": [], "skip": [], "rename": {}} | wrong))
    recipe = Recipe("mine", init_from=init, marks={"init_from": Mark("mine.yaml", 7, 3)})
    learner = Learner()
    before = learner.model.head.weight.clone()
    with pytest.raises(RecipeError) as error:
        list(take_weights(learner, recipe))
    (problem,) = error.value.problems
    assert (problem.key, str(problem.mark)) == (key, "mine.yaml:7:3")
    assert said in problem.message and problem.hint
    assert torch.equal(learner.model.head.weight, before)


def test_a_pattern_may_match_a_weight_of_the_other_run_alone(folder):
    recipe = Recipe("mine", init_from=InitFrom(RunRef(folder), [], ["other"], {}))
    learner = Learner()
    assert "1 of 1 weight" in next(take_weights(learner, recipe))
    assert torch.equal(learner.model.head.weight, torch.ones(2, 2))


def test_no_path_in_the_overrides_of_a_run_leaves_the_machine():
    wanted = Wanted("/home/me/teacher.yaml", ("data.path=/home/me/secret/book.txt", "fit.seed=1"))
    found = portable(Recipe("mine", init_from=InitFrom(RunRef(None, wanted), [], [], {})))
    assert found.init_from.run.plain() == {"recipe": "teacher.yaml", "overrides": ["data.path=book.txt", "fit.seed=1"]}


def test_a_run_whose_kept_runs_are_gone_is_reported(strain, tmp_path):
    strain("train", STUDENT, "trainer.teacher.overrides=['fit.max_steps=1']", "fit.max_steps=1")
    student = next(run for run in RunFolder.all(tmp_path / "runs") if run.read()["name"] == STUDENT)
    shutil.rmtree(student.path / "from")
    with pytest.raises(UserError) as error:
        strain("train", "--resume", student.path, "fit.max_steps=2")
    assert f"the run of {TEACHER} that this run began from is gone" in error.value.message
    assert (student.path / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("optimizer", "said"),
    [
        ("{'hed.*': adam, '*': adam}", "backprop: the optimizer of 'hed.*' has no parameter"),
        ("{'[': adam, '*': adam}", "backprop: the optimizer of '[' has no parameter"),
        ("{}", "backprop: no optimizer is for the parameter model.blocks.0.0.weight"),
    ],
)
def test_patterns_of_optimizers_that_do_not_fit_are_a_mistake_of_the_trainer(strain, tmp_path, optimizer, said):
    with pytest.raises(RecipeError) as error:
        strain("train", TEACHER, f"trainer.optimizer={optimizer}")
    (problem,) = error.value.problems
    assert problem.key == "trainer" and problem.mark.source.endswith("teacher.yaml") and problem.mark.line
    assert problem.message == said and problem.hint
    assert not list(RunFolder.all(tmp_path / "runs"))


@pytest.mark.parametrize(
    ("texts", "shown"),
    [
        (["4"], ["--text 4"]),
        (["it's"], ["--text 'it'\"'\"'s'"]),
        ([""], ["--text"]),
        (["-", "x" * 100], ["--text -", f"--text {'x' * 40}..."]),
    ],
)
def test_messages_call_a_text_of_the_command_line_by_its_option(texts, shown):
    with find_inputs([], texts) as found:
        assert [item.shown for item in found] == shown

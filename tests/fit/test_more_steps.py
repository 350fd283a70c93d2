"""A run that gets more steps, or was killed between training and its end."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rk.errors import RunFailed, UserError
from rk.fit.loaded import LoadedRun
from rk.fit.loop import Loop
from rk.fit.train import train
from rk.recipe.stored import lengthens, read_stored
from rk.runs import RunFolder


@pytest.fixture
def resume(catalog):
    """Returns a function that resumes a run with overrides, as `rk train --resume` does."""

    def call(folder, *overrides):
        recipe = read_stored(folder, overrides, catalog, resuming=True)
        extend = lengthens(overrides, recipe, catalog)
        return train(recipe, catalog, folder, resume=True, extend=extend, overrides=overrides)

    return call


class Killed(BaseException):
    """SIGKILL, as far as the run folder is concerned."""


def kill_in(monkeypatch, name):
    def die(self, *args):
        raise Killed

    monkeypatch.setattr(Loop, name, die)
    monkeypatch.setattr("rk.fit.train._failed", lambda folder, error, begun: (_ for _ in ()).throw(error))


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in b)


def test_more_steps_are_taken_by_a_run_that_was_killed_in_its_final_tests(run, resume):
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        kill_in(patch, "_final_metrics")
        run()
    (folder,) = RunFolder.all(Path("runs"))
    assert resume(folder, "fit.max_steps=30").steps == 30
    assert folder.read()["step"] == 30


def test_without_more_steps_such_a_run_only_ends(run, resume):
    whole = run()
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        kill_in(patch, "_final_metrics")
        run()
    *_, folder = RunFolder.all(Path("runs"))
    assert resume(folder).metrics == whole.metrics
    assert same(load_file(folder.model), load_file(whole.folder.model))


def test_while_a_run_gets_more_steps_it_answers_with_its_newest_weights(run, resume, catalog):
    folder = run().folder
    first = load_file(folder.model)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        kill_in(patch, "_finish")
        resume(folder, "fit.max_steps=40", "fit.checkpoint_every=10")
    assert folder.checkpoint_steps()[-1] == 40
    newest = load_file(folder.checkpoint_path(40) / "model.safetensors")
    answered = LoadedRun.open(folder.path, catalog).learner.state_dict()
    assert same(answered, newest) and not same(answered, first)


def test_fewer_steps_than_are_done_are_refused_and_the_recipe_stays_as_it_is(run, resume):
    folder = run().folder
    before = folder.recipe.read_text()
    with pytest.raises(UserError, match="has done 20 steps: it cannot end at 10"):
        resume(folder, "fit.max_steps=10")
    assert folder.recipe.read_text() == before


def test_a_schedule_that_jumps_is_reported(run, resume, capsys):
    folder = run().folder  # linear, to 0 at step 20
    resume(folder, "fit.max_steps=40")
    said = capsys.readouterr().err
    assert "the schedule depends on the number of steps, which changes from 20 to 40: lr after step 20 is" in said


def test_a_constant_rate_does_not_jump(run, resume, capsys):
    folder = run("trainer.optimizer={name: adam, lr: 1e-3}").folder
    resume(folder, "fit.max_steps=25")
    assert "schedule" not in capsys.readouterr().err


def test_other_versions_are_reported(run, resume, capsys):
    folder = run("trainer.optimizer={name: adam, lr: 1e-3}").folder
    folder.update(versions=folder.read()["versions"] | {"torch": "1.0"})
    resume(folder, "fit.max_steps=25")
    assert "the versions have changed since the run began: torch 1.0 -> " in capsys.readouterr().err


def test_weights_that_are_not_finite_do_not_answer(run, catalog):
    from safetensors.torch import save_file

    folder = run().folder
    save_file({name: t * float("nan") for name, t in load_file(folder.model).items()}, folder.model)
    with pytest.raises(RunFailed, match="are not finite"):
        LoadedRun.open(folder.path, catalog)

"""`rk.train`: a recipe by its name, its path or as a dict; mistakes name the key; the process stays as it was."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import rk as kit
from rk.errors import RecipeError, UserError
from rk.fit.progress import Silence


def weights(run):
    return load_file(run.path / "model.safetensors")


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


# -- recipes and overrides -----------------------------------------------------------------------------------------


def test_importing_rk_and_naming_its_functions_imports_no_torch():
    code = (
        "import sys, rk; rk.train, rk.load, rk.evaluate, rk.reproduce, rk.StoredRun; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_dict_a_file_and_the_command_line_train_the_same_weights(recipe, run, folder, rk_folder):
    (folder / "mine.yaml").write_text(str(recipe).replace("'", '"'))  # YAML reads a dict of plain values, too
    of_file = kit.train("mine.yaml", progress=False)
    rk_folder.rk("train", "mine.yaml")
    of_command = kit.load("last")
    assert of_command.path != of_file.path and of_file.name == of_command.name == "mine" and run.name == "recipe"
    assert same(weights(run), weights(of_file)) and same(weights(run), weights(of_command))
    assert run.metrics == of_file.metrics == of_command.metrics


def test_a_packaged_recipe_is_named_as_on_the_command_line(folder):
    run = kit.train("noprop/digits-dt", fit={"max_steps": 1}, progress=False)
    assert run.name == "noprop/digits-dt" and run.recipe["fit"]["max_steps"] == 1


def test_a_dict_is_laid_over_the_recipe_and_dots_are_the_keys_of_the_command_line(recipe, folder):
    short = {"max_steps": 1}
    run = kit.train(recipe, fit=short, **{"trainer.optimizer.lr": 0.5}, data={"batch_size": 8}, progress=False)
    assert run.recipe["fit"]["max_steps"] == 1 and run.recipe["fit"]["log_every"] == 5
    assert run.recipe["trainer"]["optimizer"]["lr"] == 0.5 and run.recipe["trainer"]["optimizer"]["name"] == "rk/adam"
    assert run.info["overrides"] == ["fit.max_steps=1", "trainer.optimizer.lr=0.5", "data.batch_size=8"]


def test_another_component_drops_the_parameters_of_the_old_one(recipe, folder):
    run = kit.train(recipe, trainer={"optimizer": {"lr": 0.1, "name": "sgd"}}, fit={"max_steps": 1}, progress=False)
    assert run.recipe["trainer"]["optimizer"]["name"] == "rk/sgd" and run.recipe["trainer"]["optimizer"]["lr"] == 0.1


def test_the_recipe_of_a_run_can_be_trained_again(run, folder):
    assert same(weights(kit.train(run.recipe, progress=False)), weights(run))


def test_a_dict_may_extend_a_file_in_the_working_folder(recipe, folder):
    (folder / "base.yaml").write_text(str(recipe).replace("'", '"'))
    run = kit.train({"rk": 1, "extends": "base.yaml", "fit": {"max_steps": 2}}, name="mine", progress=False)
    assert run.name == "mine" and run.path.parent.name == "mine" and run.recipe["fit"]["max_steps"] == 2


@pytest.mark.parametrize(
    ("change", "overrides", "said"),
    [
        ({"modl": "mlp"}, {}, "recipe: modl: unknown key\n  hint: did you mean model?"),
        ({"model": {"name": "mlp", "hiden_sizes": [1]}}, {}, "recipe: model.hiden_sizes: unknown parameter"),
        ({"fit": {"max_steps": "many"}}, {}, "recipe: fit.max_steps: expected an int, got a string ('many')"),
        ({"model": np.zeros(2)}, {}, "recipe: model: expected a value that a recipe can hold"),
        ({"fit": {3: 1}}, {}, "recipe: fit: a key must be a string, got 3"),
        ({}, {"fit": {"max_steps": 0}}, "override fit.max_steps=0: fit.max_steps: "),
        ({}, {"model": {"width": {1, 2}}}, "override: model.width: expected a value that a recipe can hold"),
        ({}, {"extends": "digits"}, "override extends=digits: extends: extends cannot be overridden"),
    ],
)
def test_a_mistake_names_its_key(recipe, folder, change, overrides, said):
    with pytest.raises(RecipeError) as raised:
        kit.train(recipe | change, **overrides)
    assert said in str(raised.value)
    assert not (folder / "runs").exists()


def test_all_mistakes_are_found_in_one_pass(recipe, folder):
    with pytest.raises(RecipeError) as raised:
        kit.train(recipe | {"modl": 1, "loss": "cross"}, fit={"max_steps": -1})
    assert len(raised.value.problems) == 3


def test_a_recipe_that_holds_itself_is_refused(recipe, folder):
    recipe["model"]["inner"] = recipe["model"]
    with pytest.raises(RecipeError, match="nested deeper than"):
        kit.train(recipe)


@pytest.mark.parametrize("wrong", [3, None, ["digits"]])
def test_a_value_of_another_type_is_refused(folder, wrong):
    with pytest.raises(UserError, match="a recipe is a name, a path or a dict"):
        kit.train(wrong)


def test_the_hint_of_an_error_is_shown_below_it(folder):
    with pytest.raises(UserError) as raised:
        kit.train("noprop/digits-dtt")
    assert raised.value.__notes__ == [f"hint: {raised.value.hint}"] and "digits-dt" in raised.value.hint


@pytest.mark.parametrize("name", ["", "..", "a\nb"])
def test_a_name_that_no_folder_can_have_is_refused(recipe, folder, name):
    with pytest.raises(UserError, match="cannot be called"):
        kit.train(recipe, name=name)


def test_a_value_of_numpy_is_a_plain_one(recipe, folder):
    run = kit.train(
        recipe, fit={"max_steps": np.int64(1)}, trainer={"optimizer": {"lr": np.float32(0.5)}}, progress=False
    )
    assert run.recipe["fit"]["max_steps"] == 1 and run.recipe["trainer"]["optimizer"]["lr"] == 0.5


# -- the process ---------------------------------------------------------------------------------------------------


def state_of_the_process():
    """Returns what a training must not change."""
    return (
        random.getstate(),
        np.random.get_state()[1].tolist(),
        torch.get_rng_state().tolist(),
        torch.get_num_threads(),
        signal.getsignal(signal.SIGINT),
        signal.getsignal(signal.SIGTERM),
        os.environ.get("RK_VERBOSITY"),
        torch.is_grad_enabled(),
    )


def test_generators_threads_and_signals_are_left_as_they_were(recipe, folder):
    torch.set_num_threads(2)
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(91)
    try:
        before = state_of_the_process()
        run = kit.train(recipe, fit={"threads": 1, "max_steps": 3}, progress=False)
        run.predict({"inputs": np.zeros((1, 8, 8))})
        run.evaluate("test")
        assert state_of_the_process() == before
    finally:
        torch.set_num_threads(1)


def test_they_are_left_so_by_a_mistake_too(recipe, folder):
    before = state_of_the_process()
    with pytest.raises(UserError, match="test/acc"):
        kit.train(recipe, expect=[{"metric": "test/acc", "at_least": 1.0}], progress=False)
    assert state_of_the_process() == before


def test_training_while_an_event_loop_runs_gives_the_same_weights(recipe, run, folder):
    async def main():
        return kit.train(recipe, progress=False)

    assert same(weights(asyncio.run(main())), weights(run))


def test_threads_that_train_do_not_draw_from_the_generators_of_each_other(recipe, folder):
    recipe["model"]["dropout"] = 0.5
    recipe["fit"]["max_steps"] = 60
    expected = weights(kit.train(recipe, progress=False))
    found = []
    threads = [threading.Thread(target=lambda: found.append(kit.train(recipe, progress=False))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3 and all(same(weights(one), expected) for one in found)


def test_progress_is_shown_unless_it_is_not_wanted(recipe, folder, capsys):
    kit.train(recipe, progress=False)
    assert capsys.readouterr().out == ""
    kit.train(recipe)
    first, *lines = capsys.readouterr().out.splitlines()
    assert first.startswith("recipe -> runs/recipe/") and lines[0].startswith("step 1/20  loss ")


# -- signals -------------------------------------------------------------------------------------------------------


@pytest.fixture
def ctrl_c(monkeypatch):
    """Presses Ctrl-C after the step that it is called with."""

    def at(wanted):
        def step(self, step):
            if step == wanted:
                os.kill(os.getpid(), signal.SIGINT)

        monkeypatch.setattr(Silence, "step", step)

    return at


def test_ctrl_c_ends_the_training_after_its_step_and_the_run_can_be_resumed(recipe, run, folder, ctrl_c):
    ctrl_c(7)
    with pytest.raises(KeyboardInterrupt, match=r"stopped after step 7; resume with run\.resume\(\)") as raised:
        kit.train(recipe, progress=False)
    stopped = raised.value.run
    assert isinstance(raised.value, kit.Interrupted) and raised.value.exit_code == 130
    assert (stopped.status, stopped.info["step"], stopped.metrics) == ("interrupted", 7, {})
    resumed = stopped.resume(progress=False)
    assert resumed.status == "done" and same(weights(resumed), weights(run)) and resumed.metrics == run.metrics


def test_a_run_is_given_more_steps(recipe, folder):
    run = kit.train(recipe, fit={"max_steps": 3}, progress=False)
    before = run.predict({"inputs": np.ones((1, 8, 8))}).outputs["logits"]
    assert run.resume() is run and run.info["step"] == 3
    run.resume(fit={"max_steps": 6}, progress=False)
    assert run.info["step"] == 6
    assert not torch.equal(run.predict({"inputs": np.ones((1, 8, 8))}).outputs["logits"], before)
    with pytest.raises(RecipeError, match=r"override model\.hidden_sizes=\[3\]: .* can no longer be changed"):
        run.resume(model={"hidden_sizes": [3]})

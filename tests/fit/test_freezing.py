"""`fit.freeze`, `fit.freeze_until` and `fit.lr_scale`: which weights a run trains, from when on, and how fast."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from rk.catalog import Catalog
from rk.errors import ExitCode, RecipeError
from rk.fit.launch import run_processes
from rk.fit.loop import Loop
from rk.recipe import check_recipe
from rk.recipe.find import find_recipe
from rk.recipe.sections import Fit
from rk.runs import RunFolder

RECIPE = """
rk: 1
model: {name: conv-net, channels: [4, 4], hidden_sizes: [8], dropout: 0.5}
data: {name: digits, batch_size: 32}
loss: cross-entropy
trainer: {name: backprop, optimizer: {name: adamw, lr: 0.01, weight_decay: 0.1}}
fit: {max_steps: 6, seed: 0, threads: 1, log_every: 1}
"""
TRUNK = "fit.freeze=['blocks.*']"


@pytest.fixture
def trained(rk_folder):
    """Trains `RECIPE` with overrides; returns its weights."""

    def call(*overrides: str) -> dict[str, torch.Tensor]:
        return load_file(rk_folder.train(RECIPE, *overrides).model)

    return call


@pytest.fixture
def built(tmp_path):
    """Builds `RECIPE` with overrides; returns the loop before its first step."""

    def call(*overrides: str) -> Loop:
        (tmp_path / "recipe.yaml").write_text(RECIPE)
        catalog = Catalog()
        recipe = check_recipe(find_recipe(str(tmp_path / "recipe.yaml"), catalog.plugins), overrides, catalog).valid()
        loop = Loop(recipe, catalog, RunFolder(tmp_path))
        loop.build()
        return loop

    return call


def changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    return {name.removeprefix("model.") for name in before if not torch.equal(before[name], after[name])}


def part(names: set[str], start: str) -> set[str]:
    return {name for name in names if name.startswith(start)}


def test_frozen_weights_and_running_statistics_do_not_move_and_do_not_decay(trained, built):
    first = built().parts.learner.state_dict()
    moved = changed(first, trained(TRUNK))
    assert part(moved, "blocks.") == set() and part(moved, "head.") == {n for n in moved if n.startswith("head.")}
    assert {"head.2.weight", "head.2.bias"} <= moved, "the rest is trained"
    assert "blocks.0.1.running_mean" in changed(first, trained()), "without it, statistics move"


def test_what_is_frozen_is_in_eval_mode_and_the_rest_is_not(built):
    loop = built(TRUNK)
    model = loop.parts.learner.model
    assert not any(module.training for module in model.blocks.modules())
    assert all(module.training for module in model.head.modules())
    loop._rehearse()
    assert not model.blocks[0][1].training and model.head.training, "validation leaves it so"


def test_a_module_that_is_partly_frozen_is_trained(built):
    model = built("fit.freeze=['blocks.0.1.weight']").parts.learner.model
    assert model.blocks[0][1].training and not model.blocks[0][1].weight.requires_grad


def test_nothing_is_computed_for_what_is_frozen_to_the_end(built):
    loop = built(TRUNK)
    learner = loop.parts.learner
    loop.parts.trainer.objective(loop.parts.data.batch("train", 0))[0].backward()
    assert all((p.grad is None) == n.startswith("model.blocks.") for n, p in learner.named_parameters())


def test_frozen_weights_are_trained_from_their_step_on(trained, built):
    first = built().parts.learner.state_dict()
    until_the_end = trained(TRUNK)
    at_the_end = trained(TRUNK, "fit.freeze_until=6")
    assert changed(until_the_end, at_the_end) == set(), "steps 1 to 6 train the head alone, by bits"
    assert part(changed(first, trained(TRUNK, "fit.freeze_until=5")), "blocks.") >= {
        "blocks.0.0.weight", "blocks.0.1.weight", "blocks.0.1.running_mean",
    }  # fmt: skip


def test_gradients_that_are_dropped_do_not_count_for_the_norm(trained):
    clip = "fit.gradient_clip=0.01"
    assert changed(trained(TRUNK, clip), trained(TRUNK, clip, "fit.freeze_until=6")) == set()


@pytest.mark.parametrize("stop", [2, 3, 4])
def test_a_run_resumes_bit_equal_before_at_and_after_the_step_of_release(rk_folder, trained, stop):
    settings = (TRUNK, "fit.freeze_until=3", "fit.checkpoint_every=1")
    whole = trained(*settings)
    run = rk_folder.train(RECIPE, *settings, f"fit.max_steps={stop}")
    assert rk_folder.rk("train", "--resume", run.path, "fit.max_steps=6") == ExitCode.OK
    assert changed(whole, load_file(run.model)) == set()


def test_a_frozen_run_answers_and_exports(rk_folder):
    run = rk_folder.train(RECIPE, TRUNK)
    assert rk_folder.rk("eval", run.path) == ExitCode.OK
    assert rk_folder.rk("export", run.path, "--to", "safetensors", "-o", "out") == ExitCode.OK


def test_two_processes_learn_what_one_learns(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    several = importlib.import_module("several")
    (tmp_path / "recipe.yaml").write_text(
        RECIPE.replace("conv-net, channels: [4, 4], hidden_sizes: [8], dropout: 0.5", "mlp, hidden_sizes: [8, 8]")
    )
    path, catalog, frozen = str(tmp_path / "recipe.yaml"), Catalog(), "fit.freeze=['blocks.0.*']"
    cases = [(frozen, *more, n) for more in ((), ("fit.freeze_until=3",)) for n in (1, 2)]
    jobs = [(path, (*settings, f"fit.accumulate={n}")) for *settings, n in cases]
    sharded = [
        (path, (*settings, "fit.strategy=fsdp", "fit.lr_scale={'blocks.*': 0.5}")) for *settings, n in cases[::2]
    ]
    found = run_processes(Fit(devices=2, accelerator="cpu"), several.many, catalog, tmp_path, jobs + sharded)
    alone = several.many(Fit(), catalog, tmp_path, [(path, (*s, f"fit.accumulate={2 * n}")) for *s, n in cases])
    alone += several.many(
        Fit(),
        catalog,
        tmp_path,
        [(path, (*s, "fit.accumulate=2", "fit.lr_scale={'blocks.*': 0.5}")) for *s, n in cases[::2]],
    )
    for case, two, one in zip(cases + cases[::2], found, alone, strict=True):
        for name, value in one.items():
            np.testing.assert_allclose(two[name], value, atol=1e-5, err_msg=f"{case}: {name}")
    sys.modules.pop("several")


def test_a_trainer_with_its_own_rule_leaves_what_is_frozen(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    several = importlib.import_module("several")
    settings = ("fit.freeze=['label_blocks.0.*']", "model.num_blocks=3")
    jobs = [("noprop/digits-dt", (*settings, f"fit.max_steps={steps}")) for steps in (1, 3)]
    one, three = several.many(Fit(), Catalog(), tmp_path, jobs)
    frozen = {name for name in one if ".label_blocks.0." in name}
    assert frozen and all(np.array_equal(one[name], three[name]) for name in frozen)
    assert not np.array_equal(one["model.label_blocks.1.out.weight"], three["model.label_blocks.1.out.weight"])
    sys.modules.pop("several")


# -- learning rates ----------------------------------------------------------------------------------------------------


def test_a_pattern_scales_the_learning_rate_and_the_first_that_matches_counts(built):
    loop = built("fit.lr_scale={'blocks.0.*': 0.1, 'model.blocks.*': 0.5}")
    names = {id(p): n for n, p in loop.parts.learner.named_parameters()}
    rates = {names[id(p)]: g["lr"] for g in loop.parts.trainer.optimizer.param_groups for p in g["params"]}
    assert rates["model.blocks.0.0.weight"] == pytest.approx(0.001)
    assert rates["model.blocks.1.0.weight"] == pytest.approx(0.005)
    assert rates["model.head.2.weight"] == pytest.approx(0.01)
    assert loop.runtime.rates() == {"lr": 0.01}, "the rate that is not scaled is logged"


def test_a_scaled_rate_follows_the_schedule(rk_folder):
    recipe = RECIPE.replace("adamw, lr: 0.01, weight_decay: 0.1", "sgd, lr: 0.1, schedule: {name: linear, end: 0.0}")
    slow = load_file(rk_folder.train(recipe, "fit.lr_scale={'*': 0.5}").model)
    half = load_file(rk_folder.train(recipe, "trainer.optimizer.lr=0.05").model)
    assert changed(slow, half) == set()


def test_patterns_of_optimizers_serve_for_rates_too(rk_folder, built):
    first = built().parts.learner.state_dict()
    optimizers = "{'head.*': {name: sgd, lr: 0.1}, '*': {name: sgd, lr: 1e-12}}"
    after = load_file(rk_folder.train(RECIPE, f"trainer.optimizer={optimizers}").model)
    torch.testing.assert_close(first["model.blocks.0.0.weight"], after["model.blocks.0.0.weight"])
    assert not torch.allclose(first["model.head.2.weight"], after["model.head.2.weight"])


# -- mistakes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "said", "hint"),
    [
        ("fit.freeze=['blcks.*']", "fit.freeze.0: 'blcks.*' matches no weight", "there are: "),
        ("fit.lr_scale={'hed.*': 0.1}", "fit.lr_scale.hed.*: 'hed.*' matches no weight", "there are: "),
        ("fit.freeze=['*']", "fit.freeze: leaves no weight to be trained", "or give fit.freeze_until"),
        ("fit.freeze_until=3", "fit.freeze_until: nothing is frozen", "give fit.freeze too"),
        ("fit.lr_scale={'head.*': -1}", "must be > 0, got -1", ""),
        ("fit.freeze=blocks", "expected a list", ""),
        ("freeze=['blocks.*']", "unknown key", "fit.freeze"),
        ("init_from={run: last, freeze: ['blocks.*']}", "unknown", "fit.freeze"),
    ],
)
def test_mistakes_name_the_key_and_what_there_is(rk_folder, override, said, hint):
    with pytest.raises(RecipeError) as error:
        rk_folder.train(RECIPE, override)
    assert said in error.value.message and hint in error.value.message


def test_all_may_be_frozen_for_a_time(trained, built):
    assert changed(built().parts.learner.state_dict(), trained("fit.freeze=['*']", "fit.freeze_until=5"))

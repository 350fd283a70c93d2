"""Students, rewards, policies and distillation follow the paper; a search that stops is resumed."""

from __future__ import annotations

import csv
import statistics
from pathlib import Path

import pytest
import torch
from rk_n2n.architecture import Architecture
from rk_n2n.choosers import Evolution, Random, Reinforce
from rk_n2n.distill import Distill
from rk_n2n.policies import RemovalPolicy, ShrinkPolicy
from rk_n2n.reward import WORST, constrained, reward
from rk_n2n.search import N2N
from torch.nn import functional

from rk import UserError
from rk.cli import cli
from rk.recipe import check_recipe

TEACHER = """
rk: 1
model: {name: mlp, hidden_sizes: [24, 24, 24]}
data: {name: digits, batch_size: 32}
loss: cross-entropy
trainer: {name: backprop, optimizer: {name: adam, lr: 1e-2}}
fit: {max_steps: 40, seed: 1, threads: 1, validate_every: 40}
"""
START = Architecture.of({"model.channels": [32, 64], "model.hidden_sizes": [128, 100]})


# -- students and rewards ----------------------------------------------------------------------------------------------


def test_layers_are_removed_but_never_the_first_of_a_list():
    assert START.without([False, False, False, True]).overrides() == [
        "model.channels=[32]",
        "model.hidden_sizes=[128, 100]",
    ]
    assert START.without([True] * 4) == START


def test_layers_shrink_by_factors_to_whole_units_and_no_further_than_the_least():
    small = START.shrunk([0.1, 0.5, 0.8, 1.0], least=10)
    assert [size for _, size in small.layers] == [10, 32, 102, 100]
    assert small.name == "channels-10-32_hidden_sizes-102-100"
    assert Architecture.of({"m": [6]}).shrunk([0.1], least=10).layers == [(0, 6)], "nothing grows"


def test_the_reward_prefers_compression_until_accuracy_suffers():
    assert reward(50, 100, 0.9, 0.9) == pytest.approx(0.75)
    assert reward(10, 100, 0.9, 0.9) == pytest.approx(0.99)
    assert reward(10, 100, 0.45, 0.9) == pytest.approx(0.495)
    assert reward(100, 100, 1.0, 0.5) == WORST


def test_a_constraint_hardens_over_fifteen_iterations():
    assert constrained(0.8, True, 0) == 0.8
    assert constrained(0.8, False, 0) == pytest.approx(0.8)
    assert constrained(0.8, False, 5) == pytest.approx((2 / 3) ** 4 * 1.8 - 1)
    assert constrained(0.8, False, 15) == constrained(0.8, False, 99) == -1


# -- policies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "policy", [RemovalPolicy(critic=True), ShrinkPolicy(7, critic=True)], ids=["removal", "shrink"]
)
def test_drawing_layer_by_layer_and_judging_at_once_give_the_same_probability(policy):
    features = START.features()
    sample = policy(features, torch.Generator().manual_seed(3))
    again = policy.judged(features, sample.actions)
    assert torch.equal(sample.actions, again.actions) and torch.equal(sample.log_prob, again.log_prob)
    assert sample.actions.shape == (4,) and int(sample.actions.max()) < policy.choices
    if isinstance(policy, ShrinkPolicy):
        state, before, slow = None, torch.zeros(1), torch.zeros(())
        for row, action in zip(features, sample.actions, strict=True):
            hidden, state = policy.rnn(torch.cat([row, before])[None, None], state)
            slow = slow + policy.head(hidden[0, 0]).log_softmax(-1)[action]
            before = (action[None] + 1) / 7
        torch.testing.assert_close(sample.log_prob, slow)


def test_every_weight_of_the_shrinking_policy_learns():
    policy = ShrinkPolicy(3)  # in the authors' release the LSTM is in a list, so only its head is trained
    policy.judged(START.features(), torch.tensor([0, 1, 2, 0])).log_prob.backward()
    assert all(p.grad is not None and p.grad.any() for p in policy.parameters())


@pytest.mark.parametrize("critic", [False, True])
def test_reinforce_finds_what_pays_and_random_does_not(critic):
    features = Architecture.of({"m": [64] * 6}).features()

    def pays(actions):
        return float((actions == torch.tensor([1, 1, 0, 0, 0, 0])).float().mean())

    torch.manual_seed(0)
    means = {}
    for name, chooser in {
        "reinforce": Reinforce(RemovalPolicy(critic=critic), features, 0, lr=2e-2, critic=critic),
        "random": Random(6, 2, 0),
        "evolution": Evolution(6, 2, 0),
    }.items():
        last = []
        for _ in range(120):
            proposals = chooser.propose(5)
            rewards = [pays(actions) for actions in proposals]
            chooser.learn(proposals, rewards)
            last.append(statistics.fmean(rewards))
        means[name] = statistics.fmean(last[-10:])
    assert means["reinforce"] > 0.85 and means["evolution"] > 0.7 and means["random"] < 0.65


def test_each_rollout_has_its_own_credit():
    features = Architecture.of({"m": [64, 64]}).features()
    torch.manual_seed(0)
    chooser = Reinforce(RemovalPolicy(), features, 0, lr=0.05)
    good, bad = torch.tensor([1, 1]), torch.tensor([0, 0])
    before = [float(chooser.policy.judged(features, a).log_prob) for a in (good, bad)]
    chooser.learn([good, bad], [1.0, 0.0])  # the mean reward is the baseline: without own credit nothing would change
    after = [float(chooser.policy.judged(features, a).log_prob) for a in (good, bad)]
    assert after[0] > before[0] and after[1] < before[1]


# -- distillation ------------------------------------------------------------------------------------------------------


def test_logits_are_matched_by_mean_squared_error_or_by_divergence():
    given, wanted = torch.randn(6, 4), torch.randn(6, 4)
    total, count = Distill(None, None).matched(given, wanted)
    assert count == 6 and total / count == pytest.approx(float(functional.mse_loss(given, wanted)))
    total, count = Distill(None, None, "kl", temperature=2.0).matched(given, wanted)
    p, q = (wanted / 2).softmax(1), (given / 2).softmax(1)
    assert float(total / count) == pytest.approx(float(4 * (p * (p / q).log()).sum(1).mean()), rel=1e-5)
    assert float(Distill(None, None, "kl").matched(wanted, wanted)[0]) == pytest.approx(0, abs=1e-6)


# -- whole searches ----------------------------------------------------------------------------------------------------


@pytest.fixture
def catalog_of_all():
    from rk.catalog import Catalog

    return Catalog()


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("teacher.yaml").write_text(TEACHER)
    return tmp_path


def rows_of(folder):
    with open(Path(folder) / "students.csv", encoding="utf-8") as file:
        return [*csv.DictReader(file)]


def search(**settings):
    small = {"iterations": 2, "rollouts": 2, "student_steps": 6, "final_steps": 8}
    return N2N("teacher.yaml", **(small | settings))


def test_a_search_that_stops_is_resumed_and_ends_the_same(here, monkeypatch):
    whole = search().analyze(Path("a").absolute())
    import rk_n2n.search as module

    real, calls = module.train_inside, []

    def failing(*args, **settings):
        calls.append(settings["name"])
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(*args, **settings)

    monkeypatch.setattr(module, "train_inside", failing)
    with pytest.raises(KeyboardInterrupt):
        search().analyze(Path("b").absolute())
    assert search().analyze(Path("b").absolute()) == whole
    tables = [rows_of(name) for name in "ab"]
    assert tables[0] == tables[1] and len(tables[0]) == 8
    assert {row["stage"] for row in tables[0]} == {"removal", "shrinkage"}
    best = max(tables[0], key=lambda row: float(row["reward"]))
    assert whole["reward"] == pytest.approx(float(best["reward"]))
    assert whole["final"] > 0 and (Path("a") / "pareto.png").exists()


def test_the_best_student_is_a_recipe_and_a_policy_begins_another_search(here, catalog_of_all):
    search(stage="removal", method="random", final_steps=0).analyze(Path("a").absolute())
    from rk.recipe.find import RecipeFile

    recipe = check_recipe(RecipeFile(Path("a/best.yaml")), (), catalog_of_all).valid()
    assert len(recipe.model.params["hidden_sizes"]) <= 3
    again = search(stage="removal", policy=Path("a").absolute(), final_steps=0)
    policy = again._policy("removal")
    from safetensors.torch import load_file

    assert all(torch.equal(policy.state_dict()[n], t) for n, t in load_file("a/policy-removal.safetensors").items())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sizes": ("model.hidden",)}, "model.hidden of teacher.yaml is not a list of sizes"),
        ({"metric": "val/f1"}, "teacher.yaml measures no 'val/f1'"),
        ({"policy": Path("nowhere")}, "there is no nowhere/policy-removal.safetensors"),
    ],
)
def test_what_cannot_be_searched_is_refused(here, settings, message):
    with pytest.raises(UserError) as error:
        search(**settings).analyze(Path("a").absolute())
    assert message in error.value.message


def test_a_constraint_on_size_is_kept_by_the_best_student(here):
    found = search(iterations=3, max_parameters=2000, final_steps=0, stage="shrinkage").analyze(Path("a").absolute())
    assert found["reward"] >= -1
    rows = rows_of("a")
    late = [row for row in rows if int(row["iteration"]) == 2 and int(row["parameters"]) > 2000]
    assert all(float(row["reward"]) < 0.5 for row in late)


def test_the_command_prints_the_search(here, capsys):
    command = [
        "analyze",
        "n2n",
        "--recipe",
        "teacher.yaml",
        "--stage",
        "removal",
        "--iterations",
        "1",
        "--rollouts",
        "1",
    ]
    command += ["--student-steps", "2", "--final-steps", "2", "--runs-dir", "runs"]
    assert not cli(command, standalone_mode=False)
    out = capsys.readouterr().out
    assert "teacher: val/accuracy" in out and "removal 0: mean reward" in out and "final: val/accuracy" in out

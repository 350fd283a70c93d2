"""Students, rewards, policies and distillation follow the paper; a search that stops is resumed."""

from __future__ import annotations

import csv
import json
import statistics
from pathlib import Path

import click
import pytest
import torch
from rk_n2n.architecture import Architecture
from rk_n2n.choosers import Evolution, Random, Reinforce
from rk_n2n.distill import BATCHES, Distill
from rk_n2n.divergences import divergence
from rk_n2n.naive import naive_divergence
from rk_n2n.policies import RemovalPolicy, ShrinkPolicy
from rk_n2n.ranks import spearman
from rk_n2n.reward import WORST, constrained, reward
from rk_n2n.search import N2N
from rk_n2n.vgg import VGG
from rk_sortednet.slicing import leading
from safetensors.torch import load_file
from torch.nn import functional

from rk import LoadedRun
from rk.builtin.mlp import MLP
from rk.catalog import Catalog
from rk.cli import cli
from rk.errors import RkError
from rk.recipe import check_recipe
from rk.recipe.find import RecipeFile
from rk.runs import RunFolder
from rk.testing import assert_twins
from rk.training import train_inside

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
    assert Architecture.of({"m": [6]}).shrunk([0.1], least=10).layers == [(0, 6)], "nothing grows"


def test_sizes_are_found_in_a_recipe_and_put_back():
    plain = {"model": {"stages": [[16, 16], [32]], "head": [8], "name": "net"}, "fit": {"seed": 1}}
    found = Architecture.found(plain, ["model.stages", "model.head"])
    assert found.overrides() == ["model.stages.0=[16, 16]", "model.stages.1=[32]", "model.head=[8]"]
    small = found.without([True, False, True, True]).applied(plain)
    assert small == {"model": {"stages": [[16], [32]], "head": [8], "name": "net"}, "fit": {"seed": 1}}
    assert plain["model"]["stages"] == [[16, 16], [32]]
    with pytest.raises(KeyError, match=r"model\.name"):
        Architecture.found(plain, ["model.name"])


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


def test_a_plain_network_halves_the_image_between_stages():
    torch.manual_seed(0)
    net = VGG(input_shape=(6, 6), num_classes=3, stages=((4, 5), (6,)))
    images = torch.rand(2, 6, 6)
    one, two, three = net.stages[0][0], net.stages[0][1], net.stages[1][0]
    hidden = functional.max_pool2d(two(one(images.unsqueeze(1)).relu()).relu(), 2)
    hidden = three(hidden).relu()
    assert hidden.shape == (2, 6, 3, 3)
    torch.testing.assert_close(net(inputs=images)["logits"], net.head(hidden.mean((2, 3))))
    with pytest.raises(ValueError, match="a convolution each"):
        VGG(input_shape=(6, 6), num_classes=3, stages=((4,), ()))


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


@pytest.mark.parametrize("temperature", [1.0, 2.5])
@pytest.mark.parametrize("kind", ["kl", "reverse-kl", "jsd", "tvd"])
def test_divergences_are_those_of_the_equations(kind, temperature):
    torch.manual_seed(0)
    given, wanted = 2 * torch.randn(5, 4, dtype=torch.float64), 2 * torch.randn(5, 4, dtype=torch.float64)
    assert_twins(
        lambda given, wanted: Distill(None, None, kind, temperature).matched(given, wanted)[0],
        lambda given, wanted: naive_divergence(kind, given, wanted, temperature),
        given,
        wanted,
    )
    assert Distill(None, None, kind).matched(given, wanted)[1] == 5


@pytest.mark.parametrize(("kind", "expected"), [("kl", "greater"), ("reverse-kl", "greater"), ("jsd", 1), ("tvd", 1)])
def test_only_jensen_shannon_and_total_variation_are_bounded(kind, expected):
    given, wanted = torch.tensor([[0.0, 60.0]]), torch.tensor([[60.0, 0.0]])
    total = float(divergence(kind, given, wanted)[0])
    if expected == "greater":
        assert total == pytest.approx(60, rel=1e-3)
    else:
        assert total == pytest.approx(0.6931 if kind == "jsd" else 1.0, rel=1e-3)


def test_standardised_logits_have_the_scale_that_a_new_student_can_reach():
    trainer = Distill(None, None, "standardized")
    given, wanted = torch.randn(6, 4), 10 * torch.randn(6, 4) - 3
    trainer.load_state_dict({"mean": -3.0, "scale": 10.0})
    assert trainer.state_dict() == {"mean": -3.0, "scale": 10.0}
    total, count = trainer.matched(given, wanted)
    assert float(total / count) == pytest.approx(float(functional.mse_loss(given, (wanted + 3) / 10)))


def test_the_scale_is_that_of_the_teachers_logits_on_training_batches(done):
    run = train_inside(done / "recipe.yaml", distilled(done, "standardized"), name="scaled", within=done)
    teacher = LoadedRun.open(done)
    logits = torch.cat([teacher.learner.predict(b)["logits"].flatten() for b in teacher.batches("train", BATCHES)])
    state = torch.load(next(run.folder.glob("checkpoints/*/state.pt")), weights_only=True)["trainer"]
    assert state["mean"] == pytest.approx(logits.mean().item(), rel=1e-4)
    assert state["scale"] == pytest.approx(logits.std().item(), rel=1e-4)


def distilled(teacher, matching, others=None):
    trainer = {"name": "distill", "teacher": str(teacher), "optimizer": {"name": "adam", "lr": 0.01}}
    trainer |= {"matching": matching} | ({"others": others} if others else {})
    return [f"trainer={json.dumps(trainer)}", "fit.max_steps=6", "fit.validate_every=6"]


def test_students_that_learn_at_once_become_what_each_becomes_alone(done):
    """Weights of students are apart: Adam's steps of one do not depend on the others."""
    others = {"b": {"name": "mlp", "hidden_sizes": [6]}}
    both = train_inside(done / "recipe.yaml", distilled(done, "mse", others), name="both", within=done)
    alone = train_inside(done / "recipe.yaml", distilled(done, "mse"), name="alone", within=done)
    pairs = zip(both.learner.model.parameters(), alone.learner.model.parameters(), strict=True)
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in pairs)
    assert both.metrics["val/accuracy"] == alone.metrics["val/accuracy"]
    assert both.learner.others["b"].head.weight.shape == (10, 6) and both.metrics["val/accuracy@b"] > 0


def test_others_that_learn_from_targets_too_are_refused():
    with pytest.raises(ValueError, match="others need a hard_weight of 0"):
        Distill(None, None, hard_weight=1.0, others={"a": None})


# -- ranks -------------------------------------------------------------------------------------------------------------


def test_rank_correlation_is_that_of_scipy():
    from scipy.stats import spearmanr

    one, other = [0.1, 0.4, 0.4, 0.9, 0.2, 0.3], [1.0, 3.0, 2.0, 9.0, 2.0, 0.0]
    assert spearman(one, other) == pytest.approx(spearmanr(one, other).statistic)
    assert spearman([1.0, 1.0], [1.0, 2.0]) == 0


# -- whole searches ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A trained teacher."""
    folder = tmp_path_factory.mktemp("teacher")
    (folder / "teacher.yaml").write_text(TEACHER)
    assert not cli(["train", str(folder / "teacher.yaml"), "--runs-dir", str(folder)], standalone_mode=False)
    return next(RunFolder.all(folder)).path


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def search(teacher, name="s", train=True, **settings):
    """Runs a small search; returns its folder."""
    small = {"iterations": 2, "rollouts": 2, "student_steps": 6, "final_steps": 8}
    recipe = {"rk": 1, "search": {"name": "n2n", "run": str(teacher)} | small | settings}
    recipe["fit"] = {"seed": 1, "log_every": 1, "checkpoint_every": 1, "threads": 1}
    Path(f"{name}.yaml").write_text(json.dumps(recipe))
    cli(["train", f"{name}.yaml", "--runs-dir", name], standalone_mode=False)
    return next(RunFolder.all(Path(name))).path


def rows_of(folder):
    with open(Path(folder) / "students.csv", encoding="utf-8") as file:
        return [*csv.DictReader(file)]


def metrics_of(folder):
    return RunFolder(folder).read()["metrics"]


def test_a_search_that_stops_is_resumed_and_ends_the_same(here, done, monkeypatch):
    whole = search(done, "whole")
    real, calls = N2N.step, []

    def stopping(self):
        calls.append(self)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(self)

    monkeypatch.setattr(N2N, "step", stopping)
    with pytest.raises(click.exceptions.Abort):
        search(done, "cut")
    monkeypatch.undo()
    monkeypatch.chdir(here)
    cut = next(RunFolder.all(Path("cut"))).path
    assert not cli(["train", "--resume", str(cut)], standalone_mode=False)
    assert metrics_of(cut) == metrics_of(whole)
    assert rows_of(cut) == rows_of(whole) and len(rows_of(cut)) == 8
    assert {row["stage"] for row in rows_of(cut)} == {"removal", "shrinkage"}
    weights = [load_file(folder / "model.safetensors") for folder in (whole, cut)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_the_run_answers_as_the_best_student_which_is_a_recipe_too(here, done):
    folder = search(done)
    rows, metrics = rows_of(folder), metrics_of(folder)
    best = max(rows, key=lambda row: float(row["reward"]))
    assert metrics["run/reward"] == pytest.approx(float(best["reward"]))
    assert metrics["run/parameters"] == int(best["parameters"])
    loaded, final = LoadedRun.open(folder), LoadedRun.open(folder / "inside" / "final")
    batch = next(final.batches("test", 1))
    with torch.no_grad():
        assert torch.equal(loaded.learner.predict(batch)["logits"], final.learner.predict(batch)["logits"])
    recipe = check_recipe(RecipeFile(folder / "best.yaml"), (), Catalog()).valid()
    assert str([*recipe.model.params["hidden_sizes"]]) == best["sizes"]
    teacher = metrics_of(done)["test/accuracy"]
    assert metrics["run/lost"] == pytest.approx(teacher - metrics["test/accuracy"])
    assert (folder / "figures" / "pareto.png").exists()


def test_students_of_the_same_sizes_are_judged_once(here, done):
    folder = search(done, stage="removal", iterations=3, rollouts=3, final_steps=0, together=False)
    distinct = {row["sizes"] for row in rows_of(folder)}
    assert len([*(folder / "inside").iterdir()]) == len(distinct) == metrics_of(folder)["run/evaluations"]
    same = {(row["sizes"], row["val/accuracy"]) for row in rows_of(folder)}
    assert len(same) == len(distinct)


def test_a_policy_begins_another_search(here, done):
    first = search(done, "first", stage="removal", final_steps=0, lr=0.1)
    second = search(done, "second", stage="removal", final_steps=0, lr=1e-9, policy=str(first.absolute()))
    weights = [load_file(folder / "model.safetensors") for folder in (first, second)]
    assert all(torch.allclose(weights[0][n], weights[1][n], atol=1e-6) for n in weights[0])


def test_the_second_stage_can_be_judged_by_one_network_that_is_trained_once(here, done):
    folder = search(done, stage="shrinkage", evaluator="supernet", supernet_steps=30, compared=3, final_steps=0)
    inner = sorted(path.name for path in (folder / "inside").iterdir())
    assert inner == ["compared-000", "compared-002", "supernet"] or inner == ["compared-000", "supernet"]
    assert -1 <= metrics_of(folder)["run/rank-correlation"] <= 1
    row = rows_of(folder)[0]
    sizes = json.loads(row["sizes"])
    plain = LoadedRun.open(folder / "inside" / "supernet")
    state = {n: t for n, t in plain.learner.state_dict().items() if isinstance(t, torch.Tensor)}
    small = MLP(num_features=64, num_classes=10, hidden_sizes=tuple(sizes))
    shapes = {f"model.{n}": t.shape for n, t in small.state_dict().items()}
    small.load_state_dict({n.removeprefix("model."): t for n, t in leading(state, shapes).items()})
    batches = [*plain.batches("val")]
    right = sum((small(inputs=b["inputs"])["logits"].argmax(1) == b["targets"]).sum().item() for b in batches)
    assert right / sum(len(b["targets"]) for b in batches) == pytest.approx(float(row["val/accuracy"]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sizes": ["model.hidden"]}, "model.hidden of the teacher's recipe is not a list of sizes"),
        ({"metric": "val/f1"}, "the teacher measures no 'val/f1'"),
        ({"stage": "removal", "evaluator": "supernet"}, "a supernet has the students of the second stage"),
    ],
)
def test_what_cannot_be_searched_is_refused(here, done, settings, message):
    with pytest.raises(RkError) as error:
        search(done, **settings)
    assert message in error.value.render()


def test_a_constraint_on_size_is_kept_by_the_best_student(here, done):
    folder = search(done, iterations=3, max_parameters=1500, final_steps=0, stage="shrinkage")
    assert metrics_of(folder)["run/reward"] >= -1
    late = [row for row in rows_of(folder) if int(row["iteration"]) == 2 and int(row["parameters"]) > 1500]
    assert all(float(row["reward"]) < 0.5 for row in late)


def test_the_command_prints_the_best_student(here, done, capsys):
    command = ["search", "n2n", "--run", str(done), "--stage", "removal", "--iterations", "1", "--rollouts", "1"]
    command += ["--student-steps", "2", "--final-steps", "2", "--runs-dir", "runs"]
    assert not cli(command, standalone_mode=False)
    out = capsys.readouterr().out
    assert "best student: [24" in out and "run/lost" in out

"""What trains routers, what holds capacities, and what is measured of routes."""

from __future__ import annotations

import csv
import json
import math

import pytest
import torch
from rk_mor.balance import balance_
from rk_mor.capacity import slack
from rk_mor.loss import RouterLoss, balancing, selection, z_term
from rk_mor.recursion import TokenChoice
from rk_mor.stats import choosing, dead_tokens, histogram, sampling_accuracy
from safetensors import safe_open

import rk

TOKENS = torch.randint(0, 7, (3, 12), generator=torch.Generator().manual_seed(3))


class Sum:
    """A loss of a term by itself."""

    def __call__(self, *, logits):
        return logits.sum(), logits.numel()


def drawn(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(8), dtype=torch.float64)


# the terms of the loss, and the same in single numbers


def test_the_loss_of_choices_is_the_cross_entropy_over_candidates():
    z, random = drawn(2, 5), torch.rand(2, 2, 5, generator=torch.Generator().manual_seed(1))
    candidates, chosen = random[0] < 0.7, random[1] < 0.5
    total, count = selection(z, chosen, candidates)
    naive = 0.0
    for score, taken, asked in zip(z.flatten(), chosen.flatten(), candidates.flatten(), strict=True):
        p = 1 / (1 + math.exp(-score))
        naive -= math.log(p if taken else 1 - p) * bool(asked)
    assert count == candidates.sum()
    assert float(total) == pytest.approx(naive)


def test_the_balancing_loss_is_n_times_the_sum_of_shares_and_probabilities():
    z, exists = drawn(2, 6, 3), torch.tensor([[True] * 6, [True] * 4 + [False] * 2])
    depths = z.argmax(-1) + 1
    total, count = balancing(z, depths, exists)
    naive = 0.0
    for j in range(3):
        f = sum(int(depths[b, t]) == j + 1 for b in range(2) for t in range(6) if exists[b, t]) / 10
        p = sum(float(z[b, t].softmax(0)[j]) for b in range(2) for t in range(6) if exists[b, t]) / 10
        naive += 3 * f * p
    assert float(total / count) == pytest.approx(naive)
    even = torch.zeros(1, 3, 3)
    total, count = balancing(even, torch.tensor([[1, 2, 3]]), torch.ones(1, 3, dtype=torch.bool))
    assert float(total / count) == pytest.approx(1)  # the least: every number alike


def test_the_z_loss_is_the_square_of_the_logarithm_of_the_sum():
    z, exists = drawn(1, 4, 3), torch.tensor([[True, True, True, False]])
    total, count = z_term(z, exists)
    naive = sum(math.log(sum(math.exp(x) for x in z[0, t].tolist())) ** 2 for t in range(3))
    assert count == 3 and float(total) == pytest.approx(naive)


@pytest.mark.parametrize(
    ("router", "terms"), [("expert", {"recursion-1", "recursion-2", "recursion-3"}), ("token", {"balance", "z"})]
)
def test_a_router_learns_from_its_terms_and_the_task_stays_as_it_is(make_mor, router, terms):
    model = make_mor(router=router).train()
    outputs = model(tokens=TOKENS)
    found = RouterLoss(Sum())(**outputs)
    assert set(found) == {"task", *terms}
    assert found["task"][0].item() == pytest.approx(outputs["logits"].sum().item())
    sum(found[name][0] for name in terms).backward()
    learned = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert any("router" in name for name in learned)


def test_an_auxiliary_router_is_trained_alone(make_mor):
    model = make_mor(aux_router=True).train()
    found = RouterLoss(Sum())(**model(tokens=TOKENS))
    sum(found[f"recursion-{r}"][0] for r in (1, 2, 3)).backward()
    learned = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert learned == {name for name, _ in model.named_parameters() if ".auxiliary." in name} != set()


def test_a_model_without_a_router_is_refused(make_mor):
    with pytest.raises(rk.UserError, match="mor-router: the model has no router"):
        RouterLoss(Sum())(**make_mor(router="none")(tokens=TOKENS))


# capacities that are warmed up


def test_capacities_are_held_and_then_fall_with_a_cosine():
    assert [slack(step, 3, 4) for step in (0, 2, 3)] == [1, 1, 1]
    assert slack(5, 3, 4) == pytest.approx(0.5)
    assert [slack(step, 3, 4) for step in (7, 8, 100)] == [0, 0, 0]
    for step in range(12):  # the authors' warm-up, without a hold
        assert slack(step, 0, 8) == pytest.approx(0.5 * (1 + math.cos(math.pi * min(1, step / 8))))


def test_a_warm_model_takes_more_tokens_and_its_weights_remember_it(make_mor):
    model = make_mor(inference="top-k")
    model.warm(1.0)
    assert model(tokens=TOKENS)["routes"].sum(1).tolist() == [[12, 12, 12]] * 3
    model.warm(0.5)
    assert model(tokens=TOKENS)["routes"].sum(1).tolist() == [[12, 10, 8]] * 3
    other = make_mor(inference="top-k")
    other.load_state_dict(model.state_dict())
    assert other(tokens=TOKENS)["routes"].sum(1).tolist() == [[12, 10, 8]] * 3
    half = other.to(torch.bfloat16)
    again = make_mor(inference="top-k").to(torch.bfloat16)
    again.load_state_dict(half.state_dict())
    assert again.rules.share(2) == other.rules.share(2)


SMALL = {
    "model.d_model": 8,
    "data.batch_size": 4,
    "data.val_examples": 8,
    "data.test_examples": 8,
    "fit.max_steps": 4,
    "fit.validate_every": 2,
}


def trained(tmp_path, changes=None, **more):
    return rk.train("mor/quick", runs_dir=tmp_path, progress=False, **SMALL | (changes or {}) | more)


def test_steps_of_the_optimizer_are_counted_not_micro_batches(tmp_path):
    warm = [{"name": "capacity-warmup", "hold_steps": 2, "warmup_steps": 4}]
    one = trained(tmp_path / "a", callbacks=warm).learner.model
    four = trained(tmp_path / "b", {"fit.accumulate": 4}, callbacks=warm).learner.model
    assert one.rules.slack == four.rules.slack == int(one.capacity_slack) == 500_000_000


# balance without a loss


def test_a_bias_rises_where_fewer_tokens_choose():
    torch.manual_seed(0)
    choice = TokenChoice(4, 3, _rules()).train()
    x = torch.randn(2, 50, 4)
    depths = choice(x, None)[1]
    load = torch.stack([(depths == j + 1).sum() for j in range(3)])
    assert choice.load.tolist() == load.tolist()
    balance_(choice, choice.load, 0.01)
    assert choice.bias.tolist() == pytest.approx([0.01 * math.copysign(1, 100 / 3 - n) for n in load.tolist()])
    assert choice.load.tolist() == [0, 0, 0]


def test_a_bias_changes_choices_but_no_gate():
    torch.manual_seed(0)
    choice = TokenChoice(4, 3, _rules()).eval()
    x = torch.randn(2, 50, 4)
    p = choice.router(x).softmax(-1)
    choice.bias += torch.tensor([0.0, 0.0, 5.0])
    _, depths, gates = choice(x, None)
    assert depths.unique().tolist() == [3]
    torch.testing.assert_close(gates, p[..., 2])


def _rules():
    from rk_mor.recursion import Rules

    return Rules("token", "softmax", "linear", 1.0, 1.0, (1.0,), "weighted", True, "recursion", "threshold", False)


def test_balance_without_a_loss_evens_out_what_tokens_choose(tmp_path):
    changes = {"model.router": "token", "loss.balance": 0, "fit.max_steps": 15}
    plain = trained(tmp_path / "a", changes, callbacks=["router-stats"])
    balance = {"name": "loss-free-balance", "update_rate": 0.002}
    balanced = trained(tmp_path / "b", changes, callbacks=[balance, "router-stats"])
    far = [abs(run.metrics["run/occupancy-2"] - 0.5) for run in (plain, balanced)]
    assert far[1] < far[0] > 0.1
    assert balanced.learner.model.blocks[0].choice.bias.abs().sum() > 0
    with pytest.raises(rk.UserError, match="loss-free-balance: the model's tokens do not choose"):
        trained(tmp_path / "c", callbacks=["loss-free-balance"])


# what is measured


def test_scores_and_choices_are_compared_where_there_is_a_choice():
    routes = torch.tensor([[[True, True], [True, False], [True, False]]])
    candidates = torch.ones_like(routes)
    logits = torch.tensor([[[-1.0, 2.0], [-1.0, 1.0], [-1.0, -1.0]]])  # the first recursion takes all: not counted
    found = [{"routes": routes, "candidates": candidates, "router_logits": logits}]
    assert sampling_accuracy(found) == pytest.approx(2 / 3)
    assert math.isnan(sampling_accuracy([{**found[0], "routes": candidates}]))


def test_places_that_no_sequence_takes_to_the_last_recursion_are_dead():
    routes = torch.zeros(2, 4, 2, dtype=torch.bool)
    routes[0, 1, 1] = routes[1, 2, 1] = True
    assert dead_tokens([{"routes": routes, "depths": routes.sum(-1)}]) == 0.5


def test_depths_are_counted_by_kind():
    kinds, depths = torch.tensor([[0, 0, 1, 1, 1]]), torch.tensor([[1, 2, 2, 2, 0]])
    found = [{"kinds": kinds, "depths": depths}]
    assert histogram(found, ["a", "b"], 2) == {"a": [0, 1, 1], "b": [1, 0, 2]}
    texts = [{"tokens": kinds, "depths": depths}]
    assert list(histogram(texts, ["x", "y"], 2)) == ["x", "y"]  # the deepest first: 1.5, 4/3


def test_a_run_has_tables_and_figures_of_its_routes(tmp_path):
    run = trained(tmp_path)
    with (run.path / "router-stats.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["2", "4"]
    metrics = json.loads((run.path / "run.json").read_text())["metrics"]
    assert metrics["run/occupancy-1"] == metrics["run/occupancy-2"] == 1  # capacities are still held
    with (run.path / "depths.csv").open() as file:
        assert [row["kind"] for row in csv.DictReader(file)] == ["table", "1-hop", "2-hop"]
    for name in ("occupancy", "depths"):
        assert (run.path / "figures" / f"{name}.png").stat().st_size > 5000


def test_after_the_warm_up_exactly_the_capacities_are_taken(tmp_path):
    run = trained(tmp_path, callbacks=["router-stats"])
    assert (run.metrics["run/occupancy-1"], run.metrics["run/occupancy-2"]) == (1, 0.5)
    inputs = torch.rand(5, 24, 26)
    model = run.learner.model
    with choosing(model, "top-k"):
        assert model(inputs=inputs)["routes"].sum(1).tolist() == [[24, 12]] * 5


def test_callbacks_for_routers_refuse_other_models(tmp_path):
    other = {"name": "sequence", "layer": "attention", "d_model": 8}
    loss = {"name": "cross-entropy", "ignore_index": -100}
    for callback in ("capacity-warmup", "router-stats", "loss-free-balance"):
        with pytest.raises(rk.UserError, match=f"{callback}: the model is not mor"):
            trained(tmp_path, model=other, loss=loss, callbacks=[callback])


# runs


def test_it_continues_your_own_text_from_its_caches(tmp_path):
    (tmp_path / "my.txt").write_text("the cat sat on the mat. " * 200)
    small = {"model.d_model": 8, "model.layer.num_heads": 2, "data.batch_size": 4, "fit.max_steps": 3}
    data = {"name": "text", "path": str(tmp_path / "my.txt"), "length": 16, "eval_length": 16, "batch_size": 4}
    run = rk.train("mor/text-quick", runs_dir=tmp_path, progress=False, **small, data=data, **{"fit.validate_every": 3})
    (answer,) = run.predict(text="the c", **{"model.max_new_tokens": 7})
    assert len(answer["continuation"].replace("<unk>", "?")) == 7
    with pytest.raises(rk.UserError, match="a model with inference: top-k does not stream"):
        run.predict(text="the c", **{"model.inference": "top-k"})


def test_a_file_has_each_shared_tensor_once(tmp_path):
    run = trained(tmp_path, {"model.rank": 2})
    (weights, _) = run.export("safetensors", tmp_path / "out")
    with safe_open(weights, framework="pt") as file:
        names, aliases = set(file.keys()), json.loads(file.metadata()["aliases"])
    shared = "layers.0.layer.in_proj.weight"
    assert f"model.blocks.0.{shared}" in names
    assert aliases[f"model.blocks.1.{shared}"] == f"model.blocks.0.{shared}"
    own = "layers.0.layer.in_proj.relaxation.A"
    assert {f"model.blocks.0.{own}", f"model.blocks.1.{own}"} <= names
    loaded = rk.load(run.path).learner.model
    assert loaded.blocks[0].layers[0].layer.in_proj.weight is loaded.blocks[1].layers[0].layer.in_proj.weight


def test_layers_of_other_plugins_run_in_recursions(tmp_path):
    pytest.importorskip("rk_deltaproduct")
    layer = {"name": "deltaproduct", "num_heads": 2}
    run = trained(tmp_path, {"model.kv": "recursion"}, **{"model.layer": layer})
    assert run.metrics["run/occupancy-2"] == 1
    with pytest.raises(rk.UserError, match="kv: share needs the layer attention"):
        trained(tmp_path, **{"model.layer": layer})

"""What tying costs before any training, and models that answer after each loop."""

from __future__ import annotations

import copy
import csv

import pytest
import torch
from rk_recursion.layouts import Layout
from rk_recursion.recursive import Recursive
from rk_relaxed_recursive.conversion import Conversion, conversions
from rk_relaxed_recursive.exit_stats import oracle_exits
from rk_relaxed_recursive.exits import exits_of
from rk_relaxed_recursive.multi_exit import MultiExit, coefficients_of
from rk_relaxed_recursive.naive import naive_multi_exit, naive_oracle
from rk_sequence.attention import Attention
from rk_sequence.language_model import LanguageModel

from rk import LoadedRun, UserError
from rk.builtin.losses import CrossEntropy
from rk.builtin.mlp import MLP
from rk.testing import assert_close

TOKENS = torch.randint(7, (3, 9), generator=torch.Generator().manual_seed(5))
RECIPE = """
rk: 1
model: {name: language-model, layer: {name: attention, num_heads: 2}, d_model: 16, num_layers: 4, mlp_ratio: 2}
data: {name: text, length: 16, batch_size: 8, eval_length: 16, eval_limit: 32, train_limit: 40000}
loss: cross-entropy
trainer: {name: backprop, optimizer: {name: adamw, lr: 1e-2}}
fit: {max_steps: 30, seed: 0, threads: 1}
"""


def small(num_layers: int = 4, seed: int = 0, **more) -> LanguageModel:
    torch.manual_seed(seed)
    model = LanguageModel(vocab_size=7, layer=Attention, d_model=8, num_layers=num_layers, mlp_ratio=2, **more)
    for p in model.blocks.parameters():
        torch.nn.init.normal_(p, std=0.3)
    return model


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """A trained language model of four blocks."""
    import rk

    folder = tmp_path_factory.mktemp("text")
    (folder / "flat.yaml").write_text(RECIPE)
    return rk.train(folder / "flat.yaml", runs_dir=folder / "runs")


# conversions


def test_at_the_full_rank_every_conversion_is_the_model():
    model = small()
    expected = model(tokens=TOKENS)["logits"]
    names = ("stepwise", "average", "lower", "random")
    for initial, rank, one in conversions(model, Layout(4, 2), names, (2, None), seed=0):
        difference = (one(tokens=TOKENS)["logits"] - expected).abs().max()
        assert (difference < 1e-4) == (rank is None), initial


def test_a_conversion_at_a_rank_is_what_the_model_recursive_begins_with():
    model = small()

    class Source:
        learner = type("L", (torch.nn.Module,), {})()
        folder = type("F", (), {"label": "runs/source"})()

    Source.learner.model = model
    for initial, rank, one in conversions(model, Layout(4, 2), ("average", "stepwise"), (0, 2, 5), seed=0):
        again = Recursive(small(seed=1), seed=0, num_loops=2, initial=initial, rank=rank, source=Source())
        torch.testing.assert_close(one(tokens=TOKENS)["logits"], again(tokens=TOKENS)["logits"], atol=1e-5, rtol=1e-5)


def test_converting_leaves_the_model_as_it_was():
    model = small()
    before = copy.deepcopy(model.state_dict())
    for _ in conversions(model, Layout(4, 2), ("average", "random"), (0, 3), seed=0):
        pass
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    assert len({id(block) for block in model.blocks}) == 4


def test_the_loss_before_uptraining_falls_with_the_rank(text, tmp_path):
    ranks = (0, 4, 8, 32, None)
    found = Conversion(LoadedRun.open(text.path), initials=("average",), ranks=ranks).analyze(tmp_path)
    losses = [found["average"], *(found[f"average-{rank}"] for rank in ranks[1:-1])]
    assert losses == sorted(losses, reverse=True)
    assert found["average-full"] == pytest.approx(found["source"], abs=1e-5)
    rows = list(csv.DictReader((tmp_path / "conversion.csv").open()))
    assert [row["initial"] for row in rows] == ["source", *["average"] * 5]
    assert int(rows[1]["parameters"]) < int(rows[0]["parameters"])
    assert (tmp_path / "conversion.png").stat().st_size > 1000


def test_loops_that_do_not_divide_the_blocks_are_a_mistake(text, tmp_path):
    with pytest.raises(UserError, match="num_loops must divide the 4 layers"):
        Conversion(LoadedRun.open(text.path), num_loops=3).analyze(tmp_path)


def test_the_table_refuses_a_model_that_cannot_be_tied_before_it_is_trained(tmp_path, monkeypatch):
    import rk

    monkeypatch.chdir(tmp_path)
    (tmp_path / "flat.yaml").write_text(RECIPE + "callbacks: [{name: conversion-table, num_loops: 3}]\n")
    with pytest.raises(UserError, match="num_loops must divide the 4 layers"):
        rk.train(tmp_path / "flat.yaml")


# exits


@pytest.mark.parametrize("self_distill", [True, False])
@pytest.mark.parametrize("kind", ["aggressive", "weighted"])
def test_the_objective_of_all_exits_is_the_papers_with_its_gradient(kind, self_distill):
    model = small(num_loops=2).double()
    shares = coefficients_of(kind, 2, 0.1)
    learner = MultiExit(model, CrossEntropy(), exits_of(model), shares, self_distill)
    batch = {"tokens": TOKENS[:, :-1], "targets": TOKENS[:, 1:]}
    terms = learner(batch)
    total = sum(term[2] * term[0] / term[1] for term in terms.values())
    found = torch.autograd.grad(total, list(model.parameters()))
    hidden, context = model.enter(tokens=batch["tokens"])
    logits = []
    for depth, block in enumerate(model.blocks, 1):
        hidden = block(hidden, *context)
        if depth in (2, 4):
            logits.append(model.leave(hidden)["logits"].flatten(0, 1))
    naive = naive_multi_exit(logits, batch["targets"].flatten(), shares, self_distill)
    assert_close(total, naive)
    assert_close(found, torch.autograd.grad(naive, list(model.parameters())))


def test_the_last_exit_learns_nothing_from_those_that_learn_from_it():
    model = small()
    learner = MultiExit(model, CrossEntropy(), (2, 4), (0.1, 1.0), self_distill=True)
    total, *_ = learner({"tokens": TOKENS[:, :-1], "targets": TOKENS[:, 1:]})["exit-2"]
    total.backward()
    assert all(p.grad is not None for p in model.blocks[1].parameters())
    assert all(p.grad is None for p in model.blocks[2:].parameters())


def test_the_coefficients_are_the_papers():
    assert coefficients_of("aggressive", 3, 0.1) == [0.1, 0.1, 1.0]
    assert coefficients_of("weighted", 2, 0.1) == [pytest.approx(1 / 3), pytest.approx(2 / 3)]
    assert sum(coefficients_of("weighted", 4, 0.1)) == pytest.approx(1)


def test_the_exits_are_those_of_the_layout_or_those_that_are_named():
    assert exits_of(small(num_loops=2)) == (2, 4)
    assert exits_of(small(), (1, 3, 4)) == (1, 3, 4)
    with pytest.raises(UserError, match="has no loops that it could be left after"):
        exits_of(small())
    with pytest.raises(UserError, match=r"exits must ascend from 1 or more to 4, the model's blocks, got \[2, 3\]"):
        exits_of(small(), (2, 3))
    with pytest.raises(UserError, match="change the shape"):
        exits_of(MLP(num_features=8, num_classes=3, hidden_sizes=(4, 2)), (1, 2))


def test_the_oracle_leaves_at_the_first_exit_that_agrees_with_the_last():
    logits = list(torch.randn(4, 30, 3, generator=torch.Generator().manual_seed(0)))
    assert oracle_exits(logits).tolist() == naive_oracle(logits)
    assert len(set(naive_oracle(logits))) == 4


def test_exits_are_trained_measured_and_counted(tmp_path, monkeypatch):
    import rk

    monkeypatch.chdir(tmp_path)
    trainer = "trainer: {name: multi-exit, optimizer: {name: adamw, lr: 1e-2}}\ncallbacks: [exit-stats]\n"
    looped = RECIPE.replace("num_layers: 4", "num_layers: 4, num_loops: 2")
    head, _, tail = looped.partition("trainer:")
    (tmp_path / "exits.yaml").write_text(head + trainer + tail.partition("\n")[2])
    run = rk.train(tmp_path / "exits.yaml")
    m = run.metrics
    assert m["run/exit-2-oracle"] + m["run/exit-4-oracle"] == pytest.approx(1)
    assert m["run/oracle-depth"] == pytest.approx(2 * m["run/exit-2-oracle"] + 4 * m["run/exit-4-oracle"])
    assert m["test/perplexity@exit-2"] == pytest.approx(torch.tensor(m["run/first-exit-loss"]).exp().item(), rel=1e-3)
    assert m["test/accuracy"] == pytest.approx(m["run/exit-4-accuracy"])
    assert (run.path / "exits.csv").is_file() and (run.path / "figures" / "exits.png").is_file()

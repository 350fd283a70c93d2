"""Masks, scores and densities follow their definitions, and equal their naive twins."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rk_sparsity import naive, scores
from rk_sparsity.densities import counts, erk
from rk_sparsity.groups import keep_n_of_m
from rk_sparsity.growth import replace
from rk_sparsity.masks import Masks, pack, unpack
from rk_sparsity.schedules import changed, cubic
from rk_sparsity.topk import highest, keep
from rk_sparsity.weights import prunable
from torch import nn

from rk import UserError

FEW = st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=24)
SHAPES = {"a": (300, 64), "b": (100, 300), "c": (10, 100), "conv": (8, 4, 3, 3)}


# -- exactly so many ---------------------------------------------------------------------------------------------------


@given(FEW, st.integers(0, 24))
@settings(max_examples=60, deadline=None)
def test_the_highest_scores_are_kept_and_of_equal_ones_the_first(values, k):
    assert highest(torch.tensor(values), k).tolist() == naive.highest(values, k)


@given(FEW, st.floats(0, 1), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_a_dynamic_mask_replaces_as_its_naive_twin_does(values, share, random):
    weight = torch.tensor(values)
    kept = torch.tensor([random.random() < 0.4 for _ in values])
    growth = torch.tensor([random.choice([0.0, 1.0, 2.0]) for _ in values])
    found = replace(kept, weight, growth, share)
    assert found.sum() == kept.sum()
    assert torch.equal(found, naive.replace(kept, weight, growth, share))


@pytest.mark.parametrize(("n", "m"), [(2, 4), (1, 4), (1, 2), (3, 6), (1, 16), (5, 32)])
def test_of_every_m_inputs_n_are_kept(n, m):
    score = torch.randint(0, 4, (5, 2 * m)).float()
    assert torch.equal(keep_n_of_m(score, n, m, "w"), naive.n_of_m(score, n, m))
    conv = torch.rand(3, 3 * m, 2, 2)
    kept = keep_n_of_m(conv, n, m, "w")
    assert kept.shape == conv.shape
    assert (kept.movedim(1, -1).unflatten(-1, (-1, m)).sum(-1) == n).all(), "groups run along the input channels"


def test_a_group_that_does_not_divide_the_inputs_is_refused_with_the_weight():
    with pytest.raises(UserError, match="head has 10 inputs, which 4 does not divide"):
        keep_n_of_m(torch.rand(3, 10), 2, 4, "head")


@pytest.mark.parametrize("density", [0.003, 0.02, 0.1, 0.5, 0.95, 1.0])
def test_erk_is_what_bisection_finds(density):
    fast, slow = erk(SHAPES, density), naive.erk(SHAPES, density)
    assert fast == pytest.approx(slow, abs=1e-9)
    assert max(fast.values()) <= 1 + 1e-12


@pytest.mark.parametrize("distribution", ["uniform", "erk"])
@pytest.mark.parametrize("density", [0.003, 0.02, 0.1, 0.95])
def test_layers_together_keep_exactly_the_density(distribution, density):
    sizes = {name: math.prod(shape) for name, shape in SHAPES.items()}
    found = counts(SHAPES, density, distribution)
    assert sum(found.values()) == round(density * sum(sizes.values()))
    assert all(0 <= found[name] <= sizes[name] for name in SHAPES)


def test_over_all_layers_each_keeps_its_least():
    score = {"a": torch.rand(4, 4) + 10, "b": torch.rand(4, 4)}
    assert keep(score, 0.25, "global")["b"].sum() == 0
    kept = keep(score, 0.25, "global", least=2)
    assert (kept["a"].sum(), kept["b"].sum()) == (6, 2)
    assert torch.equal(kept["b"].flatten(), highest(score["b"].flatten(), 2))


def test_nan_scores_are_refused():
    with pytest.raises(UserError, match="the scores of a are not finite"):
        keep({"a": torch.tensor([[1.0, math.nan]])}, 0.5, "global")


def test_gradual_pruning_follows_the_cubic_and_the_changed_share_the_cosine():
    assert [cubic(t, 10, 110, 0.1) for t in (0, 10, 60, 110, 500)] == pytest.approx([1, 1, 0.1 + 0.9 / 8, 0.1, 0.1])
    assert [changed(t, 100, 0.3, "cosine") for t in (0, 50, 100)] == pytest.approx([0.3, 0.15, 0])
    assert changed(25, 100, 0.4, "linear") == pytest.approx(0.3)


# -- which weights -----------------------------------------------------------------------------------------------------


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(7, 4)
        self.rnn = nn.LSTM(4, 4, batch_first=True)
        self.norm = nn.LayerNorm(4)
        self.head = nn.Linear(4, 7)
        self.head.weight = self.embedding.weight

    def forward(self, batch):
        hidden = self.norm(self.rnn(self.embedding(batch["tokens"]))[0])
        return nn.functional.cross_entropy(self.head(hidden).flatten(0, 1), batch["tokens"].flatten()), 1


def test_matrices_are_pruned_but_no_norms_biases_or_embeddings_even_tied_ones():
    assert {*prunable(Tied())} == {"rnn.weight_ih_l0", "rnn.weight_hh_l0"}
    assert {*prunable(Tied(), include=["embedding"])} == {"embedding.weight"}
    assert {*prunable(Tied(), exclude=["hh"])} == {"rnn.weight_ih_l0"}
    with pytest.raises(UserError, match="include: 'rn_' matches no weight") as error:
        prunable(Tied(), include=["rn_"])
    assert "rnn.weight_ih_l0" in error.value.hint


def test_masked_weights_stay_zero_under_momentum_decay_and_a_fused_lstm():
    torch.manual_seed(0)
    learner = Tied()
    masks = Masks(prunable(learner))
    masks.set(keep(scores.magnitude(masks.weights), 0.3, "uniform"))
    masks.apply()
    optimizer = torch.optim.AdamW(learner.parameters(), lr=0.1, weight_decay=0.3)
    for _ in range(4):
        optimizer.zero_grad()
        learner({"tokens": torch.randint(0, 7, (3, 5))})[0].backward()
        masks.mask_gradients(learner.parameters())
        optimizer.step()
        masks.apply()
        for name, weight in masks.weights.items():
            assert not weight[~masks.kept[name]].any() and weight[masks.kept[name]].all()
    assert masks.density == pytest.approx(0.3, abs=0.01)


def test_optimizers_forget_the_entries_that_are_stale_and_no_others():
    layer = nn.Linear(4, 4)
    optimizer = torch.optim.Adam(layer.parameters())
    layer(torch.rand(2, 4)).sum().backward()
    optimizer.step()
    stale = torch.zeros(4, 4, dtype=torch.bool)
    stale[0] = True
    before = optimizer.state[layer.weight]["exp_avg"].clone()
    Masks({"w": layer.weight}).forget([optimizer], {"w": stale})
    after = optimizer.state[layer.weight]["exp_avg"]
    assert not after[0].any() and torch.equal(after[1:], before[1:]) and before[1:].any()


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (4, 2, 3, 3)])
def test_bits_keep_a_mask_exactly(shape):
    mask = torch.rand(shape) < 0.5
    assert torch.equal(unpack(pack(mask), shape), mask)
    assert pack(mask).numel() == -(-mask.numel() // 8)


# -- scores ------------------------------------------------------------------------------------------------------------


class Small(nn.Module):
    """Two layers whose learner has the loss of a batch, and answers."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.first, self.second = nn.Linear(3, 4, bias=False), nn.Linear(4, 2, bias=False)

    def predict(self, batch):
        return {"logits": self.second(self.first(batch["inputs"]).relu())}

    def forward(self, batch):
        return nn.functional.cross_entropy(self.predict(batch)["logits"], batch["targets"], reduction="sum"), 6


BATCH = {"inputs": torch.randn(6, 3, generator=torch.Generator().manual_seed(1)), "targets": torch.tensor([0, 1] * 3)}


def loss_of(learner, weights):
    """The mean loss with other weights, flat, in double precision."""
    sizes = [p.numel() for p in learner.parameters()]
    parts = weights.split(sizes)
    named = {n: v.view_as(p) for (n, p), v in zip(learner.named_parameters(), parts, strict=True)}
    inputs = {**BATCH, "inputs": BATCH["inputs"].double()}
    return torch.func.functional_call(learner, named, (inputs,))[0] / 6


def flat(learner):
    return torch.cat([p.detach().flatten() for p in learner.parameters()]).double()


def test_snip_is_the_derivative_by_the_mask():
    learner = Small()
    found = torch.cat([s.flatten() for s in scores.snip(learner, dict(learner.named_parameters()), [BATCH]).values()])
    weights = flat(learner)
    slow = []
    for i in range(len(weights)):
        mask = torch.ones_like(weights)
        mask[i] = 1 + 1e-6
        up = loss_of(learner, weights * mask)
        mask[i] = 1 - 1e-6
        slow.append(abs(up - loss_of(learner, weights * mask)) / 2e-6)
    torch.testing.assert_close(found.double(), torch.stack(slow), rtol=1e-4, atol=1e-7)


def test_grasp_is_the_weight_times_hessian_times_gradient():
    learner = Small()
    fast = scores.grasp(learner, dict(learner.named_parameters()), [BATCH], temperature=1.0)
    weights = flat(learner)
    hessian = torch.autograd.functional.hessian(lambda w: loss_of(learner, w), weights)
    gradient = torch.autograd.functional.jacobian(lambda w: loss_of(learner, w), weights)
    found = torch.cat([s.flatten() for s in fast.values()]).double()
    torch.testing.assert_close(found, weights * (hessian @ gradient), rtol=1e-4, atol=1e-8)


def test_synflow_of_two_linear_layers_is_the_product_of_absolute_weights():
    learner = Small()
    before = {n: p.clone() for n, p in learner.named_parameters()}
    found = scores.synflow(learner, dict(learner.named_parameters()), BATCH)
    first, second = learner.first.weight.abs().double(), learner.second.weight.abs().double()
    torch.testing.assert_close(found["first.weight"], first * second.sum(0)[:, None])
    torch.testing.assert_close(found["second.weight"], second * first.sum(1)[None])
    assert all(p.dtype == torch.float32 and torch.equal(p, before[n]) for n, p in learner.named_parameters())


def test_scoring_leaves_mode_buffers_and_generators_as_they_were():
    class Noisy(Small):
        def __init__(self):
            super().__init__()
            self.norm, self.drop = nn.BatchNorm1d(3), nn.Dropout(0.5)

        def predict(self, batch):
            return super().predict({**batch, "inputs": self.drop(self.norm(batch["inputs"]))})

    learner = Noisy()
    learner.norm.eval()
    state, drawn = {k: v.clone() for k, v in learner.state_dict().items()}, torch.get_rng_state()
    weights = prunable(learner)
    scores.snip(learner, weights, [BATCH])
    scores.grasp(learner, weights, [BATCH])
    scores.synflow(learner, weights, BATCH)
    assert all(torch.equal(v, state[k]) for k, v in learner.state_dict().items())
    assert torch.equal(torch.get_rng_state(), drawn)
    assert learner.training and not learner.norm.training


def test_a_learner_without_loss_is_scored_by_magnitude_only():
    class Silent(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 2)

    learner = Silent()
    assert scores.magnitude(prunable(learner))
    with pytest.raises(UserError, match="the learner has no loss"):
        scores.snip(learner, prunable(learner), [BATCH])

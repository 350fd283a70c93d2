"""Walks from noise to a class: fast and naive agree, features are computed once, and no label is seen."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from rk_noprop import naive
from rk_noprop.chain import NoPropChain
from rk_noprop.continuous import CTLearner
from rk_noprop.discrete import DTLearner
from rk_noprop.flow import NoPropFlow
from rk_noprop.matching import FMLearner
from rk_noprop.metrics import GuessAccuracy, RunAccuracy
from rk_noprop.noise import Cosine, MonotoneNet
from rk_noprop.paper_block import NoPropBlock
from rk_noprop.paths import KEPT, kept_steps
from rk_vision.conv_block import ConvBlock
from rk_vision.mlp_block import MLPBlock
from torch import nn

BLOCKS = {
    "mlp": partial(MLPBlock, hidden_size=6),
    "conv": partial(ConvBlock, channels=(3,), kernel_size=3, hidden_size=6),
    "paper": partial(NoPropBlock, channels=(2, 3, 4), hidden_size=6),
}
GIVEN = {"input_shape": (1, 6, 6), "num_classes": 3, "embed_dim": 5, "num_walks": 3}


def loud(learner: nn.Module) -> nn.Module:
    """Makes weights large enough that every input and every state matters."""
    torch.manual_seed(5)
    with torch.no_grad():
        for p in learner.parameters():
            p.add_(0.5 * torch.randn_like(p))
    return learner.double().eval()


def dt(block: str = "mlp", inference: str = "sde", num_blocks: int = 4, **params) -> DTLearner:
    torch.manual_seed(0)
    model = NoPropChain(block=BLOCKS[block], num_blocks=num_blocks, **GIVEN | params)
    return loud(DTLearner(model, eta=0.1, schedule="cosine", inference=inference))


def ct(block: str = "mlp", inference: str = "sde", n_steps: int = 12, noise=None, **params) -> CTLearner:
    torch.manual_seed(0)
    model = NoPropFlow(block=BLOCKS[block], **GIVEN | params)
    return loud(CTLearner(model, 1.0, noise or Cosine(1 / 12), inference, n_steps))


def fm(block: str = "mlp", n_steps: int = 12, **params) -> FMLearner:
    torch.manual_seed(0)
    return loud(FMLearner(NoPropFlow(block=BLOCKS[block], **GIVEN | params), 0.0, n_steps))


MAKERS = {"dt": (dt, naive.dt_walk), "ct": (ct, naive.ct_walk), "fm": (fm, naive.fm_walk)}


def draw(n: int = 5) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.rand(n, 1, 6, 6, generator=generator, dtype=torch.double)
    return {"inputs": inputs, "targets": torch.arange(n) % 3}


def answer(learner, batch=None):
    torch.manual_seed(2)
    with torch.no_grad():
        return learner.predict(batch or draw())


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("embedding", ["one-hot", "learned", "prototype"])
@pytest.mark.parametrize("variant", MAKERS)
def test_a_walk_follows_the_equations_step_by_step(variant, embedding, block):
    make, slow = MAKERS[variant]
    learner = make(block, embedding=embedding)
    found = answer(learner)
    torch.manual_seed(2)
    with torch.no_grad():
        torch.testing.assert_close(found["run_logits"], slow(learner, draw()["inputs"]))
    torch.testing.assert_close(found["logits"], found["run_logits"][:, 0])


@pytest.mark.parametrize("make", [dt, ct])
def test_a_walk_without_noise_follows_the_ode(make):
    learner = make(inference="ode")
    torch.manual_seed(2)
    with torch.no_grad():
        slow = {dt: naive.dt_walk, ct: naive.ct_walk}[make](learner, draw()["inputs"])
    torch.testing.assert_close(answer(learner)["run_logits"], slow)
    assert not torch.allclose(answer(learner)["logits"], answer(make())["logits"])


@pytest.mark.parametrize("make", [dt, ct, fm])
def test_the_features_of_an_input_are_computed_once(make, monkeypatch):
    learner, calls = make("conv"), []
    encode = ConvBlock.encode
    monkeypatch.setattr(ConvBlock, "encode", lambda block, x: calls.append(len(x)) or encode(block, x))
    learner.evaluate(draw())  # objective and three walks
    assert calls == [5] * (4 if make is dt else 1)


@pytest.mark.parametrize("make", [dt, ct, fm])
def test_the_targets_are_not_seen(make):
    learner, batch = make(), draw()
    known = answer(learner, batch)
    for hidden in ({"inputs": batch["inputs"]}, {**batch, "targets": (batch["targets"] + 1) % 3}):
        assert torch.equal(answer(learner, hidden)["run_logits"], known["run_logits"])


@pytest.mark.parametrize("make", [dt, ct, fm])
def test_both_at_once_is_each_of_them(make):
    learner = make()
    torch.manual_seed(2)
    with torch.no_grad():
        objective, outputs = learner.evaluate(draw())
    torch.manual_seed(2)
    with torch.no_grad():
        torch.testing.assert_close(learner(draw()), objective)
        torch.testing.assert_close(learner.predict(draw())["run_logits"], outputs["run_logits"])


def test_a_perfect_block_leads_to_the_noised_label():
    class Oracle(nn.Module):
        def __init__(self, x_shape, z_shape, num_classes, timed):
            super().__init__()

        def forward(self, z, x):
            return torch.tensor([0.0, 90.0, 0.0]).expand(len(z), 3)

    model = NoPropChain(input_shape=(1, 6, 6), num_classes=3, block=Oracle, num_blocks=6, num_walks=1)
    for inference in ("sde", "ode"):
        learner = DTLearner(model, eta=0.1, schedule="cosine", inference=inference)
        torch.manual_seed(0)
        z = learner.predict({"inputs": torch.zeros(100_000, 1, 6, 6)})["path"][:, -1]
        first, last = learner.abar[0], learner.abar[-1]
        # z_0 is N(0, I), not q(z_0 | y): what it lacks shrinks with every step, and is known
        left = learner.rule(learner.abar[:-1], learner.abar[1:]).b.prod()
        mean = (last.sqrt() - first.sqrt() * left) * torch.tensor([0.0, 1.0, 0.0])
        torch.testing.assert_close(z.mean(0), mean, atol=0.005, rtol=0)
        torch.testing.assert_close(z.var(0), (1 - last + first * left.square()).expand(3), atol=0.005, rtol=0)


def test_the_answer_of_matching_is_the_nearest_class_embedding():
    learner = fm(embedding="learned")
    found = answer(learner)
    distances = torch.cdist(found["path"][:, -1], learner.model.embedding.weight)
    assert torch.equal(found["logits"].argmax(-1), distances.argmin(-1))
    torch.testing.assert_close(found["logits"], distances.square() / -2)


@pytest.mark.parametrize("make", [dt, ct, fm])
def test_guesses_are_probabilities_and_paths_begin_in_noise(make):
    found = answer(make())
    torch.testing.assert_close(found["guesses"].sum(-1), torch.ones(5, found["guesses"].shape[1]).double())
    torch.manual_seed(2)
    start = torch.randn(15, 3, dtype=torch.double)
    torch.testing.assert_close(found["path"][:, 0], start[:5])
    assert found["path"].shape[1] == found["guesses"].shape[1] + 1


@pytest.mark.parametrize("n", [1, 2, 10, 11, 37, 1000])
def test_a_path_keeps_few_steps_and_the_last(n):
    kept = kept_steps(n)
    assert kept == sorted(set(kept)) and len(kept) == min(n, KEPT) and kept[-1] == n - 1 and kept[0] >= 0


def test_further_runs_have_different_noise():
    found = answer(dt(num_walks=4))["run_logits"]
    assert found.shape == (5, 4, 3)
    assert all(not torch.allclose(found[:, 0], found[:, i]) for i in (1, 2, 3))


def test_the_learned_schedule_learns_with_the_block():
    learner = ct(noise=MonotoneNet())
    terms = learner(draw())
    assert {*terms} == {"denoise", "read_out", "prior"}
    sum(total for total, _ in terms.values()).backward()
    assert all(p.grad.abs().max() > 0 for p in learner.noise.parameters())


# -- metrics -----------------------------------------------------------------------------------------------------------


def test_run_accuracy_is_a_mean_over_walks_not_of_them():
    logits = torch.tensor([[[9.0, 0], [0, 1], [0, 1]], [[0, 9.0], [0, 9.0], [9.0, 0]]])
    hits, count = RunAccuracy()(run_logits=logits, targets=torch.tensor([0, 1]))
    assert (int(hits), count) == (3, 6)


def test_guess_accuracy_is_of_one_step():
    guesses = torch.tensor([[[0.9, 0.1], [0.2, 0.8]], [[0.3, 0.7], [0.4, 0.6]]])
    targets = torch.tensor([0, 1])
    assert [int(GuessAccuracy(step=s)(guesses=guesses, targets=targets)[0]) for s in (1, 2, -1, -2)] == [2, 1, 1, 2]
    with pytest.raises(ValueError, match="step must not be 0"):
        GuessAccuracy(step=0)

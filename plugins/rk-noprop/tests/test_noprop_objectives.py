"""Every objective is its equation, example by example; and a mistake in any of them is noticed."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from rk_noprop import naive, noise
from rk_noprop.chain import NoPropChain
from rk_noprop.continuous import CTLearner
from rk_noprop.discrete import DTLearner
from rk_noprop.flow import NoPropFlow
from rk_noprop.learner import DenoisingLearner
from rk_noprop.matching import FMLearner
from rk_noprop.noise import Cosine, Linear, MonotoneNet
from rk_vision.mlp_block import MLPBlock
from torch import nn
from torch.nn import functional as F

MLP = partial(MLPBlock, hidden_size=6)
GIVEN = {"input_shape": (1, 6, 6), "num_classes": 3, "embed_dim": 5, "num_walks": 2, "block": MLP}
NOISES = {"cosine": lambda: Cosine(1 / 12), "linear": lambda: Linear(0.1), "learned": lambda: MonotoneNet(8, end=2.0)}


def loud(module: nn.Module) -> nn.Module:
    """Makes weights large enough that every input and every state matters."""
    torch.manual_seed(5)
    with torch.no_grad():
        for p in module.parameters():
            p.add_(0.5 * torch.randn_like(p))
    return module.double()


def draw(n: int = 7) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.rand(n, 1, 6, 6, generator=generator, dtype=torch.double)
    return {"inputs": inputs, "targets": torch.randint(0, 3, (n,), generator=generator)}


def dt(embedding: str = "learned") -> DTLearner:
    model = NoPropChain(num_blocks=4, embedding=embedding, **GIVEN)
    return loud(DTLearner(model, eta=0.1, schedule="cosine", inference="sde"))


def ct(embedding: str = "learned", noise: str = "learned", eta: float = 0.7) -> CTLearner:
    return loud(CTLearner(NoPropFlow(embedding=embedding, **GIVEN), eta, NOISES[noise](), "sde", 5))


def fm(embedding: str = "learned", sigma: float = 0.3) -> FMLearner:
    return loud(FMLearner(NoPropFlow(embedding=embedding, **GIVEN), sigma, 5))


def assert_same_objective(learner: DenoisingLearner, twin) -> None:
    """Compares each term, its count, and the gradient of their sum by every parameter that has one."""
    torch.manual_seed(3)
    objective = learner(draw())
    fast = {name: total for name, (total, _) in objective.items()}
    assert {count for _, count in objective.values()} == {7}
    torch.manual_seed(3)
    slow = twin(learner, draw())
    left_out = {name: term for name, term in slow.items() if name not in fast}
    assert not any(term.requires_grad for term in left_out.values()) or isinstance(learner, FMLearner)
    slow = {name: slow[name] for name in fast}
    torch.testing.assert_close(fast, slow)
    parameters = dict(learner.named_parameters())
    got, wanted = (
        torch.autograd.grad(sum(terms.values()), parameters.values(), allow_unused=True) for terms in (fast, slow)
    )
    for name, g, w in zip(parameters, got, wanted, strict=True):
        assert (g is None) == (w is None), name
        if w is not None:
            torch.testing.assert_close(g, w, msg=lambda text, name=name: f"gradient of {name}: {text}")


@pytest.mark.parametrize("embedding", ["one-hot", "learned", "prototype"])
def test_the_objective_in_discrete_time_is_equation_8(embedding):
    assert_same_objective(dt(embedding), naive.dt_terms)


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("embedding", ["one-hot", "learned", "prototype"])
def test_the_objective_in_continuous_time_is_equation_9(embedding, noise):
    assert_same_objective(ct(embedding, noise), naive.ct_terms)


@pytest.mark.parametrize("sigma", [0.0, 0.3])
@pytest.mark.parametrize("embedding", ["one-hot", "learned", "prototype"])
def test_the_objective_of_flow_matching_is_equation_13(embedding, sigma):
    assert_same_objective(fm(embedding, sigma), naive.fm_terms)


@pytest.mark.parametrize("embedding", ["one-hot", "learned"])
def test_the_chain_from_end_to_end_is_equations_17_to_19(embedding):
    model, batch = loud(NoPropChain(num_blocks=3, embedding=embedding, **GIVEN)), draw()
    logits = []
    for answer in (lambda x: model(inputs=x)["logits"], lambda x: naive.chain_logits(model, x)):
        torch.manual_seed(7)
        logits.append(answer(batch["inputs"]))
    torch.testing.assert_close(*logits)
    got, wanted = (torch.autograd.grad(F.cross_entropy(y, batch["targets"]), [*model.parameters()]) for y in logits)
    torch.testing.assert_close(got, wanted)


def test_the_neural_ode_is_its_euler_steps():
    model, batch = loud(NoPropFlow(embedding="learned", ode_steps=6, **GIVEN)), draw()
    logits = []
    for answer in (lambda x: model(inputs=x)["logits"], lambda x: naive.flow_logits(model, x)):
        torch.manual_seed(7)
        logits.append(answer(batch["inputs"]))
    torch.testing.assert_close(*logits)


MISTAKES = {
    "dt: weighs by SNR(t), not by its gain": (DTLearner, "_terms", " - before / (1 - before)  #", "  #"),
    "dt: no T / 2": (DTLearner, "_terms", "self.n_steps / 2 * self.eta", "self.eta"),
    "dt: a block reads its own level": (DTLearner, "_terms", "*u.shape), before)", "*u.shape), after)"),
    "dt: reads out of z_0": (DTLearner, "_terms", "self.abar[-1]), targets", "self.abar[0]), targets"),
    "ct: without SNR'(t)": (CTLearner, "objective", "self.noise.snr_rate(t) * ", ""),
    "ct: noised at 1 - t": (CTLearner, "objective", "self.noise.abar(t)", "self.noise.abar(1 - t)"),
    "ct: the block gets 1 - t": (CTLearner, "objective", "settled(z, t)", "settled(z, 1 - t)"),
    "ct: no half": (CTLearner, "objective", "self.eta / 2", "self.eta"),
    "ct: reads out of z_0": (CTLearner, "objective", "noised(u, ends[1])", "noised(u, ends[0])"),
    "ct: the prior of z_1": (CTLearner, "objective", "self.prior_loss(u, ends[0])", "self.prior_loss(u, ends[1])"),
    "ct: a mean over the embedding": (CTLearner, "objective", ".square().sum(-1)", ".square().mean(-1)"),
    "ct: logits without softmax": (
        CTLearner,
        "objective",
        "embedding.mix(settled(z, t))",
        "settled(z, t) @ embedding.weight",
    ),
    "fm: anchored at z + velocity": (FMLearner, "objective", "z + (1 - t) * velocity", "z + velocity"),
    "fm: the line runs backwards": (
        FMLearner,
        "objective",
        "t * label + (1 - t) * noise",
        "(1 - t) * label + t * noise",
    ),
    "fm: a velocity towards the noise": (FMLearner, "objective", "(label - noise)", "(noise - label)"),
    "fm: a velocity from z": (FMLearner, "objective", "(label - noise)", "(label - z)"),
    "fm: a softmax": (FMLearner, "objective", "settled(z, t.squeeze(1)) @", "settled(z, t.squeeze(1)).softmax(-1) @"),
    "noise: a deviation for a variance": (
        noise.NoiseSchedule,
        "snr_rate",
        "self.log_snr(t).exp()",
        "(self.log_snr(t) / 2).exp()",
    ),
    "adjoint: reads out of the beginning": (NoPropFlow, "forward", "states[-1]", "states[0]"),
    "backprop: adds without taking away": (NoPropChain, "_walk", "(1 - keep[i]) * z", "z"),
    "backprop: no softmax": (NoPropChain, "_walk", "self.embedding.mix(logits)", "logits @ self.embedding.weight"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_noticed(plant, mistake):
    plant(*MISTAKES[mistake])
    with pytest.raises(AssertionError):
        match mistake.partition(":")[0]:
            case "dt":
                test_the_objective_in_discrete_time_is_equation_8("learned")
            case "ct" | "noise":
                test_the_objective_in_continuous_time_is_equation_9("learned", "learned")
            case "fm":
                test_the_objective_of_flow_matching_is_equation_13("learned", 0.3)
            case "adjoint":
                test_the_neural_ode_is_its_euler_steps()
            case "backprop":
                test_the_chain_from_end_to_end_is_equations_17_to_19("learned")

"""The same computations the slow way: one block, one example or one step at a time, nothing kept from one to the next.

They draw the same random numbers in the same order as what they are compared with.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rk.protocols import Batch
from rk_noprop.chain import NoPropChain
from rk_noprop.continuous import CTLearner
from rk_noprop.discrete import DTLearner
from rk_noprop.flow import NoPropFlow
from rk_noprop.matching import FMLearner


def dt_terms(learner: DTLearner, batch: Batch) -> dict[str, Tensor]:
    """Returns the sums of Eq. 8's terms over all blocks, example by example."""
    model, abar = learner.model, learner.abar.tolist()
    u = model.embedding.weight[batch["targets"]]
    n_steps = len(model.label_blocks)
    noise = torch.randn(n_steps, *u.shape, dtype=u.dtype)
    last_noise = torch.randn_like(u)
    denoise = read_out = prior = torch.zeros((), dtype=u.dtype)
    for i, x in enumerate(batch["inputs"]):
        for t in range(1, n_steps + 1):
            z = math.sqrt(abar[t - 1]) * u[i] + math.sqrt(1 - abar[t - 1]) * noise[t - 1, i]
            logits = model.label_blocks[t - 1](z.unsqueeze(0), x.unsqueeze(0))[0]
            guess = sum(p * row for p, row in zip(logits.softmax(0), model.embedding.weight, strict=True))
            gain = abar[t] / (1 - abar[t]) - abar[t - 1] / (1 - abar[t - 1])
            denoise = denoise + n_steps / 2 * learner.eta * gain * (guess - u[i]).square().sum()
        z = math.sqrt(abar[-1]) * u[i] + math.sqrt(1 - abar[-1]) * last_noise[i]
        logits = model.head(z.unsqueeze(0), model.embedding)[0]
        read_out = read_out + _surprise(logits, batch["targets"][i])
        size = len(z)
        spread = size * abar[0] + size * math.log(1 - abar[0])
        prior = prior + (abar[0] * u[i].square().sum() - spread) / 2
    return {"denoise": denoise, "read_out": read_out, "prior": prior}


def ct_terms(learner: CTLearner, batch: Batch) -> dict[str, Tensor]:
    """Returns the sums of Eq. 9's terms, example by example; SNR'(t) is a derivative by the time."""
    model = learner.model
    u = model.embedding.weight[batch["targets"]]
    times = torch.rand(len(u), dtype=u.dtype)
    noise, last_noise = torch.randn_like(u), torch.randn_like(u)
    first, last = (learner.noise.abar(torch.tensor([end], dtype=u.dtype)) for end in (0.0, 1.0))
    denoise = read_out = prior = torch.zeros((), dtype=u.dtype)
    for i, x in enumerate(batch["inputs"]):
        t = times[i : i + 1].clone().requires_grad_()
        abar = learner.noise.abar(t)
        (rate,) = torch.autograd.grad(abar / (1 - abar), t, create_graph=True)
        z = abar.sqrt() * u[i] + (1 - abar).sqrt() * noise[i]  # the label at time 1, noise at time 0
        guess = model.timed_block(z.unsqueeze(0), x.unsqueeze(0), t.detach())[0].softmax(0) @ model.embedding.weight
        denoise = denoise + learner.eta / 2 * rate[0] * (guess - u[i]).square().sum()
        z = last.sqrt() * u[i] + (1 - last).sqrt() * last_noise[i]
        read_out = read_out + _surprise(model.head(z.unsqueeze(0), model.embedding)[0], batch["targets"][i])
        spread = len(z) * (first[0] + torch.log(1 - first[0]))
        prior = prior + (first[0] * u[i].square().sum() - spread) / 2
    return {"denoise": denoise, "read_out": read_out, "prior": prior}


def fm_terms(learner: FMLearner, batch: Batch) -> dict[str, Tensor]:
    """Returns the sums of Eq. 13's terms, example by example, with what keeps learned embeddings apart."""
    model = learner.model
    label = model.embedding.weight[batch["targets"]]
    noise = torch.randn_like(label)
    times = torch.rand(len(label), 1, dtype=label.dtype)
    around = torch.randn_like(label) if learner.sigma else torch.zeros_like(label)
    flow = read_out = torch.zeros((), dtype=label.dtype)
    for i, x in enumerate(batch["inputs"]):
        t = times[i]
        z = t * label[i] + (1 - t) * noise[i] + learner.sigma * around[i]  # Eq. 11
        logits = model.timed_block(z.unsqueeze(0), x.unsqueeze(0), t)[0]
        velocity = sum(weight * row for weight, row in zip(logits, model.embedding.weight, strict=True))
        flow = flow + (velocity - (label[i] - noise[i])).square().sum()  # Eq. 13
        end = z + (1 - t) * velocity  # where the walk would end at this velocity
        read_out = read_out + _surprise(model.head(end.unsqueeze(0), model.embedding)[0], batch["targets"][i])
    return {"flow": flow, "read_out": read_out}


def flow_logits(model: NoPropFlow, x: Tensor) -> Tensor:
    """Returns the adjoint baseline's logits by a loop of Euler steps, through which gradients flow."""
    z = torch.randn(len(x), model.embedding.size, dtype=x.dtype)
    for i in range(model.ode_steps):
        t = torch.full((len(x),), i / model.ode_steps, dtype=x.dtype)
        z = z + model.timed_block(z, x, t) @ model.embedding.weight / model.ode_steps
    return model.head(z, model.embedding)


def chain_logits(model: NoPropChain, x: Tensor) -> Tensor:
    """Returns the backpropagation baseline's logits (Eq. 17, Eq. 18 and Eq. 19)."""
    z = torch.randn(len(x), model.embedding.size, dtype=x.dtype)
    for block, w in zip(model.label_blocks, model.gates, strict=True):
        z = (1 - w.tanh()) * z + w.tanh() * (block(z, x).softmax(-1) @ model.embedding.weight)
    return model.head(z, model.embedding)


def dt_walk(learner: DTLearner, x: Tensor) -> Tensor:
    """Returns run_logits of (batch, runs, classes); every block sees the whole input in every run."""
    model, abar = learner.model, learner.abar
    inputs = x.repeat(model.num_walks, *[1] * (x.ndim - 1))
    z = torch.randn(len(inputs), model.embedding.size, dtype=x.dtype)
    for t in range(1, learner.n_steps + 1):
        guess = model.embedding.mix(model.label_blocks[t - 1](z, inputs))
        z = _moved(learner, z, guess, abar[t - 1], abar[t])
    return _by_run(learner, learner.read_out(z), len(x))


def ct_walk(learner: CTLearner, x: Tensor) -> Tensor:
    """Returns run_logits of (batch, runs, classes); the block sees the whole input in every step."""
    model = learner.model
    inputs = x.repeat(model.num_walks, *[1] * (x.ndim - 1))
    z = torch.randn(len(inputs), model.embedding.size, dtype=x.dtype)
    for i in range(learner.n_steps):
        before, after = torch.tensor([i, i + 1], dtype=x.dtype) / learner.n_steps
        times = before.expand(len(inputs))
        guess = model.embedding.mix(model.timed_block(z, inputs, times))
        z = _moved(learner, z, guess, learner.noise.abar(before), learner.noise.abar(after))
    return _by_run(learner, learner.read_out(z), len(x))


def fm_walk(learner: FMLearner, x: Tensor) -> Tensor:
    """Returns run_logits of (batch, runs, classes); the block sees the whole input in every step."""
    model = learner.model
    inputs = x.repeat(model.num_walks, *[1] * (x.ndim - 1))
    z = torch.randn(len(inputs), model.embedding.size, dtype=x.dtype)
    for i in range(learner.n_steps):
        times = torch.full((len(inputs),), i / learner.n_steps, dtype=x.dtype)
        z = z + model.timed_block(z, inputs, times) @ model.embedding.weight / learner.n_steps
    distances = (z.unsqueeze(1) - model.embedding.weight).square().sum(-1)
    return _by_run(learner, -distances / 2, len(x))


def _surprise(logits: Tensor, target: Tensor) -> Tensor:
    """Returns -log of the probability of a class."""
    return logits.logsumexp(0) - logits[target]


def _moved(learner: DTLearner | CTLearner, z: Tensor, guess: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """Returns Eq. 3's next state, or that of the walk without noise."""
    noise = torch.randn_like(z)
    a, b, c = learner.rule(before, after)
    return a * guess + b * z + c.sqrt() * noise


def _by_run(learner: DTLearner | CTLearner | FMLearner, logits: Tensor, batch: int) -> Tensor:
    return logits.view(learner.model.num_walks, batch, -1).transpose(0, 1)

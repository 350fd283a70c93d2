"""The same things the slow way: one block, one example or one step at a time, nothing kept from one to the next.

They draw the same random numbers in the same order as what they are compared with.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rk.protocols import Batch
from rk_noprop.continuous import CTLearner
from rk_noprop.discrete import DTLearner
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
        read_out = read_out + logits.logsumexp(0) - logits[batch["targets"][i]]
        size = len(z)
        spread = size * abar[0] + size * math.log(1 - abar[0])
        prior = prior + (abar[0] * u[i].square().sum() - spread) / 2
    return {"denoise": denoise, "read_out": read_out, "prior": prior}


def dt_walk(learner: DTLearner, x: Tensor) -> Tensor:
    """Returns run_logits of (batch, runs, classes); every block sees the whole input in every run."""
    model, abar = learner.model, learner.abar
    inputs = x.repeat(model.runs, *[1] * (x.ndim - 1))
    z = torch.randn(len(inputs), model.embedding.size, dtype=x.dtype)
    for t in range(1, learner.n_steps + 1):
        guess = model.embedding.mix(model.label_blocks[t - 1](z, inputs))
        z = _moved(learner, z, guess, abar[t - 1], abar[t])
    return _by_run(learner, learner.read_out(z), len(x))


def ct_walk(learner: CTLearner, x: Tensor) -> Tensor:
    """Returns run_logits of (batch, runs, classes); the block sees the whole input in every step."""
    model = learner.model
    inputs = x.repeat(model.runs, *[1] * (x.ndim - 1))
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
    inputs = x.repeat(model.runs, *[1] * (x.ndim - 1))
    z = torch.randn(len(inputs), model.embedding.size, dtype=x.dtype)
    for i in range(learner.n_steps):
        times = torch.full((len(inputs),), i / learner.n_steps, dtype=x.dtype)
        z = z + model.timed_block(z, inputs, times) @ model.embedding.weight / learner.n_steps
    distances = (z.unsqueeze(1) - model.embedding.weight).square().sum(-1)
    return _by_run(learner, -distances / 2, len(x))


def _moved(learner: DTLearner | CTLearner, z: Tensor, guess: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """Returns Eq. 3's next state, or that of the walk without noise."""
    noise = torch.randn_like(z)
    a, b, c = learner.rule(before, after)
    return a * guess + b * z + c.sqrt() * noise


def _by_run(learner: DTLearner | CTLearner | FMLearner, logits: Tensor, batch: int) -> Tensor:
    return logits.view(learner.model.runs, batch, -1).transpose(0, 1)

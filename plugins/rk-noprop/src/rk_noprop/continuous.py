"""NoProp-CT: one block for all times, trained to denoise the label at random times (Sec. 2.3, Algorithm 2)."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt
from rk_vision.blocks import Settled
from torch import Tensor

from rk import Runtime
from rk.protocols import Data, Decode, Objective, Optimizer, Term
from rk_noprop.flow import HasTimedBlock
from rk_noprop.learner import DenoisingLearner, NoPropTrainer
from rk_noprop.noise import Cosine, Linear, MonotoneNet, NoiseSchedule, noised, ode_step, sde_step
from rk_noprop.paths import DenoisingWalks, PathOutputs

MARGIN = 1 / 12
"""The margin of the schedules that are not learned: that of ten blocks, where abar goes from 0.017 to 0.983."""


class CTLearner(DenoisingLearner):
    """The block with its noise schedule.

    Args:
        model: With one block that is given the time.
        eta: Weight of denoising in the loss.
        noise: The schedule; its parameters are learned with the rest.
        inference: Whether walks are random (``sde``) or only their beginning is (``ode``).
        n_steps: Steps of a walk.
    """

    model: HasTimedBlock

    def __init__(self, model: HasTimedBlock, eta: float, noise: NoiseSchedule, inference: str, n_steps: int) -> None:
        super().__init__(model)
        self.eta = eta
        self.noise = noise
        self.rule = {"sde": sde_step, "ode": ode_step}[inference]
        self.n_steps = n_steps

    def settle(self, x: Tensor) -> Settled:
        return Settled(self.model.timed_block, x)

    def objective(self, targets: Tensor, settled: Settled) -> Objective:
        """Returns Eq. 9."""
        embedding = self.model.embedding
        u = embedding(targets)
        t = torch.rand(len(u), dtype=u.dtype, device=u.device)
        ends = self.noise.abar(torch.tensor([0.0, 1.0], dtype=u.dtype, device=u.device))
        z = noised(u, self.noise.abar(t).unsqueeze(-1))
        error = (embedding.mix(settled(z, t)) - u).square().sum(-1)
        terms: dict[str, Term] = {
            "denoise": ((self.eta / 2 * self.noise.snr_rate(t) * error).sum(), len(u)),
            "read_out": self.read_out_loss(noised(u, ends[1]), targets),
        }
        if embedding.is_learned or isinstance(self.noise, MonotoneNet):  # else it is a constant
            terms["prior"] = self.prior_loss(u, ends[0])
        return terms

    def walk(self, x: Tensor, settled: Settled) -> PathOutputs:
        """Walks in equal steps of time, each by Eq. 3."""
        embedding = self.model.embedding
        times = torch.linspace(0, 1, self.n_steps + 1, dtype=x.dtype, device=x.device)
        abar = self.noise.abar(times)
        a, b, c = self.rule(abar[:-1], abar[1:])

        def step(i: int, z: Tensor) -> tuple[Tensor, Tensor]:
            logits = settled(z, times[i])
            return logits, a[i] * embedding.mix(logits) + b[i] * z + c[i].sqrt() * torch.randn_like(z)

        return DenoisingWalks(self.n_steps, self.model.num_walks, embedding.size, x)(
            step, lambda logits: logits.softmax(-1), self.read_out
        )


class NoPropCT(NoPropTrainer):
    """NoProp in continuous time: one block, given the time, learns to guess the label from a label noised at that time.

    A walk of many small steps from noise is the answer.

    Args:
        optimizer: The optimizer and its schedule, or several by patterns of the names of what they train.
        eta: Weight of denoising against the read-out.
        schedule: How alpha-bar goes from noise to label; `learned` with the rest, as in the paper.
        inference: sde walks as the paper does (Eq. 3); ode adds no noise on the way.
        inference_steps: Steps of a walk; the paper has 1000.

    Examples:
        trainer: {name: noprop-ct, optimizer: {name: adam, lr: 1e-3}, inference_steps: 100}
    """

    def __init__(
        self,
        optimizer: Optimizer | dict[str, Optimizer],
        eta: Annotated[float, Gt(0)] = 1.0,
        schedule: Literal["learned", "cosine", "linear"] = "learned",
        inference: Decode[Literal["sde", "ode"]] = "sde",
        inference_steps: Decode[Annotated[int, Ge(1)]] = 1000,
    ) -> None:
        super().__init__(optimizer)
        self.eta = eta
        self.schedule = schedule
        self.inference, self.n_steps = inference, inference_steps

    def setup(self, *, model: HasTimedBlock, data: Data, runtime: Runtime) -> CTLearner:
        fixed = {"cosine": Cosine, "linear": Linear}
        noise = MonotoneNet() if self.schedule == "learned" else fixed[self.schedule](MARGIN)
        learner = CTLearner(model, self.eta, noise, self.inference, self.n_steps)
        self.take(learner, data, runtime)
        return learner

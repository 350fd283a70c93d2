"""NoProp-FM: one block for all times, trained to give the velocity from noise to the label (Sec. 2.4, Algorithm 3)."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge
from rk_vision.blocks import Settled
from torch import Tensor

from rk import Runtime
from rk.protocols import Data, Decode, Objective, Optimizer, Term
from rk_noprop.flow import HasTimedBlock
from rk_noprop.learner import DenoisingLearner, NoPropTrainer
from rk_noprop.paths import DenoisingWalks, PathOutputs


class FMLearner(DenoisingLearner):
    """The block as a velocity.

    Args:
        model: With one block that is given the time.
        sigma: Standard deviation of noise around the straight line.
        n_steps: Euler steps of a walk.
    """

    model: HasTimedBlock

    def __init__(self, model: HasTimedBlock, sigma: float, n_steps: int) -> None:
        super().__init__(model)
        self.sigma = sigma
        self.n_steps = n_steps

    def settle(self, x: Tensor) -> Settled:
        return Settled(self.model.timed_block, x)

    def objective(self, targets: Tensor, settled: Settled) -> Objective:
        """Returns Eq. 13 at states of Eq. 11; where the class embeddings are learned, with what keeps them apart."""
        embedding = self.model.embedding
        label = embedding(targets)
        noise = torch.randn_like(label)
        t = torch.rand(len(label), 1, dtype=label.dtype, device=label.device)
        z = t * label + (1 - t) * noise  # Eq. 11
        if self.sigma:
            z = z + self.sigma * torch.randn_like(z)
        velocity = settled(z, t.squeeze(1)) @ embedding.weight  # no softmax: any velocity can be expressed
        terms: dict[str, Term] = {"flow": ((velocity - (label - noise)).square().sum(), len(label))}
        if embedding.is_learned:
            terms["read_out"] = self.read_out_loss(z + (1 - t) * velocity, targets)
        return terms

    def walk(self, x: Tensor, settled: Settled) -> PathOutputs:
        """Walks in equal Euler steps. Logits are minus half the squared distances to the class embeddings."""
        embedding = self.model.embedding
        times = torch.linspace(0, 1, self.n_steps + 1, dtype=x.dtype, device=x.device)

        def step(i: int, z: Tensor) -> tuple[Tensor, Tensor]:
            velocity = settled(z, times[i]) @ embedding.weight
            return z + (1 - times[i]) * velocity, z + velocity / self.n_steps

        def guess(end: Tensor) -> Tensor:
            return nearest(end).softmax(-1)

        def nearest(z: Tensor) -> Tensor:
            return embedding.distances(z) / -2

        return DenoisingWalks(self.n_steps, self.model.num_walks, embedding.size, x)(step, guess, nearest)


class NoPropFM(NoPropTrainer):
    """NoProp by flow matching: one block, given the time, learns the velocity that leads from noise to the label.

    The class whose embedding is nearest to the end of a walk is the answer.

    Args:
        optimizer: The optimizer and its schedule, or several by patterns of the names of what they train.
        sigma: Standard deviation of noise around the straight line from noise to label; the paper does not state it.
        inference_steps: Euler steps of a walk; the paper has 1000.

    Examples:
        trainer: {name: noprop-fm, optimizer: {name: adam, lr: 1e-3}, inference_steps: 100}
    """

    def __init__(
        self,
        optimizer: Optimizer | dict[str, Optimizer],
        sigma: Annotated[float, Ge(0)] = 0.0,
        inference_steps: Decode[Annotated[int, Ge(1)]] = 1000,
    ) -> None:
        super().__init__(optimizer)
        self.sigma, self.n_steps = sigma, inference_steps

    def setup(self, *, model: HasTimedBlock, data: Data, runtime: Runtime) -> FMLearner:
        learner = FMLearner(model, self.sigma, self.n_steps)
        self.take(learner, data, runtime)
        return learner

"""NoProp-DT: T blocks, each trained alone to denoise the label at its own level of noise (Sec. 2, Algorithm 1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Literal

import torch
from annotated_types import Gt, Lt
from jaxtyping import Float
from rk_vision.blocks import BatchedBlock, Settled
from torch import Tensor, nn

from rk import Runtime
from rk.fields import ClassificationBatch
from rk.protocols import Data, Decode, Objective, Optimizer, Term
from rk.sampling import generator
from rk_noprop.chain import HasLabelBlocks
from rk_noprop.learner import DenoisingLearner, NoPropTrainer
from rk_noprop.noise import Cosine, Linear, noised, ode_step, sde_step
from rk_noprop.paths import DenoisingWalks, PathOutputs

SCHEDULES = {"cosine": Cosine, "linear": Linear}


Judge = Callable[[Tensor], Tensor]
"""Label embeddings -> logits, for inputs that are settled."""


def _judged(block: nn.Module, x: Tensor, z: Tensor) -> Tensor:
    logits: Tensor = block(z, x)
    return logits


class DTLearner(DenoisingLearner):
    """The blocks with their levels of noise.

    Args:
        model: A chain of blocks.
        eta: Weight of denoising in the loss.
        schedule: How the noise falls from block to block.
        margin: How far its ends are open; None for 1 / (T + 2).
        inference: Whether walks are random (``sde``) or only their beginning is (``ode``).
    """

    abar: Float[Tensor, "T+1"]

    model: HasLabelBlocks

    def __init__(
        self, model: HasLabelBlocks, eta: float, schedule: str, inference: str, margin: float | None = None
    ) -> None:
        super().__init__(model)
        self.n_steps = len(model.label_blocks)
        self.eta = eta
        self.rule = {"sde": sde_step, "ode": ode_step}[inference]
        # Open by one step at each end: cosine is sin^2(pi/2 (t + 1) / (T + 2)) for t = 0 ... T
        levels = SCHEDULES[schedule](1 / (self.n_steps + 2) if margin is None else margin)
        times = torch.arange(self.n_steps + 1, dtype=torch.float64) / self.n_steps
        self.register_buffer("abar", levels.abar(times).float())

    def forward(self, batch: ClassificationBatch, block: int | None = None) -> Objective:
        """Returns the loss of one block (Eq. 8), or of all: blocks are summed, what they share counts once.

        Args:
            batch: Inputs and targets.
            block: Number of the block, from 0; None trains all on the same batch, in one go where they can be.
        """
        x, blocks = batch["inputs"], self.model.label_blocks
        if block is not None:
            return self._terms(batch["targets"], [block], lambda z: blocks[block](z[0], x).unsqueeze(0))
        first, *others = blocks
        if others and isinstance(first, BatchedBlock):
            batched = [one for one in others if isinstance(one, BatchedBlock)]
            return self._terms(batch["targets"], range(len(blocks)), lambda z: first.together(batched, z, x))
        return self.objective(batch["targets"], [partial(_judged, one, x) for one in blocks])

    def settle(self, x: Tensor) -> list[Judge]:
        return [Settled(block, x) for block in self.model.label_blocks]

    def objective(self, targets: Tensor, settled: Sequence[Judge]) -> Objective:
        def judge(z: Tensor) -> Tensor:
            return torch.stack([block(one) for block, one in zip(settled, z, strict=True)])

        return self._terms(targets, range(len(settled)), judge)

    def _terms(self, targets: Tensor, blocks: Sequence[int], judge: Judge) -> Objective:
        """Returns Eq. 8 for some blocks; `judge` takes (blocks, batch, z) to (blocks, batch, classes)."""
        embedding = self.model.embedding
        u = embedding(targets)
        before = self.abar[list(blocks)].view(-1, 1, 1)  # block i, from 0, is the paper's t = i + 1: it reads z_i
        after = self.abar[[i + 1 for i in blocks]].view(-1, 1, 1)
        z = noised(u.expand(len(blocks), *u.shape), before)
        error = (embedding.mix(judge(z)) - u).square().sum(-1)
        gain = after / (1 - after) - before / (1 - before)  # SNR(t) - SNR(t-1)
        terms: dict[str, Term] = {
            "denoise": ((self.n_steps / 2 * self.eta * gain.squeeze(-1) * error).sum(), len(targets)),
            "read_out": self.read_out_loss(noised(u, self.abar[-1]), targets),
        }
        if embedding.is_learned:  # else it is a constant
            terms["prior"] = self.prior_loss(u, self.abar[0])
        return terms

    def walk(self, x: Tensor, settled: Sequence[Judge]) -> PathOutputs:
        """Walks through the blocks, each step by Eq. 3."""
        embedding = self.model.embedding
        steps = self.rule(self.abar[:-1], self.abar[1:])

        def step(i: int, z: Tensor) -> tuple[Tensor, Tensor]:
            logits = settled[i](z)
            moved = steps.a[i] * embedding.mix(logits) + steps.b[i] * z  # Eq. 3
            return logits, moved + steps.c[i].sqrt() * torch.randn_like(z)

        return DenoisingWalks(self.n_steps, self.model.num_walks, embedding.size, x)(
            step, lambda logits: logits.softmax(-1), self.read_out
        )


class NoPropDT(NoPropTrainer):
    """NoProp in discrete time: each block learns alone to guess the label from the input and a noised label.

    A walk from noise through all blocks is the answer.

    Args:
        optimizer: The optimizer and its schedule, or several by patterns of the names of what they train.
        seed: Orders the blocks, where that is random.
        eta: Weight of denoising against the read-out.
        schedule: How alpha-bar goes from noise to label.
        margin: Share of the schedule that is left out at each end; null: 1 / (T + 2), a step.
        order: Which block learns from a batch. parallel: all of them; sampled: one, in a new random order every T
            batches; sequential: one for a whole pass over the data, then the next (Algorithm 1; an epoch is T passes).
        inference: sde walks as the paper does (Eq. 3); ode adds no noise on the way.

    Examples:
        trainer: {name: noprop-dt, optimizer: {name: adamw, lr: 1e-3}, eta: 0.1, order: sampled}
    """

    learner: DTLearner

    def __init__(
        self,
        optimizer: Optimizer | dict[str, Optimizer],
        seed: int,
        eta: Annotated[float, Gt(0)] = 0.1,
        schedule: Literal["cosine", "linear"] = "cosine",
        margin: Annotated[float, Gt(0), Lt(0.5)] | None = None,
        order: Literal["parallel", "sampled", "sequential"] = "parallel",
        inference: Decode[Literal["sde", "ode"]] = "sde",
    ) -> None:
        super().__init__(optimizer)
        self.seed = seed
        self.order = order
        self.eta, self.schedule, self.margin, self.inference = eta, schedule, margin, inference

    def setup(self, *, model: HasLabelBlocks, data: Data, runtime: Runtime) -> DTLearner:
        self.learner = learner = DTLearner(model, self.eta, self.schedule, self.inference, self.margin)
        self.take(learner, data, runtime)
        return learner

    def forward(self, batch: ClassificationBatch) -> Objective:
        return self.call(batch, self.block_of(self.n_updates))

    def block_of(self, update: int) -> int | None:
        """Returns the block that learns at an update, the same in all processes; None for all."""
        num_blocks = self.learner.n_steps
        match self.order:
            case "parallel":
                return None
            case "sampled":
                round_, place = divmod(update, num_blocks)
                return int(torch.randperm(num_blocks, generator=generator(self.seed, 3, round_))[place])
            case _:
                return update // self.batches_per_epoch("sequential blocks change with a pass") % num_blocks

"""The trainer `limiting-ensemble`: members drawn from what infinitely wide networks answer, without training any."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge
from jaxtyping import Float
from rk_kernels.classifier import KernelRidge, KernelValues
from rk_kernels.kernel import Kernel
from rk_kernels.linalg import Normal, gradient_descent_ensemble
from torch import Tensor

from rk import Runtime
from rk.fields import InputsOnly, ValuesOutputs
from rk.protocols import Data
from rk.sampling import generator


class MembersOutputs(ValuesOutputs):
    """The mean over members, and what each of them answers."""

    member_values: Float[Tensor, "batch members targets"]


class LimitingMembers(KernelValues):
    """Training inputs and coefficients, from which the answers of an ensemble are drawn.

    Args:
        nngp: Covariance of the networks before training.
        tangent: The kernel that they learn with.
        num_outputs: Numbers of each target.
        num_members: Members.
        seed: Of the draws.
    """

    def __init__(self, nngp: Kernel, tangent: Kernel, num_outputs: int, num_members: int, seed: int) -> None:
        super().__init__(tangent, num_outputs)
        self.seed = seed
        self.nngp = nngp
        self.num_members = num_members

    def distribution(self, inputs: Tensor) -> Normal:
        """Returns mean and covariance of one network's answers, over its first weights; outputs are independent."""
        train, inputs = self.inputs, inputs.flatten(1)
        gram = self.kernel(train)
        return gradient_descent_ensemble(
            nngp_train=self.nngp(train),
            nngp_cross=self.nngp(inputs, train),
            nngp_test=self.nngp(inputs),
            ntk_train=gram,
            ntk_cross=self.kernel(inputs, train),
            targets=gram @ self.coefficients,  # without ridge, the targets
        )

    def predict(self, batch: InputsOnly) -> MembersOutputs:
        """Draws each member's answers to the whole batch at once: a function of the seed and the batch."""
        inputs = batch["inputs"]
        if not self.coefficients.numel():
            zeros = inputs.new_zeros(len(inputs), self.num_members, self.num_outputs)
            return {"values": zeros.mean(1), "member_values": zeros}
        random = generator(self.seed, inputs.cpu().numpy().tobytes().hex())
        members = drawn(self.distribution(inputs), self.num_members, random).to(inputs.dtype)
        return {"values": members.mean(1), "member_values": members}


class LimitingEnsemble(KernelRidge):
    """Networks of infinite width that gradient descent has fitted, of different first weights: exact, and no training.

    For any data with real targets and any pair of kernels. The answers of a batch are drawn together, as those of one
    network to all of its inputs; another batch is another draw, and the same batch the same.

    Args:
        nngp: Covariance of the networks before training.
        num_outputs: Numbers of each target.
        seed: Of the draws.
        tangent: The kernel that they learn with; null: `nngp`, as where the last layer learns alone.
        num_members: Members.

    Examples:
        trainer: {name: limiting-ensemble, nngp: {name: mlp-kernel, depth: 1}, num_members: 100}
    """

    def __init__(
        self,
        nngp: Kernel,
        num_outputs: Annotated[int, Ge(1)],
        seed: int,
        tangent: Kernel | None = None,
        num_members: Annotated[int, Ge(1)] = 100,
    ) -> None:
        super().__init__(nngp if tangent is None else tangent, num_outputs)
        self.nngp = nngp
        self.seed = seed
        self.num_members = num_members

    def setup(self, *, data: Data, runtime: Runtime) -> LimitingMembers:
        self._begin(data, runtime)
        for parameter in self.nngp.parameters():
            parameter.requires_grad_(False)
        learner = LimitingMembers(self.nngp, self.kernel, self.num_outputs, self.num_members, self.seed)
        self.learner = learner
        runtime.setup(learner)
        return learner


def drawn(distribution: Normal, members: int, random: torch.Generator) -> Tensor:
    """Returns draws of (batch, members, outputs).

    Args:
        distribution: Of one network.
        members: Networks.
        random: Of the draws, on the CPU.
    """
    mean, outputs = distribution.mean, distribution.mean.shape[1]
    noise = torch.randn(len(mean), members * outputs, dtype=mean.dtype, generator=random).to(mean.device)
    # the symmetric root: inputs that were trained on have no variance, so that there may be no Cholesky factor
    values, vectors = torch.linalg.eigh(distribution.covariance)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.mT
    return mean.unsqueeze(1) + (root @ noise).unflatten(1, (members, outputs))

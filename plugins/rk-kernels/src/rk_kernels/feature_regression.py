"""The trainer `feature-regression`: the linear head of a model with fixed features, in closed form and in one pass."""

from __future__ import annotations

from typing import Annotated, Any, Protocol

import torch
from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from rk import Runtime, UserError
from rk.binding import Bound
from rk.builtin.backprop import Answering
from rk.protocols import Batch, Data, Model
from rk_kernels.linalg import cholesky, with_ridge


class HasFeatures(Model, Protocol):
    """A model that is a linear head over features that are not trained."""

    head: nn.Linear

    def features(self, **fields: Tensor) -> Tensor:
        """Returns (batch, features)."""
        ...


class FeatureRegression:
    """Ridge regression from a model's features onto numbers, or onto the indicators of classes.

    One pass over the training split adds up the products of the features in float64, P'P and P'Y; then the head is
    Y'P (P'P + ridge I)^-1. The examples are not kept: memory is the square of the number of features. A bias is not
    shrunk.

    Args:
        ridge: Added to the diagonal, relative to its mean.

    Examples:
        trainer: {name: feature-regression, ridge: 1e-4}
    """

    def __init__(self, ridge: Annotated[float, Ge(0)] = 1e-4) -> None:
        self.ridge = ridge
        self.seen = 0
        self.gram: Tensor | None = None
        self.cross: Tensor | None = None

    def setup(self, *, model: HasFeatures, data: Data, runtime: Runtime) -> Answering:
        if runtime.world > 1:
            raise UserError("feature-regression solves for one matrix: it runs in one process", "fit.devices=1")
        self.data = data
        self.model = model
        self.learner = Answering(model)
        self._features = Bound(model.features)
        runtime.setup(self.learner)
        return self.learner

    @torch.no_grad()
    def step(self, batch: Batch) -> dict[str, Tensor] | None:
        """Adds the rows of one batch; None when the pass is over."""
        total = self.data.batches("train")
        if total is None:
            raise UserError("feature-regression takes all training rows, but the training split has no end")
        if self.seen >= total:
            return None
        self.seen += 1
        features, targets = self._features(batch).double(), batch["targets"]
        features = torch.cat([features, features.new_ones(len(features), 1)], 1)
        if not targets.is_floating_point():
            targets = functional.one_hot(targets, self.model.head.out_features)
        gram, cross = features.mT @ features, features.mT @ targets.double().reshape(len(features), -1)
        self.gram = gram if self.gram is None else self.gram + gram
        self.cross = cross if self.cross is None else self.cross + cross
        return {}

    @torch.no_grad()
    def finish(self) -> None:
        """Solves for the head."""
        if self.gram is None or self.cross is None:
            return
        weight, bias = solve(self.gram, self.cross, self.ridge, bias=self.model.head.bias is not None)
        self.model.head.weight.copy_(weight)
        if self.model.head.bias is not None:
            self.model.head.bias.copy_(bias)

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen, "gram": self.gram, "cross": self.cross}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seen, self.gram, self.cross = state["seen"], state["gram"], state["cross"]


def solve(
    gram: Float[Tensor, "p1 p1"], cross: Float[Tensor, "p1 k"], ridge: float, *, bias: bool = True
) -> tuple[Float[Tensor, "k p"], Float[Tensor, "k"]]:
    """Returns weight and bias of the ridge regression whose sums of products are given.

    Args:
        gram: Sum of f f', where the last of the features f is 1.
        cross: Sum of f y'.
        ridge: Relative to the mean of the diagonal, without that of the 1.
        bias: Whether there is one; it is not shrunk.

    Examples:
        >>> x = torch.tensor([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]]).double()
        >>> y = torch.tensor([[1.0], [3.0], [5.0]]).double()
        >>> weight, bias = solve(x.T @ x, x.T @ y, 0.0)
        >>> print(f"{float(weight):.4f} {float(bias):.4f}")
        2.0000 1.0000
    """
    count, sums = gram[-1, -1], gram[:-1, -1:]
    inner, outer = gram[:-1, :-1], cross[:-1]
    if bias:  # centring is solving for the bias first
        inner = inner - sums @ sums.mT / count
        outer = outer - sums @ cross[-1:] / count
    scale = float(gram[:-1, :-1].diagonal().mean())
    weight = torch.cholesky_solve(outer, cholesky(with_ridge(inner, ridge * scale))).mT
    return weight, (cross[-1] - weight @ sums[:, 0]) / count if bias else cross.new_zeros(cross.shape[1])

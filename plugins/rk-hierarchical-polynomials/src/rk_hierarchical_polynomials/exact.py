"""Least squares for any parameters in which a model's answer is linear: features, sums of products, ridges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from rk_kernels.linalg import cholesky, with_ridge
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap
from torch.nn import functional

from rk import UserError
from rk.binding import Bound
from rk.protocols import Batch

TOLERANCE = 1e-4
"""Largest second difference of an answer that counts as linear, relative to the answers: float32 rounds."""


class LinearPart:
    """A model's answer as a function of some of its parameters, all others held.

    Real targets are regressed on by the model's ``values``, classes, as indicators, by its ``logits``.

    Args:
        model: Answers each example by itself.
        names: Of the parameters.
    """

    def __init__(self, model: nn.Module, names: Sequence[str]) -> None:
        parameters = dict(model.named_parameters())
        self.model = model
        self.parameters = {name: parameters[name] for name in names}
        self._takes = Bound(model.forward)

    def rows(self, batch: Batch) -> tuple[Float[Tensor, "rows size"], Float[Tensor, "rows"]]:
        """Returns the features of each answered number, its derivative, and what they must add up to, in float64."""
        fields, name = self._fields(batch), _answered(batch)

        def one(theta: dict[str, Tensor], example: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
            answer = self._answer(theta, {key: value.unsqueeze(0) for key, value in example.items()}, name)[0]
            return answer, answer

        zero = {key: torch.zeros_like(value) for key, value in self.parameters.items()}
        slopes, base = vmap(jacrev(one, has_aux=True), in_dims=(None, 0))(zero, fields)
        features = torch.cat([slopes[key].reshape(*base.shape, -1) for key in zero], 2).detach().double()
        targets = batch["targets"]
        if name == "logits":
            targets = functional.one_hot(targets, base.shape[1])
        wanted = targets.reshape(base.shape).double() - base.detach().double()
        return features.flatten(0, 1), wanted.flatten()

    @torch.no_grad()
    def check(self, batch: Batch) -> None:
        """Raises `rk.UserError` unless the answer is linear in the parameters.

        That is judged by a second difference, f(w + v) - 2 f(w) + f(w - v), of random w and v: a second derivative
        would be zero for networks of relu too, between their kinks.
        """
        fields, name = self._fields(batch), _answered(batch)
        draw = torch.Generator().manual_seed(0)
        w, v = (
            {key: torch.randn(p.shape, generator=draw).to(p) for key, p in self.parameters.items()} for _ in range(2)
        )
        left, middle, right = (
            self._answer({key: w[key] + t * v[key] for key in w}, fields, name).double() for t in (-1, 0, 1)
        )
        names = ", ".join(self.parameters)
        if torch.equal(left, right):
            raise UserError(f"the answer does not depend on {names}", "order the stages so that it does")
        bend = float((left - 2 * middle + right).abs().max())
        size = float((left.abs() + 2 * middle.abs() + right.abs()).max())
        if not bend <= TOLERANCE * size:
            raise UserError(
                f"an exact stage must train what the answer is linear in, got {names}: a second difference is "
                f"{bend / size:.2g} of the answers",
                "train the last layer alone, or take solver: gradient",
            )

    @torch.no_grad()
    def take(self, solution: Float[Tensor, "size"]) -> None:
        """Gives the parameters their values."""
        parts = solution.split([p.numel() for p in self.parameters.values()])
        for parameter, part in zip(self.parameters.values(), parts, strict=True):
            parameter.copy_(part.reshape(parameter.shape))

    def _fields(self, batch: Batch) -> dict[str, Tensor]:
        taken = {k: v for k, v in batch.items() if self._takes.takes_all or k in self._takes.names}
        return {k: v for k, v in taken.items() if isinstance(v, Tensor)}

    def _answer(self, theta: Mapping[str, Tensor], fields: dict[str, Tensor], name: str) -> Tensor:
        outputs = functional_call(self.model, dict(theta), (), fields)
        if name not in outputs:
            raise UserError(f"an exact stage needs a model that answers with {name!r}, got {', '.join(outputs)}")
        return outputs[name].flatten(1)


def _answered(batch: Batch) -> str:
    return "values" if batch["targets"].is_floating_point() else "logits"


class Products:
    """Sums of products of features f and targets y: all that least squares needs, whatever the number of rows.

    Args:
        state: What `state_dict` returned; None: no rows yet.
    """

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        self.state: dict[str, Any] = dict(state or {"rows": 0})

    @property
    def rows(self) -> int:
        """How many rows were added."""
        return int(self.state["rows"])

    def add(self, features: Float[Tensor, "rows size"], wanted: Float[Tensor, "rows"]) -> None:
        """Adds rows: memory is the square of the number of features."""
        if not self.rows:
            size = features.shape[1]
            self.state |= {"gram": features.new_zeros(size, size), "cross": features.new_zeros(size), "square": 0.0}
        self.state["gram"].addmm_(features.mT, features)
        self.state["cross"].addmv_(features.mT, wanted)
        self.state["square"] += float(wanted @ wanted)
        self.state["rows"] += len(wanted)

    def __add__(self, other: Products) -> Products:
        if not (self.rows and other.rows):
            return self if self.rows else other
        return Products({key: value + other.state[key] for key, value in self.state.items()})

    def solve(self, ridge: float) -> Float[Tensor, "size"]:
        """Returns (F'F + ridge I)^-1 F'y, with a ridge relative to the mean of the diagonal."""
        gram, cross = self.state["gram"], self.state["cross"]
        factor = cholesky(with_ridge(gram, ridge * float(gram.diagonal().mean())))
        return torch.cholesky_solve(cross.unsqueeze(1), factor).squeeze(1)

    def path(self, ridges: Sequence[float]) -> Float[Tensor, "ridges size"]:
        """Returns the solutions of all ridges, from one eigendecomposition."""
        gram, cross = self.state["gram"], self.state["cross"]
        values, vectors = torch.linalg.eigh(gram)
        added = torch.tensor(ridges, dtype=gram.dtype, device=gram.device) * gram.diagonal().mean()
        return (vectors.mT @ cross / (values.clamp(min=0) + added.unsqueeze(1))) @ vectors.mT

    def error(self, solutions: Float[Tensor, "ridges size"]) -> Float[Tensor, "ridges"]:
        """Returns the mean squared error of solutions on these rows, which are not needed again."""
        crossed, gram = solutions @ self.state["cross"], self.state["gram"]
        total = ((solutions @ gram) * solutions).sum(1) - 2 * crossed + self.state["square"]
        return total / self.rows


def solved(fitted: Products, held_out: Products, ridges: Sequence[float]) -> tuple[Float[Tensor, "size"], float]:
    """Returns the solution for all rows and its ridge: the one with the least error on the rows that were held out.

    Args:
        fitted: Rows that each ridge is fitted to.
        held_out: Rows that choose; without any, the first ridge is taken.
        ridges: Relative to the mean of the diagonal, above 0 where there are several.
    """
    ridge = ridges[0]
    if len(ridges) > 1 and fitted.rows and held_out.rows:
        ridge = ridges[int(held_out.error(fitted.path(ridges)).argmin())]
    return (fitted + held_out).solve(ridge), ridge

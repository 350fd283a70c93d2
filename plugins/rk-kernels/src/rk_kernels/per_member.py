"""The loss and the metric `per-member`: those of one network, for the members of an ensemble."""

from __future__ import annotations

import copy
from typing import Any, Literal

import torch
from torch import Tensor

from rk import UserError
from rk.binding import Bound
from rk.protocols import Loss, Metric, Model, Objective, Term
from rk.wrappers import LossWrapper
from rk_kernels.ensemble import MEMBER, Ensemble


class PerMember(LossWrapper):
    """Any loss, summed over the members of an `ensemble`.

    The gradient of a member's weights is then what it would be if the member were trained alone.

    Args:
        base: The loss of one member.

    Examples:
        loss: {name: per-member, base: cross-entropy}

        >>> from rk.builtin.losses import CrossEntropy
        >>> from rk.builtin.mlp import MLP
        >>> from rk_kernels.ensemble import Ensemble
        >>> model = Ensemble(lambda: MLP(num_features=4, num_classes=3, hidden_sizes=[8]), num_members=5)
        >>> loss = PerMember(CrossEntropy())
        >>> loss.watch(model)
        >>> inputs, targets = torch.rand(2, 4), torch.tensor([0, 2])
        >>> total, count = loss(**model(inputs=inputs), targets=targets)
        >>> int(count)
        2
    """

    def __init__(self, base: Loss) -> None:
        super().__init__(base)
        self.num_members = 0

    def watch(self, model: Model) -> None:
        """Takes the number of members from the model.

        Raises:
            rk.UserError: When the model is not an `ensemble`.
        """
        if not isinstance(model, Ensemble):
            raise UserError(
                f"per-member: the model must be an ensemble, got {type(model).__name__}",
                "model: {name: ensemble, base: ..., num_members: 8}",
            )
        self.num_members = model.num_members

    def forward(self, **fields: Tensor) -> Objective:
        """Returns the base's loss of all members and examples, and the base's count for one member."""
        longest = max(len(value) for value in fields.values() if isinstance(value, Tensor) and value.ndim)
        batch = longest // self.num_members
        repeated = {name: _for_each(value, batch, self.num_members) for name, value in fields.items()}
        objective = super().forward(**repeated)
        if isinstance(objective, dict):
            return {name: self._shared(term) for name, term in objective.items()}
        return self._shared(objective)

    def _shared(self, term: Term) -> Term:
        total, count, *weight = term
        one = count // self.num_members if isinstance(count, int) else count / self.num_members
        return (total, one, *weight)  # type: ignore[return-value]  # the weight, if it has one


class PerMemberMetric:
    """A statistic of what any metric gives for each member of an `ensemble` alone.

    Args:
        base: The metric, of fields that the model answers with.
        statistic: Which: of the best member, the mean over members, of the worst, or their standard deviation.

    Examples:
        metrics: {best: {name: per-member, base: accuracy, statistic: best}}
    """

    def __init__(self, base: Metric, statistic: Literal["best", "mean", "worst", "std"] = "mean") -> None:
        made: Any = base() if isinstance(base, type) else base  # Any: a function, or an object with update and compute
        self.base = made if hasattr(made, "update") else _Summed(made)
        self.statistic = statistic
        upwards = bool(getattr(made, "higher_is_better", True))
        self.higher_is_better = upwards if statistic != "std" else False
        self._upwards = upwards
        self._takes = Bound(self.base.update if not isinstance(self.base, _Summed) else made).names
        self.reset()

    def reset(self) -> None:
        """Forgets all examples."""
        self.members: list[Any] = []  # Any: metrics of whatever class

    def update(self, **fields: Tensor) -> None:
        """Adds a batch: fields of it, and answers with their ``member_NAME``."""
        own = {name: fields[MEMBER + name] for name in self._takes if MEMBER + name in fields}
        if not own:
            raise UserError("per-member: the model does not answer with those of members", "take the model ensemble")
        others = {name: fields[name] for name in self._takes if name in fields and name not in own}
        count = next(iter(own.values())).shape[1]
        while len(self.members) < count:
            self.members.append(copy.deepcopy(self.base))
        for k, metric in enumerate(self.members):
            metric.update(**others, **{name: value[:, k] for name, value in own.items()})

    def merge(self, other: PerMemberMetric) -> None:
        """Adds the examples that another metric has seen."""
        if not self.members:
            self.members = copy.deepcopy(other.members)
            return
        for mine, theirs in zip(self.members, other.members, strict=True):
            mine.merge(theirs)

    def compute(self) -> float:
        """Returns the number; NaN when there was no example."""
        found = torch.tensor([float(metric.compute()) for metric in self.members], dtype=torch.float64)
        if not len(found):
            return float("nan")
        match self.statistic:
            case "best" | "worst":
                return float(found.max() if (self.statistic == "best") == self._upwards else found.min())
            case "std":
                return float(found.std()) if len(found) > 1 else 0.0
        return float(found.mean())


class _Summed:
    """A metric that is a function of fields, as an object.

    Args:
        function: Returns ``(total, count)``.
    """

    def __init__(self, function: Any) -> None:
        self.function = function
        self.total, self.count = 0.0, 0.0

    def update(self, **fields: Tensor) -> None:
        total, count = self.function(**fields)
        self.total, self.count = self.total + float(total), self.count + float(count)

    def merge(self, other: _Summed) -> None:
        self.total, self.count = self.total + other.total, self.count + other.count

    def compute(self) -> float:
        return self.total / self.count if self.count else float("nan")


def _for_each(value: Any, batch: int, members: int) -> Any:
    """Returns a field of the batch once for each member, one after the other; outputs of members as they are."""
    if not isinstance(value, Tensor) or not value.ndim or len(value) != batch or members == 1:
        return value
    return value.repeat(members, *(1,) * (value.ndim - 1))

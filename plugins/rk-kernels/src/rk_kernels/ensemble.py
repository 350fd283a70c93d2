"""The model `ensemble`: independent members of any model in one, every product of all of them at once."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

import torch
from annotated_types import Ge
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from rk import Factory, UserError
from rk.binding import Bound
from rk.protocols import Model, Outputs

MEMBER = "member_"
"""What the names of the members' own answers begin with."""


class Ensemble(nn.Module):
    """Independent members of one architecture, trained side by side on the same batches.

    Each draws its own first weights. Parameters keep the names that they have in the base and get the members as their
    first dimension; one call computes all members (`torch.func.vmap`). A model that cannot be computed so, for example
    one whose control flow depends on its numbers, is called member by member.

    Train it with the loss `per-member`, whose gradient is for each member what it would be alone, and measure members
    with the metric `per-member`. Clip gradients by member, not with `fit.gradient_clip`, which has one norm for all.
    The answer is the mean over members; each member's own is beside it as ``member_NAME``, (batch, members, ...).

    Args:
        base: The architecture; one is built for each member.
        num_members: Networks.
        combine: Mean of the outputs as they are, or, for ``logits``, of the probabilities.

    Examples:
        model: {name: ensemble, base: {name: mlp, hidden_sizes: [64]}, num_members: 8}

        >>> from rk.builtin.mlp import MLP
        >>> model = Ensemble(lambda: MLP(num_features=4, num_classes=3, hidden_sizes=[8]), num_members=5)
        >>> model.predict(inputs=torch.rand(2, 4))["member_logits"].shape
        torch.Size([2, 5, 3])
    """

    def __init__(
        self,
        base: Factory[Model],
        num_members: Annotated[int, Ge(1)] = 10,
        combine: Literal["mean", "probabilities"] = "mean",
    ) -> None:
        super().__init__()
        members = [cast(nn.Module, base()) for _ in range(num_members)]
        self.num_members = num_members
        self.combine = combine
        self.base = members[0]
        _stack(self.base, members)
        self._takes = {n: Bound(getattr(self.base, n)).names for n in ("forward", "predict") if hasattr(self.base, n)}
        self._vectorised = True

    def forward(self, **fields: Tensor) -> Outputs:
        """Returns the outputs of all members, one after the other: (members * batch, ...) under the base's names."""
        return {name: value.flatten(0, 1) for name, value in self._all("forward", fields).items()}

    def predict(self, **fields: Tensor) -> Outputs:
        """Returns the mean answer under the base's names, and the members' as ``member_NAME``."""
        found = self._all("predict" if "predict" in self._takes else "forward", fields)
        answers: dict[str, Tensor] = {}
        for name, value in found.items():
            if not value.is_floating_point():
                raise UserError(
                    f"ensemble: the members answer with {name!r}, which is {value.dtype} and has no mean",
                    "take a model whose answers are real numbers",
                )
            answers[MEMBER + name] = value.transpose(0, 1)
            answers[name] = value.log_softmax(-1).exp().mean(0).log() if self._averages(name) else value.mean(0)
        return answers

    @torch.no_grad()
    def member(self, k: int) -> nn.Module:
        """Returns a copy of member `k`, from 0, as a separate model."""
        network = copy.deepcopy(self.base)
        own: dict[int, Tensor] = {id(p): _like(p, p[k].clone()) for p in network.parameters()}
        _replace(network, own | {id(b): b[k].clone() for b in network.buffers()})
        return network

    def _averages(self, name: str) -> bool:
        return name == "logits" and self.combine == "probabilities"

    def _all(self, method: str, fields: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Returns what a method of each member returns: (members, batch, ...)."""
        given = {name: fields[name] for name in self._takes[method] if name in fields}
        whole = _Method(self.base, method)
        state: tuple[dict[str, Tensor], dict[str, Tensor]] = (
            dict(whole.named_parameters()),
            dict(whole.named_buffers()),
        )

        def call(parameters: dict[str, Tensor], buffers: dict[str, Tensor]) -> dict[str, Tensor]:
            return dict(functional_call(whole, (parameters, buffers), (), given))

        if self._vectorised:
            try:
                return vmap(call, randomness="different")(*state)
            except RuntimeError:  # an operation without a rule for vmap, or a branch on a number
                self._vectorised = False
        each = [call(*({k: v[m] for k, v in tensors.items()} for tensors in state)) for m in range(self.num_members)]
        return {name: torch.stack([one[name] for one in each]) for name in each[0]}


class _Method(nn.Module):
    """Makes one method of a module its ``forward``, which is what `functional_call` calls."""

    def __init__(self, base: nn.Module, method: str) -> None:
        super().__init__()
        self.base = base
        self._method = method

    def forward(self, **fields: Tensor) -> Any:
        return self.base(**fields) if self._method == "forward" else getattr(self.base, self._method)(**fields)


def _stack(target: nn.Module, members: list[nn.Module]) -> None:
    """Puts the weights of all members into the first one, with the members as their first dimension."""
    parameters, buffers = stack_module_state(members)
    stacked: dict[int, Tensor] = {id(p): _like(p, parameters[n].detach().clone()) for n, p in target.named_parameters()}
    _replace(target, stacked | {id(b): buffers[n].detach().clone() for n, b in target.named_buffers()})


def _like(old: nn.Parameter, value: Tensor) -> nn.Parameter:
    """Returns a parameter with the marks of another one: ``no_weight_decay``, ``lr_scale``."""
    new = nn.Parameter(value, old.requires_grad)
    new.__dict__.update(old.__dict__)
    return new


def _replace(target: nn.Module, by: Mapping[int, Tensor]) -> None:
    """Replaces all tensors of a module, by their ids: those that several modules share stay shared."""
    for module in target.modules():
        for tensors in (module._parameters, module._buffers):
            for name, old in tensors.items():
                if old is not None:
                    tensors[name] = by[id(old)]  # type: ignore[assignment]  # a parameter where there was one

"""FSDP: every process holds a share of the weights, gradients and optimizer states (torch's `fully_shard`).

The learner is sharded as a whole, and each element of an `nn.ModuleList` on its own: of those, one at a time is put
together while it computes. Files hold whole tensors, so that a run does not depend on how many processes wrote it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from types import MethodType
from typing import Any, Unpack

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.utils._pytree import tree_map

from rk.capabilities import SupportsEvaluate, SupportsModes, SupportsPredict, supports
from rk.errors import UserError
from rk.fit.fabric import FabricRuntime
from rk.fit.runtime import LR_SCALE, NO_WEIGHT_DECAY, Count, Managed, Settings
from rk.protocols import Batch, Outputs, State
from rk.recipe.sections import Fit
from rk.values import Value

_ANSWER = "_answer"
"""The name under which a function is a method of the learner for one call."""


class ShardedRuntime(FabricRuntime):
    """One of several processes that share the weights. Arguments as for `FabricRuntime`."""

    same_forward_everywhere = True

    def __init__(self, fit: Fit, **settings: Unpack[Settings]) -> None:
        if fit.precision == "16-mixed":
            raise UserError("fit.strategy fsdp cannot be used with 16-mixed", "fit.precision=bf16-mixed")
        if settings.get("compiled"):
            raise UserError("fit.strategy fsdp cannot be used with fit.compile", "fit.strategy=ddp")
        super().__init__(fit, **settings)
        self._policy = MixedPrecisionPolicy()
        if not self._full_precision:
            self._policy = MixedPrecisionPolicy(torch.bfloat16, reduce_dtype=torch.float32, output_dtype=torch.float32)
        self._full_precision = True  # the shards see to it, not Fabric

    def setup(self, module: nn.Module) -> nn.Module:
        module.to(self.device)
        marked = {
            name: {mark: getattr(p, mark) for mark in (NO_WEIGHT_DECAY, LR_SCALE) if hasattr(p, mark)}
            for name, p in module.named_parameters()
        }
        mesh = init_device_mesh(self.device.type, (self.world,))
        for part in _blocks(module):
            fully_shard(part, mesh=mesh, mp_policy=self._policy)
        fully_shard(module, mesh=mesh, mp_policy=self._policy)
        for name, marks in marked.items():  # the shares are new tensors
            for mark, value in marks.items():
                setattr(module.get_parameter(name), mark, value)
        if supports(module, SupportsPredict):
            register_fsdp_forward_method(module, "predict")
        if supports(module, SupportsEvaluate):
            register_fsdp_forward_method(module, "evaluate")
        return module

    def answering(self, learner: nn.Module, function: Callable[[Batch], Outputs]) -> Callable[[Batch], Outputs]:
        """Returns `function` to be called like a method of `learner`: its weights are gathered for the call."""

        def _answer(self: nn.Module, batch: Batch) -> Outputs:
            return function(batch)

        setattr(learner, _ANSWER, MethodType(_answer, learner))
        try:
            register_fsdp_forward_method(learner, _ANSWER)
            whole: Callable[[Batch], Outputs] = getattr(learner, _ANSWER)
            return whole
        finally:
            delattr(learner, _ANSWER)

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        return contextlib.nullcontext()

    def _check_alike(self, modules: list[nn.Module]) -> None:
        pass

    def check_equal(self, learner: nn.Module) -> None:
        pass  # each process holds other weights

    def weights(self, learner: nn.Module) -> dict[str, Tensor]:
        return {name: _whole(value) for name, value in learner.state_dict().items()}

    def put_answers(self) -> Callable[[], None] | None:
        if self.answers_with or any(supports(m.optimizer, SupportsModes) for m in self._managed):
            raise UserError(
                "fit.strategy fsdp cannot be used with weights that are averaged: each process has a share of them",
                "fit.strategy=ddp",
            )
        return None

    def state_dict(self) -> State:
        state: State = tree_map(_whole, super().state_dict())
        return state

    def _restore(self, managed: Managed, state: State, updates: int) -> None:
        for i, p in enumerate(managed.params):
            values = state["state"].get(i, {})
            state["state"][i] = {name: _shared_like(value, p) for name, value in values.items()}
        super()._restore(managed, state, updates)

    # -- gradients: `fully_shard` averages them after every backward pass ------------------------------------------

    def _gradients(self, total: Tensor, params: list[Tensor], retain_graph: bool) -> list[Tensor | None]:
        raise UserError(
            "fit.strategy fsdp cannot accumulate several loss terms: they are divided by separate counts",
            "fit.accumulate=1, or fit.strategy=ddp",
        )

    def _over_all(self, counts: dict[str, Count]) -> dict[str, Count]:
        summed = super()._over_all(counts)
        return {name: float(count) for name, count in summed.items()} if self._sums else summed

    def _sum_gradients(self, params: list[Tensor]) -> None:
        for p in params:
            if p.grad is not None:
                p.grad.mul_(self.world)  # from an average to a sum


def _blocks(module: nn.Module) -> list[nn.Module]:
    lists = [part for part in module.modules() if isinstance(part, nn.ModuleList)]
    return [block for part in lists for block in part if any(True for _ in block.parameters())]


def _whole(value: Value) -> Value:
    return value.full_tensor().cpu() if isinstance(value, DTensor) else value


def _shared_like(value: Value, p: Tensor) -> Value:
    """Returns a whole tensor of the shape of `p` as this process's share of it."""
    if isinstance(p, DTensor) and isinstance(value, Tensor) and value.shape == p.shape:
        return distribute_tensor(value.to(p.device), p.device_mesh, p.placements)
    return value

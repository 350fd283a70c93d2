"""The runtime for several processes and for reduced precision, on Lightning Fabric; imported only when needed.

Gradients are exact: what all processes together minimise is each term's sum over its global count, as if one process
had seen all the micro-batches. A mean of means would weigh every process alike, however few examples it had.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from typing import Any, Unpack

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from rk.errors import RunFailed, UserError
from rk.fit.runtime import Count, Managed, Runtime, Settings, choose_device
from rk.fit.terms import split_terms, with_loss
from rk.protocols import Objective, State
from rk.recipe.sections import Fit
from rk.values import Module


class FabricRuntime(Runtime):
    """One of several processes, or one with reduced precision.

    `rk.fit.launch` has started the processes and their process group.

    Args:
        fit: Devices, nodes, strategy, precision, accelerator.
        **settings: As for `Runtime`, less the device.
    """

    def __init__(self, fit: Fit, **settings: Unpack[Settings]) -> None:
        self.fabric: Module = _fabric(fit)
        super().__init__(self.fabric.device, precision=fit.precision, **settings)
        self.rank = self.fabric.global_rank
        self.world = self.fabric.world_size
        self.is_main = self.rank == 0
        self._full_precision = fit.precision == "32-true"
        self.scaler: torch.amp.GradScaler | None = getattr(self.fabric._precision, "scaler", None)
        self._scaled = False  # whether gradients of this update had the scale of the loss
        self._shared = False
        self._set_up: list[nn.Module] = []
        self._trainer = "the trainer"
        # Agreements go between CPUs: a GPU is never waited for
        self._control = dist.new_group(backend="gloo") if self.world > 1 else None

    # -- what trainers call ----------------------------------------------------------------------------------------

    def setup(self, module: nn.Module) -> nn.Module:
        self._set_up.append(module)
        if not any(p.requires_grad for p in module.parameters()):  # a rule without gradients: nothing to wrap
            return module.to(self.device)
        self._compiled(module)
        with _quiet():
            wrapped: nn.Module = self.fabric.setup_module(module)
        inner = getattr(wrapped, "_forward_module", None)
        if isinstance(inner, nn.parallel.DistributedDataParallel) and (self._sums or _has_sparse(module)):
            self._sums = True  # DDP fails where a sparse gradient is missing: of a part that is frozen later, or unused
            inner.require_backward_grad_sync = False  # summed once a step instead, in `_sum_gradients`
        return wrapped

    def backward(self, objective: Objective) -> dict[str, Tensor]:
        if self.world == 1 or self._sums:
            return super().backward(objective)
        terms, factors = split_terms(objective)
        counts = self._over_all({name: count for name, (_, count) in terms.items()})
        # The wrapped module averages gradients over the processes: `world` takes that back
        scales = {
            name: (self.world / torch.as_tensor(counts[name]).clamp(min=1)).to(total.dtype)
            for name, (total, _) in terms.items()
        }
        weights = [scale * factors[name] if name in factors else scale for name, scale in scales.items()]
        self._differentiate([total for total, _ in terms.values()], weights)
        return with_loss({name: total.detach() * scales[name] for name, (total, _) in terms.items()}, factors)

    def update(self, *optimizers: torch.optim.Optimizer, whole: bool = False) -> None:
        self._shared = True
        super().update(*optimizers, whole=whole)

    def gather(self, value: Tensor) -> Tensor:
        self._shared = True
        if self.world > 1:
            value = value.clone()
            dist.all_reduce(value)
        return value

    # -- what the loop calls ---------------------------------------------------------------------------------------

    def agree(self, number: int) -> int:
        if self._control is None:
            return number
        largest = torch.tensor([number])
        dist.all_reduce(largest, dist.ReduceOp.MAX, group=self._control)
        return int(largest)

    def mean_of(self, numbers: dict[str, float]) -> dict[str, float]:
        found: dict[str, list[float]] = {}
        for one in self.collect(numbers):  # a callback may log in one process alone
            for name, value in one.items():
                found.setdefault(name, []).append(value)
        return {name: sum(values) / len(values) for name, values in found.items()}

    def collect(self, value: object) -> list[Any]:
        if self._control is None:
            return [value]
        found: list[Any] = [None] * self.world
        dist.all_gather_object(found, value, group=self._control)
        return found

    def barrier(self) -> None:
        if self._control is not None:
            dist.barrier(group=self._control)

    def share_buffers(self, learner: nn.Module) -> None:
        if self.world > 1:
            if not self._shared:
                self._check_alike([learner])
            for buffer in learner.buffers():
                raw = buffer.detach().contiguous().flatten().view(torch.uint8)  # gloo does not know every dtype
                dist.broadcast(raw, 0)
                if not buffer.is_contiguous():
                    buffer.copy_(raw.view(buffer.dtype).view(buffer.shape))

    def autocast(self) -> contextlib.AbstractContextManager[None]:
        context: contextlib.AbstractContextManager[None] = self.fabric.autocast()
        return context

    def check_step(self, trainer: str) -> None:
        self._trainer = trainer
        if self.world > 1 and not self._shared:  # nothing learned yet, or learned by each process for itself
            self._check_alike(self._set_up)

    def _check_alike(self, modules: list[nn.Module]) -> None:
        """Raises `UserError` when the processes hold different values: statistics of batches aside, none may."""
        mine = torch.cat([torch.zeros(1, dtype=torch.float64), *map(_fingerprint, modules)])
        lowest, largest = mine.clone(), mine.clone()
        dist.all_reduce(lowest, dist.ReduceOp.MIN, group=self._control)
        dist.all_reduce(largest, dist.ReduceOp.MAX, group=self._control)
        if not torch.equal(lowest, largest):
            raise UserError(
                f"{self._trainer} cannot learn on several devices: it changes what is learned by neither "
                "runtime.update nor runtime.gather, so that each process learns from its own batches alone",
                "fit.devices=1",
            )

    def check_equal(self, learner: nn.Module) -> None:
        if self._control is None:
            return
        sums = [p.detach().double().sum().cpu() for p in learner.parameters()]
        lowest = torch.stack(sums) if sums else torch.zeros(1)
        largest = lowest.clone()
        dist.all_reduce(lowest, dist.ReduceOp.MIN, group=self._control)
        dist.all_reduce(largest, dist.ReduceOp.MAX, group=self._control)
        if not torch.equal(lowest, largest):
            raise RunFailed(
                "the processes have come to hold different weights",
                "something changes them without the runtime, or with random numbers of its own process",
            )

    # -- gradients: Fabric insists on its own call where the precision is reduced ----------------------------------

    def _differentiate(self, totals: list[Tensor], weights: list[Tensor]) -> None:
        if self._full_precision:
            super()._differentiate(totals, weights)
        else:
            self.fabric.backward(torch.stack([t * w for t, w in zip(totals, weights, strict=True)]).sum())

    def _gradients(self, total: Tensor, params: list[Tensor], retain_graph: bool) -> list[Tensor | None]:
        if self._full_precision:
            return list(super()._gradients(total, params, retain_graph))
        kept = [p.grad for p in params]
        for p in params:
            p.grad = None
        self.fabric.backward(total, retain_graph=retain_graph)
        found = [p.grad for p in params]
        for p, gradient in zip(params, kept, strict=True):
            p.grad = gradient
        return found

    def _unscale(self, managed: list[Managed]) -> None:
        for each in managed:
            if self.scaler is not None and _has_gradient(each.optimizer):
                self.scaler.unscale_(each.optimizer)
                self._scaled = True

    def _step(self, optimizer: torch.optim.Optimizer) -> None:
        if self.scaler is not None and _has_gradient(optimizer):
            self.scaler.step(optimizer)  # leaves the step out where a gradient is infinite
        else:
            super()._step(optimizer)

    def _updated(self) -> None:
        if self.scaler is not None and self._scaled:
            self.scaler.update()
            self._scaled = False

    def state_dict(self) -> State:
        state = super().state_dict()
        return state if self.scaler is None else {**state, "scaler": self.scaler.state_dict()}

    def load_state_dict(self, state: State) -> None:
        super().load_state_dict(state)
        if self.scaler is not None and "scaler" in state:
            self.scaler.load_state_dict(state["scaler"])

    # -- accumulation ----------------------------------------------------------------------------------------------

    def _over_all(self, counts: dict[str, Count]) -> dict[str, Count]:
        if self.world == 1 or not counts:
            return counts
        mine = [torch.as_tensor(count, dtype=torch.float64, device=self.device) for count in counts.values()]
        return dict(zip(counts, self.gather(torch.stack(mine)).to(torch.float32), strict=True))

    def _sum_gradients(self, params: list[Tensor]) -> None:
        if self.world > 1:
            for p, gradient in zip(params, self._sum_over_all([p.grad for p in params], params), strict=True):
                p.grad = gradient

    def _sum_over_all(self, gradients: list[Tensor | None], params: list[Tensor]) -> list[Tensor | None]:
        if self.world == 1:
            return gradients
        known = torch.tensor([_layout(g) for g in gradients], dtype=torch.int32)
        dist.all_reduce(known, dist.ReduceOp.MAX, group=self._control)
        result: list[Tensor | None] = [None] * len(params)
        kinds = dict.fromkeys(p.dtype for p, n in zip(params, known.tolist(), strict=True) if n)
        for dtype in kinds:  # one message for each
            chosen = [i for i, p in enumerate(params) if known[i] and p.dtype == dtype]
            parts = [torch.zeros_like(params[i]) if (g := gradients[i]) is None else g.to_dense() for i in chosen]
            flat = torch.cat([part.flatten() for part in parts])
            dist.all_reduce(flat)
            for i, piece in zip(chosen, torch.split(flat, [part.numel() for part in parts]), strict=True):
                whole = piece.view_as(params[i])
                result[i] = whole.to_sparse(1) if known[i] == _SPARSE else whole
        return result


def _has_gradient(optimizer: torch.optim.Optimizer) -> bool:
    return any(p.grad is not None for group in optimizer.param_groups for p in group["params"])


def _has_sparse(module: nn.Module) -> bool:
    """Whether a part of the module looks up rows and has a gradient of those alone."""
    return any(getattr(part, "sparse", False) is True for part in module.modules())


_SPARSE = 2


def _layout(gradient: Tensor | None) -> int:
    """Returns 0 for no gradient, 1 for a dense one and `_SPARSE` for one of the rows that were looked up."""
    return 0 if gradient is None else 1 if gradient.layout == torch.strided else _SPARSE


def _fingerprint(module: nn.Module) -> Tensor:
    """Returns a number for each parameter and buffer; the running statistics of normalisation are left out."""
    parts = [(part, part.parameters(recurse=False), part.buffers(recurse=False)) for part in module.modules()]
    own = [t for part, ps, bs in parts for t in (*ps, *(() if isinstance(part, _BatchNorm) else bs))]
    sums = [t.detach().double().sum().nan_to_num().cpu() for t in own]
    return torch.stack(sums) if sums else torch.zeros(0, dtype=torch.float64)


def _fabric(fit: Fit) -> Module:
    try:
        from lightning.fabric import Fabric
        from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
        from lightning.fabric.strategies.ddp import DDPStrategy
    except ImportError:
        raise UserError(
            "several devices and reduced precision need lightning", 'pip install "recursion-kit[lightning]"'
        ) from None
    several = dist.is_initialized()
    device = choose_device(fit.accelerator)
    if fit.precision == "16-mixed" and device.type == "cpu":
        raise UserError("fit.precision 16-mixed needs a GPU, and this run is on the CPU", "fit.precision=bf16-mixed")
    with _quiet():
        fabric = Fabric(
            accelerator=device.type,
            devices=fit.devices if several else 1,
            num_nodes=fit.nodes if several else 1,
            strategy=DDPStrategy(find_unused_parameters=True) if several else "auto",
            precision=fit.precision,
            plugins=[TorchElasticEnvironment()] if several else None,
        )
        fabric.launch()
    return fabric


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps Lightning's and torch's remarks (how many processes there are, unused parameters) from the user."""
    names = ("lightning.fabric", "lightning.pytorch", "torch.distributed", "torch.nn.parallel.distributed")
    levels = [(logging.getLogger(name), logging.getLogger(name).level) for name in names]
    for logger, _ in levels:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in levels:
            logger.setLevel(level)

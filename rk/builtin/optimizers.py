"""The optimizers of torch.optim as factories with a schedule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import torch
from annotated_types import Ge, Gt, Lt

from rk.protocols import Schedule

if TYPE_CHECKING:
    from torch.optim.optimizer import ParamsT


def _counted(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """Returns an optimizer whose updates change the versions of the weights, as those of torch's loops do.

    Fused updates do not. A model that keeps what its weights lead to would not see them, and a gradient through a graph
    from before the update would be wrong where it should be refused.
    """
    optimizer.register_step_post_hook(_count)
    return optimizer


def _count(optimizer: torch.optim.Optimizer, args: object, kwargs: object) -> None:
    moved = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    torch.autograd.graph.increment_version(moved)


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent.

    Args:
        lr: Learning rate.
        momentum: Share of the last update that is kept.
        nesterov: Looks ahead along the momentum.
        weight_decay: L2 penalty.
        schedule: How the learning rate goes.

    Examples:
        trainer: {name: backprop, optimizer: {name: sgd, lr: 0.1, momentum: 0.9}}
    """

    lr: Annotated[float, Gt(0)]
    momentum: Annotated[float, Ge(0), Lt(1)] = 0.0
    nesterov: bool = False
    weight_decay: Annotated[float, Ge(0)] = 0.0
    schedule: Schedule | None = None

    def __call__(self, params: ParamsT) -> torch.optim.Optimizer:
        return torch.optim.SGD(
            params, lr=self.lr, momentum=self.momentum, nesterov=self.nesterov, weight_decay=self.weight_decay
        )


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma and Ba, arXiv:1412.6980), in torch's fused form.

    Args:
        lr: Learning rate.
        betas: Decay of the averages of the gradient and of its square.
        eps: Added to the denominator.
        weight_decay: L2 penalty, added to the gradient.
        amsgrad: Keeps the largest average of the square (Reddi et al., arXiv:1904.09237).
        schedule: How the learning rate goes.

    Examples:
        trainer: {name: backprop, optimizer: {name: adam, lr: 3e-3, schedule: cosine}}
    """

    lr: Annotated[float, Gt(0)] = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: Annotated[float, Gt(0)] = 1e-8
    weight_decay: Annotated[float, Ge(0)] = 0.0
    amsgrad: bool = False
    schedule: Schedule | None = None

    def __call__(self, params: ParamsT) -> torch.optim.Optimizer:
        return _counted(
            torch.optim.Adam(params, self.lr, self.betas, self.eps, self.weight_decay, amsgrad=self.amsgrad, fused=True)
        )


@dataclass(frozen=True)
class AdamW:
    """Adam with decoupled weight decay (Loshchilov and Hutter, arXiv:1711.05101), in torch's fused form.

    Args:
        lr: Learning rate.
        betas: Decay of the averages of the gradient and of its square.
        eps: Added to the denominator.
        weight_decay: Share of each weight that an update takes away, times the learning rate.
        schedule: How the learning rate goes.

    Examples:
        trainer: {name: backprop, optimizer: {name: adamw, lr: 3e-3, weight_decay: 0.01}}
    """

    lr: Annotated[float, Gt(0)] = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: Annotated[float, Gt(0)] = 1e-8
    weight_decay: Annotated[float, Ge(0)] = 0.01
    schedule: Schedule | None = None

    def __call__(self, params: ParamsT) -> torch.optim.Optimizer:
        return _counted(torch.optim.AdamW(params, self.lr, self.betas, self.eps, self.weight_decay, fused=True))


@dataclass(frozen=True)
class RMSprop:
    """RMSprop (Hinton's lecture 6e).

    Args:
        lr: Learning rate.
        alpha: Decay of the average of the squared gradient.
        eps: Added to the denominator.
        momentum: Share of the last update that is kept.
        weight_decay: L2 penalty.
        schedule: How the learning rate goes.

    Examples:
        trainer: {name: backprop, optimizer: {name: rmsprop, lr: 1e-3, momentum: 0.9}}
    """

    lr: Annotated[float, Gt(0)] = 1e-2
    alpha: Annotated[float, Ge(0), Lt(1)] = 0.99
    eps: Annotated[float, Gt(0)] = 1e-8
    momentum: Annotated[float, Ge(0), Lt(1)] = 0.0
    weight_decay: Annotated[float, Ge(0)] = 0.0
    schedule: Schedule | None = None

    def __call__(self, params: ParamsT) -> torch.optim.Optimizer:
        return torch.optim.RMSprop(params, self.lr, self.alpha, self.eps, self.weight_decay, self.momentum)


@dataclass(frozen=True)
class SparseAdam:
    """Adam for sparse gradients, as of ``nn.Embedding(sparse=True)``: only the rows that were looked up are updated.

    Args:
        lr: Learning rate.
        betas: Decay of the averages of the gradient and of its square.
        eps: Added to the denominator.
        schedule: How the learning rate goes.

    Examples:
        trainer:
          name: backprop
          optimizer: {"embedding.*": sparse-adam, "*": {name: adam, lr: 3e-3}}
    """

    lr: Annotated[float, Gt(0)] = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: Annotated[float, Gt(0)] = 1e-8
    schedule: Schedule | None = None

    def __call__(self, params: ParamsT) -> torch.optim.Optimizer:
        return torch.optim.SparseAdam(params, self.lr, self.betas, self.eps)


@dataclass(frozen=True)
class Adagrad:
    """Adagrad (Duchi, Hazan and Singer, 2011); takes sparse gradients where nothing decays.

    Args:
        lr: Learning rate.
        lr_decay: The rate at update t is ``lr / (1 + t * lr_decay)``.
        initial: What the sum of the squared gradients begins with.
        eps: Added to the denominator.
        weight_decay: L2 penalty.
        schedule: How the learning rate goes.

    Examples:
        trainer: {name: backprop, optimizer: {name: adagrad, lr: 0.01}}
    """

    lr: Annotated[float, Gt(0)] = 1e-2
    lr_decay: Annotated[float, Ge(0)] = 0.0
    initial: Annotated[float, Ge(0)] = 0.0
    eps: Annotated[float, Gt(0)] = 1e-10
    weight_decay: Annotated[float, Ge(0)] = 0.0
    schedule: Schedule | None = None

    def __call__(self, params: ParamsT) -> torch.optim.Optimizer:
        return torch.optim.Adagrad(params, self.lr, self.lr_decay, self.weight_decay, self.initial, self.eps)

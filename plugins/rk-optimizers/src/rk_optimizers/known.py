"""Well-known optimizers of pytorch-optimizer, with the parameters that their papers name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import torch
from annotated_types import Ge, Gt, Lt

from rk.protocols import Schedule
from rk_optimizers.making import make

if TYPE_CHECKING:
    from torch.optim.optimizer import ParamsT


@dataclass(frozen=True)
class AdaBelief:
    """AdaBelief: Adam by the variance of the gradient about its average (Zhuang et al., arXiv:2010.07468).

    Args:
        lr: Learning rate.
        betas: Decay of the averages of the gradient and of its squared distance from that average.
        eps: Added to the denominator.
        weight_decay: Share of each weight that an update takes away, times the learning rate.
        rectify: Rectifies the variance of the first steps, as RAdam.
        schedule: How the learning rate goes.

    Examples:
        trainer: {name: backprop, optimizer: {name: adabelief, lr: 1e-3}}
    """

    lr: Annotated[float, Gt(0)] = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: Annotated[float, Gt(0)] = 1e-16
    weight_decay: Annotated[float, Ge(0)] = 0.0
    rectify: bool = False
    schedule: Schedule | None = None

    def __call__(self, params: ParamsT) -> torch.optim.Optimizer:
        return make(
            "adabelief",
            params,
            lr=self.lr,
            betas=self.betas,
            eps=self.eps,
            weight_decay=self.weight_decay,
            rectify=self.rectify,
        )


@dataclass(frozen=True)
class Adafactor:
    """Adafactor: Adam whose second moment is kept as a row and a column (Shazeer and Stern, arXiv:1804.04235).

    Args:
        lr: Learning rate; times the size of each weight with `scale_parameter`.
        beta1: Decay of the average of the gradient; null keeps none, which saves its memory.
        decay_rate: Exponent of the decay of the second moment (Sec. 7.2).
        clip_threshold: Largest root mean square of an update (Sec. 6).
        scale_parameter: Multiplies the rate by the root mean square of each weight (Sec. 8).
        weight_decay: Share of each weight that an update takes away, times the learning rate.
        schedule: How the learning rate goes.

    Examples:
        trainer: {name: backprop, optimizer: {name: adafactor, lr: 1e-2}}
    """

    lr: Annotated[float, Gt(0)] = 1e-3
    beta1: Annotated[float, Gt(0), Lt(1)] | None = None
    decay_rate: Annotated[float, Lt(0)] = -0.8
    clip_threshold: Annotated[float, Gt(0)] = 1.0
    scale_parameter: bool = True
    weight_decay: Annotated[float, Ge(0)] = 0.0
    schedule: Schedule | None = None

    def __call__(self, params: ParamsT) -> torch.optim.Optimizer:
        return make(
            "adafactor",
            params,
            lr=self.lr,
            betas=(self.beta1, 0.999),
            decay_rate=self.decay_rate,
            clip_threshold=self.clip_threshold,
            scale_parameter=self.scale_parameter,
            weight_decay=self.weight_decay,
            relative_step=False,  # the rate is the recipe's,
        )


@dataclass(frozen=True)
class Adan:
    """Adan: Nesterov's momentum in Adam, with the difference of gradients (Xie et al., arXiv:2208.06677).

    Args:
        lr: Learning rate.
        betas: Decay of the averages of the gradient, of its difference and of the square.
        eps: Added to the denominator.
        weight_decay: Share of each weight that an update takes away, times the learning rate.
        schedule: How the learning rate goes.

    Examples:
        trainer: {name: backprop, optimizer: {name: adan, lr: 1e-2}}
    """

    lr: Annotated[float, Gt(0)] = 1e-3
    betas: tuple[float, float, float] = (0.98, 0.92, 0.99)
    eps: Annotated[float, Gt(0)] = 1e-8
    weight_decay: Annotated[float, Ge(0)] = 0.0
    schedule: Schedule | None = None

    def __call__(self, params: ParamsT) -> torch.optim.Optimizer:
        return make(
            "adan",
            params,
            lr=self.lr,
            betas=self.betas,
            eps=self.eps,
            weight_decay=self.weight_decay,
            weight_decouple=True,
        )


@dataclass(frozen=True)
class AdEMAMix:
    """AdEMAMix: Adam with a second, slow average of the gradient (Pagliardini et al., arXiv:2409.03137).

    Args:
        lr: Learning rate.
        betas: Decay of the fast average, of the square, and of the slow average.
        alpha: Weight of the slow average.
        eps: Added to the denominator.
        weight_decay: Share of each weight that an update takes away, times the learning rate.
        schedule: How the learning rate goes.

    Examples:
        trainer: {name: backprop, optimizer: {name: ademamix, lr: 1e-3}}
    """

    lr: Annotated[float, Gt(0)] = 1e-3
    betas: tuple[float, float, float] = (0.9, 0.999, 0.9999)
    alpha: Annotated[float, Ge(0)] = 5.0
    eps: Annotated[float, Gt(0)] = 1e-8
    weight_decay: Annotated[float, Ge(0)] = 0.0
    schedule: Schedule | None = None

    def __call__(self, params: ParamsT) -> torch.optim.Optimizer:
        return make(
            "ademamix",
            params,
            lr=self.lr,
            betas=self.betas,
            alpha=self.alpha,
            eps=self.eps,
            weight_decay=self.weight_decay,
            weight_decouple=True,
        )


@dataclass(frozen=True)
class LAMB:
    """LAMB: Adam with updates of the size of each layer's weights, for large batches (You et al., arXiv:1904.00962).

    Args:
        lr: Learning rate.
        betas: Decay of the averages of the gradient and of its square.
        eps: Added to the denominator.
        weight_decay: Share of each weight that an update takes away, times the learning rate.
        schedule: How the learning rate goes.

    Examples:
        trainer: {name: backprop, optimizer: {name: lamb, lr: 1e-2}}
    """

    lr: Annotated[float, Gt(0)] = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: Annotated[float, Gt(0)] = 1e-6
    weight_decay: Annotated[float, Ge(0)] = 0.0
    schedule: Schedule | None = None

    def __call__(self, params: ParamsT) -> torch.optim.Optimizer:
        return make(
            "lamb",
            params,
            lr=self.lr,
            betas=self.betas,
            eps=self.eps,
            weight_decay=self.weight_decay,
        )


@dataclass(frozen=True)
class LARS:
    """LARS: SGD with updates of the size of each layer's weights, for large batches (You et al., arXiv:1708.03888).

    Args:
        lr: Learning rate.
        momentum: Share of the last update that is kept.
        trust_coefficient: The size of an update as a share of the weights' (eta).
        nesterov: Looks ahead along the momentum.
        weight_decay: L2 penalty.
        schedule: How the learning rate goes.

    Examples:
        trainer: {name: backprop, optimizer: {name: lars, lr: 1.0}}
    """

    lr: Annotated[float, Gt(0)] = 0.1
    momentum: Annotated[float, Ge(0), Lt(1)] = 0.9
    trust_coefficient: Annotated[float, Gt(0)] = 1e-3
    nesterov: bool = False
    weight_decay: Annotated[float, Ge(0)] = 0.0
    schedule: Schedule | None = None

    def __call__(self, params: ParamsT) -> torch.optim.Optimizer:
        return make(
            "lars",
            params,
            lr=self.lr,
            momentum=self.momentum,
            trust_coefficient=self.trust_coefficient,
            nesterov=self.nesterov,
            weight_decay=self.weight_decay,
        )


@dataclass(frozen=True)
class Lion:
    """Lion: the sign of a momentum (Chen et al., arXiv:2302.06675). It keeps one average, half of what Adam keeps.

    Args:
        lr: Learning rate; a third to a tenth of AdamW's.
        betas: Decay of the average in the update, and of the one that is kept.
        weight_decay: Share of each weight that an update takes away, times the learning rate.
        schedule: How the learning rate goes.

    Examples:
        trainer: {name: backprop, optimizer: {name: lion, lr: 3e-4, weight_decay: 0.1}}
    """

    lr: Annotated[float, Gt(0)] = 1e-4
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: Annotated[float, Ge(0)] = 0.0
    schedule: Schedule | None = None

    def __call__(self, params: ParamsT) -> torch.optim.Optimizer:
        return make(
            "lion",
            params,
            lr=self.lr,
            betas=self.betas,
            weight_decay=self.weight_decay,
        )


@dataclass(frozen=True)
class Muon:
    """Muon: the momentum of each matrix, made orthogonal by Newton-Schulz steps (Jordan et al., 2024).

    Weights of fewer than two axes, such as biases and gains, are updated by AdamW. Embeddings and the last layer should
    be, too: they get another optimizer by patterns of names. `adjust` scales the update of each matrix to the size of
    AdamW's (Liu et al., arXiv:2502.16982).

    Args:
        lr: Learning rate of matrices.
        momentum: Decay of the average of the gradient.
        nesterov: Looks ahead along the momentum.
        ns_steps: Newton-Schulz steps.
        adjust: Scales updates to the size of AdamW's; then rates of AdamW fit.
        weight_decay: Share of each weight that an update takes away, times the learning rate.
        adamw_lr: Learning rate of all other weights.
        schedule: How the learning rate goes.

    Examples:
        trainer: {name: backprop, optimizer: {"head.*": adamw, "*": {name: muon, lr: 0.02}}}
    """

    lr: Annotated[float, Gt(0)] = 0.02
    momentum: Annotated[float, Ge(0), Lt(1)] = 0.95
    nesterov: bool = True
    ns_steps: Annotated[int, Ge(1)] = 5
    adjust: bool = False
    weight_decay: Annotated[float, Ge(0)] = 0.0
    adamw_lr: Annotated[float, Gt(0)] = 3e-4
    schedule: Schedule | None = None

    def __call__(self, params: ParamsT) -> torch.optim.Optimizer:
        return make(
            "muon",
            params,
            lr=self.lr,
            momentum=self.momentum,
            nesterov=self.nesterov,
            ns_steps=self.ns_steps,
            use_adjusted_lr=self.adjust,
            weight_decay=self.weight_decay,
            adamw_lr=self.adamw_lr,
        )


@dataclass(frozen=True)
class Prodigy:
    """Prodigy: Adam that finds its own learning rate (Mishchenko and Defazio, arXiv:2306.06101).

    Args:
        lr: Multiplies the rate that is found; 1 as in the paper, with or without a schedule.
        betas: Decay of the averages of the gradient and of its square.
        d0: The first guess of the distance to the solution.
        d_coef: Multiplies that distance: 0.5 or 2 for slower or faster learning.
        eps: Added to the denominator.
        weight_decay: Share of each weight that an update takes away, times the learning rate.
        safeguard_warmup: Takes the rate out of the estimate; for a schedule with a warm-up.
        schedule: How the learning rate goes.

    Examples:
        trainer: {name: backprop, optimizer: {name: prodigy, schedule: cosine}}
    """

    lr: Annotated[float, Gt(0)] = 1.0
    betas: tuple[float, float] = (0.9, 0.999)
    d0: Annotated[float, Gt(0)] = 1e-6
    d_coef: Annotated[float, Gt(0)] = 1.0
    eps: Annotated[float, Gt(0)] = 1e-8
    weight_decay: Annotated[float, Ge(0)] = 0.0
    safeguard_warmup: bool = False
    schedule: Schedule | None = None

    def __call__(self, params: ParamsT) -> torch.optim.Optimizer:
        return make(
            "prodigy",
            params,
            lr=self.lr,
            betas=self.betas,
            d0=self.d0,
            d_coef=self.d_coef,
            eps=self.eps,
            weight_decay=self.weight_decay,
            safeguard_warmup=self.safeguard_warmup,
        )


@dataclass(frozen=True)
class Shampoo:
    """Shampoo: a preconditioner for each axis of each weight (Gupta et al., arXiv:1802.09568).

    Args:
        lr: Learning rate.
        momentum: Share of the last update that is kept.
        every: Updates from one root of the preconditioners to the next.
        matrix_eps: Added to the diagonal of each preconditioner.
        weight_decay: L2 penalty.
        schedule: How the learning rate goes.

    Examples:
        trainer: {name: backprop, optimizer: {name: shampoo, lr: 0.1, every: 10}}
    """

    lr: Annotated[float, Gt(0)] = 1e-3
    momentum: Annotated[float, Ge(0), Lt(1)] = 0.0
    every: Annotated[int, Ge(1)] = 1
    matrix_eps: Annotated[float, Gt(0)] = 1e-6
    weight_decay: Annotated[float, Ge(0)] = 0.0
    schedule: Schedule | None = None

    def __call__(self, params: ParamsT) -> torch.optim.Optimizer:
        return make(
            "shampoo",
            params,
            lr=self.lr,
            momentum=self.momentum,
            preconditioning_compute_steps=self.every,
            matrix_eps=self.matrix_eps,
            weight_decay=self.weight_decay,
        )


@dataclass(frozen=True)
class SOAP:
    """SOAP: Adam in the eigenbasis of Shampoo's preconditioners (Vyas et al., arXiv:2409.11321).

    Args:
        lr: Learning rate.
        betas: Decay of the averages of the gradient and of its square.
        every: Updates from one eigenbasis to the next.
        max_dim: Axes longer than this have no preconditioner.
        eps: Added to the denominator.
        weight_decay: Share of each weight that an update takes away, times the learning rate.
        schedule: How the learning rate goes.

    Examples:
        trainer: {name: backprop, optimizer: {name: soap, lr: 3e-3}}
    """

    lr: Annotated[float, Gt(0)] = 3e-3
    betas: tuple[float, float] = (0.95, 0.95)
    every: Annotated[int, Ge(1)] = 10
    max_dim: Annotated[int, Ge(1)] = 10000
    eps: Annotated[float, Gt(0)] = 1e-8
    weight_decay: Annotated[float, Ge(0)] = 0.01
    schedule: Schedule | None = None

    def __call__(self, params: ParamsT) -> torch.optim.Optimizer:
        return make(
            "soap",
            params,
            lr=self.lr,
            betas=self.betas,
            precondition_frequency=self.every,
            max_precondition_dim=self.max_dim,
            eps=self.eps,
            weight_decay=self.weight_decay,
        )

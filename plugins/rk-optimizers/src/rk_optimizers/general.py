"""Any optimizer of pytorch-optimizer by its name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import torch
from annotated_types import Gt

from rk.protocols import Schedule
from rk_optimizers.making import checked_options, make, optimizer_class

if TYPE_CHECKING:
    from torch.optim.optimizer import ParamsT


@dataclass(frozen=True)
class General:
    """An optimizer of the package pytorch-optimizer, by its name there.

    Args:
        algorithm: Its name, in lower case: ``adabound``, ``came``, ``stableadamw``.
        lr: Learning rate; null takes the algorithm's own default.
        options: What its class takes besides, as the documentation of pytorch-optimizer lists it.
        schedule: How the learning rate goes.

    Raises:
        ValueError: When there is no such algorithm or option, or the algorithm cannot be used.

    Examples:
        trainer:
          name: backprop
          optimizer: {name: pytorch-optimizer, algorithm: came, lr: 1e-3, options: {weight_decay: 0.01}}
    """

    algorithm: str
    lr: Annotated[float, Gt(0)] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    schedule: Schedule | None = None

    def __post_init__(self) -> None:
        checked_options(optimizer_class(self.algorithm), self.options)

    def __call__(self, params: ParamsT) -> torch.optim.Optimizer:
        rate = {} if self.lr is None else {"lr": self.lr}
        options = checked_options(optimizer_class(self.algorithm), self.options)
        return make(self.algorithm, params, **rate, **options)

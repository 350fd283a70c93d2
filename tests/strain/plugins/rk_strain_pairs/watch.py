from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from rk import FitContext


class Watch:
    """Keeps half of a map at its first values by a mask on gradients, and records what each step saw."""

    lower_is_better = ("last-loss",)

    def __init__(self) -> None:
        self.seen: list[float] = []

    def before_clip(self, named: Mapping[str, Tensor]) -> None:
        weight = named["model.map.weight"]
        weight.grad[len(weight) // 2 :] = 0

    def after_step(self, fit: FitContext) -> None:
        assert fit.rates.keys() == {"lr/words.*", "lr/*"} and fit.optimizers.keys() == {"words.*", "*"}
        assert set(fit.scalars) == {"loss", "list", "size"}
        self.seen.append(float(fit.scalars["loss"]) + 0 * len(fit.batch["query"]))

    def results(self) -> dict[str, float]:
        return {"steps-seen": len(self.seen), "last-loss": self.seen[-1]}

    def state_dict(self) -> dict[str, Tensor]:
        return {"seen": torch.tensor(self.seen, dtype=torch.float64)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.seen = state["seen"].tolist()

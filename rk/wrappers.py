"""Components around another one of their kind: they take the fields that it takes and give what it gives.

A wrapper is a component with one parameter of its own kind, kept as ``self.base``. A method that ends in ``**fields``
takes whatever the base takes; rk reads the base's signature and outputs in its place, and finds facts and capabilities
(``blocks``, ``scan``, ...) of the base through it.

Example:
    ```python
    class Scaled(LossWrapper):
        \"\"\"A loss times a factor.

        Args:
            base: The loss.
            factor: What it is multiplied by.
        \"\"\"

        def __init__(self, base: Loss, factor: float = 1.0) -> None:
            super().__init__(base)
            self.factor = factor

        def forward(self, **fields: Tensor) -> Objective:
            total, count = super().forward(**fields)
            return self.factor * total, count
    ```

    In a recipe: ``loss: {name: scaled, base: cross-entropy, factor: 0.5}``.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from rk.binding import Bound
from rk.capabilities import SupportsPredictFields, supports
from rk.protocols import Batch, Data, Loss, Model, Objective, Outputs

__all__ = ["DataWrapper", "LossWrapper", "MetricWrapper", "ModelWrapper"]


class _ModuleWrapper(nn.Module):
    """An ``nn.Module`` around ``base``, whose attributes it has too."""

    def __init__(self, base: Any) -> None:
        super().__init__()
        self.base = base
        self._calls: dict[str, Bound] = {}

    def _hand_on(self, name: str, fields: dict[str, Any]) -> Any:
        """Calls the method `name` of the base with those of `fields` that it takes."""
        if name not in self._calls:
            call = self.base if name == "forward" else getattr(self.base, name)
            signature = getattr(self.base, name, None) or self.base.__call__
            self._calls[name] = Bound(signature, call)
        return self._calls[name](fields)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name.startswith("_") or name == "base":
                raise
            return getattr(super().__getattr__("base") if "base" in self._modules else self.__dict__["base"], name)


class ModelWrapper(_ModuleWrapper):
    """A model around another one.

    Args:
        base: The model inside. Its capabilities are the wrapper's.
    """

    def __init__(self, base: Model) -> None:
        super().__init__(base)

    def forward(self, **fields: Tensor) -> Outputs:
        """Returns what the base returns for those of `fields` that it takes."""
        outputs: Outputs = self._hand_on("forward", fields)
        return outputs

    def predict(self, **fields: Tensor) -> Outputs:
        """Returns what the base predicts; what `forward` of the wrapper gives, where the base has no ``predict``."""
        outputs: Outputs = (
            self._hand_on("predict", fields) if supports(self.base, SupportsPredictFields) else self(**fields)
        )
        return outputs


class LossWrapper(_ModuleWrapper):
    """A loss around another one, with its weights if it has some.

    Args:
        base: The loss inside.
    """

    def __init__(self, base: Loss) -> None:
        super().__init__(base)

    def forward(self, **fields: Tensor) -> Objective:
        """Returns what the base returns for those of `fields` that it takes."""
        objective: Objective = self._hand_on("forward", fields)
        return objective


class DataWrapper:
    """Data around other data: whatever is not changed is that of the base, facts, metrics and splits included.

    Args:
        base: The data inside.
    """

    def __init__(self, base: Data) -> None:
        self.base = base

    def batches(self, split: str) -> int | None:
        """Returns the number of batches of one pass over `split`, or None when it has no end."""
        return self.base.batches(split)

    def batch(self, split: str, i: int, stage: int = 0) -> Batch:
        """Returns batch `i` of the base."""
        return self.base.batch(split, i, stage)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "base":
            raise AttributeError(name)
        return getattr(self.base, name)


class MetricWrapper:
    """A metric around another one that is a function of fields: ``(total, count)``.

    Args:
        base: The metric inside.
    """

    def __init__(self, base: Any) -> None:
        self.base = base
        self.higher_is_better = bool(getattr(base, "higher_is_better", True))
        self._call = Bound(base if not isinstance(base, type) else base())

    def __call__(self, **fields: Tensor) -> Any:
        """Returns what the base returns for those of `fields` that it takes."""
        return self._call(fields)

"""Data `scheduled`: any data whose parameters change from stage to stage of a curriculum."""

from __future__ import annotations

from collections.abc import Mapping

from rk.protocols import Batch, Data, Factory
from rk.wrappers import DataWrapper
from rk_sequence.pace import Evenly, at_stage, evenly

Setting = int | float | str | bool | None
"""A value of a parameter."""


class Scheduled(DataWrapper):
    """Any data, with parameters that change from stage to stage of the trainer `curriculum`.

    ``train`` is that of the data with the values of the stage; validation and tests are those of the data as it is
    written. Facts, such as the number of classes, must not change.

    Args:
        base: The data.
        vary: Parameter of the data -> its values, one per stage, the last for all further ones; or ``{first: 4, last:
            24, over: 100}``, whole numbers that move evenly over so many stages. A list of one value holds in training
            alone.

    Raises:
        ValueError: When the data has no such parameter, or does not take a value.

    Examples:
        data: {name: scheduled, base: {name: group-words, group: A5, length: 12}, vary: {skew: [3.0, 1.5, 0.0]}}
    """

    stages: int
    """Stages that differ."""

    def __init__(self, base: Factory[Data], vary: dict[str, list[Setting] | Evenly]) -> None:
        super().__init__(base())
        self._build = base
        self._vary = vary
        if empty := [name for name, values in vary.items() if not values]:
            raise ValueError(f"vary.{empty[0]} must have a value for a stage, got none")
        self.stages = max((v.over + 1 if isinstance(v, Evenly) else len(v) for v in vary.values()), default=1)
        self._built: dict[tuple[Setting, ...], Data] = {}
        for stage in range(self.stages):
            self._at(stage)

    def values(self, stage: int) -> Mapping[str, Setting]:
        """Returns the value of each parameter that varies, at a stage."""
        return {
            name: evenly(stage, v.first, v.last, v.over) if isinstance(v, Evenly) else at_stage(stage, v)
            for name, v in self._vary.items()
        }

    def prepare(self) -> None:
        """Prepares the data, with the values of each stage too."""
        for data in (self.base, *self._built.values()):
            if hasattr(data, "prepare"):
                data.prepare()

    def batch(self, split: str, i: int, stage: int = 0) -> Batch:
        """Returns batch `i` of the data of a stage; of the data as it is written, outside of training."""
        data = self._at(stage) if split == "train" else self.base
        return data.batch(split, i, stage)

    def _at(self, stage: int) -> Data:
        values = self.values(stage)
        key = tuple(values.values())
        if key not in self._built:
            try:
                self._built[key] = self._build(**values)
            except ValueError as error:
                raise ValueError(f"vary, stage {stage}: {error}") from None
            except TypeError as error:
                names = ", ".join(values)
                raise ValueError(
                    f"vary must name parameters of the data with their values, got {names}: {error}"
                ) from None
        return self._built[key]

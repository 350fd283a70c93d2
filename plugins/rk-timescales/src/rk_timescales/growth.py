"""Which N are asked at each stage of a curriculum: one at a time, all so far, the newest few, or all at once."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

from annotated_types import Ge

Schedule = Literal["cumulative", "single", "sliding", "fixed"]


class Growth(NamedTuple):
    """How the N of a task grow from stage to stage (arXiv:2309.12927).

    Attributes:
        schedule: `single` asks one N, `cumulative` all from the first, `sliding` the newest `window` of them, `fixed`
            all from the first stage on.
        first: The smallest N.
        largest: The largest N; the last stage asks it.
        add: How many N a stage adds; for `sliding`, how many it forgets too.
        window: How many N `sliding` asks.
    """

    schedule: Schedule
    first: Annotated[int, Ge(2)]
    largest: Annotated[int, Ge(2)]
    add: Annotated[int, Ge(1)]
    window: Annotated[int, Ge(1)]

    @property
    def stages(self) -> int:
        """How many stages there are: in the last one, `largest` is asked."""
        return 1 - (self.newest(0) - self.largest) // self.add if self.newest(0) < self.largest else 1

    def newest(self, stage: int) -> int:
        """Returns the largest N of a stage; stages after the last one are as the last."""
        begin = {"fixed": self.largest, "sliding": self.first + self.window - 1}.get(self.schedule, self.first)
        return min(begin + stage * self.add, self.largest)

    def asked(self, stage: int) -> range:
        """Returns the N that a stage asks."""
        newest = self.newest(stage)
        count = {"single": 1, "sliding": self.window}.get(self.schedule, newest)
        return range(max(self.first, newest - count + 1), newest + 1)

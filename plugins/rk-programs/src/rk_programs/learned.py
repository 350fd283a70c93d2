"""What a run shows of the programs that it has learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from rk_programs.dsl import Dsl
from rk_programs.terms import Term


@dataclass(frozen=True)
class LearnedProgram:
    """A program that a learner has.

    Attributes:
        name: What it is the meaning of.
        takes: Types of its inputs.
        term: The program; None where none was found.
        likelihood: How far the learner trusts it, from 0 to 1.
        examples: How many examples it was found from.
    """

    name: str
    takes: tuple[str, ...]
    term: Term | None
    likelihood: float
    examples: int

    def __str__(self) -> str:
        inputs = "".join(f" x{i}" for i in range(len(self.takes)))
        return f"{self.name}{inputs} = {'?' if self.term is None else self.term}"


class HoldsPrograms(Protocol):
    """A module with programs: the analysis `programs` finds it anywhere in a learner."""

    dsl: Dsl

    def programs(self) -> Sequence[LearnedProgram]:
        """Returns its programs, in the order in which they are shown."""
        ...

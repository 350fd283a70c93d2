"""The learner of `gssnn`: the language with its library, the programs, and the network that answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rk_programs.learned import LearnedProgram
from rk_programs.terms import parse
from torch import nn

from rk import Batch, LoadedRun, Outputs
from rk_gssnn.dsl import GraphLanguage
from rk_gssnn.population import Member


class Population(nn.Module):
    """What a search has found.

    The networks are runs within the run's folder, and not among the weights here. Until one is trained, the baseline
    answers.

    Args:
        dsl: The language; its library is saved with the weights.
        baseline: The learner of the baseline.
        folder: The folder of the search.

    Attributes:
        answering: The name of the inner run that answers; empty: the baseline.
        members: The programs that were judged.
    """

    def __init__(self, dsl: GraphLanguage, baseline: nn.Module, folder: Path | None) -> None:
        super().__init__()
        self.dsl = dsl
        self.folder = folder
        self.answering = ""
        self.members: tuple[Member, ...] = ()
        self._networks: dict[str, Any] = {"": baseline}  # in a dict, so that its weights are not the search's

    def predict(self, batch: Batch) -> Outputs:
        if self.answering not in self._networks:
            if self.folder is None:
                raise ValueError("a search without a folder has no networks")
            self._networks[self.answering] = LoadedRun.open(self.folder / "inside" / self.answering).learner
        outputs: Outputs = self._networks[self.answering].predict(batch)
        return outputs

    def programs(self) -> Sequence[LearnedProgram]:
        """Returns the survivors, the best first; `likelihood` is the training accuracy."""
        kept = sorted((m for m in self.members if m.kept), key=lambda m: (-m.train, m.iteration, m.number))
        return [LearnedProgram(m.name, (), parse(m.program), m.train, 0) for m in kept]

    def get_extra_state(self) -> dict[str, Any]:
        return {"answering": self.answering, "members": [member.row() for member in self.members]}

    def set_extra_state(self, state: Mapping[str, Any]) -> None:
        self.answering = state["answering"]
        self.members = tuple(Member(*row) for row in state["members"])

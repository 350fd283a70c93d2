"""The learner of `n2n`: the policies, and the network that answers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from rk import Batch, LoadedRun, Outputs


class Compressed(nn.Module):
    """Policies that have searched, and the best student that they have found.

    The student is a run of its own within the run's folder, and not among the weights here. Until it is trained, the
    teacher answers.

    Args:
        policies: Stage -> its policy.
        teacher: The learner of the teacher's run.
        folder: The folder of the search.

    Attributes:
        student: The name of the inner run that answers; empty: the teacher's.
    """

    def __init__(self, policies: Mapping[str, nn.Module], teacher: nn.Module, folder: Path | None) -> None:
        super().__init__()
        self.policies = nn.ModuleDict(dict(policies))
        self.folder = folder
        self.student = ""
        self._answering: dict[str, Any] = {"": teacher}  # in a dict, so that its weights are not the search's own

    def inside(self, name: str) -> Path:
        """Returns the folder of an inner run."""
        if self.folder is None:
            raise ValueError("a search without a folder has no inner runs")
        return self.folder / "inside" / name

    def predict(self, batch: Batch) -> Outputs:
        if self.student not in self._answering:
            self._answering[self.student] = LoadedRun.open(self.inside(self.student)).learner
        outputs: Outputs = self._answering[self.student].predict(batch)
        return outputs

    def get_extra_state(self) -> dict[str, Any]:
        return {"student": self.student}

    def set_extra_state(self, state: Mapping[str, Any]) -> None:
        self.student = state["student"]

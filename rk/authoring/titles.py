"""Short names of runs, for legends, columns and panels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rk.protocols import FitContext, Run


def title(run: Run | FitContext) -> str:
    """Returns the name of a run's recipe without its plugin: ``adding`` of ``sequence/adding``."""
    name: str = run.recipe.name
    return name.rpartition("/")[2]


def titles(runs: Sequence[Run], roles: Sequence[str] = ()) -> list[str]:
    """Returns a title for each run; no two are the same.

    Args:
        runs: The runs.
        roles: The role of each run, ``("run", "baseline")``: appended to a title that an earlier run has. Without
            roles, the name of the run's folder is appended.
    """
    found: list[str] = []
    for i, run in enumerate(runs):
        plain = title(run)
        role = roles[i] if i < len(roles) else run.folder.path.name
        choices = (plain, f"{plain} ({role})", f"{plain} ({role}, {i + 1})")
        found.append(next(name for name in choices if name not in found))
    return found

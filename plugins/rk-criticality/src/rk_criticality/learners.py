"""The learner of a run with other initial weights, as often as wanted: as its recipe builds it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from rk import Batch, LoadedRun, Run
from rk_criticality.callbacks import CriticalInit


def initial_learners(run: Run, count: int, batch: Batch) -> Iterator[nn.Module]:
    """Yields learners of the run's recipe with the initial weights of `count` seeds.

    A `critical-init` among the callbacks of the recipe acts on each of them. What a model or trainer takes from the
    data before the first step (`begin`) is not repeated.

    Args:
        run: A run of the recipe; its weights play no part.
        count: Learners.
        batch: What `critical-init` is shown.
    """
    loaded = LoadedRun.open(Path(run.folder.path))
    seed = int(loaded.recipe.fit.seed)
    inits = [found for found in map(_critical_init, loaded.recipe.plain().get("callbacks", [])) if found is not None]
    made: list[nn.Module] = []

    def keep(learner: nn.Module) -> Mapping[str, Tensor]:
        made.append(learner)
        state: Mapping[str, Tensor] = learner.state_dict()
        return state

    with tempfile.TemporaryDirectory() as folder:
        for i in range(count):
            loaded.derive({"fit.seed": seed + i}, keep, Path(folder) / str(i))
            learner = made.pop()
            for init in inits:
                CriticalInit(seed + i, **init).apply(learner, batch)
            yield learner


def _critical_init(callback: str | Mapping[str, Any]) -> dict[str, Any] | None:  # Any: values of a recipe
    """Returns the parameters of a recipe's `critical-init`; None of any other callback."""
    values = {"name": callback} if isinstance(callback, str) else dict(callback)
    name = str(values.pop("name", "")).rpartition("/")[2]
    values.pop("seed", None)
    return values if name == "critical-init" else None

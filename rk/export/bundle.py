"""A run for others: weights, recipe, results and the runs that its recipe names, in a folder that rk takes as a run."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from torch import nn

from rk.capabilities import HasModel, supports
from rk.errors import RkError, UserError
from rk.export.portable import clean, portable
from rk.fit.loaded import LoadedRun
from rk.fit.weights import save_weights
from rk.inside import lies_within
from rk.jsontext import to_json
from rk.recipe.model import Recipe
from rk.recipe.walk import runs_that_answer
from rk.runs import RunFolder
from rk.runs.kept import RUNS, place_of

KEPT = (
    "name",
    "status",
    "step",
    "best_step",
    "seconds",
    "facts",
    "parameters",
    "metrics",
    "init_from",
    "higher_is_better",
    "versions",
)
"""The keys of `run.json` that are exported: none identifies the machine or the user."""
MODEL = "model."
"""The prefix of the model's weights in a supervised learner."""


@dataclass
class Bundle:
    """The written files.

    Attributes:
        recipe: The recipe as written into the folder.
        whole: Whether the learner is one model; the weights then have its own names.
        weights: The file of weights.
        paths: All files.
    """

    recipe: Recipe
    whole: bool
    weights: Path
    paths: list[Path] = field(default_factory=list)


def write_bundle(run: LoadedRun, out: Path) -> Bundle:
    """Writes a run and, below ``from/``, each run that its recipe names, except those that only training needs.

    Args:
        run: The run.
        out: A folder.

    Raises:
        UserError: When a run that the recipe names cannot be loaded.
    """
    out.mkdir(parents=True, exist_ok=True)
    folder = RunFolder(out)
    runs: dict[str, str] = {}
    paths: list[Path] = []
    places: dict[Path, str] = {}
    for key, folder_of in runs_that_answer(run.recipe):
        named = folder_of.resolve()
        if named not in places:
            place = places[named] = f"{RUNS}/{place_of(key)}"
            paths += write_bundle(_opened(run, key, named), out / place).paths
        runs[key] = places[named]
    recipe = portable(run.recipe, runs)
    model = one_model(run.learner)
    whole = model is not None
    notes = {"format": "pt", **({"prefix": MODEL} if whole else {})}
    save_weights(run.learner if model is None else model, folder.model, notes, share=False)
    info = {key: clean(value) for key, value in run.folder.read().items() if key in KEPT}
    folder.recipe.write_text(recipe.to_yaml(), encoding="utf-8")
    (out / "run.json").write_text(to_json(info, indent=2) + "\n", encoding="utf-8")
    paths += [folder.model, folder.recipe, out / "run.json"]
    if lies_within(run.folder.data_state, run.folder.path):
        paths.append(Path(shutil.copyfile(run.folder.data_state, folder.data_state)))
    return Bundle(recipe, whole, folder.model, paths)


def one_model(learner: nn.Module) -> nn.Module | None:
    """Returns the learner's ``model``, where that is all that was learned."""
    names = learner.state_dict().keys()
    model = learner.model if supports(learner, HasModel) else None
    return model if isinstance(model, nn.Module) and names and all(n.startswith(MODEL) for n in names) else None


def _opened(run: LoadedRun, key: str, folder: Path) -> LoadedRun:
    try:
        return LoadedRun.open(folder, run.catalog)
    except RkError as error:
        raise UserError(
            f"{key} names the run {folder}, which goes with this one and cannot be loaded: {error.message}",
            "put that run back, or export with --to onnx or --to torch-export, which hold the answer alone",
        ) from None

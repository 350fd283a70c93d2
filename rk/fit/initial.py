"""The weights that a new run begins with, taken from another run: `init_from`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase

from torch import Tensor, nn

from rk.errors import Mark, Problem, RecipeError, counted, suggest
from rk.fit.checkpoint import weights_file
from rk.fit.weights import load_weights, read_weights
from rk.recipe.model import InitFrom, Recipe
from rk.runs import RunFolder
from rk.values import Value

MAX_SHOWN = 8
"""How many newly initialised weights are listed by name."""
_AS_SAID = ", as the recipe says"
_MODEL = "model."
"""Prefix of the names of a model's weights in some learners."""


def take_weights(learner: nn.Module, recipe: Recipe) -> Iterator[str]:
    """Gives `learner` the weights of the run that `recipe` names in ``init_from``, by their names, where shapes agree.

    Args:
        learner: All that is learned; its other weights stay.
        recipe: What is trained.

    Yields:
        What was taken and what is newly initialised, in lines for the user.

    Raises:
        RecipeError: When no weight fits, or a pattern matches nothing.
        RunFailed: When the run's weights cannot be read.
    """
    init = recipe.init_from
    if init is None:
        return
    if init.run.folder is None:
        raise init.run.gone()
    folder = RunFolder(init.run.folder)
    theirs = read_weights(weights_file(folder))
    own = learner.state_dict()
    tensors = [name for name, value in own.items() if isinstance(value, Tensor)]
    _check_patterns(recipe, init, tensors, list(theirs))
    taken, fresh = {}, []
    for name in tensors:
        if _wanted(name, init):
            found = _find(_renamed(name, init.rename), theirs)
            if isinstance(found, Tensor) and found.shape == own[name].shape:
                taken[name] = found
                continue
            has = f"the run has {tuple(found.shape)}" if isinstance(found, Tensor) else "the run has no such weight"
            fresh.append(f"{name} {tuple(own[name].shape)} is newly initialised: {has}")
        else:
            fresh.append(f"{name} {tuple(own[name].shape)} is newly initialised{_AS_SAID}")
    if not taken:
        source = folder.info().get("name") or folder.label
        text = f"no weight of the run of {source} fits: it has {_some(theirs)}; here there are {_some(tensors)}"
        hint = "init_from.rename maps a name to its name in that run"
        if all(line.endswith(_AS_SAID) for line in fresh):
            text, hint = "only and skip leave no weight to be taken", f"there are: {_some(tensors)}"
        raise RecipeError([_problem(recipe, "init_from", text, hint)])
    if broken := next((name for name, value in taken.items() if not bool(value.isfinite().all())), None):
        text = f"the weight {broken} of {folder.info().get('name') or folder.label} is not finite"
        raise RecipeError([_problem(recipe, "init_from", text, "begin with another run")])
    load_weights(learner, own | taken)
    yield f"init_from: {len(taken)} of {counted(len(tensors), 'weight')} are those of {folder.label}"
    yield from (f"init_from: {line}" for line in fresh[:MAX_SHOWN])
    if len(fresh) > MAX_SHOWN:
        yield f"init_from: {len(fresh) - MAX_SHOWN} more are newly initialised"


def _check_patterns(recipe: Recipe, init: InitFrom, own: list[str], theirs: list[str]) -> None:
    """Raises `RecipeError` where a pattern or the beginning of a name is that of no weight: it is misspelt."""
    known = {n for name in (*own, *theirs) for n in (name, name.removeprefix(_MODEL))}
    here = {n for name in own for n in (name, name.removeprefix(_MODEL))}
    problems = []
    for key in ("only", "skip"):
        for i, pattern in enumerate(getattr(init, key)):
            if not any(fnmatchcase(name, pattern) for name in known):
                text = f"{pattern!r} matches no weight"
                problems.append(_problem(recipe, f"init_from.{key}.{i}", text, suggest(pattern, own, "there are")))
    for start in init.rename:
        if not any(name.startswith(start) for name in here):
            text = f"no weight here begins with {start!r}"
            problems.append(_problem(recipe, f"init_from.rename.{start}", text, suggest(start, own, "there are")))
    if problems:
        raise RecipeError(problems)


def _problem(recipe: Recipe, key: str, text: str, hint: str | None) -> Problem:
    """Returns a mistake at `key`, at its own place or at that of what holds it."""
    place = key
    while place and place not in recipe.marks:
        place = place.rpartition(".")[0]
    return Problem(recipe.marks.get(place) or Mark("recipe"), key, text, hint)


def _wanted(name: str, init: InitFrom) -> bool:
    def matches(patterns: list[str]) -> bool:
        return any(fnmatchcase(name, p) or fnmatchcase(name.removeprefix(_MODEL), p) for p in patterns)

    return (not init.only or matches(init.only)) and not matches(init.skip)


def _renamed(name: str, rename: Mapping[str, str]) -> str:
    for here in sorted(rename, key=len, reverse=True):
        if name.startswith(here):
            return rename[here] + name[len(here) :]
        if name.startswith(_MODEL + here):
            return rename[here] + name[len(_MODEL + here) :]
    return name


def _find(name: str, theirs: Mapping[str, Value]) -> Value:
    """Returns the value of that name; learners of another kind may put ``model.`` before it, or leave it out."""
    names = (name, _MODEL + name, name.removeprefix(_MODEL))
    return next((theirs[n] for n in names if n in theirs), None)


def _some(names: Iterable[str]) -> str:
    found = list(names)
    return ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")

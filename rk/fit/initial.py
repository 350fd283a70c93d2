"""The weights that a new run begins with, taken from another run or from a file: `init_from`."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from torch import Tensor, nn

from rk.errors import Mark, Problem, RecipeError, RunFailed, counted, nearest, suggest
from rk.fit.checkpoint import weights_file
from rk.fit.weights import load_weights, read_weights
from rk.protocols import State
from rk.recipe.model import InitFrom, Recipe, RunRef, WeightsRef
from rk.runs import RunFolder
from rk.runs.files_of_weights import ENDING, weights_in
from rk.values import Value

MAX_SHOWN = 8
"""How many newly initialised weights are listed by name."""
_AS_SAID = ", as the recipe says"
_MODEL = "model."
"""Prefix of the names of a model's weights in some learners."""
_BASE = re.compile(r"^(model\.|)base\.")
"""The beginning of the name of a weight within a wrapper (`rk.wrappers`)."""


class Taken:
    """The weights of a learner, side by side with those of another run or of a file.

    Args:
        init: What the recipe takes of them.
        own: The learner's weights, by name.
        theirs: What the run or the file has.

    Attributes:
        taken: Name here -> the tensor from there.
        fresh: A line for each weight here that is newly initialised.
        used: Names there that have a place here, whether they are taken or not.
    """

    def __init__(self, init: InitFrom, own: Mapping[str, Tensor], theirs: Mapping[str, Value]) -> None:
        self.taken: dict[str, Tensor] = {}
        self.fresh: list[str] = []
        self.used: set[str] = set()
        what = "file" if isinstance(init.run, WeightsRef) else "run"
        for name, mine in own.items():
            line = f"{name} {tuple(mine.shape)} is newly initialised"
            place = _place(_renamed(name, init.rename), theirs)
            found = None if place is None else theirs[place]
            self.used |= set() if place is None else {place}
            if not _wanted(name, init):
                self.fresh.append(line + _AS_SAID)
            elif not isinstance(found, Tensor):
                self.fresh.append(f"{line}: the {what} has no such weight")
            elif found.shape != mine.shape:
                self.fresh.append(f"{line}: the {what} has {tuple(found.shape)}")
            else:
                self.taken[name] = found


def take_weights(learner: nn.Module, recipe: Recipe) -> Iterator[str]:
    """Gives `learner` the weights that `recipe` names in ``init_from``, by their names, where shapes agree.

    Args:
        learner: All that is learned; its other weights stay.
        recipe: What is trained.

    Yields:
        What was taken, what is newly initialised and what is not used, in lines for the user.

    Raises:
        RecipeError: When no weight fits, or a pattern matches nothing.
        RunFailed: When the weights cannot be read.
    """
    init = recipe.init_from
    if init is None:
        return
    if init.run.folder is None:
        raise init.run.gone()
    theirs: State = {}
    for file in weights_files(init.run.folder):
        theirs |= read_weights(file)
    own = {name: value for name, value in learner.state_dict().items() if isinstance(value, Tensor)}
    _check_patterns(recipe, init, list(own), list(theirs))
    source = _name_of(init.run)
    found = Taken(init, own, theirs)
    if not found.taken:
        raise RecipeError([_nothing_fits(recipe, init, found, own, theirs)])
    if broken := next((name for name, value in found.taken.items() if not bool(value.isfinite().all())), None):
        raise RecipeError(
            [_problem(recipe, "init_from", f"the weight {broken} of {source} is not finite", "begin with others")]
        )
    load_weights(learner, learner.state_dict() | found.taken)
    yield f"init_from: {len(found.taken)} of {counted(len(own), 'weight')} are those of {source}"
    yield from (f"init_from: {line}" for line in found.fresh[:MAX_SHOWN])
    if len(found.fresh) > MAX_SHOWN:
        yield f"init_from: {len(found.fresh) - MAX_SHOWN} more are newly initialised"
    if unused := [name for name, value in theirs.items() if isinstance(value, Tensor) and name not in found.used]:
        yield f"init_from: {counted(len(unused), 'weight')} of {source} not used: {_some(unused)}"


def weights_files(place: Path) -> list[Path]:
    """Returns the files with the weights of a run, or of a folder or a file.

    Raises:
        RunFailed: When there are none.
    """
    if (place / "run.json").is_file():
        return [weights_file(RunFolder(place))]
    files = [file for file in weights_in(place) if file.suffix == ENDING]
    if not files:
        raise RunFailed(f"{place} has no weights")
    return files


def _name_of(run: RunRef) -> str:
    """Returns what the user calls a source of weights: the name of a run's recipe, or the file."""
    if isinstance(run, WeightsRef) or run.folder is None:
        return getattr(run, "source", "?")
    folder = RunFolder(run.folder)
    return str(folder.info().get("name") or folder.label)


def _nothing_fits(
    recipe: Recipe, init: InitFrom, found: Taken, own: Mapping[str, Tensor], theirs: Mapping[str, Value]
) -> Problem:
    """Returns the mistake of weights none of which fits, with the change of names that would fit most of them."""
    if all(line.endswith(_AS_SAID) for line in found.fresh):
        text = "only and skip leave no weight to be taken"
        return _problem(recipe, "init_from", text, f"there are: {_some(own)}")
    what = "" if isinstance(init.run, WeightsRef) else "the run of "
    text = f"no weight of {what}{_name_of(init.run)} fits: it has {_some(theirs)}; here there are {_some(own)}"
    wanted = {name: tensor for name, tensor in own.items() if _wanted(name, init)}
    if (best := _best_rename(wanted, theirs)) is not None:
        (here, there), count = best
        hint = f"with init_from.rename={{{json.dumps(here)}: {json.dumps(there)}}}, {count} would fit"
    else:
        close = [(name, nearest(name, theirs)) for name in wanted]
        pairs = [f"{name} here, {other} there" for name, other in close if other is not None]
        hint = "init_from.rename maps the beginning of a name here to its beginning there"
        hint += f"; the nearest names: {'; '.join(pairs[:3])}" if pairs else ""
    return _problem(recipe, "init_from", text, hint)


def _best_rename(own: Mapping[str, Tensor], theirs: Mapping[str, Value]) -> tuple[tuple[str, str], int] | None:
    """Returns the beginnings of names, here and there, whose exchange makes most weights fit, and how many."""
    by_end: dict[str, list[tuple[str, Tensor]]] = {}
    for name, value in theirs.items():
        if isinstance(value, Tensor):
            by_end.setdefault(name.rpartition(".")[2], []).append((name, value))
    counts: Counter[tuple[str, str]] = Counter()
    for name, mine in own.items():
        short = name.removeprefix(_MODEL)
        for other, value in by_end.get(short.rpartition(".")[2], []):
            if value.shape == mine.shape:
                counts.update(_exchanges(short, other))
    return max(counts.items(), key=lambda item: (item[1], -len(item[0][0]) - len(item[0][1])), default=None)


def _exchanges(here: str, there: str) -> Iterator[tuple[str, str]]:
    """Yields the pairs of beginnings that turn one name into the other: of ``a.0.w``, ``0.w``: ``a.`` and nothing."""
    ours, other = here.split("."), there.split(".")
    for same in range(1, min(len(ours), len(other)) + 1):
        if ours[-same] != other[-same]:
            return
        starts = (".".join(ours[:-same]), ".".join(other[:-same]))
        if all(starts) or same == min(len(ours), len(other)):
            yield starts[0] + "." * bool(starts[0]), starts[1] + "." * bool(starts[1])


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


def _renamed(name: str, rename: Mapping[str, str]) -> list[str]:
    """Returns the names that a weight may have there by the recipe; the learner's ``model.`` may count or not."""
    for here in sorted(rename, key=len, reverse=True):
        found = [n for n in (name, name.removeprefix(_MODEL)) if n.startswith(here)]
        if found:
            return [rename[here] + n[len(here) :] for n in dict.fromkeys(found)]
    return [name]


def _place(wanted: Iterable[str], theirs: Mapping[str, Value]) -> str | None:
    """Returns the first of some names that is there, None where there is none.

    Learners of another kind may put ``model.`` before it, or leave it out; a wrapper puts ``base.`` before the names of
    what it wraps.
    """
    names: list[str] = []
    for name in wanted:
        names += [name, _MODEL + name, name.removeprefix(_MODEL)]
        while (inner := _BASE.sub(r"\1", name, count=1)) != name:
            name = inner
            names += [name, _MODEL + name, name.removeprefix(_MODEL)]
    return next((n for n in names if n in theirs), None)


def _some(names: Iterable[str]) -> str:
    found = list(names)
    return ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")

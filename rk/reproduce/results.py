"""``results.json``, beside recipes or among runs: what was measured, and of which version of each recipe."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from statistics import fmean, stdev

from rk.errors import UserError
from rk.jsontext import to_json
from rk.recipe import Recipe
from rk.recipe.find import RecipeFile
from rk.recipe.model import Trainable, plain_parameter
from rk.recipe.sections import Fit, plain
from rk.recipe.stored import trained
from rk.recipe.walk import named_runs
from rk.report.compare import flatten
from rk.report.verdicts import Sample
from rk.values import Plain, PlainDict
from rk.writing import write_atomic

FILE = "results.json"


def settings(recipe: Recipe) -> PlainDict:
    """Returns all that decides what the recipe trains, as dotted keys: components with their defaults, and ``fit``.

    Of ``fit``, what differs from the defaults: a key that a later host adds is then no change. Of a run that is trained
    first, the same, behind the key that names it.
    """
    values = trained(recipe.plain())
    values["fit"] = {k: v for k, v in plain(recipe.fit).items() if v != getattr(Fit(), k)}
    found = flatten(values)
    for key, run in named_runs(recipe):
        if isinstance(run.wanted, Trainable):
            found[f"{key}.recipe"] = run.wanted.file.name  # wherever on this machine the file is
    return found | _of_named(recipe, settings)


def _of_named(recipe: Recipe, values: Callable[[Recipe], PlainDict]) -> PlainDict:
    """Returns values of the recipes of the runs that are trained first, by dotted keys."""
    found: PlainDict = {}
    for key, run in named_runs(recipe):
        if isinstance(run.wanted, Trainable):
            found |= {f"{key}.settings.{name}": value for name, value in values(run.wanted.recipe).items()}
    return found


def differences(recipe: Recipe) -> tuple[PlainDict, PlainDict]:
    """Returns the `settings` that differ from the defaults of their components, and those that are defaults."""
    default, found = _defaults(recipe), settings(recipe)
    differing = {key: value for key, value in found.items() if key not in default or default[key] != value}
    return differing, {key: value for key, value in found.items() if key not in differing}


def _defaults(recipe: Recipe) -> PlainDict:
    """Returns the defaults of all components, of the runs that are trained first too, as dotted keys."""
    found: PlainDict = {}
    for spec in recipe.specs():
        found |= flatten({f"{spec.key}.{name}": plain_parameter(value) for name, value in spec.defaults.items()})
    return found | _of_named(recipe, _defaults)


def digest(settings: Mapping[str, Plain]) -> str:
    """Returns a hash of settings."""
    text = json.dumps(settings, sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Measured:
    """The results of one recipe, with one or several seeds.

    Args:
        values: The entry in ``results.json``: the ``digest`` of the recipe's settings that differ from the defaults
            of its components; the names of the others, ``defaults``, and their ``defaults_digest``; ``seeds``,
            ``metrics`` (name -> one value per seed, null for none), ``higher_is_better``, ``steps``, ``parameters``,
            ``seconds``, ``device``, ``cores``, ``versions``, ``date``. Entries of earlier versions have all
            ``settings``.
    """

    def __init__(self, values: PlainDict) -> None:
        self.values = values

    @classmethod
    def of_runs(cls, recipe: Recipe, runs: list[PlainDict], seeds: list[int]) -> Measured:
        """Returns the entry of `recipe` from the ``run.json`` of one run per seed."""
        last = runs[-1]
        names = dict.fromkeys(name for run in runs for name in run["metrics"])
        return cls(
            {
                **described(recipe),
                "seeds": seeds,
                "metrics": {name: [_rounded(run["metrics"].get(name)) for run in runs] for name in names},
                "higher_is_better": last["higher_is_better"],
                "steps": last["step"],
                "parameters": last["parameters"],
                "seconds": [round(run["seconds"], 1) for run in runs],
                "device": last["device"],
                "cores": (last.get("host") or {}).get("cores"),
                "versions": last["versions"],
                "date": last["started"][:10],
            }
        )

    @property
    def seeds(self) -> list[int]:
        seeds: list[int] = self.values["seeds"]
        return seeds

    def is_of(self, recipe: Recipe) -> bool:
        """Whether this was measured with the recipe as it is now.

        A parameter that was added to a component since is not a change while the recipe leaves it at its default: it
        was added without changing what was there. A default that has changed is one.
        """
        if "settings" in self.values:
            return self._is_of_settings(recipe)
        differing, default = differences(recipe)
        now, names = differing | default, _joined(self.values["defaults"])
        if not now.keys() >= names or digest({key: now[key] for key in names}) != self.values["defaults_digest"]:
            return False
        own = {key: value for key, value in differing.items() if key not in names}
        return bool(digest(own) == self.values["digest"])

    def _is_of_settings(self, recipe: Recipe) -> bool:
        """The same, of an entry of an earlier version."""
        now, then = settings(recipe), self.values["settings"]
        if digest(now) == self.values["digest"]:
            return True
        said = {spec.key for spec in recipe.specs()}
        said |= {f"{spec.key}.{name}" for spec in recipe.specs() for name in spec.params}
        added = [key for key in now if key not in then and (key in said or key.startswith("fit."))]
        return not added and all(key in now and now[key] == value for key, value in then.items())

    @property
    def sample(self) -> Sample:
        """The numbers by metric and seed, as verdicts take them."""
        metrics = {name: dict(zip(self.seeds, values, strict=True)) for name, values in self.values["metrics"].items()}
        return Sample(metrics, self.values["higher_is_better"])

    def has(self, metric: str) -> bool:
        """Whether the metric was measured at all, be it without a number."""
        return metric in self.values["metrics"]

    def numbers(self, metric: str) -> list[float] | None:
        """Returns one value per seed; None when one of them is missing or no number."""
        found = self.values["metrics"].get(metric)
        return None if not found or any(v is None for v in found) else found

    def mean(self, metric: str) -> float | None:
        numbers = self.numbers(metric)
        return None if numbers is None else fmean(numbers)

    def spread(self, metric: str) -> float | None:
        """Returns the standard deviation over the seeds; None with one seed."""
        numbers = self.numbers(metric)
        return None if numbers is None or len(numbers) < 2 else stdev(numbers)

    def higher_is_better(self, metric: str) -> bool:
        return bool(self.values["higher_is_better"].get(metric.partition("/")[2].partition("@")[0], True))


def described(recipe: Recipe) -> PlainDict:
    """Returns an entry's settings of the recipe: what differs from the defaults, and those defaults."""
    differing, default = differences(recipe)
    return {
        "digest": digest(differing),
        "defaults": _grouped(default),
        "defaults_digest": digest(default),
    }


def _grouped(names: Iterable[str]) -> dict[str, str]:
    """Returns owner -> the last parts of the names, in one text: ``{"model": "activation dropout"}``."""
    found: dict[str, list[str]] = {}
    for name in sorted(names):
        owner, _, last = name.rpartition(".")
        found.setdefault(owner, []).append(last)
    return {owner: " ".join(lasts) for owner, lasts in found.items()}


def _joined(grouped: Mapping[str, str]) -> set[str]:
    return {f"{owner}.{last}" if owner else last for owner, lasts in grouped.items() for last in lasts.split(" ")}


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")


def results_path(
    file: RecipeFile,
    runs: Path,
    *,
    elsewhere: bool = False,
    beside: bool = False,
    shipped: Collection[Path] = (),
) -> Path:
    """Returns where a recipe's results are kept: beside it, or in the folder of the runs.

    Beside the user's own recipes. Beside those of a plugin whose checkout is, or is inside, the working folder, unless
    the user asked for another folder for runs. In the folder of the runs for all other plugins.

    Args:
        file: The recipe.
        runs: The folder of the runs.
        elsewhere: Whether the user asked for that folder (``--runs-dir``, ``RK_RUNS``).
        beside: Whether results go beside the recipe nevertheless.
        shipped: Folders of the plugins' recipes: a recipe there is a plugin's, even when it is named by its path.

    Raises:
        UserError: When results are to go beside the recipes of a package that pip has copied into an environment.
    """
    folder = _folder(file)
    if beside and _installed(folder):
        raise UserError(
            f"the results of {file.name} cannot be stored beside it: an installed package is never written to",
            "leave out --store, or install the plugin's checkout with pip install -e",
        )
    if _installed(folder):
        return runs / FILE
    own = file.plugin is None and folder not in shipped
    checkout = folder.is_relative_to(Path.cwd().resolve()) and not elsewhere
    return folder / FILE if own or checkout or beside else runs / FILE


class Store:
    """The results of several recipes; arguments as for `results_path`."""

    def __init__(
        self, runs: Path, *, elsewhere: bool = False, beside: bool = False, shipped: Collection[Path] = ()
    ) -> None:
        self.runs = runs
        self.elsewhere = elsewhere
        self.beside = beside
        self.shipped = shipped

    def path(self, file: RecipeFile) -> Path:
        """Returns the results file of a recipe; raises as `results_path` does."""
        return results_path(file, self.runs, elsewhere=self.elsewhere, beside=self.beside, shipped=self.shipped)

    def add(self, file: RecipeFile, measured: Measured) -> Path:
        """Keeps what a recipe reached; returns the file."""
        path = self.path(file)
        add_results(path, {file.name: measured})
        return path

    def read(self, files: Iterable[RecipeFile]) -> dict[str, Measured]:
        """Returns the stored results of these recipes and those beside them.

        What the folder of the runs has of a recipe that is kept there comes before what is shipped beside it.
        """
        shipped: dict[str, Measured] = {}
        kept: dict[str, Measured] = {}
        for file in files:
            beside, own = _folder(file) / FILE, self.path(file)
            shipped |= read_results(beside)
            if own != beside and file.name in (found := read_results(own)):
                kept[file.name] = found[file.name]
        return shipped | kept


def _folder(file: RecipeFile) -> Path:
    return file.path.resolve().parent


def _installed(folder: Path) -> bool:
    return bool({"site-packages", "dist-packages"} & {*folder.parts})


def read_results(path: Path) -> dict[str, Measured]:
    """Returns recipe name -> what it reached; nothing where there is no file.

    Raises:
        UserError: When the file is not a results file.
    """
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return {name: Measured(values) for name, values in stored["results"].items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise UserError(f"{path} cannot be read: {error}", "delete it, and reproduce again") from None


def add_results(path: Path, new: dict[str, Measured]) -> None:
    """Puts entries into the file, in place of older ones of the same names.

    Several processes may do so at once: each reads and replaces the file while it alone holds the folder.

    Raises:
        UserError: When the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _held(path.parent):
            results = {name: m.values for name, m in (read_results(path) | new).items()}
            text = to_json({"rk": 1, "results": dict(sorted(results.items()))}, indent=1)
            write_atomic(path, _short_lists(text) + "\n")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}", "choose another folder with --runs-dir") from None


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Holds a folder for this process, and this thread, alone; others that ask for it wait. It leaves no file."""
    try:
        import fcntl
    except ImportError:  # not on Windows: the last one to write wins there
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _short_lists(text: str) -> str:
    """Puts lists of numbers in one line each, so that a new measurement is a small change."""
    return re.sub(r"\[([^][{}\"]+)\]", lambda match: f"[{' '.join(match[1].split())}]", text)

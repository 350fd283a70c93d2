"""`PluginContract`: the tests that every plugin must pass, for one plugin, as a class that pytest collects.

.. code-block:: python

    from rk.testing import PluginContract

    class TestContract(PluginContract):
        plugin = "my-net"
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from rk.catalog import Catalog
from rk.doctor import examine
from rk.errors import RkError, UserError
from rk.plugins import Component, Plugin
from rk.recipe import check_recipe
from rk.recipe.digest import digest
from rk.recipe.find import RecipeFile, find_recipe, packaged
from rk.review import faults, gaps
from rk.testing import checks, equations, streaming
from rk.testing.alone import run_alone, unused
from rk.testing.broken import Broken, NotApplicable
from rk.testing.trial import Ended, Trial
from rk.testing.writes import watched_writes

NO_DATA = "cannot be downloaded"
"""The error of `rk.files.fetch` for data that are not here and cannot be downloaded."""
EXEMPT = "RK_EXEMPT"
"""A constant of a plugin's module: check -> why it does not hold there. ``check:recipe`` exempts one recipe."""
TRIAL = "RK_TRIAL"
"""A constant of a plugin's module: recipe -> overrides that make it small enough to be run a dozen times."""


class Workbench:
    """One plugin, its recipes, and the short runs that several tests look at."""

    def __init__(self, plugin: Plugin, catalog: Catalog, scratch: Path) -> None:
        self.plugin = plugin
        self.catalog = catalog
        self.scratch = scratch
        self._refusals: dict[tuple[str, Path], str | None] = {}

    @functools.lru_cache(maxsize=2)  # noqa: B019  a workbench lives as long as the tests of its plugin
    def trial(self, recipe: RecipeFile) -> Trial:
        """Returns the short runs of a recipe, with the sizes that its plugin gives for them."""
        return Trial(recipe, self.catalog, self.scratch, trial_sizes(self.plugin).get(recipe.path.stem, ()))

    @functools.lru_cache(maxsize=2)  # noqa: B019
    def _watched(self, recipe: RecipeFile) -> tuple[Ended, list[Path]]:
        with contextlib.suppress(ImportError):
            import matplotlib

            matplotlib.get_configdir()  # created on first use: not a file of the plugin
        with tempfile.TemporaryDirectory(dir=self.scratch) as folder, contextlib.chdir(folder):
            with watched_writes() as written:
                ended = self.trial(recipe).run(checks.STEPS, checkpoint_every=2, draws=True)
            return ended, checks.writes_outside(written, ended.folder.path)

    def whole(self, recipe: RecipeFile) -> Ended:
        """Returns the run of a few steps that nothing disturbed."""
        return self._watched(recipe)[0]

    def strays(self, recipe: RecipeFile) -> list[Path]:
        """Returns what the whole run has written outside of its folder; its working folder was an empty one."""
        return self._watched(recipe)[1]

    @property
    def exporters(self) -> list[Component]:
        """The plugin's own exporters."""
        return [c for c in self.plugin.components if c.kind == "exporter"]

    def has_tried(self, exporter: Component, recipe: RecipeFile) -> bool:
        """Whether `refusal` knows the answer."""
        return (exporter.name, recipe.path) in self._refusals

    def refusal(self, exporter: Component, recipe: RecipeFile) -> str | None:
        """Returns why an exporter refuses the run of a recipe; None where it wrote it. Raises `Broken`."""
        key = exporter.name, recipe.path
        if key not in self._refusals:
            said = None
            try:
                checks.exporter_writes(exporter, self.trial(recipe), self.whole(recipe))
            except NotApplicable as reason:
                said = f"the exporter {exporter.name} refuses: {reason}"
            self._refusals[key] = said
        return self._refusals[key]


class PluginContract:
    """Tests of one plugin against the contract (docs/testing.md).

    Attributes:
        plugin: Its name; without one, the value of pytest's option ``--rk-plugin``.
        samples: How many of its recipes, each with other components, are run through all checks; None takes all.
        exempt: Check -> why it does not hold here; adds to the plugin module's `RK_EXEMPT`.
    """

    plugin: ClassVar[str] = ""
    samples: ClassVar[int | None] = None
    exempt: ClassVar[Mapping[str, str]] = {}

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Makes one test of each component and recipe of the plugin."""
        catalog = _catalog()
        try:
            plugin = catalog.plugins.find(_plugin_of(type(self), metafunc.config))
        except UserError as error:
            raise pytest.UsageError(f"{error.message}; {error.hint}") from None
        if "component" in metafunc.fixturenames:
            found = plugin.components
            metafunc.parametrize("component", found, ids=[f"{c.kind} {c.name}" for c in found])
        if "exporter" in metafunc.fixturenames:
            found = [c for c in plugin.components if c.kind == "exporter"]
            metafunc.parametrize("exporter", found, ids=[c.name for c in found])
        if "layer" in metafunc.fixturenames:
            found = [c for c in plugin.components if streaming.streams(c, catalog)]
            metafunc.parametrize("layer", found, ids=[c.name for c in found])
        if "alone" in metafunc.fixturenames:
            found = alone_of(plugin, catalog)
            metafunc.parametrize("alone", found, ids=[f"{c.kind} {c.name}" for c in found])
        if "sample" in metafunc.fixturenames:
            recipes = _samples(plugin.name, catalog)[: self.samples]
            # of this scope, pytest runs all checks of one sample before those of the next: they share its runs
            metafunc.parametrize("sample", recipes, ids=[r.path.stem for r in recipes], scope="class")
        elif "recipe" in metafunc.fixturenames:
            recipes = recipes_of(plugin, catalog)
            metafunc.parametrize("recipe", recipes, ids=[r.path.stem for r in recipes])

    @pytest.fixture(autouse=True)
    def _exemptions(self, request: pytest.FixtureRequest, rk_bench: Workbench) -> None:
        """Skips a check that the plugin exempts."""
        check = request.node.originalname.removeprefix("test_").replace("_", "-")
        given = request.node.callspec.params if hasattr(request.node, "callspec") else {}
        file, part = given.get("sample") or given.get("recipe"), given.get("alone")
        of = [f"{check}:{file.path.stem}"] if file is not None else [f"{check}:{part.name}"] if part is not None else []
        for key in (check, *of):
            if reason := {**exemptions(rk_bench.plugin), **self.exempt}.get(key):
                pytest.skip(f"exempt: {reason}")

    # -- the plugin ------------------------------------------------------------------------------------------------

    def test_plugin_loads(self, rk_bench: Workbench) -> None:
        """Its module imports, its hooks answer, and it was made for this version of rk."""
        known = {file.path.stem for file in recipes_of(rk_bench.plugin, rk_bench.catalog)}
        known |= {c.name for c in rk_bench.catalog.plugins.components if c.plugin == rk_bench.plugin.name}
        unknown = [name for name in trial_sizes(rk_bench.plugin) if name not in known]
        said = [f"{TRIAL} has sizes for {name!r}, which is neither a recipe nor a component" for name in unknown]
        _told(lambda: _nothing([*rk_bench.plugin.errors, *said]))

    def test_hooks_import_nothing_heavy(self, rk_bench: Workbench) -> None:
        """Every command imports the module with the hooks: it may not bring torch, nor anything that takes as long."""
        if rk_bench.plugin.entry.version == "0":
            pytest.skip("the plugin is not installed: no other interpreter finds it")
        (found,) = examine(rk_bench.catalog, [rk_bench.plugin])
        if found.heavy:
            pytest.fail(f"importing {rk_bench.plugin.entry.module} imports {', '.join(found.heavy)}", pytrace=False)

    def test_equations_are_in_the_code(self, rk_bench: Workbench) -> None:
        """Each function and test that its EQUATIONS.md names exists, and cites the equation."""
        _told(lambda: equations.check(rk_bench.plugin))

    # -- components ------------------------------------------------------------------------------------------------

    def test_component_is_typed_and_documented(self, rk_bench: Workbench, component: Component) -> None:
        """Its source can be read, has what its kind must have, and documents each parameter."""
        _told(lambda: _nothing([*faults(component, rk_bench.catalog), *gaps(component, rk_bench.catalog)]))

    def test_component_is_what_its_source_says(self, rk_bench: Workbench, component: Component) -> None:
        """It imports, and Python's signature is the one that rk read."""
        _told(lambda: checks.constructor_is_as_its_source_says(component, rk_bench.catalog))

    def test_layer_streams(self, rk_bench: Workbench, layer: Component) -> None:
        """A layer with a state gives, piece by piece, what it gives for the whole."""
        _told(lambda: streaming.pieces_are_the_whole(layer, rk_bench.catalog))

    # -- every recipe ----------------------------------------------------------------------------------------------

    def test_recipe_is_valid(self, rk_bench: Workbench, recipe: RecipeFile) -> None:
        """It checks without a problem or a warning, its baselines exist, and its first line describes it."""
        _told(lambda: _nothing(_problems(recipe, rk_bench.catalog)))

    def test_recipe_takes_two_steps(
        self, rk_bench: Workbench, recipe: RecipeFile, request: pytest.FixtureRequest
    ) -> None:
        """It is built, learns from two batches, and its fields are what was declared."""
        if is_large(recipe) and not request.config.getoption("--rk-all"):
            pytest.skip("made for a larger machine; --rk-all tests it too")
        _told(lambda: checks.two_steps(Trial(recipe, rk_bench.catalog, rk_bench.scratch)))

    # -- one recipe of each kind, through everything ------------------------------------------------------------------

    def test_batches_depend_on_their_index_alone(self, rk_bench: Workbench, sample: RecipeFile) -> None:
        _told(lambda: checks.batches_depend_on_their_index_alone(rk_bench.trial(sample)))

    def test_loss_falls(self, rk_bench: Workbench, sample: RecipeFile) -> None:
        _told(lambda: checks.loss_falls(rk_bench.trial(sample)))

    def test_loss_shares_add_up(self, rk_bench: Workbench, sample: RecipeFile) -> None:
        _told(lambda: checks.loss_shares_add_up(rk_bench.whole(sample)))

    def test_answers_do_not_depend_on_the_batch(self, rk_bench: Workbench, sample: RecipeFile) -> None:
        _told(lambda: checks.answers_do_not_depend_on_the_batch(rk_bench.whole(sample)))

    def test_resumes_bit_equal(self, rk_bench: Workbench, sample: RecipeFile) -> None:
        _told(lambda: checks.resumes_bit_equal(rk_bench.trial(sample), rk_bench.whole(sample)))

    def test_validation_changes_nothing(self, rk_bench: Workbench, sample: RecipeFile) -> None:
        _told(lambda: checks.validation_changes_nothing(rk_bench.trial(sample), rk_bench.whole(sample)))

    def test_answers_after_loading_as_before(self, rk_bench: Workbench, sample: RecipeFile) -> None:
        _told(lambda: checks.answers_after_loading_as_before(rk_bench.trial(sample), rk_bench.whole(sample)))

    def test_exports(self, rk_bench: Workbench, sample: RecipeFile) -> None:
        """The weights come out; each of the plugin's exporters writes the run, or refuses it with a reason."""

        def check() -> None:
            checks.exports(rk_bench.trial(sample), rk_bench.whole(sample))
            refused = [said for c in rk_bench.exporters if (said := rk_bench.refusal(c, sample)) is not None]
            if refused:
                raise NotApplicable("; ".join(refused))

        _told(check)

    def test_exporter_takes_a_run(self, rk_bench: Workbench, exporter: Component) -> None:
        """An exporter may refuse runs that its format cannot hold, but not every recipe of its own plugin."""

        def check() -> None:
            samples = _samples(rk_bench.plugin.name, rk_bench.catalog)
            if not samples:
                raise NotApplicable("the plugin has no recipe to export")
            refused = []
            for sample in sorted(samples, key=lambda s: not rk_bench.has_tried(exporter, s)):
                if (said := rk_bench.refusal(exporter, sample)) is None:
                    return
                refused.append(f"{sample.path.stem}: {said}")
            raise Broken("\n".join([f"the exporter {exporter.name} refuses every recipe of its plugin", *refused]))

        _told(check)

    def test_blocks_are_the_model(self, rk_bench: Workbench, sample: RecipeFile) -> None:
        """A layered model answers as its blocks do."""
        _told(lambda: checks.blocks_are_the_model(rk_bench.trial(sample), rk_bench.whole(sample)))

    def test_runs_beside_a_recipe(self, rk_bench: Workbench, alone: Component) -> None:
        """A search, an analysis or a callback that no recipe uses runs with one; with steps, it resumes bit-equal."""
        samples = _samples(rk_bench.plugin.name, rk_bench.catalog)
        sizes = trial_sizes(rk_bench.plugin).get(alone.name, ())
        _told(lambda: run_alone(alone, samples, rk_bench.trial, rk_bench.whole, sizes))

    def test_writes_only_into_the_run(self, rk_bench: Workbench, sample: RecipeFile) -> None:
        def check() -> None:
            if outside := rk_bench.strays(sample):
                raise Broken(f"a run wrote {', '.join(map(str, outside[:5]))}, which is outside its folder")

        _told(check)


@functools.cache
def _catalog() -> Catalog:
    return Catalog()


def workbench(request: pytest.FixtureRequest, scratch: Path) -> Workbench:
    """Returns what the tests of one class share: the fixture `rk_bench`."""
    catalog = _catalog()
    return Workbench(catalog.plugins.find(_plugin_of(request.cls, request.config)), catalog, scratch)


def _plugin_of(cls: type[PluginContract], config: pytest.Config) -> str:
    name = cls.plugin or config.getoption("--rk-plugin")
    if not name:
        raise pytest.UsageError(f"{cls.__name__} names no plugin: plugin = '...', or --rk-plugin NAME")
    return name


def exemptions(plugin: Plugin) -> dict[str, str]:
    """Returns the exemptions in the plugin's own module: check -> reason."""
    if plugin.state == "failed" or plugin.disabled:
        return {}
    return dict(getattr(importlib.import_module(plugin.entry.module), EXEMPT, {}))


def trial_sizes(plugin: Plugin) -> dict[str, tuple[str, ...]]:
    """Returns the overrides for short runs in the plugin's own module: recipe -> overrides."""
    if plugin.state == "failed" or plugin.disabled:
        return {}
    sizes = getattr(importlib.import_module(plugin.entry.module), TRIAL, {})
    return {recipe: (given,) if isinstance(given, str) else tuple(given) for recipe, given in sizes.items()}


def recipes_of(plugin: Plugin, catalog: Catalog) -> list[RecipeFile]:
    """Returns the recipes that `plugin` ships."""
    return [file for file in packaged(catalog.plugins) if file.plugin == plugin.name]


def alone_of(plugin: Plugin, catalog: Catalog) -> list[Component]:
    """Returns the searches, analyses and callbacks of `plugin` that none of its recipes runs."""
    return unused(plugin.components, recipes_of(plugin, catalog), catalog)


def is_large(recipe: RecipeFile) -> bool:
    """Whether a recipe is made for a larger machine: its name has the word ``paper``, the setting of the paper
    itself.
    """
    return "paper" in recipe.path.stem.split("-")


def samples_of(recipes: list[RecipeFile], catalog: Catalog) -> list[RecipeFile]:
    """Returns one recipe for each set of components, the quick ones first; none that is made for larger machines."""
    small = [recipe for recipe in recipes if not is_large(recipe)]
    ordered = sorted(small, key=lambda r: ("quick" not in r.path.stem, len(r.path.stem)))
    chosen: dict[frozenset[str], RecipeFile] = {}
    for file in ordered:
        chosen.setdefault(digest(file, catalog.plugins, catalog).parts, file)
    return list(chosen.values())


@functools.lru_cache(maxsize=64)
def _samples(plugin: str, catalog: Catalog) -> list[RecipeFile]:
    """Returns the samples of a plugin: all checks of a collection ask for the same."""
    return samples_of(recipes_of(catalog.plugins.find(plugin), catalog), catalog)


def _problems(file: RecipeFile, catalog: Catalog) -> Iterator[str]:
    try:
        checked = check_recipe(file, (), catalog)
        yield from map(str, (*checked.problems, *checked.warnings))
    except RkError as error:
        yield error.message
        return
    if not file.path.read_text(encoding="utf-8").startswith("# "):
        yield f"{file.label} does not begin with a comment that describes it: `rk recipes` shows that line"
    for claim in checked.recipe.expect:
        if claim.baseline is not None:
            try:
                find_recipe(claim.baseline, catalog.plugins, beside=file)
            except UserError as error:
                yield f"its baseline: {error.message}"


def _nothing(said: Any) -> None:
    if lines := list(said):
        raise Broken("\n".join(lines))


def _told(check: Callable[[], None]) -> None:
    """Runs a check; its findings are shown without the kit's own traceback."""
    message = None
    try:
        check()
    except NotApplicable as reason:
        pytest.skip(f"not applicable: {reason}")
    except (Broken, RkError) as error:
        message = str(error)
        if NO_DATA in message:
            pytest.skip(f"not applicable: {message[:200]}")
    if message is not None:
        pytest.fail(message, pytrace=False)

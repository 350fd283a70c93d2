"""Plugins: a plugin's mistakes affect only itself, and are reported with its distribution's name."""

from __future__ import annotations

import sys
import types

import pytest

from rk.catalog import Catalog
from rk.errors import UserError
from rk.hookspecs import HOOK_OF_KIND
from rk.plugins import BUILTIN, Plugin, PluginEntry, Plugins, installed

HEALTHY = """
from rk import hookimpl

@hookimpl
def rk_models():
    return {"toy": "PACKAGE.parts:Toy"}
"""
TOY = """
class Toy:
    def __init__(self, width: int = 1): ...
"""


@pytest.fixture
def beside(workshop):
    """Loads a plugin called ``odd`` between two healthy ones; returns it, and asserts that these notice nothing."""

    def call(source: str, **modules: str) -> Plugin:
        entries = [workshop.entry("before", HEALTHY, parts=TOY), workshop.entry("odd", source, **modules)]
        entries.append(workshop.entry("later", HEALTHY, parts=TOY))
        plugins = Plugins(entries)
        builtin, before, odd, later = plugins
        assert [p.state for p in (builtin, before, later)] == ["ok"] * 3
        assert [c.qualified for c in [*before.components, *later.components]] == ["before/toy", "later/toy"]
        catalog = Catalog(plugins)
        for name in ("before/toy", "later/toy"):
            assert catalog.signature(catalog.resolve("model", name)).names == ["width"]
        assert odd.distribution == "rk-odd"
        return odd

    return call


# -- what a plugin may do wrong ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "said"),
    [
        pytest.param("1 / 0", "ZeroDivisionError: division by zero", id="raises"),
        pytest.param("import sys; sys.exit(3)", "SystemExit: 3", id="exits"),
        pytest.param("import sys; sys.exit()", "SystemExit", id="exits without a message"),
        pytest.param(
            "import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'", id="lacks a module"
        ),
        pytest.param("def (", "SyntaxError: invalid syntax", id="is not Python"),
        pytest.param("raise ValueError('two\\nlines')", "ValueError: two lines", id="a message of two lines"),
    ],
)
def test_a_plugin_that_fails_to_import_is_reported(source, said, beside):
    plugin = beside(source)
    (error,) = plugin.errors
    assert error.startswith("import throwaway_") and said in error and "\n" not in error
    assert plugin.state == "failed"
    assert plugin.components == []
    assert plugin.exception is not None


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        pytest.param("return []", "rk_models() returned list; expected a dict of name: 'module:Class'", id="a list"),
        pytest.param("return 'toy'", "rk_models() returned str; expected a dict", id="a string"),
        pytest.param("yield {}", "rk_models() returned generator; expected a dict", id="a generator"),
        pytest.param("raise RuntimeError('no')", "rk_models(): RuntimeError: no", id="an exception"),
        pytest.param("import sys; sys.exit(1)", "rk_models(): SystemExit: 1", id="an exit"),
        pytest.param("return {'Toy': 'a.b:C'}", "rk_models(): 'Toy' is not a valid name: names", id="upper case"),
        pytest.param(
            "return {'toy_net': 'a.b:C'}", "'toy_net' is not a valid name: names are lower-case", id="underscore"
        ),
        pytest.param("return {'a/b': 'a.b:C'}", "'a/b' is not a valid name", id="slash"),
        pytest.param("return {'': 'a.b:C'}", "'' is not a valid name", id="empty name"),
        pytest.param("return {3: 'a.b:C'}", "3 is not a valid name", id="a number for a name"),
        pytest.param(
            "return {'toy': 'a.b.C'}", "toy: 'a.b.C' is not of the form 'package.module:Class'", id="no colon"
        ),
        pytest.param("return {'toy': 'a.b:C.D'}", "toy: 'a.b:C.D' is not of the form", id="an inner class"),
        pytest.param("return {'toy': object}", "toy: <class 'object'> is not of the form", id="a class"),
        pytest.param("return {'toy': 'os; evil:C'}", "'os; evil:C' is not of the form", id="no path"),
    ],
)
def test_a_hook_that_answers_rubbish_costs_only_its_answer(answer, said, beside):
    plugin = beside(f"{HEALTHY.replace('models', 'losses')}\n@hookimpl\ndef rk_models():\n    {answer}\n", parts=TOY)
    (error,) = plugin.errors
    assert said in error
    assert [(c.kind, c.name) for c in plugin.components] == [("loss", "toy")], "the other hook was asked all the same"
    assert plugin.state == "partial"


def test_good_names_stay_beside_a_bad_one(beside):
    plugin = beside(
        "from rk import hookimpl\n@hookimpl\ndef rk_models():\n    return {'ok': 'a:B', 'Bad': 'a:B', 'fine': 'a:B'}"
    )
    assert [c.name for c in plugin.components] == ["ok", "fine"]
    assert len(plugin.errors) == 1


@pytest.mark.parametrize(
    ("source", "said"),
    [
        pytest.param(
            "@hookimpl\ndef rk_model(): ...",
            "rk_model() is not a hook of this version of rk; rk_models() is",
            id="typo",
        ),
        pytest.param("@hookimpl\ndef rk_tea(): ...", "rk_tea() is not a hook of this version of rk", id="unknown"),
        pytest.param("def rk_losses(): ...", "rk_losses() is not marked with @rk.hookimpl", id="not marked"),
        pytest.param("def rk_recipes(): ...", "rk_recipes() is not marked with @rk.hookimpl", id="recipes not marked"),
    ],
)
def test_a_function_that_would_never_be_called_is_reported(source, said, beside):
    plugin = beside(f"{HEALTHY}\n{source}", parts=TOY)
    assert plugin.errors == [said]
    assert [c.name for c in plugin.components] == ["toy"]


def test_a_hook_that_takes_arguments_is_reported(beside):
    plugin = beside("from rk import hookimpl\n@hookimpl\ndef rk_models(catalog): ...")
    assert plugin.state == "failed"
    assert "PluginValidationError" in plugin.errors[0]


def test_a_module_without_hooks_is_a_plugin_without_components(beside):
    plugin = beside("x = 1")
    assert (plugin.state, plugin.components, plugin.recipes) == ("ok", [], None)


@pytest.mark.parametrize("name", ["Upper", "under_score", "", "a/b", "a b", "-a", "a--b", "ä"])
def test_an_entry_point_with_a_bad_name_is_not_loaded(name, workshop):
    module = workshop.package("x = 1")
    (_, plugin) = Plugins([PluginEntry(name, module, "rk-odd", "1.0")])
    assert plugin.errors == [f"entry point {name!r}: names are lower-case words joined by hyphens"]
    assert module not in sys.modules


@pytest.mark.parametrize("name", ["twin", BUILTIN])
def test_a_second_plugin_of_the_same_name_is_not_loaded(name, workshop):
    first, second = (workshop.entry(name, HEALTHY, parts=TOY) for _ in range(2))
    second = PluginEntry(second.name, second.module, "rk-second", "2.0")
    plugins = list(Plugins([first, second]))
    (error,) = plugins[-1].errors
    owner = "recursion-kit" if name == BUILTIN else f"rk-{name} 1.0"
    assert error.startswith(f"the name {name!r} is taken by {owner}") and error.endswith("uninstall one")
    assert plugins[-1].components == []
    assert second.module not in sys.modules


def test_one_module_under_two_names_is_loaded_once(workshop):
    first = workshop.entry("one", HEALTHY, parts=TOY)
    _, one, two = Plugins([first, PluginEntry("two", first.module, "rk-two", "1.0")])
    assert (one.state, two.state) == ("ok", "failed")
    assert "already registered" in two.errors[0]


def test_two_plugins_may_offer_the_same_name_and_each_is_found_by_its_own(workshop):
    catalog = workshop.catalog(*(workshop.entry(name, HEALTHY, parts=TOY) for name in ("one", "two")))
    assert [p.state for p in catalog.plugins] == ["ok"] * 3
    assert {catalog.resolve("model", f"{name}/toy").distribution for name in ("one", "two")} == {"rk-one", "rk-two"}


# -- what is asked of a broken plugin ----------------------------------------------------------------------------------


def test_asking_for_a_component_of_a_broken_plugin_shows_what_is_wrong_with_it(workshop, check):
    catalog = workshop.catalog(workshop.entry("odd", "1 / 0"))
    checked = check("rk: 1\nmodel: odd/net\ndata: digits\n", catalog=catalog)
    said = next(line for line in checked.lines if "odd/net" in line)
    assert "hint: rk-odd is installed but import throwaway_" in said and "division by zero" in said


def test_asking_for_an_unknown_name_shows_which_plugins_were_not_loaded(workshop, check):
    catalog = workshop.catalog(workshop.entry("odd", "1 / 0"))
    checked = check("rk: 1\nmodel: net\ndata: digits\n", catalog=catalog)
    assert any("installed models: mlp; not loaded: rk-odd (see rk plugins doctor)" in line for line in checked.lines)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        pytest.param("class Other: ...", "defines no class Toy", id="no such class"),
        pytest.param("class Toy(:", "invalid syntax", id="broken syntax"),
        pytest.param(
            "class Toy:\n    def __init__(self, **kw): ...", "takes *args or **kwargs", id="hidden parameters"
        ),
    ],
)
def test_a_component_that_cannot_be_read_is_named_with_its_distribution(source, said, workshop, check):
    catalog = workshop.catalog(workshop.entry("odd", HEALTHY, parts=source))
    (component,) = (c for c in catalog.of_kind("model") if c.plugin == "odd")
    for read in (catalog.signature, lambda c: (catalog.info(c), catalog.signature(c))):
        with pytest.raises(UserError, match=r"^rk-odd: model toy: ") as caught:
            read(component)
        assert said in caught.value.message
    assert any(said in line for line in check("rk: 1\nmodel: toy\n", catalog=catalog).lines)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        pytest.param("1 / 0", "ZeroDivisionError: division by zero", id="raises"),
        pytest.param("import sys; sys.exit(0)", "SystemExit: 0", id="exits"),
        pytest.param("x = 1", "AttributeError", id="lacks the class"),
    ],
)
def test_a_component_that_cannot_be_imported_is_named_with_its_distribution(source, said, workshop):
    catalog = workshop.catalog(workshop.entry("odd", HEALTHY, parts=source))
    with pytest.raises(UserError, match=r"^rk-odd: model toy: import throwaway_\d+\.parts:Toy: ") as caught:
        catalog.load(catalog.resolve("model", "toy"))
    assert said in caught.value.message


def test_a_component_is_imported_when_it_is_loaded_and_not_before(workshop):
    entry = workshop.entry("plain", HEALTHY, parts=TOY)
    catalog = workshop.catalog(entry)
    component = catalog.resolve("model", "toy")
    assert catalog.signature(component).names == ["width"]
    assert f"{entry.module}.parts" not in sys.modules
    assert catalog.load(component).__name__ == "Toy"
    assert f"{entry.module}.parts" in sys.modules


# -- recipes -----------------------------------------------------------------------------------------------------------


def test_the_recipes_of_a_plugin_are_beside_its_module(workshop):
    entry = workshop.entry("shelf", "x = 1")
    folder = workshop.folder / entry.module / "recipes"
    folder.mkdir()
    assert list(Plugins([entry]))[-1].recipes == folder


@pytest.mark.parametrize("kind", ["str", "Path"])
def test_a_plugin_may_keep_its_recipes_elsewhere(kind, workshop, tmp_path):
    source = "from pathlib import Path\nfrom rk import hookimpl\n@hookimpl\ndef rk_recipes():\n"
    source += f"    return {kind}({str(tmp_path)!r})"
    assert list(Plugins([workshop.entry("shelf", source)]))[-1].recipes == tmp_path


@pytest.mark.parametrize("answer", ["'/no/such/folder'", "3", "['recipes']"])
def test_recipes_that_are_not_a_folder_are_reported(answer, beside):
    plugin = beside(f"from rk import hookimpl\n@hookimpl\ndef rk_recipes():\n    return {answer}")
    assert plugin.errors == [f"rk_recipes() returned {eval(answer)!r}, which is not a folder"]


# -- what is installed -------------------------------------------------------------------------------------------------


def test_every_kind_has_its_hook():
    from rk import hookspecs
    from rk.protocols import KINDS

    assert list(HOOK_OF_KIND) == list(KINDS)
    assert {name for name in vars(hookspecs) if name.startswith("rk_")} == {*HOOK_OF_KIND.values(), "rk_recipes"}


def test_the_built_ins_are_a_plugin_like_any_other(catalog):
    (plugin,) = catalog.plugins
    assert (plugin.name, plugin.distribution, plugin.state) == ("rk", "recursion-kit", "ok")
    assert {"mlp", "digits", "backprop", "adam"} <= {c.name for c in plugin.components}


@pytest.fixture
def site(tmp_path, monkeypatch):
    """Installs distributions, in the eyes of Python; their packages need not exist."""
    folder = tmp_path / "site-packages"

    def install(distribution: str, entry_points: str, metadata: str | None = "") -> None:
        info = folder / f"{distribution.replace('-', '_')}-1.2.dist-info"
        info.mkdir(parents=True)
        if metadata is not None:
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n{metadata}")
        (info / "entry_points.txt").write_text(f"[rk.plugins]\n{entry_points}\n")

    monkeypatch.syspath_prepend(str(folder))
    return install


def test_installed_plugins_are_listed_by_name_and_none_is_loaded(site):
    site("rk-zebra", "zebra = rk_zebra")
    site("rk-Ant", "ant = rk_ant\nbee = rk_bee")
    found = [(o.name, o.module, o.distribution, o.version) for o in installed()]
    assert [each for each in found if each[3] == "1.2"] == [
        ("ant", "rk_ant", "rk-Ant", "1.2"),
        ("bee", "rk_bee", "rk-Ant", "1.2"),
        ("zebra", "rk_zebra", "rk-zebra", "1.2"),
    ]
    assert not {"rk_ant", "rk_bee", "rk_zebra"} & sys.modules.keys()


def test_leftovers_of_a_broken_uninstall_do_not_affect_other_plugins(site):
    site("rk-gone", "gone = rk_gone", metadata=None)
    site("rk-here", "here = rk_here")
    entries = {entry.name: entry for entry in installed()}
    assert entries["gone"].distribution == "rk-gone", "as its folder is called"
    assert entries["here"].distribution == "rk-here"
    loaded = {p.name: p.distribution for p in Plugins()}
    assert {"rk": "recursion-kit", "gone": "rk-gone", "here": "rk-here"}.items() <= loaded.items()
    failed = {p.name: p.errors for p in Plugins(entries[name] for name in ("gone", "here"))}
    assert "No module named 'rk_gone'" in failed["gone"][0]


def test_a_module_that_is_not_installed_can_be_added():
    module = types.ModuleType("from_a_notebook")
    exec("from rk import hookimpl\n@hookimpl\ndef rk_models():\n    return {'toy': 'a.b:C'}", vars(module))
    plugins = Plugins([])
    plugin = plugins.add(module, "notebook", "none")
    assert plugin.state == "ok"
    assert Catalog(plugins).resolve("model", "toy").qualified == "notebook/toy"


def test_two_sets_of_plugins_share_nothing(workshop):
    entry = workshop.entry("only", HEALTHY, parts=TOY)
    assert len(list(Plugins([entry]))) == 2
    assert len(list(Plugins([]))) == 1
    assert list(Plugins([entry]))[-1].state == "ok", "loaded again, not taken as registered already"

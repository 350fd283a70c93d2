"""Versions: a plugin made for another host is not loaded; a recipe lists the plugins that it needs; some are
disabled.
"""

from __future__ import annotations

import sys

import pytest
from packaging.specifiers import SpecifierSet

import rk
from rk.catalog import Catalog
from rk.compatibility import allows, host_range, normalized, parse_requirement
from rk.plugins import PluginEntry, Plugins, installed

TOY = "from rk import hookimpl\n@hookimpl\ndef rk_models():\n    return {'toy': 'PACKAGE.parts:Toy'}\n"
NET = """
from torch import Tensor, nn
from jaxtyping import Float
from rk.fields import LogitsOutputs
class Toy(nn.Module):
    def __init__(self): ...
    def forward(self, *, inputs: Float[Tensor, "batch *shape"]) -> LogitsOutputs: ...
"""
RECIPE = "rk: 1\nmodel: toy\ndata: digits\nloss: cross-entropy\ntrainer: {name: backprop, optimizer: adam}\n"
RECIPE += "fit: {max_steps: 1}\n"

# -- versions ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["0.1", "0.1.0", "0.2", "0.10", "1", "1.0.0", "2.5.1"])
@pytest.mark.parametrize("clause", [">=0.1,<0.2", ">=0.2", "<1", "==1.0", "!=0.10", ">0.1", "<=0.10.0", ""])
def test_plain_ranges_are_compared_as_packaging_does(version, clause):
    assert allows(clause, version) == SpecifierSet(clause).contains(version, prereleases=True)


@pytest.mark.parametrize(("clause", "version"), [("~=1.2", "1.9"), ("==1.*", "1.4"), (">=1", "1.0rc1"), ("<2", "1!1")])
def test_version_ranges_that_are_not_plain_are_left_to_packaging(clause, version):
    assert allows(clause, version) == SpecifierSet(clause).contains(version, prereleases=True)


@pytest.mark.parametrize("clause", [">=", "three", ">=1,,x", "=>1"])
def test_an_invalid_version_range_is_reported(clause):
    with pytest.raises(ValueError):
        allows(clause, "1.0")


@pytest.mark.parametrize(
    ("line", "range_"),
    [
        ("recursion-kit>=0.1,<0.2", ">=0.1,<0.2"),
        ("recursion_kit (>=0.1)", ">=0.1"),
        ("Recursion.Kit[digits] >=0.1, <1", ">=0.1,<1"),
        ("recursion-kit", ""),
        ("recursion-kit>=0.1; python_version >= '3.11'", ">=0.1"),
        ("recursion-kit[onnx]>=9; extra == 'onnx'", None),
        ("recursion-kit-tools>=9", None),
        ("torch>=2.5", None),
    ],
)
def test_the_range_of_the_host_is_read_from_the_headers(line, range_):
    assert (
        host_range(f"Metadata-Version: 2.1\nName: x\nRequires-Dist: {line}\n\nRequires-Dist: recursion-kit>=99\n")
        == range_
    )


def test_names_of_distributions_are_compared_as_the_index_does():
    assert normalized("RK_Pointer.Net") == "rk-pointer-net"
    assert str(parse_requirement(" rk-noprop [x] >= 0.2, <0.3 ")) == "rk-noprop>=0.2,<0.3"


# -- a plugin made for another host ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "said"),
    [
        (">=9.0,<10", "made for recursion-kit>=9.0,<10, and this is HOST; try: pip install --upgrade recursion-kit"),
        (">=0.0.1,<0.0.2", "made for recursion-kit>=0.0.1,<0.0.2, and this is HOST; try: pip install --upgrade rk-odd"),
        ("latest", "requires recursion-kitlatest, which is not a version range"),
    ],
)
def test_it_is_not_loaded_and_the_error_is_what_to_do(host, said, workshop, check):
    module = workshop.package("import sys; sys.exit('must not be imported')")
    plugins = Plugins([PluginEntry("odd", module, "rk-odd", "1.0", host)])
    odd = list(plugins)[-1]
    assert odd.errors == [said.replace("HOST", rk.__version__)]
    assert (odd.state, module in sys.modules) == ("failed", False)
    checked = check("rk: 1\nmodel: odd/net\ndata: digits\n", catalog=Catalog(plugins))
    assert any(f"hint: rk-odd is installed but {odd.errors[0]}" in line for line in checked.lines)


def test_it_is_loaded_where_the_range_holds_this_host_or_there_is_none(workshop):
    for host in (None, "", f">={rk.__version__}", f"=={rk.__version__}"):
        entry = PluginEntry("odd", workshop.package(TOY, parts=NET), "rk-odd", "1.0", host)
        assert list(Plugins([entry]))[-1].state == "ok"


def test_the_range_of_an_installed_plugin_comes_from_its_metadata(tmp_path, monkeypatch):
    info = tmp_path / "rk_late-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: rk-late\nVersion: 1.0\nRequires-Dist: recursion-kit>=9\n"
    )
    (info / "entry_points.txt").write_text("[rk.plugins]\nlate = rk_late\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    (entry,) = (o for o in installed() if o.name == "late")
    assert entry.host == ">=9"


# -- disabled plugins --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("named", ["one", "rk-one", "RK_One", " one , three", "*"])
def test_a_disabled_plugin_is_listed_and_not_imported(named, workshop, monkeypatch, check):
    entries = [workshop.entry(name, TOY, parts=NET) for name in ("one", "two")]
    monkeypatch.setenv("RK_DISABLE_PLUGINS", named)
    plugins = Plugins(entries)
    states = {p.name: p.state for p in plugins}
    assert states == {"rk": "ok", "one": "disabled", "two": "disabled" if named == "*" else "ok"}
    assert entries[0].module not in sys.modules
    checked = check(RECIPE.replace("toy", "one/toy"), catalog=Catalog(plugins))
    assert "hint: rk-one is disabled by RK_DISABLE_PLUGINS or --no-plugins" in checked.lines[0]


def test_no_plugins_leaves_the_built_in_components(rk):
    done = rk("--no-plugins", "list", "model", "--json")
    assert done.code == 0 and '"name": "mlp"' in done.out and "pointer-net" not in done.out


# -- what a recipe requires --------------------------------------------------------------------------------------------


@pytest.fixture
def toys(workshop):
    """A catalog with the plugin toys, of the distribution rk-toys 1.0."""
    return workshop.catalog(workshop.entry("toys", TOY, parts=NET))


@pytest.mark.parametrize("needed", ["[rk-toys]", "[RK_Toys]", "['rk-toys>=1,<2', recursion-kit]", "[]", "null"])
def test_a_requirement_that_is_met_is_not_a_problem(needed, toys, check):
    assert check(f"{RECIPE}requires: {needed}\n", catalog=toys).problems == []


@pytest.mark.parametrize(
    ("needed", "said"),
    [
        ("rk-noprop", "rk-noprop is not installed\n  hint: pip install rk-noprop"),
        ("rk-noprop>=0.2", "rk-noprop is not installed\n  hint: pip install 'rk-noprop>=0.2'"),
        (
            "rk-toys>=2",
            "the recipe needs rk-toys>=2, installed is 1.0\n  hint: pip install 'rk-toys>=2'",
        ),
        (
            "recursion-kit>=99",
            f"the recipe needs recursion-kit>=99, installed is {rk.__version__}"
            "\n  hint: pip install 'recursion-kit>=99'",
        ),
        (
            "rk toys",
            "'rk toys' is not a requirement\n  hint: a distribution, with versions or without: rk-pointer-net>=0.1",
        ),
    ],
)
def test_an_unmet_requirement_is_reported_with_its_place_and_nothing_else_is(needed, said, toys, check):
    checked = check(f"{RECIPE.replace('toy', 'noprop/block')}requires: [rk-toys, '{needed}']\n", catalog=toys)
    assert checked.lines == [f"recipe.yaml:7:21: requires.1: {said}"]


def test_it_is_reported_before_a_recipe_of_the_missing_plugin_is_looked_for(toys, check):
    checked = check("rk: 1\nextends: noprop/digits\nrequires: [rk-noprop]\n", catalog=toys)
    assert [p.message for p in checked.problems] == ["rk-noprop is not installed"]


def test_a_broken_or_disabled_plugin_does_not_meet_a_requirement(workshop, check, monkeypatch):
    monkeypatch.setenv("RK_DISABLE_PLUGINS", "off")
    catalog = workshop.catalog(workshop.entry("odd", "1 / 0"), workshop.entry("off", TOY, parts=NET))
    checked = check("rk: 1\nrequires: [rk-odd, rk-off]\n", catalog=catalog)
    assert [p.message.partition(":")[0] for p in checked.problems] == [
        "rk-odd is installed but not loaded",
        "rk-off is disabled",
    ]


@pytest.mark.parametrize("needed", ["rk-toys", "[3]", "{rk-toys: 1}"])
def test_anything_but_a_list_of_strings_is_a_mistake_like_any_other(needed, toys, check):
    (problem,) = check(f"{RECIPE}requires: {needed}\n", catalog=toys).problems
    assert problem.key.startswith("requires") and "expected a" in problem.message


def test_a_stored_recipe_requires_what_it_uses(toys, check):
    stored = check(f"{RECIPE}requires: ['rk-toys>=1', 'recursion-kit>=0.1']\n", catalog=toys).recipe.plain()
    assert stored["requires"] == ["rk-toys>=1", "recursion-kit>=0.1"]
    assert check(RECIPE, catalog=toys).recipe.plain()["requires"] == ["rk-toys"]
    assert "requires" not in check(RECIPE.replace("toy", "mlp"), catalog=toys).recipe.plain()


def test_a_recipe_of_a_missing_plugin_is_reported_with_its_likely_distribution(rk):
    done = rk("train", "hyperplane/quick")
    assert done.code == 2
    assert "there is no plugin hyperplane (installed: " in done.err
    assert "; if it is a published one: pip install rk-hyperplane" in done.err

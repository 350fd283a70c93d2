"""`rk plugins new`: what it writes is read, trained, tested, built and installed as it is."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from rk.catalog import Catalog
from rk.errors import UserError
from rk.hookspecs import HOOK_OF_KIND
from rk.kinds import EXAMPLES
from rk.plugins import PluginEntry, Plugins
from rk.recipe import check_recipe
from rk.recipe.find import packaged
from rk.review import faults, gaps
from rk.scaffold import TEMPLATES, new_plugin
from rk.testing import equations
from rk.testing.zygote import shared_zygote

KINDS = tuple(HOOK_OF_KIND)


def run(*command: str | Path, cwd: Path, timeout: float = 300) -> str:
    """Runs a command and returns what it prints; the test fails with it where the command does."""
    done = subprocess.run([str(c) for c in command], cwd=cwd, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def announce(root: Path) -> Path:
    """Makes Python find the plugin's sources and its entry point, as an editable install does; returns the folder."""
    source = root / "src"
    (package,) = (p.name for p in source.iterdir() if p.is_dir())
    name = root.name.removeprefix("rk-")
    info = source / f"{package}-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {root.name}\nVersion: 0.1.0\nRequires-Dist: recursion-kit\n"
    )
    (info / "entry_points.txt").write_text(f"[rk.plugins]\n{name} = {package}\n")
    return source


def test_every_kind_has_an_example():
    assert EXAMPLES.keys() == HOOK_OF_KIND.keys()
    assert {f"{kind}.py.j2" for kind in EXAMPLES} <= {path.name for path in (TEMPLATES / "src/PACKAGE").iterdir()}


@pytest.mark.parametrize("kinds", [*((kind,) for kind in KINDS), KINDS], ids=lambda kinds: "-".join(kinds)[:30])
def test_components_are_typed_and_documented_and_recipes_are_valid(kinds, tmp_path, monkeypatch):
    name = f"one-{'-'.join(kinds)}"[:20].strip("-")
    new_plugin(name, tmp_path, kinds)
    monkeypatch.syspath_prepend(str(tmp_path / f"rk-{name}" / "src"))
    package = f"rk_{name.replace('-', '_')}"
    catalog = Catalog(Plugins([PluginEntry(name, package, f"rk-{name}", "0.1.0")]))
    plugin = catalog.plugins.find(name)
    assert plugin.state == "ok", plugin.errors
    offered = {c.kind for c in plugin.components}
    assert offered == {*kinds} | ({"model"} if "layer" in kinds else set()), (
        "a layer comes with a model that has a slot"
    )
    for component in plugin.components:
        assert [*faults(component, catalog), *gaps(component, catalog)] == []
    equations.check(plugin)  # its EQUATIONS.md has a row for each of them
    for file in packaged(catalog.plugins):
        checked = check_recipe(file, (), catalog)
        assert [str(p) for p in (*checked.problems, *checked.warnings)] == []


def test_its_own_tests_pass(tmp_path, monkeypatch):
    """All kinds at once, with the contract kit on both recipes."""
    new_plugin("all-kinds", tmp_path, KINDS)
    root = tmp_path / "rk-all-kinds"
    source = str(announce(root))
    monkeypatch.chdir(root)
    monkeypatch.setenv("PYTHONPATH", source)
    monkeypatch.setattr(sys, "path", [source, str(Path(__file__).parent / "testing"), *sys.path])
    code, printed = shared_zygote().call("kits:own_tests")
    assert code == 0 and "passed" in printed and "failed" not in printed, printed[-3000:]


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """Returns a folder with the wheel and the sdist of a plugin, as its author would build them."""
    folder = tmp_path_factory.mktemp("author")
    new_plugin("my-net", folder)
    run(sys.executable, "-m", "hatchling", "build", cwd=folder / "rk-my-net")
    return folder / "rk-my-net" / "dist"


@pytest.mark.parametrize("ending", [".whl", ".tar.gz"])
def test_it_is_built_and_works_where_it_is_installed(ending, built, tmp_path, rk):
    (file,) = built.glob(f"*{ending}")
    site = tmp_path / "site"
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-build-isolation", "--no-deps", "--no-index")
    run(*pip, "--target", site, file, cwd=tmp_path)
    examined = rk("plugins", "doctor", "my-net", PYTHONPATH=str(site))
    assert "healthy" in examined.out, examined.err
    trained = rk("train", "my-net/quick", "fit.max_steps=20", PYTHONPATH=str(site))
    assert trained.code == 0 and "test/accuracy" in trained.out, trained.err
    assert importlib.metadata.Distribution.at(next(site.glob("*.dist-info"))).version == "0.1.0"


def test_the_wheel_brings_the_recipes_and_the_licence_and_requires_this_host(built):
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(next(n for n in names if n.endswith("METADATA"))).decode()
    assert {"rk_my_net/recipes/quick.yaml", "rk_my_net/recipes/quick-baseline.yaml"} <= set(names)
    assert any("LICENSE" in name for name in names)
    assert "Requires-Dist: recursion-kit[digits]<0.2,>=0.1" in metadata


def test_a_folder_that_is_there_is_not_touched(tmp_path):
    new_plugin("my-net", tmp_path)
    (tmp_path / "rk-my-net" / "README.md").write_text("mine")
    with pytest.raises(UserError, match="exists already"):
        new_plugin("rk-my-net", tmp_path)
    assert (tmp_path / "rk-my-net" / "README.md").read_text() == "mine"


def test_an_unknown_kind_is_refused_with_the_nearest_name(tmp_path):
    with pytest.raises(UserError, match="there is no kind 'trianer'") as caught:
        new_plugin("my-net", tmp_path, ("model", "trianer"))
    assert "did you mean trainer?" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_the_command_prints_what_to_do_next(rk, tmp_path):
    done = rk("plugins", "new", "my-net", "--kind", "layer, metric")
    assert done.code == 0
    assert done.out.splitlines()[-3:] == [
        "  pip install -e 'rk-my-net[test]'",
        "  rk train my-net/quick",
        "  rk plugins test my-net",
    ]
    assert (tmp_path / "rk-my-net" / "src" / "rk_my_net" / "layer.py").is_file()


@pytest.mark.parametrize("name", ["vision", "rk-vision"])
def test_a_plugin_that_would_replace_an_installed_one_is_refused(name, tmp_path, monkeypatch):
    info = tmp_path / "site" / "rk_vision-9.9.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: rk-vision\nVersion: 9.9\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    with pytest.raises(UserError, match=r"rk-vision 9\.9 is installed already: .* would replace it"):
        new_plugin(name, tmp_path)
    assert not (tmp_path / "rk-vision").exists()


def test_a_name_that_no_file_can_have_is_refused(tmp_path):
    with pytest.raises(UserError, match="at most 50 characters, got 300"):
        new_plugin("x" * 300, tmp_path)

"""A release is built from what its tag names, and what is missing in it is found before anything is published."""

from __future__ import annotations

import runpy
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
RELEASE = runpy.run_path(str(ROOT / ".ci" / "release.py"))
NotReady = RELEASE["NotReady"]


@pytest.fixture
def plugin(tmp_path):
    """Returns a copy of a plugin's folder, in which a test may break what it likes."""
    target = tmp_path / "plugins" / "rk-noprop"
    shutil.copytree(ROOT / "plugins" / "rk-noprop", target, ignore=shutil.ignore_patterns("pictures", "__pycache__"))
    return target


def faults(folder: Path, out: Path) -> list[str]:
    """Returns what is missing in what is built from a folder."""
    return [*RELEASE["missing"](folder, *RELEASE["build"](folder, out))]


def names(sdist: Path) -> list[str]:
    """Returns the files of a sdist."""
    with tarfile.open(sdist) as archive:
        return archive.getnames()


def test_a_plugin_is_built_with_all_that_it_needs_and_without_its_tests(plugin, tmp_path):
    (plugin / "EQUATIONS.md").write_text("# Equations\n")
    sdist, wheel = RELEASE["build"](plugin, tmp_path / "dist")
    assert [*RELEASE["missing"](plugin, sdist, wheel)] == []
    with zipfile.ZipFile(wheel) as archive:
        shipped = archive.namelist()
    assert {"rk_noprop/recipes/digits-dt.yaml", "rk_noprop/recipes/results.json", "rk_noprop/py.typed"} <= {*shipped}
    assert not [name for name in shipped if "test" in name]
    kept = {name.partition("/")[2] for name in names(sdist)}
    assert {"EQUATIONS.md", "LICENSE", "CHANGELOG.md", "tests/test_contract.py"} <= kept


def test_the_host_is_built_without_the_plugins(tmp_path):
    sdist, wheel = RELEASE["build"](ROOT, tmp_path / "dist")
    assert [*RELEASE["missing"](ROOT, sdist, wheel)] == []
    tops = {name.split("/")[1] for name in names(sdist)}
    assert "rk" in tops and not tops & {"plugins", "tests", "docs"}


def changed(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        (
            "pyproject.toml",
            'license-files = ["LICENSE"]',
            "license-files = []",
            "the wheel lacks rk_noprop-0.1.0.dist-",
        ),
        ("pyproject.toml", '"/CHANGELOG.md", ', "", "the sdist lacks CHANGELOG.md"),
        ("pyproject.toml", "Issues = ", "Bugs = ", "the metadata lacks the address Issues"),
        ("pyproject.toml", ",<0.2", "", "up to which version of recursion-kit"),
        (
            "pyproject.toml",
            'packages = ["src/rk_noprop"]',
            'packages = ["src/rk_noprop"]\nexclude = ["*.json"]',
            "the wheel lacks rk_noprop/recipes/results.json",
        ),
        (
            "pyproject.toml",
            'packages = ["src/rk_noprop"]',
            'packages = ["src/rk_noprop"]\nforce-include = {"tests" = "tests"}',
            "the wheel must not have tests/",
        ),
        ("README.md", "# rk-noprop\n", "# rk-noprop\n\n[here](docs/page.md)\n", "leads nowhere on a package index"),
    ],
    ids=["licence", "changelog", "address", "host", "results", "tests", "link"],
)
def test_what_is_missing_is_named(file, old, new, said, plugin, tmp_path):
    changed(plugin / file, old, new)
    assert any(said in line for line in faults(plugin, tmp_path / "dist"))


def test_a_tag_names_the_host_or_a_plugin_with_its_version_and_a_section_of_the_changelog(plugin, tmp_path):
    changed(plugin / "CHANGELOG.md", "## [Unreleased]\n", "## [Unreleased]\n\n## [0.1.0] - 2026-12-01\n")
    assert RELEASE["folder_of"]("rk-noprop-v0.1.0", tmp_path) == plugin
    for name in ("pyproject.toml", "CHANGELOG.md"):
        shutil.copy(plugin / name, tmp_path)
    assert RELEASE["folder_of"]("v0.1.0", tmp_path) == tmp_path


@pytest.mark.parametrize(
    ("tag", "said"),
    [
        ("0.1.0", "must be v1.2.3 for the host or rk-NAME-v1.2.3 for a plugin"),
        ("rk-noprop-v0.1", "must be v1.2.3"),
        ("rk-nothing-v0.1.0", "there is no plugin rk-nothing"),
        ("rk-noprop-v0.3.0", "the version in plugins/rk-noprop/pyproject.toml is 0.1.0"),
        ("rk-noprop-v0.1.0", "plugins/rk-noprop/CHANGELOG.md has no section '## [0.1.0]'"),
    ],
)
def test_a_tag_that_fits_nothing_is_refused(tag, said, plugin, tmp_path):
    with pytest.raises(NotReady, match="^" + tag) as caught:
        RELEASE["folder_of"](tag, tmp_path)
    assert said in str(caught.value)

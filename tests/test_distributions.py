"""What is installed is recorded: versions, where distributions are from, and the digest of editable ones."""

from __future__ import annotations

import json
from importlib.metadata import distributions as known
from pathlib import Path

import pytest

from rk import distributions
from rk.distributions import all_versions, canonical, digest, origins
from rk.environment import describe

PYPROJECT = '[project]\nname = "my-net"\n[project.entry-points."rk.plugins"]\nmy-net = "my_net:hooks"\n'


def test_versions_are_those_that_the_metadata_has():
    first = {}
    for one in known():
        first.setdefault(canonical(one.metadata["Name"]), one.version)
    assert {name: first[name] for name in all_versions()} == all_versions()
    assert all_versions().keys() >= {"torch", "recursion-kit", "pytest"}


@pytest.fixture
def editable(tmp_path):
    """The folder of an editable distribution with one package."""
    folder = tmp_path / "my-net"
    (folder / "src" / "my_net" / "recipes").mkdir(parents=True)
    (folder / "pyproject.toml").write_text(PYPROJECT)
    (folder / "src" / "my_net" / "__init__.py").write_text("x = 1\n")
    (folder / "src" / "my_net" / "recipes" / "quick.yaml").write_text("rk: 1\n")
    return folder


def fresh(folder: Path) -> str | None:
    digest.cache_clear()
    return digest(folder)


@pytest.mark.parametrize("file", ["src/my_net/__init__.py", "src/my_net/recipes/quick.yaml", "src/my_net/new.py"])
def test_the_digest_of_an_editable_distribution_follows_every_file_of_its_package(editable, file):
    before = fresh(editable)
    (editable / file).write_text("x = 2\n")
    assert before is not None and fresh(editable) not in (None, before)


@pytest.mark.parametrize("file", ["README.md", "tests/test_it.py", "src/my_net/__pycache__/x.pyc", ".git/HEAD"])
def test_other_files_do_not_change_the_digest(editable, file):
    before = fresh(editable)
    (editable / file).parent.mkdir(exist_ok=True)
    (editable / file).write_text("x = 2\n")
    assert fresh(editable) == before


def test_a_folder_without_a_package_has_no_digest(editable):
    (editable / "src" / "my_net").rename(editable / "src" / "other")
    assert fresh(editable) is None and fresh(editable / "nowhere") is None


@pytest.mark.parametrize(
    ("said", "origin"),
    [
        (
            {"url": "https://user:secret@host.org/r.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
            {"url": "https://host.org/r.git", "vcs": "git", "commit": "abc"},
        ),
        (
            {"url": "https://host.org/r.whl", "archive_info": {"hashes": {"sha256": "12"}}},
            {"url": "https://host.org/r.whl", "sha256": "12"},
        ),
        ({"url": "file:///a%20b", "dir_info": {"editable": True}}, {"folder": "/a b", "editable": True}),
        ({"url": "file:///a", "dir_info": {}}, {"folder": "/a", "editable": False}),
        ("damaged", None),
    ],
)
def test_where_a_distribution_is_from_is_recorded_without_passwords(tmp_path, said, origin):
    (tmp_path / "direct_url.json").write_text(json.dumps(said))
    assert distributions._origin(tmp_path) == origin


def test_only_editable_distributions_that_take_part_have_a_digest(monkeypatch, tmp_path, editable):
    def place(name, requires=()):
        folder = tmp_path / f"{name.replace('-', '_')}-1.0.dist-info"
        folder.mkdir()
        said = {"url": editable.as_uri(), "dir_info": {"editable": True}}
        (folder / "direct_url.json").write_text(json.dumps(said))
        lines = [f"Name: {name}", "Version: 1.0", *(f"Requires-Dist: {one}" for one in requires)]
        (folder / "METADATA").write_text("\n".join(lines) + "\n")
        return folder

    folders = {"used": place("used", ["Needed>=1", "numpy"]), "needed": place("needed"), "other": place("other")}
    monkeypatch.setattr(distributions, "installed", lambda: folders)
    assert {name for name, origin in origins(["Used"]).items() if "digest" in origin} == {"used", "needed"}


def test_a_description_has_every_version_and_the_variables_that_change_numbers(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    found = describe(())["environment"]
    assert found["distributions"] == all_versions() and found["variables"]["OMP_NUM_THREADS"] == "3"
    assert "digest" in found["origins"].get("recursion-kit", {"digest": None})

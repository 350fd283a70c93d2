"""The pytest plugin of rk: an option and a fixture. Pytest loads it in every project, so it imports nothing heavy."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rk-plugin", metavar="NAME", help="the plugin that rk.testing.PluginContract tests")
    parser.addoption("--rk-all", action="store_true", help="take two steps of recipes made for larger machines, too")


@pytest.fixture(scope="class")
def rk_bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the tests of a `rk.testing.PluginContract` share: the plugin, the components, and short runs."""
    from rk.testing.contract import workbench

    return workbench(request, tmp_path_factory.mktemp("runs"))


@pytest.fixture
def rk_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An empty working folder, in which the test is: a `rk.testing.folder.Folder`, which runs `rk` in this process."""
    from rk.testing.folder import Folder

    monkeypatch.chdir(tmp_path)
    return Folder(tmp_path)


@dataclass(frozen=True)
class Done:
    """A program that has ended: its exit code and what it printed."""

    code: int
    out: str
    err: str


@pytest.fixture
def rk(tmp_path: Path) -> Callable[..., Done]:
    """Runs `rk` with the given arguments, in an empty folder that the test has as `tmp_path`; returns a `Done`."""

    def call(*arguments: str | Path, timeout: float = 120, **environment: str) -> Done:
        done = subprocess.run(
            [sys.executable, "-m", "rk", *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    return call

"""The pytest plugin of rk: an option and a fixture. Pytest loads it in every project, so it imports nothing heavy."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

OF_THE_USER = (
    "RK_RUNS", "RK_DISABLE_PLUGINS", "RK_TRACEBACK", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "PYTHONUNBUFFERED",
)  # fmt: skip
"""Environment variables that change where a program writes and how it prints: no test depends on the user's."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rk-plugin", metavar="NAME", help="the plugin that rk.testing.PluginContract tests")
    parser.addoption(
        "--rk-times", metavar="FOLDER", help="write the CPU seconds of each test into files in this folder"
    )
    parser.addoption("--rk-all", action="store_true", help="take two steps of recipes made for larger machines, too")


def pytest_configure(config: pytest.Config) -> None:
    """Measures what the tests cost, where `--rk-times` asks for it."""
    if config.getoption("--rk-times"):
        from rk.testing.times import Times

        config.pluginmanager.register(Times(config), "rk-times")


@pytest.fixture(scope="class")
def rk_bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Fixtures that the tests of a `rk.testing.PluginContract` share: the plugin, the components, and short runs."""
    from rk.testing.contract import workbench

    return workbench(request, tmp_path_factory.mktemp("runs"))


@pytest.fixture
def rk_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An empty working folder, in which the test is: a `rk.testing.folder.Folder`, which runs `rk` in this process."""
    from rk.testing.folder import Folder

    _forget_the_user(monkeypatch)
    monkeypatch.chdir(tmp_path)
    return Folder(tmp_path)


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any, str, str, str], None]:
    """Plants a mistake for the length of a test: ``plant(owner, name, right, wrong)``.

    In the source of ``owner.name``, where the owner is a class or a module, the text `right`, which must occur once, is
    replaced by `wrong`. A test of a twin shows with it that the twin would notice.
    """
    from rk.testing.mistakes import with_mistake

    def call(owner: object, name: str, right: str, wrong: str) -> None:
        found = inspect.getattr_static(owner, name)
        changed = with_mistake(getattr(owner, name), right, wrong)
        monkeypatch.setattr(owner, name, staticmethod(changed) if isinstance(found, staticmethod) else changed)

    return call


@pytest.fixture
def rk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs `rk` with the given arguments, in an empty folder that the test has as `tmp_path`.

    The call returns a `rk.testing.zygote.Done`: exit code, output and errors. The process is a fork of one that has
    torch imported, but no plugin; each call behaves like one from a new terminal.
    """
    from rk.testing.zygote import shared_zygote

    _forget_the_user(monkeypatch)

    def call(*arguments: str | Path, timeout: float = 120, **environment: str) -> Any:
        return shared_zygote().rk(arguments, tmp_path, environment, timeout)

    return call


def _forget_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OF_THE_USER:
        monkeypatch.delenv(name, raising=False)

"""EQUATIONS.md of a plugin: what it names exists, and each mistake is reported with file and line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rk.plugins import PluginEntry, Plugins
from rk.testing import equations
from rk.testing.broken import Broken, NotApplicable

SOURCE = '''
"""A module."""

SCALE = 2.0
"""The factor of Eq. 2."""


class MyLoss:
    """The loss of Eq. 4."""

    def __call__(self, x):
        """Returns the sum."""

    def weight(self, x):
        """Returns the factor of Eq. 5."""


def uncited(x):
    """Returns x."""
'''
TEST = """
def test_it_is_the_equation():
    pass


class TestMore:
    def test_inside(self):
        pass


def helper():
    pass
"""
HEAD = "# Equations\n\n| Paper | What it says | Code | Test |\n| --- | --- | --- | --- |\n"
CODE = "`MyLoss.__call__` in `src/rk_my_net/loss.py`"
TESTED = "`tests/test_loss.py::test_it_is_the_equation`"


@pytest.fixture
def said(tmp_path):
    """Returns the check's findings for a plugin whose table has the given rows."""
    root = tmp_path / "rk-my-net"
    for name, text in {
        "pyproject.toml": "",
        "src/rk_my_net/__init__.py": "",
        "src/rk_my_net/loss.py": SOURCE,
        "tests/test_loss.py": TEST,
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)

    def call(*rows: str) -> list[str]:
        (root / "EQUATIONS.md").write_text(HEAD + "".join(f"{row}\n" for row in rows))
        return list(equations.mistakes(root))

    return call


@pytest.mark.parametrize(
    "row",
    [
        f"| Eq. 4 | the loss | {CODE} | {TESTED} |",
        "| Eq. 4 and Eq. 5 | two of a file | `MyLoss.__call__`, `MyLoss.weight` in `src/rk_my_net/loss.py` | "
        "`tests/test_loss.py::TestMore::test_inside`, `tests/test_loss.py::test_it_is_the_equation` |",
        f"| Eq. 2 | a constant, by its module | `loss.SCALE` in `src/rk_my_net/loss.py` | {TESTED} |",
        f"| Sec. 3 | a section is cited by no number: \\|x\\| | `uncited` in `src/rk_my_net/loss.py` | {TESTED} |",
    ],
)
def test_what_exists_is_accepted(row, said):
    assert said(row) == []


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            f"| Eq. 4 | renamed | `MyLoss.wieght` in `src/rk_my_net/loss.py` | {TESTED} |",
            "EQUATIONS.md:5: src/rk_my_net/loss.py has no 'MyLoss.wieght'; did you mean MyLoss.weight?",
        ),
        (
            f"| Eq. 4 | moved | `MyLoss` in `src/rk_my_net/losses.py` | {TESTED} |",
            "EQUATIONS.md:5: src/rk_my_net/losses.py does not exist",
        ),
        (
            f"| Eq. 4 | the test is gone | {CODE} | `tests/test_loss.py::test_it_is_the_equatoin` |",
            "EQUATIONS.md:5: tests/test_loss.py has no test 'test_it_is_the_equatoin'; "
            "did you mean test_it_is_the_equation?",
        ),
        (
            f"| Eq. 4 | no test | {CODE} | `tests/test_loss.py::helper` |",
            "EQUATIONS.md:5: tests/test_loss.py has no test 'helper'",
        ),
        (
            f"| Eq. 4 | no test file | {CODE} | `tests/test_gone.py::test_it` |",
            "EQUATIONS.md:5: tests/test_gone.py does not exist",
        ),
        (
            f"| Eq. 4 | no test | {CODE} | by eye |",
            "EQUATIONS.md:5: no test is named; expected `tests/test_file.py::test_name`",
        ),
        (
            f"| Eq. 4 | half a test | {CODE} | `test_it_is_the_equation` |",
            "EQUATIONS.md:5: `test_it_is_the_equation` is not a test; expected `tests/test_file.py::test_name`",
        ),
        (
            f"| Eq. 4 | |x| | {CODE} | {TESTED} |",
            "EQUATIONS.md:5: expected 4 cells (Paper | What it says | Code | Test), got 6; write \\| within a cell",
        ),
        (
            f"| Eq. 4 | | {CODE} | {TESTED} |",
            "EQUATIONS.md:5: the cell under What it says is empty",
        ),
        (
            f"| Eq. 4 | no file | `MyLoss` | {TESTED} |",
            "EQUATIONS.md:5: no file is named after `MyLoss`; "
            "expected `function` or `Class.method`, then in `src/package/file.py`",
        ),
        (
            f"| Eq. 4 | no function | `src/rk_my_net/loss.py` | {TESTED} |",
            "EQUATIONS.md:5: no function is named before `src/rk_my_net/loss.py`; "
            "expected `function` or `Class.method`, then in `src/package/file.py`",
        ),
        (
            f"| Eq. 4 | nothing | in the loss | {TESTED} |",
            "EQUATIONS.md:5: no function is named; "
            "expected `function` or `Class.method`, then in `src/package/file.py`",
        ),
        (
            f"| Equation 4 | spelt otherwise | {CODE} | {TESTED} |",
            "EQUATIONS.md:5: 'Equation 4' must be written as 'Eq. 3': docstrings are searched for it",
        ),
        (
            f"| Eq. 7 | another number | {CODE} | {TESTED} |",
            "EQUATIONS.md:5: the docstring of MyLoss.__call__ in src/rk_my_net/loss.py does not cite Eq. 7",
        ),
        (
            f"| Eq. 4 and Eq. 6 | one of two | {CODE} | {TESTED} |",
            "EQUATIONS.md:5: no docstring of this row's functions cites Eq. 6",
        ),
    ],
)
def test_a_mistake_is_reported_with_its_line(row, message, said):
    assert message in said(row)


def test_every_row_is_looked_at(said):
    rows = [f"| Eq. 4 | {i} | `gone_{i}` in `src/rk_my_net/loss.py` | {TESTED} |" for i in range(3)]
    assert [line.partition(": ")[0] for line in said(*rows)] == [f"EQUATIONS.md:{i}" for i in (5, 6, 7)]


def test_a_table_without_rows_is_not_a_map(said):
    assert said() == ["EQUATIONS.md: there is no row in a table with the columns Paper | What it says | Code | Test"]


def test_a_file_that_does_not_parse_is_reported(said, tmp_path):
    (tmp_path / "rk-my-net/src/rk_my_net/loss.py").write_text("def broken(:\n")
    (line,) = said(f"| Eq. 4 | broken | {CODE} | {TESTED} |")
    assert line.startswith("EQUATIONS.md:5: src/rk_my_net/loss.py cannot be parsed: line 1")


def test_without_tests_beside_it_only_the_code_is_compared(said, tmp_path):
    (tmp_path / "rk-my-net/tests").rename(tmp_path / "elsewhere")
    assert said(f"| Eq. 4 | an unpacked sdist | {CODE} | {TESTED} |") == []


@pytest.mark.parametrize(
    ("module", "path"),
    [
        ("rk_of_src", "src/rk_of_src/__init__.py"),
        ("rk_of_flat", "rk_of_flat/__init__.py"),
        ("rk_of_file", "rk_of_file.py"),
        ("rk_of_hooks.hooks", "src/rk_of_hooks/hooks.py"),
    ],
)
def test_the_file_is_found_beside_pyproject(module, path, tmp_path, monkeypatch):
    root = tmp_path / "checkout"
    (root / path).parent.mkdir(parents=True)
    (root / path).write_text("")
    (root / path).with_name("__init__.py").touch()
    monkeypatch.syspath_prepend(str(root / "src" if path.startswith("src") else root))
    plugin = Plugins([PluginEntry("my-net", module, "rk-my-net", "0.1.0")]).find("my-net")
    (root / "EQUATIONS.md").write_text(f"{HEAD}| Eq. 4 | gone | `x` in `x.py` | `y` |\n")
    with pytest.raises(NotApplicable, match=r"there is no EQUATIONS\.md"):  # as where a wheel is installed
        equations.check(plugin)
    (root / "pyproject.toml").write_text("")
    with pytest.raises(Broken, match=r"EQUATIONS\.md:5: x\.py does not exist"):
        equations.check(plugin)


def test_it_imports_no_torch():
    code = "import sys, rk.testing.equations; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, check=False).returncode == 0

"""Pages with commands, the tutorial above all, are carried out as they stand, in an empty folder and a new environment.

Blocks with a title are files; a block in `diff` changes one; the lines of a `console` block that begin with ``$`` are
commands, and the text below one must be in its output: in that order, whatever the spaces are, ``...`` standing
for anything, and decimals within a tenth. Other blocks are for reading.
"""

from __future__ import annotations

import os
import re
import runpy
import shlex
import subprocess
import sys
import venv
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from rk.testing.zygote import shared_zygote

DOCS = Path(__file__).parent.parent / "docs"
PAGES = [path for path in sorted(DOCS.glob("**/*.md")) if "```console" in path.read_text(encoding="utf-8")]
_BLOCK = re.compile(r"^```(\w+)(?: ([^\n]*))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_DECIMAL = re.compile(r"\d+\.\d+(?:e-?\d+)?")


@dataclass
class Step:
    """One command with what it must print, or one file with what is in it."""

    line: int
    text: str
    file: str | None = None
    changed: bool = False
    expected: list[str] = field(default_factory=list)
    code: int = 0


def steps(page: str) -> list[Step]:
    """Returns the steps of the page, in their order."""
    found: list[Step] = []
    for block in _BLOCK.finditer(page):
        language, info, body = block.groups()
        line = page.count("\n", 0, block.start()) + 1
        settings = dict(item.split("=") for item in shlex.split(info or ""))
        if "title" in settings:
            found.append(Step(line, body, file=settings["title"], changed=language == "diff"))
        elif language == "console":
            for text in body.splitlines():
                if text.startswith("$ "):
                    found.append(Step(line, text.removeprefix("$ ")))
                elif text.strip():
                    found[-1].expected.append(text)
            found[-1].code = int(settings.get("exit", 0))
    return found


class World:
    """A folder to work in, and an environment that has the host but not the plugin."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "work"
        self.folder.mkdir()
        self.environment = environment = root / "environment"
        venv.create(environment, symlinks=True)
        for name, flags in (("rk", ""), ("pip", " --no-build-isolation")):  # what builds a plugin is there already
            script = environment / "bin" / name
            script.write_text(f'#!/bin/sh\nexec "{environment}/bin/python" -m {name} "$@"{flags}\n')
            script.chmod(0o755)
        quiet = {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_QUIET": "1"}
        self.variables = {k: v for k, v in os.environ.items() if k not in ("RK_RUNS", "RK_DISABLE_PLUGINS")} | {
            "PATH": f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "OMP_NUM_THREADS": "1",
            **quiet,
        }

    def do(self, step: Step) -> None:
        if step.file is None:
            self._run(step)
        elif step.changed:
            self._change(step)
        else:
            path = self.folder / step.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(step.text, encoding="utf-8")

    def _change(self, step: Step) -> None:
        path = self.folder / step.file
        lines = step.text.splitlines()
        before, after = ("".join(f"{x[1:]}\n" for x in lines if x[:1] != sign) for sign in "+-")
        source = path.read_text(encoding="utf-8")
        assert source.count(before) == 1, f"line {step.line}: not once in {step.file}:\n{before}"
        path.write_text(source.replace(before, after), encoding="utf-8")

    def _run(self, step: Step) -> None:
        if step.text.startswith("cd "):
            self.folder = (self.folder / step.text.removeprefix("cd ")).resolve(strict=True)
            return
        if step.text.startswith("python -m pytest"):
            self._test(self.folder / step.text.split()[-1])
            return
        code, printed = self._rk(step) if step.text.startswith("rk ") else self._bash(step)
        assert code == step.code, f"line {step.line}: $ {step.text}\n{printed}"
        if (missing := first_missing(step.expected, printed)) is not None:
            pytest.fail(f"line {step.line}: $ {step.text}\ndoes not print: {missing}\nbut:\n{printed}", pytrace=False)

    def _bash(self, step: Step) -> tuple[int, str]:
        done = subprocess.run(
            ["bash", "-c", step.text],
            cwd=self.folder,
            env=self.variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )
        return done.returncode, done.stdout

    def _rk(self, step: Step) -> tuple[int, str]:
        """Runs `rk` in a fork that finds what the environment has installed; another program starts for seconds."""
        words = shlex.split(step.text, comments=True)[1:]
        (site,) = self.environment.glob("lib/python*/site-packages")
        sources = [line for file in site.glob("*.pth") for line in file.read_text().splitlines()]
        path = [str(site), *(line for line in sources if os.path.isdir(line))]
        variables = self.variables | {"PYTHONPATH": os.pathsep.join([*path, self.variables["PYTHONPATH"]])}
        done = shared_zygote().rk(words, self.folder, variables)
        return done.code, done.err + done.out

    def _test(self, path: Path) -> None:
        """Calls the tests of a file in this process: another one would take longer to start than they take."""
        sources = str(self.folder / "src")
        sys.path.insert(0, sources)
        try:
            tests = [f for name, f in runpy.run_path(str(path)).items() if name.startswith("test_")]
            assert tests
            for test in tests:
                test()
        finally:
            sys.path.remove(sources)
            for name in [name for name in sys.modules if name.partition(".")[0] == "rk_my_highway"]:
                del sys.modules[name]


def first_missing(expected: list[str], printed: str) -> str | None:
    """Returns the first of the `expected` lines that is not among those printed, after the one before; None if none."""
    lines = iter(printed.splitlines())
    for wanted in expected:
        if not any(says(line, wanted) for line in lines):
            return wanted
    return None


def says(line: str, wanted: str) -> bool:
    line, wanted = " ".join(line.split()), " ".join(wanted.split())
    pattern = re.escape(wanted).replace(re.escape("..."), ".*")
    pattern = _DECIMAL.sub(r"(\\d+\\.\\d+(?:e-?\\d+)?)", pattern.replace(r"\.", "."))
    found = re.fullmatch(pattern, line)
    numbers = [float(x) for x in _DECIMAL.findall(wanted)]
    return found is not None and all(
        abs(float(x) - y) <= 0.1 * abs(y) for x, y in zip(found.groups(), numbers, strict=True)
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_the_commands_of_a_page_print_what_it_shows(page, tmp_path):
    world = World(tmp_path)
    for step in steps(page.read_text(encoding="utf-8")):
        world.do(step)


@pytest.mark.parametrize(
    "line, wanted, same",
    [
        ("test/accuracy   0.95", "test/accuracy 0.96", True),
        ("test/accuracy   0.75", "test/accuracy 0.96", False),
        ("400 steps, 3.2 s; it is in runs/x", "400 steps, ...; it is in runs/x", True),
        ("401 steps", "400 steps", False),
        ("a (b)", "a (b", False),
    ],
)
def test_numbers_may_differ_by_a_tenth_and_words_not_at_all(line, wanted, same):
    assert says(line, wanted) is same

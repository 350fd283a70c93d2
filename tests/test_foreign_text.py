"""What is printed of others' text: no escape sequence reaches the terminal, and no letter ends a command."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Iterator

import pytest

from rk.cli.answers import print_answers
from rk.cli.output import echo, print_json, print_table
from rk.errors import Mark, Problem, RecipeError, UserError, printable_lines
from rk.fit.progress import Progress
from rk.runs import RunFolder

EVIL = "\x1b[31mred\x07\x9b0m\u202e"
SHOWN = "\\x1b[31mred\\x07\\x9b0m\\u202e"


@pytest.mark.parametrize(
    "show",
    [
        pytest.param(lambda: print_table(("a", "b"), [(EVIL, 3)]), id="table"),
        pytest.param(lambda: print_answers([{"class": EVIL}]), id="one answer"),
        pytest.param(lambda: print_answers([{"class": EVIL}, {"class": "b"}]), id="answers"),
        pytest.param(lambda: echo(EVIL), id="text"),
        pytest.param(lambda: echo(UserError(f"no {EVIL}", f"try {EVIL}").render()), id="error"),
        pytest.param(lambda: print(UserError(EVIL).render()), id="error by itself"),
        pytest.param(lambda: print(Problem(Mark(EVIL), EVIL, EVIL, EVIL)), id="problem"),
        pytest.param(lambda: Progress("a", 3).line(EVIL), id="progress"),
    ],
)
def test_escape_sequences_are_shown_and_not_sent(show, capsys):
    show()
    out = capsys.readouterr().out
    assert "\x1b" not in out and "\x07" not in out and "\u202e" not in out
    assert SHOWN in out


def test_lines_and_tabs_stay():
    assert printable_lines("a\n\tb ü\n") == "a\n\tb ü\n"
    assert printable_lines("half \ud83d") == "half \\ud83d"


def test_a_mistake_that_is_reached_twice_is_reported_once():
    problem = Problem(Mark("a.yaml", 1, 2), "fit", "wrong")
    other = Problem(Mark("a.yaml", 1, 3), "fit", "wrong")
    assert RecipeError([problem, other, Problem(Mark("a.yaml", 1, 2), "fit", "wrong")]).problems == [problem, other]


@contextlib.contextmanager
def ascii_output() -> Iterator[io.BytesIO]:
    """Standard output that has no letters but those of ASCII, as a server's terminal may."""
    raw, before = io.BytesIO(), sys.stdout
    sys.stdout = io.TextIOWrapper(raw, encoding="ascii")
    try:
        yield raw
        sys.stdout.flush()
        sys.stdout.detach()
    finally:
        sys.stdout = before


def test_letters_that_the_terminal_lacks_are_escaped_in_every_table(tmp_path, monkeypatch):
    from rk.cli import main

    folder = RunFolder.begin(tmp_path / "runs", "größe 1 #x", "rk: 1\n")
    folder.update(status="done", metrics={"test/größe": 1.0})
    monkeypatch.setenv("RK_DISABLE_PLUGINS", "*")
    monkeypatch.setattr(sys, "argv", ["rk", "runs", "--runs-dir", str(tmp_path / "runs")])
    with ascii_output() as raw, pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert r"gr\xf6\xdfe 1 #x" in raw.getvalue().decode("ascii")


def test_json_stays_json_where_letters_are_lacking():
    with ascii_output() as raw:
        print_json({"größe": "half \ud83d"})
    assert json.loads(raw.getvalue().decode("ascii")) == {"größe": "half \ud83d"}

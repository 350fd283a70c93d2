"""What is shown during a run: a loss from the first step, fresh numbers, labelled times, and a rate."""

from __future__ import annotations

import io
import re
import sys

import pytest
from rich.console import Console

from rk.fit import notebook, progress
from rk.fit.progress import Progress, Quiet, RichProgress, clock
from rk.fit.rhythm import usual_interval
from rk.fit.shown import make_progress
from rk.recipe.sections import Fit


def test_the_first_line_has_a_loss_and_each_line_a_fresh_one(capsys, monkeypatch):
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 0.0)
    losses = iter([2.5, 2.0, 1.5])
    shown = Progress("r", 10, lambda: {"loss": next(losses)})
    shown.start(0)
    for step in (1, 2, 3):
        shown.step(step)
    assert [re.search(r"loss (\S+)", line)[1] for line in capsys.readouterr().out.splitlines()] == ["2.5", "2", "1.5"]


def test_a_line_has_a_rate_and_its_times_have_labels(capsys):
    shown = Progress("r", 10)
    shown.start(0)
    shown.step(1)
    assert re.fullmatch(r"step 1/10  \S+ steps/s  \d+:\d\d elapsed, \d+:\d\d left\n", capsys.readouterr().out)


def test_just_after_a_log_the_last_numbers_are_shown(capsys):
    shown = Progress("r", None, dict)
    shown.start(0)
    shown.numbers(50, {"loss": 0.25})
    shown.step(50)
    assert capsys.readouterr().out.startswith("step 50  loss 0.25  ")


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("total", [4000, None])
def test_the_bar_fits_the_terminal_and_has_the_rate_and_the_times(width, total):
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=True, color_system=None)
    shown = RichProgress("pointer-net/convex-hull-quick", total, console, lambda: {"loss": 0.5, "accuracy": 0.25})
    shown.start(0)
    shown._draw(1234)
    shown.stop()
    lines = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in re.split(r"[\r\n]", file.getvalue())]
    assert all(len(line) <= width for line in lines)
    drawn = next(line for line in lines if "1234" in line)
    assert "steps/s" in drawn and "elapsed" in drawn and ("left" in drawn) is (total is not None)
    assert "loss 0.5  accuracy 0.25" in "".join(lines)


@pytest.mark.parametrize(("seconds", "text"), [(7.9, "0:07"), (750, "12:30"), (3723, "1:02:03")])
def test_times_are_read_as_on_a_clock(seconds, text):
    assert clock(seconds) == text


def test_quiet_prints_only_why_a_run_has_stopped(capsys, monkeypatch):
    monkeypatch.setenv("RK_VERBOSITY", "quiet")
    shown = make_progress("r", 10)
    assert isinstance(shown, Quiet)
    shown.start(0)
    shown.step(1)
    shown.line("step 5  val/loss 1")
    shown.line("stopped after step 5; resume with: rk train --resume last")
    assert capsys.readouterr().out == "stopped after step 5; resume with: rk train --resume last\n"


@pytest.mark.parametrize("terminal", [True, False])
def test_loading_is_shown_at_once_on_a_terminal_and_cleared(monkeypatch, terminal):
    class Stream(io.StringIO):
        def isatty(self) -> bool:
            return terminal

    stream = Stream()
    monkeypatch.setattr("sys.stderr", stream)
    with progress.loading():
        assert stream.getvalue() == ("loading ..." if terminal else "")
    assert stream.getvalue().endswith("\r\x1b[K") is terminal


# -- how often a run validates by default --------------------------------------------------------------------------


class Task:
    """A split `train` and a validation split of some batches."""

    def __init__(self, batches: int | None) -> None:
        self.size = batches

    def batches(self, split: str) -> int | None:
        return self.size


SPLITS = ("train", "val", "test")


@pytest.mark.parametrize(
    ("fit", "batches", "total", "every"),
    [
        ({"max_epochs": 12}, 5, 228, 19),
        ({"max_steps": 1000}, 10, 1000, 50),
        ({"max_steps": 1000}, 100, 1000, 334),
        ({"max_steps": 1000}, 1000, 1000, 0),
        ({"max_steps": 1000, "validate_batches": 4}, None, 1000, 50),
        ({"max_steps": 1000}, None, 1000, 0),
        ({"max_steps": 1000, "monitor": "val/loss"}, 10, 1000, 0),
        ({"max_epochs": 1}, 5, 228, 0),
        ({}, 5, None, 0),
        ({"max_steps": 4}, 5, 4, 0),
    ],
    ids=str,
)
def test_a_run_validates_often_enough_for_a_curve_and_seldom_enough_to_cost_little(fit, batches, total, every):
    assert usual_interval(Fit(**fit), Task(batches), SPLITS, total, 1) == every


def test_data_without_a_validation_split_is_not_validated():
    assert usual_interval(Fit(max_steps=1000), Task(5), ("train", "test"), 1000, 1) == 0


class Kernel:
    """IPython in a notebook, as far as progress needs it: it keeps what is displayed."""

    kernel = object()

    def __init__(self):
        self.shown = []
        self.display = self.Display(self.shown)

    def get_ipython(self):
        return self

    class Display:
        HTML = str

        def __init__(self, shown):
            self.update = shown.append

        def display(self, shown, display_id):
            self.update(shown)
            return self


@pytest.fixture
def kernel(monkeypatch):
    made = Kernel()
    monkeypatch.setitem(sys.modules, "IPython", made)
    monkeypatch.setattr(notebook, "REFRESH_SECONDS", 0.0)
    return made


def test_in_a_notebook_one_bar_is_redrawn_and_ends_with_the_last_step(kernel, capsys):
    shown = make_progress("<b>mine</b>", 3, peek=lambda: {"loss": 0.5})
    shown.start(0)
    for step in (1, 2, 3):
        shown.step(step)
    shown.line("step 3  val/loss 0.5")
    shown.stop()
    first, *_, last = kernel.shown
    assert "value='0' max='3'" in first and "&lt;b&gt;mine&lt;/b&gt;" in first
    assert "value='3' max='3'" in last and "loss 0.5" in last and "elapsed" in last
    assert capsys.readouterr().out == "step 3  val/loss 0.5\n"


def test_without_a_known_end_the_bar_of_a_notebook_has_no_value(kernel):
    shown = make_progress("mine", None)
    shown.start(0)
    shown.stop()
    assert "<progress  style" in kernel.shown[-1] and "step 0<" in kernel.shown[-1].replace("  ", "<")


def test_ipython_on_a_terminal_gets_plain_lines(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", type("IPython", (), {"get_ipython": staticmethod(lambda: None)}))
    assert type(make_progress("mine", 3)) is Progress

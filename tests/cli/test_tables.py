"""Tables and listings: they fit the terminal, and names stay whole; elsewhere, a row is one line and nothing is cut."""

from __future__ import annotations

import re
import shutil

import pytest

from rk.cli import cli, listing, output
from rk.cli.output import filled, table_text
from rk.plugins import Plugins
from rk.recipe.find import packaged

WIDTHS = (60, 80, 120)
RUN = "runs/convex-hull-quick/20261123-004248-dc81"
COLUMNS = ("run", "recipe", "status", "steps", "tests")
ROWS = [
    (RUN, "pointer-net/convex-hull-quick", "done", "4000", "test/accuracy 0.7179  test/area-valid 0.9783"),
    ("runs/digits/20261123-004248-0001", "digits", "interrupted", "17", ""),
]


def widest(text: str) -> int:
    return max(map(len, text.splitlines()))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("spare", [(), ("recipe",), ("recipe", "tests")], ids=str)
def test_a_table_fits_the_terminal_and_names_stay_whole(width, spare):
    text = table_text(COLUMNS, ROWS, width, "tests", spare)
    assert widest(text) <= width
    for word in (RUN, "runs/digits/20261123-004248-0001", "interrupted"):
        assert word in text


def test_columns_that_do_not_fit_beside_each_other_become_blocks():
    assert table_text(COLUMNS, ROWS[:1], 60).splitlines() == [
        RUN,
        "  recipe  pointer-net/convex-hull-quick",
        "  status  done",
        "  steps   4000",
        "  tests   test/accuracy 0.7179 test/area-valid 0.9783",
    ]


def test_text_wraps_between_words_below_its_column():
    text = table_text(("name", "meaning"), [("hidden_size", "Width of the encoder, the decoder and the pointer.")], 40)
    assert [line[:11].strip() for line in text.splitlines()[2:]] == ["hidden_size", ""]
    assert "".join(line[13:].strip() + " " for line in text.splitlines()[2:]).split() == (
        ["Width", "of", "the", "encoder,", "the", "decoder", "and", "the", "pointer."]
    )


def test_a_cut_column_ends_in_an_ellipsis_and_takes_one_line():
    text = table_text(("name", "about"), [("mlp", "A multilayer perceptron over flattened inputs.")], 40, cut="about")
    assert len(text.splitlines()) == 3 and text.endswith("…") and widest(text) <= 40


@pytest.mark.parametrize("cells", [("a\nb", "c"), ("", ""), ("x" * 300, "y " * 300), ("漢字" * 30, "z")], ids=repr)
def test_any_cell_is_one_line_where_there_is_no_terminal(cells):
    assert len(table_text(("one", "two"), [cells], None).split("\n")) == 2


def test_nothing_is_cut_where_there_is_no_terminal():
    long = "word " * 100 + "end"
    assert table_text(("name", "about"), [("mlp", long)], None, cut="about").endswith("end")


def test_a_table_without_rows_is_its_head():
    assert table_text(("metric", "value"), [], None) == "metric  value"
    assert table_text(("metric", "value"), [], 60).splitlines()[0].split() == ["metric", "value"]


def test_paragraphs_are_filled_and_lists_are_kept():
    text = "One line that the source\nbreaks early.\n\n- a point that is longer than the width allows\n- another"
    assert filled(text, 30).splitlines() == [
        "One line that the source",
        "breaks early.",
        "",
        "- a point that is longer than",
        "the width allows",
        "- another",
    ]


# -- the listings --------------------------------------------------------------------------------------------------


@pytest.fixture
def terminal(monkeypatch, capsys):
    """Runs `rk` on a terminal of some width; returns what it prints."""

    def call(width: int | None, *arguments: str) -> str:
        monkeypatch.setattr(output, "terminal_width", lambda: width)
        cli(list(arguments), standalone_mode=False)
        return capsys.readouterr().out

    return call


@pytest.mark.parametrize("width", WIDTHS)
def test_list_has_one_line_for_each_component_below_its_kind(terminal, width):
    components = Plugins().components
    text = terminal(width, "list")
    assert widest(text) <= width
    lines = [line for line in text.splitlines() if line.startswith("  ")]
    assert sorted(line.split()[0] for line in lines) == sorted(c.name for c in components)
    headings = [line for line in text.splitlines() if line and not line.startswith(" ")]
    assert "models" in headings and len(headings) == len({c.kind for c in components})


@pytest.mark.parametrize("width", WIDTHS)
def test_recipes_have_one_line_each_below_their_plugin(terminal, width):
    text = terminal(width, "recipes")
    assert widest(text) <= width
    lines = [line.split()[0] for line in text.splitlines() if line.startswith("  ")]
    assert lines == [recipe.name for recipe in packaged(Plugins())]


def test_without_a_terminal_each_line_has_all_of_a_component(terminal):
    line = next(line for line in terminal(None, "list").splitlines() if re.match(r"model +mlp ", line))
    assert line.endswith("A multilayer perceptron over flattened inputs.")


def test_a_listing_can_be_limited_and_kept_to_a_plugin(terminal):
    assert len(terminal(None, "list", "--limit", "3").splitlines()) == 4
    assert "3 of" in terminal(80, "list", "--limit", "3")
    kinds = {line.split()[2] for line in terminal(None, "list", "--plugin", "rk").splitlines()[1:]}
    assert kinds == {"rk"}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["mlp", "adam", "digits"])
def test_show_fits_the_terminal(terminal, width, name):
    shown, *_ = re.split(r"\n\nin (?:a recipe|Python)\n", terminal(width, "show", name))
    assert widest(shown) <= width, "examples are there to be copied: their lines stay whole"


@pytest.mark.parametrize(
    ("arguments", "said", "there_are"),
    [
        (("recipes", "--task", "digits", "--uses", "hub"), "no recipe on the data digits with hub", "recipes"),
        (("recipes", "--paper", "9999.99999"), "no recipe of the paper '9999.99999'", "papers"),
        (("list", "search", "--plugin", "rk"), "there is no search of rk", "models"),
        (("runs", "--runs-dir", "nowhere"), "there are no runs in nowhere yet", "rk train"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_an_empty_listing_prints_so_and_what_there_is(capsys, arguments, said, there_are):
    cli(list(arguments), standalone_mode=False)
    found = capsys.readouterr()
    assert found.out == "" and said in found.err
    assert there_are in found.err or not packaged(Plugins())


# -- the pager -----------------------------------------------------------------------------------------------------


@pytest.fixture
def paged(monkeypatch):
    """What goes through the pager, on a terminal of 20 lines."""
    found: list[str] = []
    monkeypatch.setattr(listing.sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(shutil, "get_terminal_size", lambda: __import__("os").terminal_size((80, 20)))
    monkeypatch.setattr(listing.click, "echo_via_pager", found.append)
    monkeypatch.delenv("PAGER", raising=False)
    monkeypatch.delenv("RK_PAGER", raising=False)
    return found


def test_output_longer_than_the_terminal_goes_through_the_pager(paged):
    listing.show_paged("line\n" * 19)
    assert len(paged) == 1


def test_output_that_fits_the_terminal_is_not_paged(paged, capsys):
    listing.show_paged("line\n" * 5)
    assert not paged


@pytest.mark.parametrize("variable", ["PAGER", "RK_PAGER"])
def test_no_pager_is_started_where_the_user_wants_none(paged, monkeypatch, variable):
    listing.show_paged("line\n" * 19, no_pager=True)
    monkeypatch.setenv(variable, "")
    listing.show_paged("line\n" * 19)
    assert not paged


def test_rk_pager_takes_precedence_over_pager(paged, monkeypatch):
    monkeypatch.setenv("PAGER", "more")
    monkeypatch.setenv("RK_PAGER", "most")
    listing.show_paged("line\n" * 19)
    assert listing.os.environ["PAGER"] == "most" and len(paged) == 1

"""The report is one file that needs nothing else, and escapes what it repeats."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from rk.report.page import render_page

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Collects elements; fails on one that is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        values = dict(attrs)
        self.sources += [values[k] for k in ("src", "href", "xlink:href") if k in values]
        assert tag not in ("script", "iframe", "object", "link")

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture
def image(written):
    def add(summary, name):
        summary.folder.figures.mkdir(exist_ok=True)
        (summary.folder.figures / name).write_bytes(b"\x89PNG")

    return add


def test_a_page_needs_no_network_and_no_script(written, image):
    summary = written()
    image(summary, "test.png")
    page = Page(render_page([summary]))
    outside = [s for s in page.sources if not s.startswith(("data:image/png;base64,", "#"))]
    assert outside == ["https://arxiv.org/abs/1506.03134"]


def test_a_page_shows_results_against_the_paper_figures_recipe_and_environment(written, image):
    summary = written(versions={"torch": "2.0"}, host={"cores": 2}, command=["rk", "train"])
    image(summary, "test.png")
    text = render_page([summary])
    for part in (
        "&gt;= 0.9",
        "0.95",
        "own bar only",
        "test.png"[:4],
        "rk/backprop",
        "torch",
        "2.0",
        "rk train",
        "61.2 s",
    ):
        assert part in text
    assert text.count("<svg") == 2


def test_text_of_a_run_is_escaped(written):
    text = render_page([written(error="<script>alert(1)</script>", status="failed")])
    assert "<script>" not in text and "&lt;script&gt;alert(1)" in text and "Table &lt;1&gt;" in text


def test_curves_take_the_ink_of_the_page(written):
    svg = re.search(r"<svg.*?</svg>", render_page([written()]), re.DOTALL)[0]
    assert "currentColor" in svg and "#010203" not in svg and 'width="' not in svg.split(">")[0]


def test_ids_in_the_page_are_unique(written):
    text = render_page([written(), written(written.recipe.replace("0.001", "0.01"))])
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))


def test_several_runs_are_compared_and_each_is_there_in_full(written):
    text = render_page([written(), written(written.recipe.replace("0.001", "0.01"))])
    Page(text)
    assert "2 runs of digits" in text and "trainer.optimizer.lr" in text and text.count('<details class="run">') == 2


def test_a_run_that_has_only_begun_has_a_page(written):
    text = render_page([written(lines=[], metrics=None, status="running", step=None, seconds=None)])
    Page(text)
    assert "No metrics yet." in text and "<svg" not in text


def test_without_matplotlib_the_error_names_what_to_install(written, monkeypatch):
    import sys

    from rk.errors import UserError

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UserError) as caught:
        render_page([written()])
    assert caught.value.hint == 'pip install "recursion-kit[report]"'


@pytest.mark.parametrize(("count", "columns"), [(5, 5), (6, 6), (7, 4)])
def test_no_fact_is_alone_in_its_row(written, monkeypatch, count, columns):
    from rk.report import page

    monkeypatch.setattr(page, "_facts", lambda run: {f"fact {i}": "x" for i in range(count)})
    assert f'class="facts" style="--columns: {columns}"' in render_page([written()])


def test_links_that_lead_out_of_a_run_are_not_shown(written, image, tmp_path):
    import base64

    summary = written()
    image(summary, "test.png")
    (tmp_path / "secret").write_text("a secret")
    (summary.folder.figures / "val.png").symlink_to(tmp_path / "secret")
    summary.folder.recipe.unlink()
    summary.folder.recipe.symlink_to(tmp_path / "secret")
    page = render_page([summary])
    assert page.count("data:image/png") == 1
    assert "a secret" not in page and base64.b64encode(b"a secret").decode() not in page


@pytest.mark.parametrize("name", ["$x", "$a$", "a $ b_{ $", "100$ $\\frac$", r"\$"])
def test_a_dollar_in_a_name_is_shown_as_it_is(name, written, tmp_path):
    from rk.report.curves import draw_file, draw_inline

    lines = [{"step": step, f"train/{name}": 1.0 / step} for step in (1, 2, 3)]
    runs = [written(lines=lines, name=name), written(lines=lines, name=f"other {name}")]
    assert name.replace("&", "&amp;") in draw_inline(runs, name)
    draw_file(runs, [name], tmp_path / "curves.png")


def test_a_run_that_ended_early_shows_how_far_it_came_and_why(written):
    text = render_page([written(step=9, stop_reason="val/loss has not improved")])
    assert "9 of 20" in text and "<dt>stopped</dt><dd>val/loss has not improved</dd>" in text
    assert "of 20" not in render_page([written()])


def test_legends_are_above_the_axes_and_name_a_bounded_number_of_curves(written):
    from rk.charts import chart
    from rk.report.curves import MAX_NAMED, _panel

    runs = [written(written.recipe.replace("seed: 1", f"seed: {seed}")) for seed in range(8)]
    for chosen, names in ((runs[:1], 2), (runs[:2], 4), (runs, MAX_NAMED + 1)):
        with chart(5, 3) as (figure, axes):
            _panel(axes, chosen, "loss")
            figure.draw_without_rendering()
            legend = axes.get_legend()
            assert legend.get_window_extent().y0 >= axes.get_window_extent().y1
            assert len(legend.get_texts()) == names
    assert legend.get_texts()[-1].get_text() == "and 4 more"


def test_a_dollar_in_a_setting_is_not_a_formula(written):
    runs = [written(written.recipe.replace("rk/mlp", name)) for name in ("x/a", '"$\\\\oops$"')]
    Page(render_page(runs))

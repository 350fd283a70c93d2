"""What a run's numbers are worth beside its claims."""

from __future__ import annotations

import math

import pytest

from rk.recipe.sections import Expect, Multiple, plain
from rk.report.claims import OF_ONE_SEED, judge, results_table
from rk.report.page import render_page
from rk.report.summary import claimed_metrics
from rk.report.text import MAX_TITLE, titled


def test_claims_about_other_data_are_shown_and_not_judged():
    (row,) = judge({"test/accuracy": 0.1}, [Expect("test/accuracy", at_least=0.9, other_data=True)])
    assert (row.shown, row.bar, row.verdict, row.tone) == ("0.1", ">= 0.9", "not applicable: other data", "")
    (row,) = judge({}, [Expect("test-9/accuracy", at_least=0.9, other_data=True)])
    assert (row.shown, row.verdict) == ("not measured", "not applicable: other data")


def test_a_claim_that_was_not_measured_is_not_reached():
    claims = [Expect("test/accuracy@nosuch", at_least=0.9), Expect("test/accuracy@w99", paper=0.5)]
    rows = judge({"test/accuracy": 0.95}, claims)
    assert [(r.metric, r.shown, r.verdict) for r in rows] == [
        ("test/accuracy", "0.95", ""),
        ("test/accuracy@nosuch", "not measured", "NOT REACHED"),
        ("test/accuracy@w99", "not measured", "NOT REACHED"),
    ]


@pytest.mark.parametrize(
    ("claim", "value", "said"),
    [
        (Expect("test/accuracy", at_least=0.07, paper=0.81), 0.11, "own bar only"),
        (Expect("test/accuracy", at_least=0.07, paper=0.81), 0.81, "paper reached"),
        (Expect("test/accuracy", at_least=0.07, paper=0.81, differs="other data"), 0.9, "own bar only"),
        (Expect("test/accuracy", at_least=0.07, paper=0.81, refuted="too small"), 0.06, "refuted here"),
        (Expect("test/accuracy", at_least=0.07, paper=0.81), 0.06, "NOT REACHED"),
        (Expect("test/loss", paper=0.2), 0.1, "paper reached"),
        (Expect("test/loss", paper=0.2), 0.3, "not shown"),
        (Expect("test/error", paper=0.2), 0.1, "paper reached"),
        (Expect("test/accuracy", baseline="plain"), 0.9, "rk reproduce compares"),
    ],
)
def test_one_run_gets_the_verdicts_that_one_run_can_give(claim, value, said):
    (row,) = judge({claim.metric: value}, [claim], {"error": False})
    assert row.verdict == said


def test_a_claim_that_was_not_run_for_its_cost_is_not_testable():
    (row,) = judge({}, [Expect("test/accuracy", paper=0.9, cost="40 hours on a GPU")])
    assert (row.shown, row.verdict) == ("not measured", "not testable here")


def test_an_unfinished_run_has_not_missed_metrics_that_it_will_measure(written):
    recipe = written.recipe.replace("test/accuracy", "test-9/accuracy")
    assert [r.metric for r in written(recipe, status="running").judged] == ["val/accuracy", "test/accuracy"]
    assert written(recipe).judged[-1].verdict == "NOT REACHED"


def test_a_bound_and_a_baseline_are_two_lines_and_only_one_is_judged():
    claim = Expect("test/loss", at_most=1, baseline="plain", better_by=0.3, note="Table 2")
    rows = judge({"test/loss": 0.5}, [claim])
    assert [(r.bar, r.verdict, r.note) for r in rows] == [
        ("<= 1", "own bar only", "Table 2"),
        ("0.3 better than plain", "rk reproduce compares", ""),
    ]
    (row,) = judge({"test/loss": 0.5}, [Expect("test/loss", baseline="plain", times_baseline=2, note="x")])
    assert (row.bar, row.verdict, row.note) == ("2x plain", "rk reproduce compares", "x")


def test_a_claim_on_several_metrics_is_one_line_for_each():
    claim = Expect("test-*/accuracy", at_least=0.9)
    rows = judge({"test-5/accuracy": 0.95, "test-9/accuracy": 0.8, "test-9/loss": 1.0, "test-9/accuracy@w": 0}, [claim])
    assert [(r.metric, r.verdict) for r in rows if r.verdict] == [
        ("test-5/accuracy", "own bar only"),
        ("test-9/accuracy", "NOT REACHED"),
    ]
    assert [(r.metric, r.verdict) for r in judge({}, [claim])] == [("test-*/accuracy", "NOT REACHED")]


@pytest.mark.parametrize(
    ("small", "large", "said"),
    [
        (0.1, 0.4, "own bar only"),
        (0.1, 0.41, "NOT REACHED"),
        (None, 0.1, "NOT REACHED"),
        (math.nan, 0.1, "NOT REACHED"),
    ],
)
def test_a_bound_may_be_a_multiple_of_another_metric(small, large, said):
    claim = Expect("test-64/error", at_most_times=Multiple("test-32/error", 4))
    row = next(r for r in judge({"test-32/error": small, "test-64/error": large}, [claim]) if r.verdict)
    assert (row.metric, row.bar, row.verdict) == ("test-64/error", "<= 4x test-32/error", said)


def test_a_bound_of_another_metric_that_was_not_measured_is_not_reached():
    claim = Expect("test/error", at_least_times=Multiple("run/forgetting"))
    assert claim.bound() == ">= run/forgetting"
    assert claim.met(1.0, {"test/error": 1.0}) is False


def test_a_stored_claim_is_read_back_as_it_was():
    claim = Expect("test-*/error", at_most=1, at_most_times=Multiple("val/error", 2.5))
    stored = plain(claim)
    assert stored["at_most_times"] == {"of": "val/error", "times": 2.5}
    assert Expect.from_plain(stored | {"of a later version": 1}) == claim


def test_the_table_has_the_columns_that_have_content():
    heads, rows = results_table(judge({"val/loss": 1.0, "test/loss": 2.0}, []))
    assert (heads, rows) == (("metric", "value"), [("val/loss", "1"), ("test/loss", "2")])
    heads, rows = results_table(judge({"test/loss": 2.0}, [Expect("test/loss", at_most=1)]))
    assert (heads, rows) == (("metric", "value", "bar", OF_ONE_SEED), [("test/loss", "2", "<= 1", "NOT REACHED")])


def test_claims_that_look_alike_are_distinguished_by_their_notes():
    claims = [Expect("test/loss", paper=0.5, note=f"Table {n}") for n in (1, 2)]
    heads, rows = results_table(judge({"test/loss": 2.0}, claims))
    assert heads == ("metric", "value", "paper", OF_ONE_SEED, "note")
    assert rows == [("test/loss", "2", "0.5", "not shown", f"Table {n}") for n in (1, 2)]


def test_a_claim_on_what_steps_log_is_judged_by_the_last_line(written):
    summary = written(written.recipe.replace("test/accuracy, at_least: 0.9", "train/loss, at_most: 0.6"))
    row = next(r for r in summary.judged if r.metric == "train/loss")
    assert (row.value, row.verdict) == (0.5, "paper reached")
    assert claimed_metrics({"test/loss": 1.0}, summary.expect, summary.folder) == {"test/loss": 1.0, "train/loss": 0.5}
    assert claimed_metrics({"test/loss": 1.0}, [], summary.folder) == {"test/loss": 1.0}


def test_the_title_shows_what_the_command_line_changed(written):
    text = render_page([written(overrides=["data={name: x}", "fit.seed=2"])])
    assert "<h1>digits with data={name: x}, fit.seed=2</h1>" in text
    assert titled("a", []) == "a" and len(titled("a", ["x=" + "y" * 500])) == MAX_TITLE

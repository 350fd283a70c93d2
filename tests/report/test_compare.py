"""What differs between runs, and what they reached."""

from __future__ import annotations

import pytest

from rk.report.claims import judge
from rk.report.compare import ABSENT, changed_settings, comparison, flatten, table
from rk.report.curves import MAX_POINTS, metric_names, thinned
from rk.report.labels import run_labels, shortest_names
from rk.report.text import duration, number


def test_settings_are_dotted_keys_and_a_component_is_named_at_its_own_key():
    plain = {
        "model": {"name": "rk/mlp", "hidden_sizes": [1, 2]},
        "loss": "rk/mse",
        "callbacks": [{"name": "a", "b": 1}],
    }
    assert flatten(plain) == {
        "model": "rk/mlp",
        "model.hidden_sizes": [1, 2],
        "loss": "rk/mse",
        "callbacks.0": "a",
        "callbacks.0.b": 1,
    }


def test_only_settings_that_differ_are_shown_and_claims_are_none(written):
    other = written.recipe.replace("0.001", "0.01").replace("rk/mlp, hidden_sizes: [64], ", "x/net, width: 3, ")
    changed = changed_settings([written(), written(other.replace("0.9,", "0.5,"))])
    assert changed == {
        "model": ["rk/mlp", "x/net"],
        "model.hidden_sizes": [[64], ABSENT],
        "trainer.optimizer.lr": [0.001, 0.01],
        "model.width": [ABSENT, 3],
    }


def test_metrics_have_their_final_last_and_best_value(written):
    (one, _) = comparison([written(), written()])
    assert next(iter(one)) == "name" and one["changed"] == {}
    assert one["metrics"]["val/accuracy"] == {"final": 0.9, "last": 0.7, "best": 0.9, "best_step": 10}
    assert one["metrics"]["val/loss"] == {"last": 0.9, "best": 0.8, "best_step": 10}
    assert one["metrics"]["test/accuracy"] == {"final": 0.92}


def test_the_best_is_not_guessed_where_its_direction_is_unknown(written):
    assert written(higher_is_better=None).best("val/accuracy") is None


def test_the_table_has_a_column_for_each_run(written):
    rows = {row[0]: row[1:] for row in table([written(), written(seconds=None, metrics={}, status="running")])}
    assert rows["status"] == ("done", "running")
    assert rows["time"] == ("61.2 s", "")
    assert rows["val/accuracy, best (step)"] == ("0.9 (10)", "0.9 (10)")
    assert rows["test/accuracy"] == ("0.92", "0.92")


def test_a_run_that_has_not_ended_shows_its_last_validation(written):
    summary = written(metrics=None, step=None)
    del summary.info["step"]
    assert summary.metrics == {"val/loss": 0.9, "val/accuracy": 0.7, "test/accuracy": 0.92}
    assert summary.step == 20


def test_values_that_are_not_numbers_are_left_out_of_a_series(written):
    lines = [{"step": 1, "val/area": float("nan")}, {"step": 2, "val/area": 0.5}]
    assert written(lines=lines).series == {"val/area": [(2, 0.5)]}


def test_claims_are_judged_metric_by_metric(written):
    summary = written()
    rows = judge({"val/accuracy": 0.7, "test/accuracy": 0.92}, summary.expect)
    assert [(r.metric, r.shown, r.bar, r.paper, r.verdict) for r in rows] == [
        ("val/accuracy", "0.7", "", "", ""),
        ("test/accuracy", "0.92", ">= 0.9", "0.95", "own bar only"),
    ]
    assert judge({"test/accuracy": None}, summary.expect)[0].verdict == "NOT REACHED"


def test_curves_are_of_what_has_more_than_one_point_losses_first(written):
    assert metric_names([written()]) == ["loss", "accuracy"]


@pytest.mark.parametrize("n", [1, MAX_POINTS, MAX_POINTS + 1, 10 * MAX_POINTS + 7])
def test_a_long_series_is_thinned_and_keeps_its_ends(n):
    series = [(i, float(i)) for i in range(n)]
    kept = thinned(series)
    assert len(kept) <= MAX_POINTS + 1 and kept[0] == series[0] and kept[-1] == series[-1]


@pytest.mark.parametrize(
    ("value", "text"), [(4.6, "4.6 s"), (119.9, "120 s"), (600, "10 min"), (7200, "2 h"), (None, "")]
)
def test_durations_read_well(value, text):
    assert duration(value) == text


def test_nan_is_shown_as_a_failure():
    assert (number(None), number(float("nan")), number(0.123456)) == ("FAIL", "FAIL", "0.1235")


def test_the_best_value_of_each_metric_is_marked(written):
    lines = written.lines()
    other = [{**line, "val/accuracy": 0.95} if "val/accuracy" in line else line for line in lines]
    runs = [written(), written(lines=other, metrics={"val/accuracy": 0.95, "test/accuracy": 0.92})]
    rows = {row[0]: row[1:] for row in table(runs)}
    assert rows["val/accuracy"] == ("0.9", "0.95 *")
    assert rows["val/accuracy, best (step)"] == ("0.9 (10)", "0.95 (10) *")
    assert rows["test/accuracy"] == ("0.92", "0.92"), "all the same: there is no best"
    assert comparison(runs)[0]["best_in"] == []


def test_where_less_is_better_the_least_is_marked(written):
    runs = [written(metrics={"test/loss": loss}) for loss in (0.3, 0.1, 0.1)]
    rows = {row[0]: row[1:] for row in table(runs)}
    assert rows["test/loss"] == ("0.3", "0.1 *", "0.1 *")


def test_nothing_is_marked_where_no_run_records_what_is_better(written):
    runs = [written(metrics={"test/loss": loss}, higher_is_better=None, lines=[]) for loss in (0.3, 0.1)]
    assert {row[0]: row[1:] for row in table(runs)}["test/loss"] == ("0.3", "0.1")


def test_a_run_that_was_stopped_shows_why(written):
    runs = [written(), written(stop_reason="val/loss has not improved")]
    assert table(runs)[0] == ("status", "done", "done: val/loss has not improved")


def test_runs_are_called_by_what_differs(written):
    recipes = [written.recipe.replace("0.001", lr) for lr in ("0.001", "0.01")]
    assert run_labels([written(r) for r in recipes]) == ["lr=0.001", "lr=0.01"]
    recipes[0] = recipes[0].replace("rk/mlp, hidden_sizes: [64]", "x/net, sizes: [1, 2]")
    first, second = run_labels([written(r) for r in recipes])
    assert first.startswith("model=net") and second.startswith("model=mlp")


def test_runs_in_which_nothing_differs_are_called_by_their_ids(written):
    labels = run_labels([written(), written(), written(written.recipe.replace("0.001", "0.01"))])
    assert labels[2] == "lr=0.01" and len(set(labels)) == 3
    assert labels[0].startswith("lr=0.001 ")
    assert [len(label) for label in run_labels([written(), written()])] == [4, 4]


def test_a_setting_is_named_by_the_end_of_its_key_that_no_other_has():
    keys = ["trainer.optimizer.lr", "model.layer.lr", "fit.seed", "model"]
    assert [*shortest_names(keys).values()] == ["optimizer.lr", "layer.lr", "seed", "model"]

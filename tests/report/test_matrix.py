"""Runs as a table of two settings."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from rk.cli import cli
from rk.errors import UserError
from rk.report.matrix import labels, matrix

RECIPE = """
rk: 1
model: {{name: sequence/sequence, layer: {layer}, width: 8}}
data: {{name: sequence/{data}, length: 4}}
fit: {{max_steps: 20, seed: {seed}}}
expect: {expect}
"""
GRU, ONE, TWO = "{name: rnn/gru, size: 8}", "{name: dp/delta, n: 1, gate: true}", "{name: dp/delta, n: 2, gate: true}"


@pytest.fixture
def run(written):
    """Returns a function that writes a run of a layer on a task."""

    def write(layer, data, metrics, seed=1, expect="[]"):
        return written(RECIPE.format(layer=layer, data=data, seed=seed, expect=expect), lines=[], metrics=metrics)

    return write


def test_one_setting_goes_down_and_one_across(run):
    runs = [run(GRU, "parity", {"test/loss": 0.1}), run(ONE, "parity", {"test/loss": 0.2})]
    runs += [run(GRU, "adding", {"test/loss": 0.3})]
    found = matrix(runs, "model.layer", "data")
    assert (found.rows, found.columns) == (["gru", "delta"], ["parity", "adding"])
    assert found.table() == [("gru", "0.1", "0.3"), ("delta", "0.2", "")]


def test_components_of_one_name_are_distinguished_by_what_differs(run):
    runs = [run(layer, "parity", {}) for layer in (GRU, ONE, TWO, TWO)]
    assert labels(runs, "model.layer") == ["gru", "delta n=1", "delta n=2", "delta n=2"]


def test_plain_settings_are_labels_too(run):
    runs = [run(GRU, "parity", {}, seed=seed) for seed in (1, 2)]
    assert labels(runs, "fit.seed") == ["1", "2"]


def test_paths_with_equal_endings_are_distinguished(run):
    runs = [run("x/gru", f"books/{book}/input.txt", {}) for book in "ab"]
    assert labels(runs, "data.name") == ["sequence/books/a/input.txt", "sequence/books/b/input.txt"]


def test_components_of_two_plugins_keep_their_plugins_where_they_have_one_name(run):
    runs = [run(layer, "parity", {}) for layer in ("one/gru", "two/gru", "one/lstm")]
    assert labels(runs, "model.layer") == ["one/gru", "two/gru", "one/lstm"]


def test_several_runs_of_a_cell_are_averaged(run):
    runs = [run(GRU, "parity", {"test/loss": value}, seed=i) for i, value in enumerate((0.1, 0.2, 0.3))]
    assert matrix(runs, "model.layer", "data").table() == [("gru", "0.2 ± 0.1")]


def test_a_run_that_failed_is_not_hidden_in_a_mean(run):
    runs = [run(GRU, "parity", {"test/loss": value}, seed=i) for i, value in enumerate((0.1, None))]
    assert matrix(runs, "model.layer", "data").table() == [("gru", "0.1 FAIL")]


def test_a_run_that_has_not_come_to_its_metric_leaves_its_cell_empty(run):
    runs = [run(GRU, "parity", {"test/loss": 0.1}), run(ONE, "parity", {})]
    assert matrix(runs, "model.layer", "data").table() == [("gru", "0.1"), ("delta", "")]


def test_a_column_shows_what_a_recipe_there_claims(run):
    metrics = {"val/loss": 1.0, "test/loss": 0.2, "test-8/accuracy": 0.9}
    claim = "[{metric: test-8/accuracy, at_least: 0.5}]"
    runs = [run(GRU, "parity", metrics), run(ONE, "parity", metrics, expect=claim), run(GRU, "adding", metrics)]
    found = matrix(runs, "model.layer", "data")
    assert found.metrics == ["test-8/accuracy", "test/loss"]
    assert found.table()[0] == ("gru", "0.9", "0.2")


def test_a_column_shows_the_first_of_the_wanted_metrics_that_it_has(run):
    runs = [run(GRU, "parity", {"test/a": 0.1, "test/b": 0.2}), run(GRU, "adding", {"test/a": 0.3})]
    assert matrix(runs, "model.layer", "data", ("test/b", "test/a")).table() == [("gru", "0.2", "0.3")]


def test_a_setting_or_metric_that_no_run_has_is_an_error(run):
    runs = [run(GRU, "parity", {"test/loss": 0.1})]
    with pytest.raises(UserError, match=r"no run has a setting 'model\.layr'") as error:
        matrix(runs, "model.layr", "data")
    assert "model.layer" in error.value.hint
    with pytest.raises(UserError, match="no run has a metric 'test/los'"):
        matrix(runs, "model.layer", "data", ("test/los",))


def test_rk_compare_prints_it(run):
    for layer, value in ((GRU, 0.25), (ONE, 0.5)):
        last = run(layer, "parity", {"test/loss": value})
    which = [str(path) for path in sorted(last.folder.path.parent.iterdir())]
    done = CliRunner().invoke(cli, ["compare", *which, "--matrix", "model.layer", "data"])
    assert done.exit_code == 0, done.output
    words = done.output.replace("─", "").split()
    assert sorted(words) == sorted(["parity", "test/loss", "gru", "0.25", "delta", "0.5"])
    done = CliRunner().invoke(cli, ["compare", *which, "--matrix", "model.layer", "data", "--json"])
    assert json.loads(done.output)["rows"]["gru"] == {"parity": [0.25]}


def test_a_matrix_is_not_drawn(run):
    which = [str(run(GRU, "parity", {"test/loss": 0.1}, seed=seed).folder.path) for seed in (1, 2)]
    with pytest.raises(UserError, match="no curves"):
        cli(["compare", *which, "--matrix", "fit.seed", "data", "-o", "a.png"], standalone_mode=False)


def test_its_time_grows_with_the_runs_and_not_with_their_square():
    import time
    from types import SimpleNamespace

    def seconds(count: int) -> float:
        runs = [
            SimpleNamespace(
                recipe={"model": {"name": "rk/mlp", "width": i}, "data": {"name": "rk/digits", "seed": i}},
                metrics={"test/accuracy": 0.5},
                expect=[],
            )
            for i in range(count)
        ]
        start = time.process_time()
        matrix(runs, "model", "data")
        return time.process_time() - start

    seconds(50)
    assert seconds(1600) < 40 * seconds(200), "eight times as many runs"

"""`rk reproduce` from the recipe to the ledger and its exit code."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from click.testing import CliRunner

from rk.cli.reproduce import reproduce
from rk.errors import ExitCode
from rk.fit.begin import earlier_run
from rk.reproduce.runner import Runner
from rk.runs import RunFolder


@pytest.fixture
def call(recipes):
    def run(*args, code=ExitCode.OK):
        done = CliRunner().invoke(reproduce, args, standalone_mode=False)
        if done.exception is not None:
            raise done.exception
        assert done.return_value == code, done.output
        return done.output

    return run


def test_it_trains_recipe_and_baseline_with_each_seed_and_judges(call, recipes):
    out = call("net.yaml", "--seeds", "2", code=ExitCode.CLAIM_NOT_REACHED)
    assert "1 of 2 claims hold" in out
    runs = [json.loads((f.path / "run.json").read_text()) for f in RunFolder.all(Path("runs"))]
    assert sorted(r["name"] for r in runs) == ["linear", "linear", "net", "net"]
    stored = json.loads(Path("results.json").read_text())["results"]
    assert stored["net"]["seeds"] == [4, 5] and len(set(stored["net"]["metrics"]["test/accuracy"])) == 2
    assert stored["net"]["metrics"]["test/accuracy"][0] == pytest.approx(runs[0]["metrics"]["test/accuracy"], rel=1e-5)

    page = call("net.yaml", "--stored", "--markdown", code=ExitCode.CLAIM_NOT_REACHED)
    assert "| in order |" in page and "| not reached |" in page
    (first, second) = json.loads(call("net.yaml", "--stored", "--json", code=ExitCode.CLAIM_NOT_REACHED))
    assert (first["verdict"], second["verdict"]) == ("in order", "NOT REACHED")

    Path("linear.yaml").write_text(Path("linear.yaml").read_text().replace("max_steps: 1", "max_steps: 2"))
    assert "OLDER RECIPE" in call("net.yaml", "--stored", code=ExitCode.CLAIM_NOT_REACHED)


def test_stopped_it_keeps_finished_runs_and_reuse_continues(call, recipes, monkeypatch):
    Path("net.yaml").write_text(Path("net.yaml").read_text().replace("at_most: 0.01", "at_most: 9"))
    from rk.fit.loop import Loop

    log = Loop._log

    def stop_once(self):
        if self.recipe.name == "net" and self.recipe.fit.seed == 5 and self.at.step == 50:
            monkeypatch.setattr(Loop, "_log", log)
            signal.raise_signal(signal.SIGINT)
        log(self)

    monkeypatch.setattr(Loop, "_log", stop_once)
    call("net.yaml", "--seeds", "2", code=ExitCode.INTERRUPTED)
    assert not Path("results.json").exists()
    assert [f.read()["status"] for f in RunFolder.all(Path("runs"))] == ["done", "interrupted"]

    out = call("net.yaml", "--seeds", "2", "--reuse")
    assert "net, seed 4: taken from" in out and "2 of 2 claims hold" in out
    assert len(list(RunFolder.all(Path("runs")))) == 4


def test_json_output_is_valid_json_also_when_it_trains(call, recipes):
    done = CliRunner().invoke(reproduce, ["net.yaml", "--json"], standalone_mode=False)
    assert [line["verdict"] for line in json.loads(done.stdout)] == ["own bar only", "NOT REACHED"]
    assert "net, seed 4 -> runs" in done.stderr


def test_a_run_of_another_recipe_is_not_reused(recipes, catalog):
    from rk.recipe import check_recipe
    from rk.reproduce.plan import plan

    (item,) = plan(("net.yaml",), catalog)
    runner = Runner(catalog, Path("runs"), 1, True, lambda text: None)
    runner.measure(item.file)

    def earlier(*overrides):
        return earlier_run(check_recipe(item.file, overrides, catalog).valid(), Path("runs"))

    assert earlier() is not None
    assert earlier("expect=[]") is not None, "claims are not trained"
    assert earlier("fit.max_steps=61") is None
    assert earlier("fit.seed=9") is None


def test_stored_trains_nothing(call):
    from rk.errors import UserError

    with pytest.raises(UserError, match="--stored trains nothing"):
        call("net.yaml", "--stored", "--seeds", "3")
    assert "NOT RUN" in call("net.yaml", "--stored", code=ExitCode.CLAIM_NOT_REACHED)
    assert not Path("runs").exists()


def test_it_prints_where_the_results_are_and_writes_a_plugins_only_on_request(call, recipes, monkeypatch):
    from rk.reproduce import results

    shipped = results.results_path
    monkeypatch.setattr(
        results, "results_path", lambda file, runs, **s: shipped(file, runs, **s | {"shipped": {recipes}})
    )
    out = call("net.yaml", "--runs-dir", "claims", code=ExitCode.CLAIM_NOT_REACHED)
    assert "results are in claims/results.json" in out and not Path("results.json").exists()
    call("net.yaml", "--runs-dir", "claims", "--reuse", "--store", code=ExitCode.CLAIM_NOT_REACHED)
    assert Path("results.json").exists()

"""A search keeps what learns best, its library grows, and neither a kill nor processes change what it finds."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import click
import pytest
import torch
from rk_gssnn import proposals
from rk_gssnn.counts import LibraryCounts
from rk_gssnn.dsl import GraphDsl
from rk_gssnn.search import SymbolicSynthesis
from rk_programs.isomorphism import isomorphic

from rk import LoadedRun
from rk.cli import cli
from rk.errors import RkError
from rk.runs import RunFolder

BASELINE = """
rk: 1
model: {name: mlp, hidden_sizes: [16]}
data: {name: digits, batch_size: 32}
loss: cross-entropy
trainer: {name: backprop, optimizer: {name: adam, lr: 1e-2}}
fit: {max_steps: 10, seed: 1, threads: 1, validate_every: 10}
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A trained baseline: any classifier, of any plugin."""
    folder = tmp_path_factory.mktemp("baseline")
    (folder / "baseline.yaml").write_text(BASELINE)
    assert not cli(["train", str(folder / "baseline.yaml"), "--runs-dir", str(folder)], standalone_mode=False)
    return next(RunFolder.all(folder)).path


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def search(baseline, name="s", **settings):
    """Runs a small search; returns its folder."""
    small = {"iterations": 2, "population": 3, "survivors": 2, "dim": 32, "evaluations": 80_000}
    recipe = {"rk": 1, "search": {"name": "gssnn", "run": str(baseline), "dsl": {"name": "graph-dsl", "max_ports": 4}}}
    recipe["search"] |= small | settings
    recipe["fit"] = {"seed": 1, "log_every": 1, "checkpoint_every": 1, "threads": 1}
    Path(f"{name}.yaml").write_text(json.dumps(recipe))
    cli(["train", f"{name}.yaml", "--runs-dir", name], standalone_mode=False)
    return next(RunFolder.all(Path(name))).path


def members_of(folder):
    with open(Path(folder) / "population.csv", encoding="utf-8") as file:
        return [*csv.DictReader(file)]


def metrics_of(folder):
    return RunFolder(folder).read()["metrics"]


def test_a_search_that_stops_is_resumed_and_ends_the_same(here, done, monkeypatch):
    whole = search(done, "whole", baselines=1)
    real, calls = SymbolicSynthesis._select, []

    def stopping(self, members):
        calls.append(self)
        if len(calls) == 2:  # networks of the second iteration are trained, and it has no checkpoint
            raise KeyboardInterrupt
        return real(self, members)

    monkeypatch.setattr(SymbolicSynthesis, "_select", stopping)
    with pytest.raises(click.exceptions.Abort):
        search(done, "cut", baselines=1)
    monkeypatch.undo()
    monkeypatch.chdir(here)
    cut = next(RunFolder.all(Path("cut"))).path
    assert not cli(["train", "--resume", str(cut)], standalone_mode=False)
    assert metrics_of(cut) == metrics_of(whole)
    for name in ("population.csv", "programs.json", "library.txt"):
        assert (cut / name).read_text() == (whole / name).read_text()


def test_networks_that_are_trained_in_processes_are_the_same(here, done):
    one, two = (search(done, f"jobs-{jobs}", iterations=1, jobs=jobs) for jobs in (1, 2))
    assert members_of(one) == members_of(two) and len(members_of(one)) == 3
    weights = [LoadedRun.open(f / "inside" / "network-0-001").learner.state_dict() for f in (one, two)]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items() if torch.is_tensor(value))


def test_the_best_by_training_accuracy_survive_and_the_best_of_them_answers(here, done):
    folder = search(done, iterations=1, baselines=2, repeats=1)
    members, metrics = members_of(folder), metrics_of(folder)
    order = sorted(members, key=lambda m: (-float(m["train"]), int(m["number"])))
    assert [m["kept"] for m in order] == ["True", "True", "False"]
    values = [float(m["val"]) for m in members]
    assert metrics["run/range"] == pytest.approx(max(values) - min(values))
    assert metrics["run/survivors-max"] == pytest.approx(max(float(m["val"]) for m in order[:2]))
    names = [f"baseline-{i}" for i in (1, 2)]
    baseline = [metrics_of(done)["val/accuracy"]] + [metrics_of(folder / "inside" / n)["val/accuracy"] for n in names]
    assert metrics["run/baseline-mean"] == pytest.approx(sum(baseline) / 3)
    assert metrics["run/baseline-range"] == pytest.approx(max(baseline) - min(baseline))
    loaded = LoadedRun.open(folder)
    best = LoadedRun.open(folder / "inside" / f"network-0-00{order[0]['number']}")
    batch = next(best.batches("test", 1))
    assert torch.equal(loaded.learner.predict(batch)["logits"], best.learner.predict(batch)["logits"])
    assert best.recipe.plain()["model"]["program"] == order[0]["plain"]
    assert {path.name for path in (folder / "figures").glob("*.png")} >= {"graphs.png", "ranks.png"}


def test_the_library_grows_and_is_kept_with_the_run(here, done, capsys):
    folder = search(done, judge="random", population=12, survivors=3, evaluations=80_000)
    plain = search(done, "plain", judge="random", population=12, survivors=3, evaluations=80_000, functions=0)
    metrics, control = metrics_of(folder), metrics_of(plain)
    assert metrics["run/library"] > 0 and not control["run/library"]
    assert metrics["run/graphs"] > control["run/graphs"] >= 3
    stored = json.loads((folder / "programs.json").read_text())
    dsl, loaded = GraphDsl(4), LoadedRun.open(folder).learner
    assert {name: len(takes) for name, (takes, _) in loaded.dsl.library.items()} == {
        name: arity for name, (arity, _) in stored["library"].items()
    }
    graphs = [dsl.graph(one["plain"]).simple for one in stored["programs"]]
    assert not any(isomorphic(a, b) for i, a in enumerate(graphs) for b in graphs[:i])
    for one in stored["programs"]:
        assert loaded.dsl.graph(one["program"]).edges == dsl.graph(one["plain"]).edges
    capsys.readouterr()
    assert not cli(["analyze", "programs", "--run", str(folder), "--functions", "0"], standalone_mode=False)
    assert "network-" in capsys.readouterr().out
    assert "fn_0" in (folder / "library.txt").read_text()


def test_random_graphs_take_the_place_of_programs_that_were_found(here, done):
    folder = search(done, iterations=1, proposals="random", judge="random", population=6, survivors=3)
    assert len(members_of(folder)) == 6
    assert max(int(m["nodes"]) for m in members_of(folder)) <= proposals.MOST_NODES


def test_the_counts_of_the_analysis_are_those_of_its_rounds(tmp_path):
    numbers = LibraryCounts(evaluations=75_000, max_ports=4, seeds=2, share=1.0).analyze(tmp_path)
    assert numbers["first-round"] == 3
    assert numbers["with-library/least"] == numbers["with-library/most"] > numbers["without-library"] == 0
    with open(tmp_path / "counts.csv", encoding="utf-8") as file:
        rows = [*csv.DictReader(file)]
    assert [row["round"] for row in rows] == ["1", "1", "all"] and "fn_0" in rows[0]["new functions"]
    assert len({row["evaluations"] for row in rows}) == 1, "both have as many evaluations"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"survivors": 3}, "survivors must be below population, 3, got 3"),
        ({"metric": "f1"}, "the baseline measures no 'f1'"),
        ({"evaluations": 20}, "exploration has found no graph"),
    ],
)
def test_what_cannot_be_searched_is_refused(here, done, settings, message):
    with pytest.raises(RkError) as error:
        search(done, **settings)
    assert message in error.value.render()

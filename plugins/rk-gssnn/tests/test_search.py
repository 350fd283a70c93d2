"""A search keeps what learns best, its library grows, and neither a kill nor processes change what it finds."""

from __future__ import annotations

import contextlib
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


@pytest.fixture(scope="module")
def whole(done, tmp_path_factory):
    """The folder of a search that nothing has disturbed."""
    with contextlib.chdir(tmp_path_factory.mktemp("whole")):
        return search(done, baselines=1, repeats=1).resolve()


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def weights_of(folder):
    return (folder / "inside" / "network-0-001" / "model.safetensors").read_bytes()


def same(one, other):
    """Whether two searches have found the same, to the last bit."""
    files = ("population.csv", "programs.json", "library.txt")
    return (
        metrics_of(one).items() <= metrics_of(other).items()
        and all((one / name).read_text() == (other / name).read_text() for name in files)
        and weights_of(one) == weights_of(other)
    )


def test_a_search_in_two_processes_that_stops_is_resumed_and_ends_as_one_in_one_process(here, done, whole, monkeypatch):
    real, calls = SymbolicSynthesis._select, []

    def stopping(self, members):
        calls.append(self)
        if len(calls) == 2:  # networks of the second iteration are trained, and it has no checkpoint
            raise KeyboardInterrupt
        return real(self, members)

    monkeypatch.setattr(SymbolicSynthesis, "_select", stopping)
    with pytest.raises(click.exceptions.Abort):
        search(done, baselines=1, jobs=2)
    monkeypatch.undo()
    monkeypatch.chdir(here)
    cut = next(RunFolder.all(Path("s"))).path
    assert not cli(["train", "--resume", str(cut)], standalone_mode=False)
    assert same(cut, whole)


def test_the_best_by_training_accuracy_survive_and_the_best_of_them_answers(done, whole):
    members, metrics = members_of(whole), metrics_of(whole)
    assert [m["iteration"] for m in members] == ["0"] * 3 + ["1"]

    def best(some):
        return sorted(some, key=lambda m: (-float(m["train"]), m["iteration"], m["number"]))[:2]

    kept = best(best(members[:3]) + members[3:])
    assert [m["plain"] for m in members if m["kept"] == "True"] == [m["plain"] for m in members if m in kept]
    values = [float(m["val"]) for m in members]
    assert metrics["run/range"] == pytest.approx(max(values) - min(values))
    assert metrics["run/survivors-max"] == pytest.approx(max(float(m["val"]) for m in kept))
    baseline = [metrics_of(folder)["val/accuracy"] for folder in (done, whole / "inside" / "baseline-1")]
    assert metrics["run/baseline-mean"] == pytest.approx(sum(baseline) / 2)
    assert metrics["run/baseline-range"] == pytest.approx(abs(baseline[0] - baseline[1]))
    again = metrics_of(whole / "inside" / "repeat-1")["val/accuracy"]
    assert metrics["run/repeat-range"] == pytest.approx(abs(again - float(kept[0]["val"])))
    loaded = LoadedRun.open(whole)
    answering = LoadedRun.open(whole / "inside" / f"network-{kept[0]['iteration']}-00{kept[0]['number']}")
    batch = next(answering.batches("test", 1))
    assert torch.equal(loaded.learner.predict(batch)["logits"], answering.learner.predict(batch)["logits"])
    assert answering.recipe.plain()["model"]["program"] == kept[0]["plain"]
    assert {path.name for path in (whole / "figures").glob("*.png")} >= {"graphs.png", "ranks.png"}


def test_the_library_grows_and_is_kept_with_the_run(here, done, capsys):
    folder = search(done, judge="random", population=12, survivors=3, evaluations=80_000)
    metrics = metrics_of(folder)
    assert metrics["run/library"] > 0 and metrics["run/graphs"] > 3, "three are found without a library"
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
    numbers = LibraryCounts(evaluations=75_000, max_ports=4, seeds=1, share=1.0, rounds=1).analyze(tmp_path)
    assert numbers["first-round"] == 3
    assert numbers["with-library/least"] == numbers["with-library/most"] > numbers["without-library"] == 0
    with open(tmp_path / "counts.csv", encoding="utf-8") as file:
        rows = [*csv.DictReader(file)]
    assert [row["round"] for row in rows] == ["1", "all"] and "fn_0" in rows[0]["new functions"]
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

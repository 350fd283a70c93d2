"""Pruning of trained networks: what is measured when, the sweep over targets, the zoo of graphs."""

from __future__ import annotations

import csv
import json

import pytest
import torch
from rk_sparse_rnn.layer import GraphRNN
from rk_sparse_rnn.properties import PROPERTIES
from rk_sparse_rnn.sweep import PruneSweep
from rk_sparse_rnn.zoo import GraphZoo
from rk_sparsity.weights import prunable

from rk.api import load
from rk.catalog import Catalog
from rk.cli import cli
from rk.recipe.find import RecipeFile
from rk.testing import Trial

BASE = """
rk: 1
model: {{name: sequence, layer: {layer}, d_model: 6, norm: none, residual: false}}
data: {{name: labelled-strings, file: {file}, batch_size: 16}}
loss: cross-entropy
trainer: {{name: backprop, optimizer: {{name: adam, lr: 1e-1}}}}
fit: {{max_epochs: 6, seed: 1, threads: 1}}
"""


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """Returns a function that writes a recipe over strings of class 1 if their first symbol comes again in the end."""
    monkeypatch.chdir(tmp_path)
    random = torch.Generator().manual_seed(0)
    rows = []
    for i in range(120):
        inner = "".join("xy"[k] for k in torch.randint(2, (2 + i % 3,), generator=random).tolist())
        first, last = ("ab"[k] for k in torch.randint(2, (2,), generator=random).tolist())
        rows.append(f"{first}{inner}{last},{int(first == last)}\n")
    (tmp_path / "strings.csv").write_text("string,label\n" + "".join(rows))

    def write(name, layer="gru", extra=""):
        path = tmp_path / name
        path.write_text(BASE.format(layer=layer, file=tmp_path / "strings.csv") + extra)
        return path

    return write


def trained(path):
    assert not cli(["train", str(path), "--runs-dir", "runs"], standalone_mode=False)
    return max((path.parent / "runs" / path.stem).iterdir())


def pruned(recipe, base, density, target="recurrent", **more):
    callback = json.dumps({"name": "prune-and-regain", "density": density, "target": target, **more})
    return recipe("pruned.yaml", extra=f"init_from: {{run: {base}}}\ncallbacks: [{callback}]\n")


def metrics_of(folder):
    return json.loads((folder / "run.json").read_text())["metrics"]


def test_the_accuracy_is_measured_before_pruning_at_once_and_after_each_epoch(recipe):
    base = trained(recipe("base.yaml"))
    run = trained(pruned(recipe, base, 0.3, stop=False))
    found = metrics_of(run)
    assert found["run/base"] == pytest.approx(metrics_of(base)["test/accuracy"])
    assert found["run/last"] == pytest.approx(found["test/accuracy"])
    rows = list(csv.DictReader((run / "regain.csv").open()))
    assert [row["epoch"] for row in rows] == ["base", *map(str, range(7))]
    assert float(rows[1]["test accuracy"]) == pytest.approx(found["run/at-once"])
    weights = prunable(load(run).learner, target="recurrent").values()
    kept = sum(int(w.count_nonzero()) for w in weights)
    assert kept == round(0.3 * sum(w.numel() for w in weights))


def test_a_run_that_has_regained_ends_and_one_without_inputs_never_does(recipe):
    base = trained(recipe("base.yaml"))
    found = metrics_of(trained(pruned(recipe, base, 1.0)))
    assert (found["run/epochs-to-regain"], found["run/regained"]) == (0, 1)
    run = trained(pruned(recipe, base, 0, target="input-to-hidden", tolerance=0.0))
    assert "run/epochs-to-regain" not in metrics_of(run)
    assert not any(w.any() for w in prunable(load(run).learner, target="input-to-hidden").values())


def test_a_run_that_is_cut_while_it_regains_resumes_with_the_same_curve(recipe, tmp_path):
    base = trained(recipe("base.yaml"))
    one = Trial(RecipeFile(pruned(recipe, base, 0.1, stop=False)), Catalog(), tmp_path / "trials")
    whole = one.run(15, checkpoint_every=4)
    cut = one.run(15, checkpoint_every=4, cut_at=10)
    resumed = one.run(15, checkpoint_every=4, resume=cut.folder)
    curves = [run.parts.callbacks[0].curve for run in (whole, resumed)]
    assert len(curves[0]) > 2
    assert curves[0] == curves[1]
    assert all(torch.equal(a, b) for a, b in zip(whole.learner.parameters(), resumed.learner.parameters(), strict=True))


def test_a_sweep_answers_with_the_sparsest_network_that_regains(recipe):
    path = recipe("base.yaml")
    trained(path)
    search = ["search", "prune-sweep", "--run", "last", "--recipe", str(path), "--targets", "[i2h, h2h]"]
    more = ["--percents", "[10, 100]", "--epochs", "2", "--tolerance", "0.1", "--runs-dir", "runs"]
    assert not cli([*search, *more], standalone_mode=False)
    run = max((path.parent / "runs" / "prune-sweep").iterdir())
    rows = {(r["target"], r["percent"]): r for r in csv.DictReader((run / "sweep.csv").open())}
    found = metrics_of(run)
    assert {*rows} == {(t, p) for t in ("i2h", "h2h") for p in ("10", "100")}
    assert rows["i2h", "100"]["epochs to regain"] == "never"
    assert "run/i2h-100-epochs" not in found
    regained = [key for key, row in rows.items() if row["epochs to regain"] != "never"]
    assert regained
    kept = [
        sum(int(w.count_nonzero()) for w in load(run / "inside" / f"{t}-{p}").learner.parameters()) for t, p in regained
    ]
    assert sum(int(w.count_nonzero()) for w in load(run).learner.parameters()) == min(kept)
    assert (run / "figures" / "sweep.png").is_file()


def test_a_zoo_has_the_properties_of_the_graph_that_each_network_was_trained_with(recipe):
    path = recipe("wired.yaml", layer="{name: graph-rnn, nodes: 10}")
    trained(path)
    search = ["search", "graph-zoo", "--run", "last", "--recipe", str(path), "--sizes", "1", "--most", "12"]
    assert not cli([*search, "--runs-dir", "runs"], standalone_mode=False)
    run = max((path.parent / "runs" / "graph-zoo").iterdir())
    rows = list(csv.DictReader((run / "zoo.csv").open()))
    assert [row["graph"] for row in rows] == ["watts-strogatz", "barabasi-albert"]
    assert rows[0]["nodes"] == rows[1]["nodes"]
    for number, row in enumerate(rows):
        inner = load(run / "inside" / f"graph-{number}")
        layer = next(m for m in inner.learner.modules() if isinstance(m, GraphRNN))
        assert float(row["edges"]) == layer.edges.shape[1]
        assert int(row["parameters"]) == sum(p.numel() for p in layer.parameters())
        assert all(row[name] for name in PROPERTIES)


def test_mistakes_in_searches_are_named():
    with pytest.raises(ValueError, match="must not be empty"):
        PruneSweep(run=None, recipe="x", seed=0, targets=())
    with pytest.raises(ValueError, match="most must be >= 20"):
        GraphZoo(run=None, recipe="x", seed=0, least=20, most=10)

"""`rk analyze sweep`: trials, their table and figure, the best recipe; a stopped sweep, failures, mistakes."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from rk_sweep.space import Range
from rk_sweep.sweep import Sweep

import rk.training
from rk import UserError
from rk.errors import RkError, RunFailed

RECIPE = """
rk: 1
model: {name: mlp, hidden_sizes: [8]}
data: {name: digits, batch_size: 32}
loss: cross-entropy
trainer: {name: backprop, optimizer: {name: sgd, lr: 0.1}}
fit: {max_steps: 6, validate_batches: 2, seed: 3, threads: 1}
"""


@pytest.fixture
def recipe(tmp_path, monkeypatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("net.yaml").write_text(RECIPE)
    return "net.yaml"


def table(out: Path) -> list[dict[str, str]]:
    with (out / "trials.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_choice_of_a_grid_is_trained_and_the_best_one_becomes_a_recipe(recipe, tmp_path, capsys):
    space = {"trainer.optimizer.lr": [1e-9, 0.5], "model.hidden_sizes": [[4], [16]]}
    found = Sweep(recipe, space, sampler="grid").analyze(tmp_path)
    rows = table(tmp_path)
    assert [(r["trainer.optimizer.lr"], r["model.hidden_sizes"]) for r in rows] == [
        ("1e-09", "[4]"),
        ("1e-09", "[16]"),
        ("0.5", "[4]"),
        ("0.5", "[16]"),
    ]
    losses = [float(row["val/loss"]) for row in rows]
    assert found["best"] == pytest.approx(min(losses), rel=1e-4) and found["trial"] == losses.index(min(losses)) >= 2
    assert (tmp_path / "trials.png").stat().st_size > 1000
    best = rk.training.settings(tmp_path / "best.yaml")
    assert best["trainer"]["optimizer"]["lr"] == 0.5
    assert best["fit"]["seed"] == 3 and best["model"]["hidden_sizes"] == [[4], [16]][int(found["trial"]) % 2]
    assert "(best so far)" in capsys.readouterr().out


def test_more_is_better_where_the_metric_declares_it(recipe, tmp_path):
    found = Sweep(recipe, {"trainer.optimizer.lr": [1e-9, 0.5]}, metric="val/accuracy", sampler="grid").analyze(
        tmp_path
    )
    assert found["trial"] == 1


def test_the_mean_over_the_seeds_is_compared(recipe, tmp_path):
    Sweep(recipe, {"trainer.optimizer.lr": [0.1]}, sampler="grid", seeds=2).analyze(tmp_path)
    (row,) = table(tmp_path)
    first, second = map(float, row["seeds"].split())
    assert first != second and float(row["val/loss"]) == pytest.approx((first + second) / 2, rel=1e-4)
    assert sorted(folder.name for folder in (tmp_path / "inside").iterdir()) == ["trial-000-seed-3", "trial-000-seed-4"]


def test_a_sweep_that_is_run_again_trains_nothing_twice_and_comes_to_the_same(recipe, tmp_path, monkeypatch):
    space = {"trainer.optimizer.lr": Range(1e-3, 1.0, log=True)}
    part = Sweep(recipe, space, trials=2)
    part.analyze(tmp_path / "resumed")
    trained = []
    train = rk.training.train
    monkeypatch.setattr(rk.training, "train", lambda *a, **k: trained.append(1) or train(*a, **k))
    whole = Sweep(recipe, space, trials=4).analyze(tmp_path / "resumed")
    assert len(trained) == 2
    assert Sweep(recipe, space, trials=4).analyze(tmp_path / "whole") == whole
    assert table(tmp_path / "resumed") == table(tmp_path / "whole")


def test_a_training_that_fails_is_a_failed_trial(recipe, tmp_path):
    found = Sweep(recipe, {"trainer.optimizer.lr": [1e30, 0.1]}, sampler="grid").analyze(tmp_path)
    assert found["failed"] == 1 and found["trial"] == 1
    assert "loss became nan" in table(tmp_path)[0]["failure"]


def test_a_sweep_whose_trials_all_fail_says_why(recipe, tmp_path):
    with pytest.raises(RunFailed, match="all 1 trials failed, the first because"):
        Sweep(recipe, {"trainer.optimizer.lr": [1e30]}, sampler="grid").analyze(tmp_path)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"space": {"trainer.optimizer.rate": [1]}}, "unknown parameter"),
        ({"space": {"trainer.optimizer.lr": ["x"]}}, "expected"),
        ({"metric": "val/f1"}, "measures no 'val/f1'"),
        ({"recipe": "nothere"}, "nothere"),
    ],
)
def test_a_mistake_is_reported_and_is_not_a_failed_trial(recipe, tmp_path, given, message):
    settings = {"recipe": recipe, "space": {"trainer.optimizer.lr": [0.1]}} | given
    with pytest.raises(RkError, match=message):
        Sweep(**settings).analyze(tmp_path)


def test_the_command_takes_the_space_as_yaml(rk_folder):
    (rk_folder.folder / "net.yaml").write_text(RECIPE)
    from rk.cli import cli

    space = "{trainer.optimizer.lr: {low: 1e-3, high: 0.1, log: true}, model.hidden_sizes: [[4], [8]]}"
    given = ["--recipe", "net.yaml", "--space", space, "--trials", "2", "--runs-dir", "runs"]
    assert not cli(["analyze", "sweep", *given], standalone_mode=False)
    (out,) = Path("runs/sweep").glob("*/figures")
    assert len(table(out)) == 2 and (out / "best.yaml").is_file()


def test_a_range_that_is_none_is_a_mistake_of_the_command(rk_folder):
    with pytest.raises(UserError, match="low must be at most high"):
        Sweep("net.yaml", {"a": Range(2, 1)})

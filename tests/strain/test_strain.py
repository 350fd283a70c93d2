"""The contract carries what is not supervised learning by gradients: four plugins that live only here.

Each trains, validates, resumes bit-equal after a real Ctrl-C, evaluates, predicts and exports, through the commands
that every user has.
"""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from rk.errors import ExitCode, RecipeError
from rk.runs import RunFolder

LOCAL = """
rk: 1
model: {name: mlp, hidden_sizes: [48, 48], dropout: 0.1}
data: {name: digits, batch_size: 64}
trainer: {name: local-blocks, optimizer: {name: adam, lr: 1e-2, schedule: cosine}}
callbacks: [{name: interrupt, at: 57}]
fit: {max_steps: 120, seed: 3, validate_every: 40, monitor: val/accuracy, threads: 1}
"""
KERNEL = """
rk: 1
data: {name: digits, batch_size: 64}
trainer: strain-ridge
callbacks: [{name: interrupt, at: 7}]
fit: {threads: 1, seed: 3}
"""
HEBB = """
rk: 1
data: {name: digits, batch_size: 64}
trainer: hebb
callbacks: [{name: interrupt, at: 57}]
fit: {max_steps: 120, seed: 3, validate_every: 40, threads: 1}
"""
MLP = """
rk: 1
model: {name: mlp, hidden_sizes: [32]}
data: digits
loss: cross-entropy
trainer: {name: backprop, optimizer: {name: adam, lr: 3e-3}}
fit: {max_steps: 100, seed: 1, threads: 1}
"""
ACCURACY = {"local": 0.85, "kernel": 0.95, "hebb": 0.75, "prune": 0.8}


def train(strain, tmp_path, which, *more):
    """Trains one of the four into a runs folder of its own; returns the exit code and the run."""
    root = tmp_path / f"runs-{which}-{len(list(tmp_path.iterdir()))}"
    if which == "prune":
        base = tmp_path / "base"
        if not base.exists():
            (tmp_path / "mlp.yaml").write_text(MLP)
            strain("train", "mlp.yaml", "--runs-dir", base)
        settings = ("fit.seed=3", "fit.threads=1", "callbacks=[{name: interrupt, at: 9}]")
        run = next(RunFolder.all(base)).path
        code = strain("search", "prune", "--run", run, "--n-trials", "20", "--runs-dir", root, *settings, *more)
    else:
        recipe = tmp_path / f"{which}.yaml"
        recipe.write_text({"local": LOCAL, "kernel": KERNEL, "hebb": HEBB}[which])
        code = strain("train", recipe.name, "--runs-dir", root, *more)
    return code, next(RunFolder.all(root))


@pytest.fixture(params=["local", "kernel", "hebb", "prune"])
def which(request):
    return request.param


def test_it_trains_validates_and_is_measured_again_as_it_was(strain, tmp_path, capsys, which):
    code, run = train(strain, tmp_path, which)
    metrics = run.read()["metrics"]
    assert code == ExitCode.OK
    assert metrics["test/accuracy"] > ACCURACY[which]
    assert ("test/loss" in metrics) == (which == "local"), "only the local learner has an objective"
    capsys.readouterr()
    strain("eval", run.path, "--json")
    again = json.loads(capsys.readouterr().out)["metrics"]
    assert again == pytest.approx(metrics, abs=1e-6)


def test_it_resumes_bit_equal_after_ctrl_c(strain, tmp_path, monkeypatch, capsys, which):
    _, whole = train(strain, tmp_path, which)
    monkeypatch.setenv("RK_TEST_INTERRUPT", "1")
    code, broken = train(strain, tmp_path, which)
    assert code == ExitCode.INTERRUPTED
    assert broken.read()["status"] == "interrupted"
    assert f"rk train --resume {broken.label}" in capsys.readouterr().out
    monkeypatch.delenv("RK_TEST_INTERRUPT")
    assert strain("train", "--resume", broken.path) == ExitCode.OK
    expected, found = load_file(whole.model), load_file(broken.model)
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        assert torch.equal(tensor, found[name]), name
    assert broken.read()["metrics"] == whole.read()["metrics"]


def test_it_answers_a_file_and_exports_its_weights(strain, tmp_path, capsys, which):
    _, run = train(strain, tmp_path, which)
    (tmp_path / "digit.csv").write_text(",".join(["0", "16", "8", "4"] * 16) + "\n")
    capsys.readouterr()
    strain("predict", run.path, "digit.csv", "-o", "answer.json")
    answer = json.loads((tmp_path / "answer.json").read_text())
    assert 0 <= answer[0]["class"] <= 9
    strain("export", run.path, "--to", "safetensors", "-o", "out")
    exported, kept = load_file(tmp_path / "out" / "model.safetensors"), load_file(run.model)
    assert exported.keys() == kept.keys()
    assert all(torch.equal(kept[name], tensor) for name, tensor in exported.items())


def test_it_is_reported_compared_and_exported_like_any_run(strain, tmp_path, capsys, which):
    _, run = train(strain, tmp_path, which)
    metrics = run.read()["metrics"]
    strain("report", run.path)
    assert "test/accuracy" in run.report.read_text()
    strain("compare", run.path, train(strain, tmp_path, "hebb", "fit.max_steps=2")[1].path)

    strain("export", run.path, "--to", "hub", "-o", "hub")
    capsys.readouterr()
    strain("eval", "hub", "--split", "test", "--json")
    found = json.loads(capsys.readouterr().out)["metrics"]
    assert found == pytest.approx({k: v for k, v in metrics.items() if k.startswith("test/")}, abs=1e-6)
    card = (tmp_path / "hub" / "README.md").read_text()
    assert "What was learned is more than one model" in card

    strain("export", run.path, "--to", "torch-export", "-o", "pt2")
    inputs = torch.rand(5, 8, 8)
    answer = torch.export.load(tmp_path / "pt2" / "model.pt2").module()({"inputs": inputs})
    from rk.fit.loaded import LoadedRun

    torch.testing.assert_close(answer["logits"], LoadedRun.open(run.path).learner.predict({"inputs": inputs})["logits"])


def test_its_claims_are_reproduced(strain, tmp_path, capsys):
    (tmp_path / "hebb.yaml").write_text(HEBB.replace("callbacks: [{name: interrupt, at: 57}]\n", ""))
    text = KERNEL.replace("callbacks: [{name: interrupt, at: 7}]\n", "")
    claim = "{metric: test/accuracy, at_least: 0.95, baseline: hebb.yaml, times_baseline: 1.02}"
    (tmp_path / "kernel.yaml").write_text(f"{text}expect: [{claim}]\n")
    assert strain("reproduce", "kernel.yaml") == ExitCode.OK
    assert "1 of 1 claim holds" in capsys.readouterr().out


def test_no_gradient_crosses_a_block_of_the_local_learner(strain, tmp_path):
    from rk.catalog import Catalog
    from rk.fit.loaded import LoadedRun

    _, run = train(strain, tmp_path, "local", "fit.max_steps=2", "~fit.validate_every", "~fit.monitor")
    learner = LoadedRun.open(run.path, Catalog()).learner
    batch = {"inputs": torch.randn(4, 8, 8), "targets": torch.arange(4)}
    total, _ = learner(batch)["block1"]
    reached = torch.autograd.grad(total, list(learner.model.blocks[0].parameters()), allow_unused=True)
    assert all(gradient is None for gradient in reached)


def test_a_sub_model_is_measured_beside_the_whole(strain, tmp_path):
    _, run = train(strain, tmp_path, "local")
    assert {"val/accuracy@first", "test/accuracy@first"} <= run.read()["metrics"].keys()


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (LOCAL + "loss: cross-entropy\n", "trainer local-blocks takes no loss"),
        (KERNEL + "model: mlp\n", "trainer strain-ridge takes no model"),
        (HEBB.replace("max_steps: 120, ", ""), "trainer hebb does not end by itself"),
        (
            LOCAL.replace("model: {name: mlp, hidden_sizes: [48, 48], dropout: 0.1}\n", ""),
            "trainer local-blocks needs a model",
        ),
    ],
    ids=["a loss too many", "a model too many", "no end", "a model too few"],
)
def test_a_recipe_that_cannot_work_is_refused_before_it_runs(strain, tmp_path, recipe, message):
    from rk.errors import RecipeError

    (tmp_path / "wrong.yaml").write_text(recipe)
    with pytest.raises(RecipeError, match=message):
        strain("train", "wrong.yaml")


def test_an_analysis_of_a_run_leaves_its_tables_and_numbers_in_a_run_folder(strain, tmp_path, capsys):
    (tmp_path / "mlp.yaml").write_text(MLP)
    strain("train", "mlp.yaml", "fit.max_steps=5")
    assert strain("analyze", "unit-use", "--run", "last", "--split", "test") == ExitCode.OK
    run = list(RunFolder.all(tmp_path / "runs"))[-1]
    assert run.read()["status"] == "done"
    assert 0 < run.read()["metrics"]["use/mean"] < 1
    assert len((run.figures / "use.csv").read_text().splitlines()) == 32


def test_the_parameters_of_a_search_are_its_options(strain, capsys):
    with pytest.raises(SystemExit):
        from rk.cli import cli

        cli(["search", "prune", "--help"])
    out = capsys.readouterr().out
    assert "--n-trials" in out and "Units to try." in out and "--run" in out and "[required]" in out


def prune(strain, tmp_path, capsys, *options):
    """Runs the search over a fresh mlp; returns its run and what was printed."""
    (tmp_path / "mlp.yaml").write_text(MLP)
    strain("train", "mlp.yaml", "--runs-dir", "base", "fit.max_steps=20")
    base = next(RunFolder.all(tmp_path / "base")).path
    capsys.readouterr()
    strain("search", "prune", "--run", base, *options, "fit.threads=1")
    return list(RunFolder.all(tmp_path / "runs"))[-1], capsys.readouterr().out


def test_a_search_begins_with_its_own_defaults_which_the_command_line_overrides(strain, tmp_path, capsys):
    run, _ = prune(strain, tmp_path, capsys, "--n-trials", "8")
    assert [line["step"] for line in run.metrics() if "train/kept" in line] == [4, 8]
    run, _ = prune(strain, tmp_path, capsys, "--n-trials", "8", "fit.log_every=2")
    assert [line["step"] for line in run.metrics() if "train/kept" in line] == [2, 4, 6, 8]


def test_a_search_ends_with_its_summary(strain, tmp_path, capsys):
    run, out = prune(strain, tmp_path, capsys, "--n-trials", "3")
    kept = int(load_file(run.model)["kept"].sum())
    assert f"\n{kept} units are left after 3 trials\n" in out


def test_a_switch_of_a_search_is_a_flag(strain, tmp_path, capsys):
    run, _ = prune(strain, tmp_path, capsys, "--in-order")
    assert "in_order: true" in run.recipe.read_text()
    run, _ = prune(strain, tmp_path, capsys, "--no-in-order")
    assert "in_order: false" in run.recipe.read_text()


def test_a_finished_search_resumes_with_a_larger_budget_and_no_other_change(strain, tmp_path, capsys):
    run, _ = prune(strain, tmp_path, capsys, "--n-trials", "4", "--in-order")
    assert strain("search", "prune", "--resume", run.path, "--n-trials", "9") == ExitCode.OK
    assert "after 9 trials" in capsys.readouterr().out
    whole, _ = prune(strain, tmp_path, capsys, "--n-trials", "9", "--in-order")
    assert torch.equal(load_file(run.model)["kept"], load_file(whole.model)["kept"])
    with pytest.raises(RecipeError, match=r"search.in_order: can no longer be changed\n  hint: .*search.n_trials"):
        strain("search", "prune", "--resume", run.path, "--no-in-order")


def test_the_progress_of_a_search_goes_to_its_own_end(strain, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("rk.fit.progress.PLAIN_SECONDS", 0.0)
    _, out = prune(strain, tmp_path, capsys, "--n-trials", "3")
    assert "step 3/3" in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--n-trials", "0"), "must be >= 1"),
        (("--run", "nowhere"), "no such run"),
        ((), r"search.run: missing: run \(a run folder\)\n  hint: give --run$"),
    ],
    ids=["bound", "no run", "nothing"],
)
def test_a_search_with_wrong_options_is_refused(strain, options, message):
    with pytest.raises(RecipeError, match=message):
        strain("search", "prune", *options)

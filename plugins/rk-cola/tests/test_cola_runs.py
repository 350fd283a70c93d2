"""`rk search cola --run RUN`: paths through the model of a trained run."""

import json
import random
from pathlib import Path

import pytest
import torch
from rk_cola.layered_run import RunSubject, asked_targets
from rk_cola.paths import read_path

import rk
from rk import UserError
from rk.blocks import layered_of, run_blocks
from rk.cli import cli
from rk.fit.loaded import LoadedRun
from rk.runs import RunFolder

MLP = {
    "rk": 1,
    "model": {"name": "mlp", "hidden_sizes": [64] * 5, "activation": "gelu"},
    "data": "digits",
    "loss": "cross-entropy",
    "trainer": {"name": "backprop", "optimizer": {"name": "adam", "lr": 3e-3}},
    "fit": {"max_steps": 25, "seed": 1, "threads": 1},
}
WORDS = {
    **MLP,
    "model": {"name": "sequence", "layer": "attention", "num_layers": 3, "d_model": 8},
    "data": {
        "name": "group-words",
        "group": "S3",
        "length": 3,
        "val_examples": 8,
        "test_examples": 16,
        "batch_size": 8,
    },
    "fit": {"max_steps": 3, "seed": 1, "threads": 1},
}
LOOPED = {**WORDS, "model": {**WORDS["model"], "num_layers": 4, "num_loops": 2}}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Trained runs: an MLP of five equal layers on digits, attention over words of a group, and two looped blocks."""
    root = tmp_path_factory.mktemp("runs")
    recipes = {"mlp": MLP, "words": WORDS, "looped": LOOPED}
    return {name: rk.train(recipe, runs_dir=root, progress=False).path for name, recipe in recipes.items()}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rk_cola.drawing.draw", lambda samples, depth, folder: [])


def search(run: Path, *options: str, runs: str = "runs") -> RunFolder:
    command = ["search", "cola", "--run", str(run), "--num-simulations", "10", "--limit", "20", "--runs-dir", runs]
    cli([*command, *options, "fit.threads=1", "fit.seed=1"], standalone_mode=False)
    return list(RunFolder.all(Path(runs)))[-1]


def lines(run: RunFolder, name: str) -> list[dict]:
    return [json.loads(line) for line in (run.path / name).read_text().splitlines()]


def draw_paths(depth: int, count: int) -> list[tuple[int, ...]]:
    draw = random.Random(0)
    return [tuple(draw.randrange(depth) for _ in range(draw.randint(1, 2 * depth))) for _ in range(count)]


@pytest.mark.parametrize(
    ("name", "positions"), [("mlp", "all"), ("words", "all"), ("words", "last"), ("looped", "all")]
)
def test_scores_are_those_of_the_blocks_run_one_after_the_other(runs, name, positions):
    """The naive twin: `rk.blocks.run_blocks` on one example and one path at a time."""
    run = LoadedRun.open(runs[name])
    subject = RunSubject(run, run.data, None, positions, seed=0, limit=11)
    run.prepare()
    subject.prepare(11)
    numbers = [3, 10, 0, 7]
    pairs = [(i % 4, path) for i, path in enumerate(draw_paths(subject.depth, 24))]
    found = subject.scorer(numbers, 8, 2**20).score(pairs)
    batches = [*run.batches("test")]
    rows = [(batch, row) for batch in batches for row in range(len(batch["targets"]))]
    for (place, path), scores in zip(pairs, found, strict=True):
        batch, row = rows[numbers[place]]
        one = {key: value[row : row + 1] for key, value in batch.items()}
        with torch.inference_mode():
            logits = run_blocks(layered_of(run.learner), one, path)["logits"].flatten(0, -2)
        targets = one["targets"].flatten()
        if positions == "last":
            logits, targets = logits[-1:], targets[-1:]
        logs = logits.log_softmax(-1)
        assert bool(scores.greedy[0]) == bool((logits.argmax(-1) == targets).all())
        torch.testing.assert_close(
            scores.log_probs[0], logs.gather(1, targets.unsqueeze(1)).sum(), rtol=1e-4, atol=1e-4
        )
        answer = subject.answers(path, [numbers[place]], None)[0]
        assert answer == tuple(logits.argmax(-1).tolist())
        assert bool(scores.greedy[0]) == (answer == subject.right(numbers[place]))
        wrong = tuple(map(int, subject.wrong(numbers[place]).split()))
        assert wrong != subject.right(numbers[place])
        assert bool(scores.greedy[1]) == (answer == wrong)


def test_every_reported_path_answers_right_and_the_metrics_repeat(runs, capsys):
    found = search(runs["mlp"], "--controls", "--num-candidates", "4")
    run = LoadedRun.open(runs["mlp"])
    batch = next(iter(run.batches("test")))
    samples = lines(found, "samples.jsonl")
    assert len(samples) == 20 and any(sample["paths"] for sample in samples)
    for row, sample in enumerate(samples):
        assert sample["answer"] == str(int(batch["targets"][row])) and sample["prompt"] == f"test {row}"
        for path in sample["paths"]:
            with torch.inference_mode():
                logits = run_blocks(layered_of(run.learner), batch, read_path(path["path"]))["logits"]
            assert logits[row].argmax() == batch["targets"][row]
    metrics = found.read()["metrics"]
    assert metrics["run/oracle"] == sum(bool(s["paths"]) for s in samples) / 20 > metrics["run/base"]
    assert metrics["run/oracle-over-control"] == pytest.approx(metrics["run/oracle"] - metrics["run/control"])
    assert metrics["test/accuracy@oracle"] > metrics["test/accuracy"], "searched examples are known again"
    assert {"run/fixed-path", "run/held-out-base", "run/vote", "run/pass-at-n"} <= metrics.keys()
    capsys.readouterr()
    cli(["eval", str(found.path), "--json"], standalone_mode=False)
    again = json.loads(capsys.readouterr().out)["metrics"]
    assert again == {name: value for name, value in metrics.items() if not name.startswith("run/")}


def test_the_weights_stay_in_the_run_and_other_weights_are_refused(runs, tmp_path):
    import shutil

    run = Path(shutil.copytree(runs["mlp"], tmp_path / "copy"))
    found = search(run)
    assert found.model.stat().st_size < 10_000
    kept = found.path / "from/search.run"
    other = rk.train({**MLP, "fit": {**MLP["fit"], "seed": 2}}, runs_dir=tmp_path / "other", progress=False)
    (kept / "model.safetensors").unlink()
    shutil.copy(other.path / "model.safetensors", kept / "model.safetensors")
    with pytest.raises(UserError, match="has other weights than those that were searched"):
        cli(["eval", str(found.path)], standalone_mode=False)


def test_a_search_over_a_run_is_resumed_with_a_larger_budget(runs):
    few = ("--positions", "last", "--limit", "3")
    short = search(runs["words"], *few, runs="a")
    long = search(runs["words"], *few, "--num-simulations", "16", runs="b")
    cli(["search", "cola", "--resume", str(short.path), "--num-simulations", "16"], standalone_mode=False)
    assert lines(short, "samples.jsonl") == lines(long, "samples.jsonl")


def test_other_data_and_another_split_are_searched(runs):
    data = json.dumps({**WORDS["data"], "length": 2})
    found = search(runs["words"], "--data", data, "--split", "val", "--limit", "3")
    assert [(s["prompt"], len(s["answer"].split())) for s in lines(found, "samples.jsonl")] == [
        ("val 0", 2),
        ("val 1", 2),
        ("val 2", 2),
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--split", "nowhere"), "unknown split 'nowhere'"),
        (("--model", "gemma"), "give a model, or a run: one of the two"),
        (("--protect-first", "5"), "leave no layer of 5"),
    ],
)
def test_what_cannot_be_searched_is_refused_in_one_message(runs, options, message):
    with pytest.raises(UserError, match=message) as error:
        search(runs["mlp"], *options)
    assert error.value.exit_code == 2


def test_models_whose_blocks_change_the_shape_and_runs_without_blocks_are_refused(runs, tmp_path):
    narrow = {**MLP, "model": {"name": "mlp", "hidden_sizes": [16, 16]}, "fit": {"max_steps": 1, "threads": 1}}
    with pytest.raises(UserError, match="change the shape: none can be skipped or repeated"):
        search(rk.train(narrow, runs_dir=tmp_path, progress=False).path)
    with pytest.raises(UserError, match="the model of the run cola is not a chain of blocks"):
        search(search(runs["mlp"], "--limit", "1").path)


def test_only_class_numbers_can_be_rewarded():
    with pytest.raises(UserError, match="targets that are class numbers"):
        asked_targets({"targets": torch.rand(2, 3)}, "all")
    with pytest.raises(UserError, match="without a target"):
        asked_targets({"targets": torch.tensor([[1, 2], [-100, -100]])}, "all")
    last = asked_targets({"targets": torch.tensor([[1, 2, -100], [-100, 3, 4]])}, "last")
    assert last.tolist() == [[-100, 2, -100], [-100, -100, 4]]


def test_neither_model_nor_run_is_one_message():
    with pytest.raises(UserError, match="give a model, or a run"):
        cli(["search", "cola"], standalone_mode=False)

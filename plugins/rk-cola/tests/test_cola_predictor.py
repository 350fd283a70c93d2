"""The path predictor: programs of paths, what it learns from, what it answers, and what that is measured by."""

import itertools
import json
from pathlib import Path

import pytest
import torch
from rk_cola.paths import read_path
from rk_cola.predictor import PathPredictor, decode, read_paths, segments
from rk_cola.programs import KEEP, REPEAT, SKIP, Program, parse, preference
from rk_cola.searched_paths import SearchedPaths
from rk_cola.segment_loss import SegmentOperations

import rk
from rk import UserError
from rk.blocks import layered_of, run_blocks
from rk.cli import cli
from rk.fit.loaded import LoadedRun
from rk.runs import RunFolder

MLP = {
    "rk": 1,
    "model": {"name": "mlp", "hidden_sizes": [64] * 4, "activation": "gelu"},
    "data": "digits",
    "loss": "cross-entropy",
    "trainer": {"name": "backprop", "optimizer": "adam"},
    "fit": {"max_steps": 20, "seed": 1, "threads": 1},
}


def all_programs(depth: int, longest: int) -> list[Program]:
    """Every partition of the layers, with every choice of operations."""
    partitions = [p for n in range(1, depth + 1) for p in itertools.product(range(1, longest + 1), repeat=n)]
    return [
        Program(lengths, operations)
        for lengths in partitions
        if sum(lengths) == depth
        for operations in itertools.product((SKIP, KEEP, REPEAT), repeat=len(lengths))
    ]


@pytest.mark.parametrize(("depth", "longest"), [(5, 4), (6, 2)])
def test_the_program_of_a_path_is_the_preferred_one_of_all_that_stand_for_it(depth, longest):
    """The naive twin: all programs, sorted by the paths that they stand for."""
    of_path: dict[tuple, list[Program]] = {}
    for program in all_programs(depth, longest):
        of_path.setdefault(program.path, []).append(program)
    assert max(map(len, of_path.values())) > 5, "many programs stand for one path"
    for path, programs in of_path.items():
        keys = [*map(preference, programs)]
        assert len(set(keys)) == len(keys), "no two are preferred alike"
        assert parse(path, depth, longest) == min(programs, key=preference)
    for path in itertools.product(range(depth), repeat=3):
        assert (parse(path, depth, longest) is None) == (path not in of_path)


@pytest.mark.parametrize(
    ("path", "lengths", "operations"),
    [
        ((0, 1, 2, 3, 4, 5), (4, 2), (KEEP, KEEP)),  # the longer segment first
        ((0, 3, 4, 5), (1, 2, 3), (KEEP, SKIP, KEEP)),
        ((0, 1, 1, 2, 3, 4, 5), (1, 1, 4), (KEEP, REPEAT, KEEP)),
        ((0, 1, 0, 1, 2, 3, 4, 5), (2, 4), (REPEAT, KEEP)),
        ((0, 0, 1, 1, 2, 3, 4, 5), (1, 1, 4), (REPEAT, REPEAT, KEEP)),
        ((5,), (4, 1, 1), (SKIP, SKIP, KEEP)),
    ],
)
def test_ties_are_broken_as_in_the_paper(path, lengths, operations):
    assert parse(path, 6) == Program(lengths, operations)


def test_a_block_that_runs_three_times_has_no_program():
    assert parse((0, 1, 1, 1, 2, 3), 4) is None and parse((1, 0, 2, 3), 4) is None


# -- the model and its loss --------------------------------------------------------------------------------------------


def test_segments_are_split_after_four_layers_at_last():
    assert segments(torch.tensor([-1.0] * 10)) == (4, 4, 2)
    assert segments(torch.tensor([-1.0, 2.0, -1.0, -1.0, -1.0, -1.0, 0.0])) == (1, 4, 1, 1)


def test_the_beam_gives_the_most_probable_programs_of_the_two_likeliest_operations():
    """The naive twin: every combination, sorted."""
    random = torch.Generator().manual_seed(0)
    for _ in range(20):
        boundaries, scores = torch.randn(9, generator=random), torch.randn(9, 3, generator=random).log_softmax(-1)
        lengths = segments(boundaries)
        starts = Program(lengths, ()).starts
        choices = [scores[start].topk(2).indices.tolist() for start in starts]
        every = [Program(lengths, chosen) for chosen in itertools.product(*choices)]
        best = sorted(
            (p for p in every if p.path), key=lambda p: -sum(float(scores[s, o]) for s, o in zip(starts, p.operations))
        )
        assert decode(boundaries, scores, 5) == [p.path for p in best[:5]]


def test_an_answer_is_never_the_empty_path():
    skips = torch.tensor([0.0, -100.0, -200.0]).expand(2, 3)
    assert () not in decode(torch.tensor([0.0, -1.0]), skips, 5)
    assert decode(torch.tensor([0.0, -1.0]), torch.tensor([0.0, -torch.inf, -torch.inf]).expand(2, 3), 5) == [(0, 1)]


def test_padding_of_the_states_changes_no_score():
    model = PathPredictor(depth=5, state_size=6, hidden_size=8, num_heads=2).eval()
    states = torch.randn(1, 3, 6)
    alone = model.predict(states=states, mask=torch.ones(1, 3, dtype=torch.bool))
    padded = torch.cat([states, torch.full((1, 2, 6), 9.0)], 1)
    found = model.predict(states=padded, mask=torch.tensor([[True] * 3 + [False] * 2]))
    torch.testing.assert_close(found["boundary_logits"], alone["boundary_logits"])
    torch.testing.assert_close(found["operation_logits"], alone["operation_logits"])
    assert torch.equal(found["paths"], alone["paths"]) and len(read_paths(found["paths"][0])) >= 1


def test_the_layers_of_a_single_state_are_not_scored_alike():
    model = PathPredictor(depth=5, state_size=6, hidden_size=8, num_heads=2).eval()
    found = model(states=torch.randn(1, 1, 6), mask=torch.ones(1, 1, dtype=torch.bool))
    assert found["boundary_logits"].std() > 1e-3


def test_the_loss_is_the_weighted_sum_of_each_layers_and_each_segments():
    """The naive twin, in plain Python."""
    random = torch.Generator().manual_seed(0)
    cuts, done = torch.randn(3, 4, generator=random), torch.randn(3, 4, 3, generator=random)
    programs = [parse(path, 4) for path in ((0, 1, 2, 3), (0, 2, 2, 3), (1, 2, 1, 2, 3))]
    weights = [0.3, 1.0, 0.5]
    boundaries, operations = torch.zeros(3, 4), torch.full((3, 4), -100)
    total = {"boundaries": 0.0, "operations": 0.0}
    for row, program in enumerate(programs):
        for start, operation in zip(program.starts, program.operations, strict=True):
            boundaries[row, start], operations[row, start] = 1.0, operation
        p = cuts[row].sigmoid()
        bits = [-(p[i] if i in program.starts else 1 - p[i]).log() for i in range(4)]
        kinds = [-done[row, s].softmax(0)[o].log() for s, o in zip(program.starts, program.operations, strict=True)]
        total["boundaries"] += weights[row] * float(sum(bits)) / 4
        total["operations"] += weights[row] * float(sum(kinds)) / len(kinds)
    found = SegmentOperations()(
        boundary_logits=cuts,
        operation_logits=done,
        boundaries=boundaries,
        operations=operations,
        weights=torch.tensor(weights),
    )
    assert {name: float(term[0]) for name, term in found.items()} == pytest.approx(total, rel=1e-5)
    assert all(float(count) == pytest.approx(1.8) for _, count in found.values())


# -- what it learns from -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """Runs: an MLP that knows little of digits, a search over 40 of them, and a search over a tiny language model."""
    from rk_lm.tiny import byte_tokenizer, tiny_model

    root = tmp_path_factory.mktemp("searched")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setattr("rk_cola.drawing.draw", lambda samples, depth, folder: [])
        run = rk.train(MLP, runs_dir="mlp", progress=False)
        budget = ["--num-simulations", "12", "--space", "segments", "fit.threads=1"]
        command = ["search", "cola", "--run", str(run.path), "--limit", "40"]
        cli([*command, *budget, "--runs-dir", "digits"], standalone_mode=False)
        tiny_model("llama", seed=2, num_hidden_layers=4).save_pretrained("model")
        byte_tokenizer().save_pretrained("model")
        rows = [{"prompt": "x" * (i % 3) + f"{i}=", "options": ["a", "b"], "answer": "ab"[i % 2]} for i in range(8)]
        Path("asked.jsonl").write_text("\n".join(map(json.dumps, rows)))
        data = "{name: mc-jsonl, file: asked.jsonl}"
        command = ["search", "cola", "--model", str(root / "model"), "--data", data]
        cli([*command, *budget, "--runs-dir", "lm"], standalone_mode=False)
    return root


def only(folder: Path) -> Path:
    (run,) = RunFolder.all(folder)
    return run.path


def prepared(folder: Path, **settings) -> SearchedPaths:
    data = SearchedPaths(LoadedRun.open(folder), seed=0, **settings)
    data.prepare()
    return data


@pytest.fixture(scope="module")
def digits(searched) -> SearchedPaths:
    return prepared(only(searched / "digits"), batch_size=16)


def test_the_valid_paths_are_those_that_the_search_has_reported(searched, digits):
    lines = (only(searched / "digits") / "samples.jsonl").read_text().splitlines()
    reported = [[p["path"] for p in json.loads(line)["paths"]] for line in lines]
    assert [len(own) for own in digits.valid] == [*map(len, reported)] and sum(map(len, reported)) > 40


def test_questions_are_either_learned_from_or_held_out(digits):
    assert not set(digits.train) & set(digits.test) and len(digits.train) + len(digits.test) == 40
    learned = {int(n) for i in range(digits.batches("train")) for n in digits.batch("train", i)["question"]}
    assert learned <= set(digits.train)
    assert [int(n) for i in range(digits.batches("test")) for n in digits.batch("test", i)["question"]] == digits.test


def test_an_example_is_a_valid_path_and_those_of_a_question_weigh_one(digits):
    total: dict[int, float] = {}
    full = (0, 1, 2, 3)
    for number, program, weight in digits._examples:
        assert program.path in digits.valid[number]
        total[number] = total.get(number, 0.0) + weight
    assert all(value == pytest.approx(1.0) for value in total.values())
    weights = {(n, p.path): w for n, p, w in digits._examples}
    ratios = [w / weights[n, full] for (n, path), w in weights.items() if (n, full) in weights and len(path) < 4]
    assert ratios and all(ratio == pytest.approx(1 / 0.3) for ratio in ratios)


def test_the_control_gives_each_question_the_paths_of_another_one(searched, digits):
    shuffled = prepared(only(searched / "digits"), shuffle=True)
    own = {n: {p.path for m, p, _ in digits._examples if m == n} for n in digits.train}
    other = {n: {p.path for m, p, _ in shuffled._examples if m == n} for n in digits.train}
    assert sorted(map(sorted, own.values())) == sorted(map(sorted, other.values())) and own != other


def test_states_are_those_after_the_first_blocks(searched):
    run = LoadedRun.open(only(searched / "mlp"))
    model, batch = layered_of(run.learner), next(iter(run.batches("test")))
    for layers in (0, 2):
        data = prepared(only(searched / "digits"), states=layers)
        with torch.inference_mode():
            expected, _ = model.enter(inputs=batch["inputs"])
            for i in range(layers):
                expected = model.blocks[i](expected)
        found = {int(n): s[0] for n, s in zip(data.batch("test", 0)["question"], data.batch("test", 0)["states"])}
        for number, state in found.items():
            torch.testing.assert_close(state, expected[number])


def test_metrics_are_those_of_the_paths_run_one_by_one(searched, digits):
    """The naive twin: `run_blocks` on each digit and path."""
    run = LoadedRun.open(only(searched / "mlp"))
    batch = next(iter(run.batches("test")))

    def right(number: int, path: tuple[int, ...]) -> bool:
        one = {name: value[number : number + 1] for name, value in batch.items()}
        with torch.inference_mode():
            return int(run_blocks(layered_of(run.learner), one, path)["logits"].argmax()) == int(one["targets"][0])

    question = torch.tensor(digits.test)
    choices = [(0, 1), (0, 2, 3), (0, 1, 1, 2, 3), (0, 3), (1, 2, 3), (2,)]
    rows = torch.full((len(question), 6, 8), -1)
    for row in range(len(question)):
        for place, path in enumerate(choices[row % 3 :] + choices[: row % 3]):
            rows[row, place, : len(path)] = torch.tensor(path)
    answers = [[right(n, path) for path in read_paths(row)] for n, row in zip(digits.test, rows, strict=True)]
    metrics = digits.metrics
    assert float(metrics["pass-at-1"](paths=rows, question=question)[0]) == sum(own[0] for own in answers)
    assert float(metrics["pass-at-5"](paths=rows, question=question)[0]) == sum(any(own[:5]) for own in answers)
    assert float(metrics["base"](question=question)[0]) == sum(right(n, (0, 1, 2, 3)) for n in digits.test)
    assert float(metrics["oracle"](question=question)[0]) == sum(bool(digits.valid[n]) for n in digits.test)
    counts = {path: sum(right(n, path) for n in digits.train) for path in digits.answered}
    assert counts[digits.fixed[0]] == max(counts.values()), "the best path on the questions that are learned from"
    assert float(metrics["fixed"](question=question)[0]) == sum(right(n, digits.fixed[0]) for n in digits.test)
    with torch.inference_mode():
        probabilities = run_blocks(layered_of(run.learner), batch, (0, 1, 2, 3))["logits"][question].softmax(-1)
    p = probabilities.gather(1, batch["targets"][question].unsqueeze(1)).squeeze(1)
    five = float((1 - (1 - p) ** 5).sum())
    assert float(metrics["sampling-at-5"](question=question)[0]) == pytest.approx(five, rel=1e-4)


# -- training ----------------------------------------------------------------------------------------------------------


def recipe(folder: Path, **fit) -> dict:
    return {
        "rk": 1,
        "model": {"name": "path-predictor", "hidden_size": 16, "num_heads": 2},
        "data": {"name": "searched-paths", "run": str(folder), "batch_size": 16},
        "loss": "segment-operations",
        "trainer": {"name": "backprop", "optimizer": "adam"},
        "fit": {"max_steps": 6, "threads": 1, "seed": 0, **fit},
    }


@pytest.mark.parametrize("name", ["digits", "lm"])
def test_a_predictor_is_trained_on_either_kind_of_search_and_measured_again(searched, name, tmp_path, capsys):
    run = rk.train(recipe(only(searched / name)), runs_dir=tmp_path, progress=False)
    metrics = run.info["metrics"]
    assert {"test/pass-at-1", "test/pass-at-5", "test/base", "test/fixed", "test/sampling-at-5"} <= metrics.keys()
    assert metrics["test/pass-at-1"] <= metrics["test/pass-at-5"]
    capsys.readouterr()
    cli(["eval", str(run.path), "--json"], standalone_mode=False)
    assert json.loads(capsys.readouterr().out)["metrics"] == metrics


def test_a_users_own_questions_are_answered_along_their_predicted_paths(searched, tmp_path, monkeypatch):
    from rk_lm.load import load
    from rk_lm.naive import score
    from rk_lm.question_lines import read_questions

    monkeypatch.chdir(tmp_path)
    run = rk.train(recipe(only(searched / "lm")), runs_dir=tmp_path, progress=False)
    rows = [{"prompt": "abc=", "options": ["a", "b", "c"]}, {"prompt": "x=", "options": ["c", "d"]}]
    Path("asked.jsonl").write_text("\n".join(map(json.dumps, rows)))
    cli(["predict", str(run.path), "asked.jsonl", "-o", "answers.json"], standalone_mode=False)
    lm = load(str(searched / "model"))
    questions = read_questions(Path("asked.jsonl"), need_answer=False)
    for asked, found in zip(questions, json.loads(Path("answers.json").read_text()), strict=True):
        item = lm.encode(asked, asked.options)
        means = score(lm.layered, item, read_path(found["path"])).log_probs / torch.tensor(
            [*map(len, item.continuations)]
        )
        assert (found["prompt"], found["answer"]) == (asked.prompt, asked.options[int(means.argmax())].strip())


def test_a_training_that_was_stopped_ends_bit_equal(searched, tmp_path):
    whole = rk.train(recipe(only(searched / "digits")), runs_dir=tmp_path / "a", progress=False)
    part = rk.train(recipe(only(searched / "digits"), max_steps=3), runs_dir=tmp_path / "b", progress=False)
    cli(["train", "--resume", str(part.path), "fit.max_steps=6"], standalone_mode=False)
    one, other = (LoadedRun.open(run.path).learner.state_dict() for run in (whole, part))
    assert all(torch.equal(value, other[key]) for key, value in one.items())


def test_what_is_not_a_search_is_refused(searched, tmp_path):
    with pytest.raises(UserError, match="is not a search of cola"):
        rk.train(recipe(only(searched / "mlp")), runs_dir=tmp_path, progress=False)

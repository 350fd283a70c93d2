"""`rk search cola` from end to end, on tiny random models."""

import json
import shutil

import pytest
import torch
from rk_cola.evaluations import Evaluation, Evaluations, Target, targets
from rk_cola.paths import read_path
from rk_lm import naive
from rk_lm.items import encode, end_of_turn
from rk_lm.layered import run_path
from rk_lm.load import load
from rk_lm.questions import Question
from rk_lm.tiny import byte_tokenizer, tiny_model
from safetensors.torch import load_file

from rk import UserError
from rk.cli import cli
from rk.errors import ExitCode, RecipeError
from rk.runs import RunFolder

METHODS = ("mcts", "random", "exhaustive-1", "beam")
SETTINGS = ("fit.threads=1", "fit.seed=1")


@pytest.fixture
def figures():
    """Asked for by a test that looks at figures: drawing takes longer than a search, and nothing else depends on it."""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch, request):
    monkeypatch.chdir(tmp_path)
    if "figures" not in request.fixturenames:
        monkeypatch.setattr("rk_cola.drawing.draw", lambda samples, depth, folder: [])
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("RK_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A tiny random model in a folder, and questions about it: every second answer is its own, the rest are wrong."""
    folder = tmp_path_factory.mktemp("world")
    tiny_model("llama", seed=2).save_pretrained(folder / "model")
    byte_tokenizer().save_pretrained(folder / "model")
    lm = load(str(folder / "model"))
    rows = []
    for number in range(100):
        prompt = f"{number}="
        ids = lm.tokenizer(prompt).input_ids
        with torch.inference_mode():
            best = lm.layered.model(torch.tensor([ids])).logits[0, -1].topk(6).indices.tolist()
        letters = [lm.tokenizer.decode([token]) for token in best]
        own = len(rows) % 2 == 0
        answer = letters[0] if own else next((x for x in letters[2:] if x.isalnum()), "")
        if len(rows) < 8 and answer.isalnum():
            rows.append({"prompt": prompt, "answer": answer, "level": "own" if own else "other"})
    (folder / "questions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    options = [{"question": r["prompt"], "options": ["a", "b", "c", "d"], "answer": "b"} for r in rows]
    (folder / "choices.jsonl").write_text("\n".join(map(json.dumps, options)))
    return folder


def search(world, *options: str, data: str | None = None, runs: str = "runs") -> tuple[int, RunFolder]:
    data = data or f"{{name: exact-jsonl, file: {world}/questions.jsonl, stop: ''}}"
    command = [
        "search",
        "cola",
        "--model",
        f"{world}/model",
        "--data",
        data,
        "--num-simulations",
        "12",
        "--runs-dir",
        runs,
    ]
    code = cli([*command, *options, *SETTINGS], standalone_mode=False)
    return code, list(RunFolder.all(world.__class__(runs)))[-1]


def lines(run: RunFolder, name: str) -> list[dict]:
    return [json.loads(line) for line in (run.path / name).read_text().splitlines()]


@pytest.fixture(scope="module")
def plain(world) -> RunFolder:
    """A search with nothing but the defaults that has ended; nothing more is written to it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setattr("rk_cola.drawing.draw", lambda samples, depth, folder: [])
        _, run = search(world, runs=str(world / "plain"))
    return run


def test_no_path_is_reported_that_does_not_answer_right(world, plain):
    lm, samples = load(f"{world}/model"), lines(plain, "samples.jsonl")
    assert len(samples) == 8
    found = 0
    for sample in samples:
        item = encode(lm.tokenizer, sample["prompt"], [sample["answer"]])
        for path in sample["paths"]:
            found += 1
            assert naive.score(lm.layered, item, read_path(path["path"])).greedy.all()
            assert path["len"] == len(read_path(path["path"]))
        assert sample["n_evals"] == 13
    assert found > 8


def test_base_oracle_and_control_are_counted_and_measured_again(world, capsys, figures):
    code, run = search(world)
    out, err = capsys.readouterr()
    assert "million parameters in 8 layers; questions: 8, paths for each: 12" in err
    summary = json.loads((run.path / "summary.json").read_text())
    metrics = run.read()["metrics"]
    samples = lines(run, "samples.jsonl")
    assert code == ExitCode.OK
    assert summary["all"]["base"] == sum(s["base_correct"] for s in samples) / 8 == metrics["test/accuracy"]
    assert summary["all"]["oracle"] == sum(bool(s["paths"]) for s in samples) / 8 == metrics["test/accuracy@oracle"]
    assert summary["all"]["control"] == metrics["test/accuracy@control"]
    assert summary["all"]["right"] == 4 and summary["all"]["right_shorter"] >= 1
    assert "oracle: any of 12 paths" in out and "control: the same, to a wrong answer" in out
    assert (run.path / "summary.md").read_text().strip() in out
    assert {p.name for p in run.figures.iterdir()} == {"layer-use.png", "lengths.png", "outcomes.png"}


def test_controls_add_what_can_be_had_without_the_answer(world):
    _, run = search(world, "--controls", "--num-candidates", "4", "--num-votes", "3")
    numbers = json.loads((run.path / "summary.json").read_text())["all"]
    assert 0 < numbers["pass_at_n"] <= 1 and numbers["held_out"] == 4
    assert {"fixed_path", "vote", "held_out_base"} <= numbers.keys()
    metrics = run.read()["metrics"]
    assert metrics["test/accuracy@held-out-fixed"] == numbers["fixed_path"]
    assert metrics["test/accuracy@held-out"] == numbers["held_out_base"], "the same questions as the fixed path"


def test_a_vote_of_one_is_reported(world, capsys):
    search(world, "--controls", "--num-candidates", "1", "--num-votes", "5", "--num-simulations", "1")
    out = capsys.readouterr().out
    assert "vote of 1 path " in out and "any of 1 path " in out and "1 paths" not in out


def test_of_a_choice_one_evaluation_serves_answer_and_control(world):
    data = f"{{name: mc-jsonl, file: {world}/choices.jsonl}}"
    _, run = search(world, "--method", "random", data=data)
    assert len(lines(run, "evaluations.jsonl")) - 1 == 8 * 13
    summary = json.loads((run.path / "summary.json").read_text())
    assert (summary["paths_tried"], summary["evaluations"]) == (2 * 8 * 13, 8 * 13)
    assert "208 paths tried, 104 evaluated" in (run.path / "summary.md").read_text()
    assert all(len(line["log_probs"]) == 4 for line in lines(run, "evaluations.jsonl")[1:])
    more = ["search", "cola", "--resume", str(run.path), "--controls", "--num-candidates", "2"]
    assert cli(more, standalone_mode=False) == ExitCode.OK
    assert {"fixed_path", "vote"} <= json.loads((run.path / "summary.json").read_text())["all"].keys()


@pytest.mark.parametrize(
    ("method", "space"), [*((method, "segments") for method in METHODS), ("mcts", "edits"), ("exhaustive-1", "edits")]
)
def test_every_method_spends_the_same_budget(world, method, space):
    _, run = search(world, "--method", method, "--space", space, "--limit", "2")
    assert [s["n_evals"] for s in lines(run, "samples.jsonl")] == [13, 13]


def found(run: RunFolder) -> list[dict]:
    """What a run reports for each question, without the scores: they depend on the batches in their last digits."""
    samples = lines(run, "samples.jsonl")
    return [sample | {"paths": [path | {"score": None} for path in sample["paths"]]} for sample in samples]


def verdicts(run: RunFolder) -> set[tuple]:
    """What was evaluated, each once, and to what verdict."""
    rows = [(e["question"], e["path"], *e["greedy"]) for e in lines(run, "evaluations.jsonl")[1:]]
    assert len(set(rows)) == len(rows)
    return set(rows)


def stop_after(monkeypatch, steps: int) -> None:
    """Presses Ctrl-C after so many rounds."""
    import os
    import signal

    from rk_cola.search import Cola

    step, count = Cola.step, [0]

    def counted(self):
        count[0] += 1
        if count[0] == steps:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self)

    monkeypatch.setattr(Cola, "step", counted)


def test_ctrl_c_keeps_every_evaluation_and_a_resumed_search_ends_the_same(world, monkeypatch, capsys):
    _, whole = search(world, "--controls", runs="a")
    with monkeypatch.context() as patch:
        stop_after(patch, 5)
        code, broken = search(world, "--controls", runs="b")
    assert code == ExitCode.INTERRUPTED
    before = (broken.path / "evaluations.jsonl").read_text()
    assert "--resume" in capsys.readouterr().out
    assert cli(["search", "cola", "--resume", str(broken.path)], standalone_mode=False) == ExitCode.OK
    after = (broken.path / "evaluations.jsonl").read_text()
    assert after.startswith(before) and len(after) > len(before), "nothing was evaluated twice, or lost"
    assert found(broken) == found(whole)
    assert broken.read()["metrics"] == whole.read()["metrics"]


def test_a_kill_costs_no_more_than_the_line_that_was_being_written(world, monkeypatch):
    _, whole = search(world, "--limit", "2", runs="a")
    with monkeypatch.context() as patch:
        stop_after(patch, 5)
        code, broken = search(world, "--limit", "2", runs="b")
    assert code == ExitCode.INTERRUPTED
    file = broken.path / "evaluations.jsonl"
    file.write_text(file.read_text()[:-20])
    cli(["search", "cola", "--resume", str(broken.path)], standalone_mode=False)
    assert verdicts(broken) == verdicts(whole)


def valid(run: RunFolder) -> list[set[str]]:
    """The paths that a run has found for each question."""
    return [{path["path"] for path in sample["paths"]} for sample in lines(run, "samples.jsonl")]


@pytest.mark.parametrize("method", ["mcts", "beam"])  # no method knows the budget: one that remembers, one that ranks
def test_a_larger_budget_extends_a_search_that_has_ended(world, method):
    options = ("--method", method, "--beam-size", "2", "--limit", "1")
    _, short = search(world, *options, runs="a")
    _, long = search(world, *options, "--num-simulations", "20", runs="b")
    before, earlier = (short.path / "evaluations.jsonl").read_text(), valid(short)
    more = ["search", "cola", "--resume", str(short.path), "--num-simulations", "20"]
    assert cli(more, standalone_mode=False) == ExitCode.OK
    assert (short.path / "evaluations.jsonl").read_text().startswith(before)
    assert all(known <= now for known, now in zip(earlier, valid(short), strict=True)), "what was found stays"
    assert found(short) == found(long)


def test_the_target_of_a_search_can_no_longer_be_changed(world):
    _, short = search(world, "--limit", "1")
    with pytest.raises(RecipeError, match="can no longer be changed"):
        cli(["search", "cola", "--resume", str(short.path), "--ops", "skip"], standalone_mode=False)


def test_a_run_is_measured_again_without_a_copy_of_the_model_in_it(plain, capsys):
    run = plain
    assert run.model.stat().st_size < 10_000
    found = {"asked", "answers", "wrong", "paths", "control_paths", "fixed_path", "held_out", "valid_paths", "valid_of"}
    assert load_file(run.model).keys() == {"digest", *found}
    capsys.readouterr()
    cli(["eval", str(run.path), "--json"], standalone_mode=False)
    metrics = run.read()["metrics"]
    assert json.loads(capsys.readouterr().out)["metrics"] == metrics


# -- other questions, questions of a user's own ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def done(world) -> RunFolder:
    """A search with controls that has ended; nothing more is written to it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        _, run = search(world, "--controls", "--num-candidates", "2", runs=str(world / "runs"))
    return run


def evaluated(run: RunFolder, capsys, *overrides: str) -> tuple[dict[str, float], str]:
    """Returns the metrics of `rk eval`, and its other output."""
    capsys.readouterr()
    cli(["eval", str(run.path), "--json", *overrides], standalone_mode=False)
    said = capsys.readouterr()
    return json.loads(said.out)["metrics"], said.err


def rows_of(world, name: str = "questions.jsonl") -> list[dict]:
    return [json.loads(line) for line in (world / name).read_text().splitlines()]


def written(name: str, rows: list[dict]):
    from pathlib import Path

    Path(name).write_text("\n".join(map(json.dumps, rows)))
    return Path(name).resolve()


def test_a_path_belongs_to_its_question_wherever_that_is_in_the_file(done, world, capsys):
    before = done.read()["metrics"]
    turned = written("turned.jsonl", rows_of(world)[::-1])
    metrics, said = evaluated(done, capsys, f"data.file={turned}")
    assert metrics == pytest.approx(before, abs=1e-5), "the control looks for the wrong answers that it was led to"
    assert "have not been searched" not in said


def test_questions_without_a_search_are_answered_by_the_unmodified_model_with_a_warning(done, world, capsys):
    assert done.read()["metrics"]["test/accuracy@oracle"] > done.read()["metrics"]["test/accuracy"]
    others = written("others.jsonl", [row | {"prompt": f"{i}+{i}="} for i, row in enumerate(rows_of(world))])
    metrics, said = evaluated(done, capsys, f"data.file={others}")
    assert metrics["test/accuracy@oracle"] == metrics["test/accuracy"]
    assert "warning: 8 of 8 questions have not been searched" in said
    same_with_other_answers = written("answers.jsonl", [row | {"answer": "zz"} for row in rows_of(world)])
    metrics, said = evaluated(done, capsys, f"data.file={same_with_other_answers}")
    assert metrics["test/accuracy@oracle"] == metrics["test/accuracy"] == 0
    assert "8 of 8" in said
    half = written("half.jsonl", [*rows_of(world)[4:], {"prompt": "new=", "answer": "x"}])
    _, said = evaluated(done, capsys, f"data.file={half}")
    assert "warning: 1 of 5 questions" in said


def test_the_best_fixed_path_is_measured_on_other_questions_all_of_them(done, world, capsys):
    others = [row | {"prompt": f"{i}+{i}="} for i, row in enumerate(rows_of(world))]
    metrics, _ = evaluated(done, capsys, f"data.file={written('others.jsonl', others)}")
    assert metrics["test/accuracy@held-out"] == metrics["test/accuracy"]


def test_a_limit_holds_for_every_measure(world, capsys):
    _, run = search(world, "--limit", "4")
    metrics, said = evaluated(run, capsys)
    assert metrics == run.read()["metrics"]
    assert "have not been searched" not in said
    base = [sample["base_correct"] for sample in lines(run, "samples.jsonl")]
    assert metrics["test/accuracy"] == sum(base) / 4


def predicted(run: RunFolder, file, *overrides: str) -> list[dict]:
    from pathlib import Path

    cli(["predict", str(run.path), str(file), *overrides, "-o", "answers.json"], standalone_mode=False)
    return json.loads(Path("answers.json").read_text())


def own_answer(lm, prompt: str, path: tuple[int, ...], n: int = 64) -> str:
    """Greedy decoding without a cache, token by token."""
    ids = lm.tokenizer(prompt).input_ids
    start, end = len(ids), lm.tokenizer.eos_token_id
    with torch.inference_mode():
        for _ in range(n):
            token = int(run_path(lm.layered, torch.tensor([ids]), path)[0, -1].argmax())
            if token == end:
                break
            ids.append(token)
    return lm.tokenizer.decode(ids[start:], skip_special_tokens=True).strip()


def test_predict_gives_the_models_own_answers_along_the_path_of_each_question(done, world):
    lm, samples = load(f"{world}/model"), lines(done, "samples.jsonl")
    fixed = read_path(json.loads((done.path / "summary.json").read_text())["fixed_path"])
    full, n = tuple(range(8)), 6  # decoding without a cache takes a while; the default length is another test's
    found = predicted(done, world / "questions.jsonl", f"search.max_new_tokens={n}")
    for row, sample in zip(found, samples, strict=True):
        best = min((read_path(p["path"]) for p in sample["paths"]), key=lambda p: (len(p), p), default=full)
        assert row["searched"] and read_path(row["path"]) == best
        assert row["answer"] == own_answer(lm, sample["prompt"], best, n)
        assert row["unmodified"] == own_answer(lm, sample["prompt"], full, n)
        assert row["best_fixed_path"] == own_answer(lm, sample["prompt"], fixed, n)
        assert row["expected"] == sample["answer"] and row["correct"] == bool(sample["paths"])
        assert row["correct"] == row["answer"].startswith(row["expected"])


def test_questions_without_an_answer_are_answered(done, world):
    known, best = rows_of(world)[0]["prompt"], lines(done, "samples.jsonl")[0]["paths"][0]["path"]
    asked = written("asked.jsonl", [{"prompt": known}, {"question": "Why?"}])
    found = predicted(done, asked, "search.max_new_tokens=8")
    lm = load(f"{world}/model")
    assert [row["searched"] for row in found] == [True, False]
    assert (found[0]["path"], found[1]["path"]) == (best, "0-7")
    assert found[1]["answer"] == own_answer(lm, "Question: Why?\nAnswer:", tuple(range(8)), 8)
    assert all("correct" not in row and "expected" not in row for row in found)


def test_an_answer_has_at_most_the_requested_length(done, world, tmp_path):
    cli(
        ["predict", str(done.path), f"{world}/questions.jsonl", "search.max_new_tokens=2", "-o", "short.json"],
        standalone_mode=False,
    )
    answers = json.loads((tmp_path / "short.json").read_text())
    assert all(len(row["answer"]) <= 2 for row in answers)


def test_of_a_choice_the_option_is_predicted_without_knowing_the_answer(world):
    data = f"{{name: mc-jsonl, file: {world}/choices.jsonl}}"
    _, run = search(world, data=data)
    rows = rows_of(world, "choices.jsonl")
    found = predicted(run, written("asked.jsonl", [{k: v for k, v in row.items() if k != "answer"} for row in rows]))
    lm = load(f"{world}/model")
    for row, predicted_row in zip(rows, found, strict=True):
        options = [f" {option}" for option in row["options"]]
        item = encode(lm.tokenizer, predicted_row["prompt"], options)
        scores = naive.score(lm.layered, item, read_path(predicted_row["path"])).log_probs
        assert predicted_row["answer"] == row["options"][int(scores.argmax())], "options of one token each"
    right = [row["answer"] for row in predicted(run, world / "choices.jsonl") if row["correct"]]
    assert right and set(right) == {"b"}


@pytest.mark.parametrize("format_", ["onnx", "torch-export"])
def test_exporting_a_search_as_a_graph_is_refused(done, format_):
    with pytest.raises(UserError, match="cannot be written as a graph: its answer needs questions_meta") as error:
        cli(["export", str(done.path), "--to", format_], standalone_mode=False)
    assert "safetensors" in error.value.hint
    assert not (done.path / "export" / format_).exists(), "no empty folder stays"


def test_a_run_of_an_earlier_version_recognises_no_question(plain, tmp_path, capsys):
    from safetensors.torch import save_file

    run = RunFolder(shutil.copytree(plain.path, tmp_path / "runs/cola/earlier"))
    tensors = load_file(run.model)
    save_file({k: v for k, v in tensors.items() if k not in ("asked", "answers", "wrong")}, run.model)
    metrics, said = evaluated(run, capsys)
    assert metrics["test/accuracy@oracle"] == metrics["test/accuracy"]
    assert "8 of 8 questions have not been searched" in said


def test_in_a_chat_the_models_own_wording_counts_as_right(world, tmp_path):
    """It writes no space after the head of its turn, and ends the turn in place of the line."""
    import shutil

    shutil.copytree(world / "model", tmp_path / "chat")
    tokenizer = byte_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<end>"]})
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m.role }}: {{ m.content }}<end>\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    tokenizer.save_pretrained(tmp_path / "chat")
    tiny_model("llama", vocab_size=len(tokenizer)).save_pretrained(tmp_path / "chat")
    lm = load(str(tmp_path / "chat"))
    item = lm.encode(Question("hi", " a cat\n", stop="\n"), [" a cat\n"], chat=True)
    assert lm.tokenizer.decode(item.prompt) == "user: hi<end>\nassistant: "
    assert lm.tokenizer.decode(item.continuations[0]) == "a cat<end>"
    end = lm.tokenizer.convert_tokens_to_ids("<end>")
    assert end_of_turn(lm.tokenizer) == "<end>" and item.continuations[0][-1] == end


def test_a_prompt_beyond_the_context_of_the_model_is_warned_of_with_numbers(world, capsys):
    long = written("long.jsonl", [{"prompt": "x" * 600, "answer": "y"}, {"prompt": "1+1=", "answer": "2"}])
    data = f"{{name: exact-jsonl, file: {long}, stop: ''}}"
    _, run = search(world, "--num-simulations", "1", data=data)
    warning = "1 of 2 questions are longer than the context"
    said = capsys.readouterr().err
    assert warning in said and "602 tokens, the model was made for 512" in said
    predicted(run, long)
    assert warning in capsys.readouterr().err


def test_questions_without_a_level_are_kept_beside_those_that_have_one(world):
    rows = rows_of(world)
    mixed = written(
        "mixed.jsonl", [row if i else {k: row[k] for k in ("prompt", "answer")} for i, row in enumerate(rows)]
    )
    _, run = search(world, "--num-simulations", "2", data=f"{{name: exact-jsonl, file: {mixed}, stop: ''}}")
    levels = json.loads((run.path / "summary.json").read_text())["levels"]
    assert sum(level["questions"] for level in levels.values()) == 8 and levels["no level"]["questions"] == 1
    assert "no level" in (run.path / "summary.md").read_text()


def test_weights_that_have_changed_since_are_refused(world, tmp_path):
    import shutil

    shutil.copytree(world, tmp_path / "other")
    other = tmp_path / "other"
    _, run = search(other, "--limit", "1")
    tiny_model("llama", seed=3).save_pretrained(other / "model")
    with pytest.raises(UserError, match="has other weights than those that were searched"):
        cli(["eval", str(run.path)], standalone_mode=False)
    with pytest.raises(UserError, match="evaluations were made with other model"):
        cli(["search", "cola", "--resume", str(run.path), "--num-simulations", "20"], standalone_mode=False)


def test_each_tree_has_its_own_seed(world):
    _, run = search(world, "--method", "random")
    tried: dict[int, list[str]] = {}
    for line in lines(run, "evaluations.jsonl")[1:]:
        tried.setdefault(line["question"], []).append(line["path"])
    assert len({tuple(paths) for paths in tried.values()}) == 8


@pytest.mark.parametrize(("stop", "shorter"), [("first-valid", False), ("shorter-valid", True)])
def test_a_search_may_end_early(world, stop, shorter):
    _, run = search(world, "--early-stop", stop)
    for sample in lines(run, "samples.jsonl"):
        if sample["level"] == "own":
            assert sample["base_correct"]
            assert (sample["n_evals"] == 1) == (not shorter)
        if shorter and sample["n_evals"] < 13:
            assert min(p["len"] for p in sample["paths"]) < 8


def test_random_weights_are_searched_and_reported_as_random(capsys):
    command = [
        "search",
        "cola",
        "--model",
        "gemma",
        "--random-init",
        "--limit",
        "3",
        "--num-simulations",
        "3",
        *SETTINGS,
    ]
    assert cli(command, standalone_mode=False) == ExitCode.OK
    said = capsys.readouterr()
    assert "gemma: RANDOM weights" in said.err
    assert "RANDOM WEIGHTS: these numbers are of the mechanics, not of gemma." in said.out


def test_without_weights_one_message_and_no_run(tmp_path, capsys):
    with pytest.raises(UserError, match=r"gemma \(google/gemma-3-1b-pt\)") as error:
        cli(["search", "cola", "--model", "gemma", *SETTINGS], standalone_mode=False)
    assert error.value.exit_code == 2
    assert [*(tmp_path / "runs").rglob("*")] == [], "not even an empty folder"
    assert "nothing was run" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--protect-first", "8"), "leave no layer of 8"),
        (("--num-simulations", "0"), "must be >= 1"),
        (("--method", "magic"), "mcts"),
        (("--data", "digits"), "cola needs questions; Digits has none"),
        (("--data", "mine.jsonl"), r"\{name: exact-jsonl, file: mine.jsonl\}"),
        (("--max-new-tokens", "0"), "must be >= 1"),
        (("--chat",), "gemma has no chat template"),
    ],
    ids=["protected", "bound", "method", "data", "file", "tokens", "chat"],
)
def test_a_space_that_cannot_be_searched_is_refused_at_once(options, message):
    with pytest.raises(UserError, match=message):
        cli(["search", "cola", "--model", "gemma", "--random-init", *options, *SETTINGS], standalone_mode=False)


# -- evaluations -------------------------------------------------------------------------------------------------------


def test_the_target_of_a_choice_is_the_option_of_the_highest_mean():
    question = Question("?", " b", (" a", " b", " c"))
    right, wrong = targets(question, " c", (1, 2, 4))
    found = right.judge(Evaluation((False,) * 3, (-2.0, -3.0, -8.0)))  # -2, -1.5, -2 per token
    assert found.valid and found.score == pytest.approx(0.5)
    assert not wrong.judge(Evaluation((False,) * 3, (-2.0, -3.0, -8.0))).valid


def test_an_exact_target_is_reached_by_greedy_decoding_alone():
    right, wrong = targets(Question("?", "4"), "5", (1, 1))
    evaluation = Evaluation((False, True), (-0.1, -3.0))
    assert (right.judge(evaluation).valid, wrong.judge(evaluation).valid) == (False, True)
    assert targets(Question("?", "4"), None, (1,)) == (Target(0), None)


def test_evaluations_of_other_questions_are_refused(tmp_path):
    Evaluations(tmp_path / "e.jsonl", {"model": "x", "questions": "y"})
    Evaluations(tmp_path / "e.jsonl", {"model": "x", "questions": "y"})
    with pytest.raises(UserError, match="made with other questions"):
        Evaluations(tmp_path / "e.jsonl", {"model": "x", "questions": "z"})

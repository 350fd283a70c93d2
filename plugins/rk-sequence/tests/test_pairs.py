"""Pairs of sequences: a user's own, as one sequence for causal models, and how answers are judged."""

from __future__ import annotations

import math

import pytest
import torch
from rk_sequence.attention import Attention
from rk_sequence.language_model import LanguageModel
from rk_sequence.metrics import MacroAccuracy, answer_accuracy, first_errors
from rk_sequence.prefix_lm import PrefixLM, StepMacroAccuracy
from rk_sequence.token_pairs import TokenPairs

import rk
from rk import UserError

LINES = [("turn left", "L"), ("walk", "W"), ("walk twice", "W W"), ("turn left twice", "L L"), ("run", "R")]


def table(folder, lines=LINES, head="input\toutput\tlevel", name="pairs.tsv"):
    """Writes each pair six times, with a word in front that makes its input another one."""
    file = folder / name
    rows = [f"w{k} {words}\t{answer}\t{len(words.split())}" for k in range(6) for words, answer in lines]
    file.write_text("\n".join([head, *rows]) + "\n")
    return file


def make(file, **changes):
    data = TokenPairs(file=file, **({"seed": 1, "batch_size": 7} | changes))
    data.prepare()
    return data


def pairs_of(data, split):
    found = []
    for i in range(data.batches(split)):
        batch = data.batch(split, i)
        for row, n in enumerate(batch["lengths"].tolist()):
            words = [data.source_words[token] for token in batch["tokens"][row, :n].tolist()]
            answer = [data.answer_words[token] for token in batch["targets"][row].tolist() if token > 0]
            found.append((" ".join(words[1:]), " ".join(answer), int(batch["depth"][row])))
    return found


@pytest.fixture
def data(tmp_path):
    return make(table(tmp_path), val_fraction=0.2, test_fraction=0.1)


def test_all_pairs_of_a_file_are_in_one_split(data):
    sizes = {split: len(pairs_of(data, split)) for split in data.splits}
    assert sizes == {"train": 21, "val": 6, "test": 3}
    found = [pair for split in data.splits for pair in pairs_of(data, split)]
    assert sorted((words, answer) for words, answer, _ in found) == sorted(LINES * 6)


def test_the_depth_is_a_column_or_the_length_of_the_answer(tmp_path):
    file = table(tmp_path)
    assert all(depth == len(words.split()) for words, _, depth in pairs_of(make(file, depth="level"), "train"))
    assert all(depth == len(answer.split()) for _, answer, depth in pairs_of(make(file), "train"))


def test_equal_inputs_are_in_one_split(tmp_path):
    file = tmp_path / "pairs.tsv"
    file.write_text("a\tb\n" + "".join(f"x{k % 10}\ty\n" for k in range(40)))
    data = make(file)
    seen = {
        split: {tuple(row) for i in range(data.batches(split)) for row in data.batch(split, i)["tokens"].tolist()}
        for split in data.splits
    }
    assert sum(map(len, seen.values())) == 10 == len(set().union(*seen.values()))


def test_a_run_answers_without_the_training_file(data, tmp_path):
    again = TokenPairs(file=tmp_path / "gone.tsv", seed=1)
    again.load_state_dict(data.state_dict())
    own = tmp_path / "own.txt"
    own.write_text("w1 walk\n\nw2 turn left twice\n")
    batch = again.read(own)
    decoded = torch.tensor([[again.answer_words.index("W"), 0, -100], [1, 1, 0]])
    rows = again.answers(batch, {"decoded": decoded})
    assert [row["input"] for row in rows] == ["w1 walk", "w2 turn left twice"]
    assert rows[0]["answer"] == "W"


@pytest.mark.parametrize(
    ("text", "changes", "said"),
    [
        ("input\noops\n", {}, "expected two columns"),
        ("input\toutput\nx\ty\n", {"depth": "level"}, "there is no column 'level'"),
        ("input\toutput\tlevel\nx\ty\tdeep\n", {"depth": "level"}, "expected a whole number, got 'deep'"),
        ("input\toutput\nx\ty\n", {}, "1 different inputs are too few"),
        ("input\toutput\n \ty\n", {}, "expected an input"),
    ],
)
def test_a_file_that_has_no_pairs_is_refused_with_its_place(tmp_path, text, changes, said):
    file = tmp_path / "pairs.tsv"
    file.write_text(text)
    with pytest.raises(UserError, match=rf"pairs\.tsv.*{said}"):
        make(file, **changes)


def test_a_token_that_the_file_does_not_have_is_refused_with_its_line(tmp_path, data):
    other = table(tmp_path, [("fly", "F")], name="other.tsv")
    with pytest.raises(UserError, match=r"other\.tsv:2: 'fly' is in no inputs of "):
        make(table(tmp_path), test=other)
    own = tmp_path / "own.txt"
    own.write_text("w1 walk\nw1 fly\n")
    with pytest.raises(UserError, match=r"own\.txt:2: 'fly' is not a token of inputs"):
        data.read(own)


def test_a_prefix_batch_is_input_separator_and_answer(data):
    batch, pairs = PrefixLM(data).batch("train", 0), data.batch("train", 0)
    first = data.vocab_size
    for row, n in enumerate(pairs["lengths"].tolist()):
        answer = [token for token in pairs["targets"][row].tolist() if token >= 0]
        steps = [*pairs["tokens"][row, :n].tolist(), first, *(token + first for token in answer[:-1])]
        aims = [-100] * n + [token + first for token in answer]
        behind = batch["tokens"].shape[1] - len(steps)
        assert batch["tokens"][row].tolist() == [*steps, *[0] * behind]
        assert batch["targets"][row].tolist() == [*aims, *[-100] * behind]
        assert batch["mask"][row].tolist() == [True] * len(steps) + [False] * behind
    assert torch.equal(batch["depth"], pairs["depth"])


def test_a_language_model_continues_a_user_s_inputs_to_the_end_of_the_answer(data, tmp_path):
    wrapped = PrefixLM(data)
    own = tmp_path / "own.txt"
    own.write_text("w1 walk\nw2 turn left twice\n")
    batch = wrapped.read(own)
    torch.manual_seed(0)
    model = LanguageModel(vocab_size=wrapped.vocab_size, layer=Attention, temperature=0.0, max_new_tokens=5).eval()
    outputs = model.predict(**batch)
    rows = wrapped.answers(batch, outputs)
    assert [row["input"] for row in rows] == ["w1 walk", "w2 turn left twice"]
    word = {name: i + data.vocab_size for i, name in enumerate(data.answer_words)}
    said = torch.tensor([[word["W"], word["END"], word["L"]], [word["L"], word["L"], word["L"]]])
    rows = wrapped.answers(batch, {"continuation": said})
    assert [row["answer"] for row in rows] == ["W", "L L L"]
    with pytest.raises(UserError, match="does not continue a sequence"):
        wrapped.answers(batch, {"logits": said})


def test_a_language_model_is_trained_on_pairs_and_answers_a_line(tmp_path):
    recipe = {
        "rk": 1,
        "model": {"name": "language-model", "layer": "attention", "d_model": 16, "temperature": 0},
        "data": {"name": "prefix-lm", "base": {"name": "token-pairs", "file": str(table(tmp_path))}},
        "loss": {"name": "cross-entropy", "ignore_index": -100},
        "trainer": {"name": "backprop", "optimizer": {"name": "adam", "lr": 1e-2}},
        "fit": {"max_steps": 60, "seed": 1, "threads": 1},
    }
    run = rk.train(recipe, runs_dir=tmp_path / "runs")
    assert run.metrics["test/accuracy"] > 0.5
    line = tmp_path / "line.txt"
    line.write_text("w1 turn left twice\n")
    [row] = run.predict(line)
    assert row["input"] == "w1 turn left twice"
    assert set(row["answer"].split()) <= {"L", "W", "R"}


def test_an_answer_is_right_when_all_of_it_is():
    decoded = torch.tensor([[1, 2, 0, -100], [1, 2, 3, 0], [1, 0, -100, -100]])
    targets = torch.tensor([[1, 2, 0], [1, 2, 0], [1, 1, 0]])
    assert first_errors(decoded, targets).tolist() == [-1, 2, 1]
    assert int(answer_accuracy(decoded=decoded, targets=targets)[0]) == 1


def test_each_depth_counts_alike_whatever_the_batches_are():
    targets = torch.tensor([[1, 0]] * 4 + [[2, 0]])
    decoded = torch.tensor([[1, 0]] * 3 + [[3, 0]] * 2)
    depth = torch.tensor([1, 1, 1, 1, 2])
    whole, first, second = MacroAccuracy(), MacroAccuracy(), MacroAccuracy()
    whole.update(decoded=decoded, targets=targets, depth=depth)
    first.update(decoded=decoded[:2], targets=targets[:2], depth=depth[:2])
    second.update(decoded=decoded[2:], targets=targets[2:], depth=depth[2:])
    first.merge(second)
    assert whole.compute() == first.compute() == (0.75 + 0.0) / 2
    assert math.isnan(MacroAccuracy().compute())
    steps = StepMacroAccuracy()
    logits = torch.nn.functional.one_hot(decoded, 4).double()
    steps.update(logits=logits, targets=targets, depth=depth)
    assert steps.compute() == whole.compute()

"""The data `labelled-sequences`: kinds of files, lengths, targets; and its baseline, `random-kernels` with `ridge`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from rk_sequence.labelled_sequences import LabelledSequences
from rk_sequence.random_kernels import WIDTH, RandomKernels
from rk_sequence.ridge import PENALTIES, solve
from rk_sequence.series_files import Columns, filled, read_series

from rk import UserError

HEAD = "@problemName mine\n@timeStamps false\n@classLabel true a b\n@data\n"


@pytest.fixture
def write(tmp_path):
    """Returns a function that writes a file and returns its path."""

    def write(name: str, text: str) -> Path:
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def ts(count: int = 10) -> str:
    """Returns a .ts file of two channels: class a rises, class b falls; series differ in length."""
    rows = []
    for i in range(count):
        steps = [j if i % 2 else -j for j in range(3 + i % 3)]
        rows.append(f"{','.join(map(str, steps))}:{','.join('1' for _ in steps)}:{'ab'[i % 2]}")
    return HEAD + "\n".join(rows) + "\n"


def prepared(file: Path, **params) -> LabelledSequences:
    data = LabelledSequences(**({"file": file, "seed": 0, "normalize": "none"} | params))
    data.prepare()
    return data


def read(path: Path, columns: Columns | None = None, labelled: bool = True):
    return [(s.values.T.tolist(), s.label) for s in read_series(path, columns or Columns(), labelled)]


# -- files -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.ts", HEAD + "1,2,3:a\n4,5:b\n"),
        ("a.csv", "label,s1,s2,s3\na,1,2,3\nb,4,5,\n"),
        ("b.csv", "kind;0;1;2\na;1;2;3\nb;4;5;\n"),
        ("long.csv", "id,time,label,v\n1,0,a,1\n2,0,b,4\n1,2,a,3\n1,1,a,2\n2,1,b,5\n"),
        ("a.jsonl", '{"series": [1, 2, 3], "label": "a"}\n{"series": [4, 5], "label": "b"}\n'),
        ("a.json", '[{"values": [[1], [2], [3]], "class": "a"}, {"values": [[4], [5]], "class": "b"}]'),
    ],
)
def test_the_same_series_are_read_from_every_kind_of_file(write, name, text):
    assert read(write(name, text)) == [([[1, 2, 3]], "a"), ([[4, 5]], "b")]


def test_a_table_without_a_head_has_the_class_in_front(write):
    path = write("Mine_TRAIN.tsv", "1\t0.5\t1.5\n2\t2.5\t3.5\n")
    assert read(path) == [([[0.5, 1.5]], "1"), ([[2.5, 3.5]], "2")]
    assert [v for v, _ in read(path, labelled=False)] == [[[1, 0.5, 1.5]], [[2, 2.5, 3.5]]]
    assert [s.label for s in read_series(path, Columns(), labelled=False, longest=2)] == ["1", "2"]


def test_several_channels(write):
    expected = [([[1, 2], [5, 6]], "a"), ([[3, 4], [7, 8]], "b")]
    assert read(write("a.ts", HEAD + "1,2:5,6:a\n3,4:7,8:b\n")) == expected
    lines = ({"x": {"l": [1, 2], "r": [5, 6]}, "label": "a"}, {"x": {"l": [3, 4], "r": [7, 8]}, "label": "b"})
    assert read(write("a.jsonl", "\n".join(map(json.dumps, lines)))) == expected
    table = "series,t,left,right,class\np,2021-01-01,1,5,a\np,2021-01-02,2,6,a\nq,1,3,7,b\nq,2,4,8,b\n"
    assert read(write("a.csv", table)) == expected
    named = table.replace("series,t,", "patient,when,")
    assert read(write("b.csv", named), Columns(id="patient", time="when")) == expected


def test_a_number_that_is_missing_is_the_one_before_it(write):
    assert read(write("a.ts", HEAD + "?,2,NaN,4:a\n1,1,1,?:b\n"))[0][0] == [[2, 2, 2, 4]]
    assert read(write("a.csv", "label,1,2,3\na,1,,3\nb,1,2,3\n"))[0][0] == [[1, 1, 3]]
    with pytest.raises(UserError, match="here: channel 2 has no number"):
        filled(torch.tensor([[1.0, torch.nan], [2.0, torch.nan]]), "here")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.ts", HEAD + "1,x:a\n", r"a.ts:5: channel 1, step 2: expected a number, got 'x'"),
        ("a.ts", HEAD + "1,2:5:a\n", r"a.ts:5: expected channels of one length, got 1 and 2 steps"),
        ("a.ts", HEAD + "1,2:5,6:a\n1,2:b\n", r"a.ts:6: expected 2 channels, as in the first series, got 1"),
        ("a.ts", "@problemName x\n1,2:a\n", r"a.ts:2: expected a line that begins with @, got '1,2:a'"),
        ("a.ts", "@timeStamps true\n@data\n", r"a.ts:1: time stamps in a .ts file are not read"),
        ("a.ts", HEAD, r"a.ts: there is no series in the file"),
        ("a.ts", "@problemName x\n", r"a.ts: expected a line @data, got none"),
        ("a.ts", HEAD.replace("@classLabel true a b\n", "") + "1,2\n", r"a.ts:4: expected a label, got nothing"),
        ("a.csv", "label,s1,s2\na,1,x\n", r"a.csv:2: column 's2': expected a number, got 'x'"),
        ("a.csv", "label,s1\na,1,2\n", r"a.csv:2: expected 2 cells, as in the first line, got 3"),
        ("a.csv", "s1,s2\n1,2\n", r"a.csv: expected a column `label`, got only columns of numbers"),
        ("a.csv", "label,s1,s2\na,,\n", r"a.csv:2: expected a series of numbers, got none"),
        ("a.csv", "id,t,label,x\n1,1,a,2\n1,2,b,3\n", r"a.csv:2: expected one label for the series '1', got 'a' and"),
        ("a.csv", "id,t,label,x\n1,1,a,2\n1,1,a,3\n", r"a.csv:3: column 't': '1' is there twice in one series"),
        ("a.csv", "id,t,label,x\n1,1,a,2\n1,2,a,y\n", r"a.csv:3: column 'x': expected a number, got 'y'"),
        ("a.jsonl", '{"series": [1, "x"], "label": "a"}', r"a.jsonl:1: column 'series', step 2: expected a number"),
        ("a.jsonl", '{"series": [[1, 2], [3]], "label": "a"}', r"a.jsonl:1: .* expected as many channels at each step"),
        ("a.jsonl", '{"label": "a"}', r"a.jsonl: there is no list of numbers"),
        ("a.jsonl", '{"series": 3, "label": "a"}', r"a.jsonl:1: column 'series': expected a list of numbers, got 3"),
    ],
)
def test_a_mistake_is_named_with_its_place(write, name, text, message):
    with pytest.raises(UserError, match=message):
        read(write(name, text))


# -- batches -----------------------------------------------------------------------------------------------------------


def test_series_of_different_lengths_are_padded_and_masked(write):
    data = prepared(write("a.ts", ts()), batch_size=20)
    batch = data.batch("train", 0)
    assert sorted(batch["mask"].sum(1).tolist()) == sorted(len(e.content) for e in data._parts["train"])
    assert (batch["inputs"][~batch["mask"]] == 0).all()
    assert (batch["inputs"][..., 0].sum(1) > 0).tolist() == batch["targets"].bool().tolist()
    assert prepared(write("b.ts", ts()), max_length=2).batch("val", 0)["inputs"].shape[1] == 2


def test_normalising_over_the_training_series_or_each_itself(write):
    path = write("a.ts", ts(30))
    data = prepared(path, normalize="train", batch_size=100)
    every = torch.cat([row[kept] for row, kept in zip(*(data.batch("train", 0)[k] for k in ("inputs", "mask")))])
    assert every[:, 0].mean().abs() < 1e-5 and abs(float(every[:, 0].std(correction=0)) - 1) < 1e-5
    assert (every[:, 1] == 0).all(), "a channel that never changes stays finite"
    each = prepared(path, normalize="series", batch_size=100).batch("train", 0)
    assert each["inputs"][0][each["mask"][0]][:, 0].mean().abs() < 1e-6


def test_labels_that_are_numbers_are_regressed(write):
    rows = "".join(f"{i / 3:.3f},{i},{i + 1}\n" for i in range(30))
    data = prepared(write("a.csv", f"y,s1,s2\n{rows}"))
    assert data.target == "number" and data.num_outputs == 1 and list(data.metrics) == ["absolute-error"]
    targets = torch.cat([data.batch("train", i)["targets"] for i in range(data.batches("train"))])
    assert targets.shape[1] == 1 and targets.mean().abs() < 1e-5
    (answer,) = data.answers({}, {"values": torch.zeros(1, 1)})
    assert answer == {"value": pytest.approx(data._target_mean, abs=1e-3)}
    with pytest.raises(UserError, match=r"b\.csv:3: label: expected a number, got 'x'"):
        prepared(write("b.csv", "y,s1\n1.5,1\nx,2\n"), target="number")


def test_a_ts_file_says_itself_what_its_labels_are(write):
    rows = "".join(f"{i},1:{i}\n" for i in range(25))
    head = "@targetlabel true\n@data\n"
    assert prepared(write("a.ts", head + rows)).target == "number"
    classes = "".join(f"{i},1:{i % 21}\n" for i in range(80))
    assert prepared(write("b.ts", HEAD + classes)).target == "class"


def test_a_class_only_in_the_tests_is_named(write):
    with pytest.raises(UserError, match=r"t\.ts:6: the class 'c' has no training examples"):
        prepared(write("a.ts", ts()), test=write("t.ts", HEAD + "1,2:1,1:a\n1,2:1,1:c\n"))


# -- a user's file -----------------------------------------------------------------------------------------------------


def test_a_run_answers_without_the_training_series(write):
    path = write("a.ts", ts())
    before = prepared(path, normalize="train")
    state = before.state_dict()
    after = LabelledSequences(file=path, seed=0)
    after.load_state_dict(state)
    new = write("new.jsonl", '{"series": [[1, 2], [3, 4]]}\n{"series": [[5, 6]]}\n')
    batch = after.read(new)
    assert batch["mask"].tolist() == [[True, True], [True, False]] and after.num_steps == before.num_steps
    assert torch.allclose(batch["inputs"][1, 0], (torch.tensor([5.0, 6]) - before._mean) / before._spread)
    with pytest.raises(UserError, match=r"one\.csv:2: expected 2 channels, got 1"):
        after.read(write("one.csv", "s1,s2\n1,2\n"))


def test_a_recipe_is_written_trains_and_answers(write, rk_folder):
    train = write("My_TRAIN.ts", ts(12))
    test = write("My_TEST.ts", ts(6))
    assert rk_folder.rk("recipes", "init", train, "--model", "linear", "-o", "mine.yaml") == 0
    run = rk_folder.train("mine.yaml", "model.num_kernels=20")
    assert run.read()["metrics"]["test/accuracy"] == 1
    train.unlink()
    assert rk_folder.rk("predict", run.path, test, "-o", "answers.csv") == 0
    assert [line.split(",")[0] for line in Path("answers.csv").read_text().splitlines()[1:]] == list("ababab")


# -- drafts ------------------------------------------------------------------------------------------------------------


def test_drafts(write):
    draft = LabelledSequences.draft(write("a_TRAIN.ts", ts()), None)
    assert draft is not None and draft.confidence == 0.9 and "test" not in draft.data
    write("a_TEST.ts", ts())
    draft = LabelledSequences.draft(write("a_TRAIN.ts", ts()), None)
    assert draft is not None and draft.data["test"].endswith("a_TEST.ts")
    assert list(draft.choices) == ["network", "linear"] and draft.choices["network"]["loss"] == "cross-entropy"
    long = "id,time,label,v\n" + "".join(f"{i},{t},{'ab'[i % 2]},{t}\n" for i in range(5) for t in range(4))
    assert LabelledSequences.draft(write("long.csv", long), None) is not None
    with pytest.raises(UserError, match=r"bad\.ts:5"):
        LabelledSequences.draft(write("bad.ts", HEAD + "1,x:a\n"), None)


@pytest.mark.parametrize(
    "text", ["a,b,label\n1,2,x\n3,4,y\n", "text,label\nhello you,a\nbye,b\n", "id,a,label\n1,2,x\n2,3,y\n"]
)
def test_tables_of_something_else_are_left_to_other_data(write, text):
    assert LabelledSequences.draft(write("a.csv", text), None) is None


# -- the baseline ------------------------------------------------------------------------------------------------------


def test_features_are_the_share_of_positive_steps_and_the_maximum():
    model = RandomKernels(num_features=2, num_steps=40, num_outputs=3, seed=1, num_kernels=6)
    assert model.dilations == [1, 2, 4]
    series = torch.randn(1, 40, 2, generator=torch.Generator().manual_seed(0))
    found = model.features(series)[0]
    place = 0
    for number, dilation in enumerate(model.dilations):
        for kernel in range(number, 6, 3):
            values = []
            for t in range(40):
                value = float(model.biases[kernel])
                for j in range(WIDTH):
                    s = t + (j - WIDTH // 2) * dilation
                    if 0 <= s < 40:
                        value += float(model.weights[kernel, :, j] @ series[0, s])
                values.append(value)
            assert found[place] == pytest.approx(sum(v > 0 for v in values) / 40)
            assert found[6 + place] == pytest.approx(max(values), abs=1e-4)
            place += 1


def test_kernels_have_no_mean_and_padding_changes_nothing():
    model = RandomKernels(num_features=3, num_steps=30, num_outputs=2, seed=0, num_kernels=30)
    assert model.weights.mean(-1).abs().max() < 1e-6
    assert {int((k.abs().sum(-1) > 0).sum()) for k in model.weights} <= {1, 2, 3}
    series = torch.randn(2, 12, 3, generator=torch.Generator().manual_seed(0))
    padded = torch.cat([series, torch.full((2, 9, 3), 7.0)], 1)
    mask = torch.arange(21).expand(2, -1) < 12
    assert torch.allclose(model.features(padded, mask), model.features(series), atol=1e-5)


def test_ridge_is_the_normal_equations_with_the_best_penalty_by_leaving_one_out():
    random = torch.Generator().manual_seed(0)
    features = torch.randn(12, 20, generator=random, dtype=torch.float64) * 3 + 1
    features[:, 5] = 2.0  # never changes
    targets = torch.randn(12, 2, generator=random, dtype=torch.float64)
    weights, bias, penalty = solve(features, targets)
    spread = features.std(0, correction=0)
    spread[5] = torch.inf
    scaled = (features - features.mean(0)) / spread

    def fit(x, y, penalty):
        return torch.linalg.solve(x.T @ x + penalty * torch.eye(20, dtype=torch.float64), x.T @ y)

    expected = fit(scaled, targets - targets.mean(0), penalty)
    found = features @ weights + bias
    assert torch.allclose(found, scaled @ expected + targets.mean(0), atol=1e-8) and weights[5].eq(0).all()

    def left_out(penalty):  # the intercept is that of the rows that are kept
        error = 0.0
        for i in range(12):
            kept = torch.arange(12) != i
            x, y = scaled[kept], targets[kept]
            w = fit(x - x.mean(0), y - y.mean(0), penalty)
            error += float((targets[i] - y.mean(0) - (scaled[i] - x.mean(0)) @ w).square().sum())
        return error

    assert penalty == min(PENALTIES, key=left_out)

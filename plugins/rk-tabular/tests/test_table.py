"""Tables as data: types, splits, encodings, and what a run needs of them; each trouble of users' files."""

from __future__ import annotations

import json
import math

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rk_tabular.columns import fit_columns
from rk_tabular.frame import read_frame
from rk_tabular.splits import at_random
from rk_tabular.tables import TableClasses, TableNumbers

from rk import UserError

N = 60


def lines(n=N, words=("red", "green", "blue")):
    """Returns rows of a number, a category, a date and a class that follows from the number."""
    return [
        f"{i % 7 - 3.5},{words[i % len(words)]},2020-01-{1 + i % 28:02d},{'yes' if i % 7 > 3 else 'no'}"
        for i in range(n)
    ]


@pytest.fixture
def table(tmp_path):
    """Writes a table, and returns it prepared."""

    def write_and_prepare(text, kind=TableClasses, name="rows.csv", seed=0, prepare=True, **parameters):
        path = tmp_path / name
        path.write_text(text if isinstance(text, str) else "\n".join(text) + "\n", encoding="utf-8")
        data = kind(file=path, seed=seed, **parameters)
        if prepare:
            data.prepare()
        return data

    return write_and_prepare


def whole(data, split):
    """Returns the batch of a whole split."""
    batches = [data.batch(split, i) for i in range(data.batches(split))]
    return {key: torch.cat([batch[key] for batch in batches]) for key in batches[0]}


def refused(table, text, **parameters):
    with pytest.raises(UserError) as error:
        table(text, **parameters)
    return error.value.message


# -- encodings ---------------------------------------------------------------------------------------------------------


def test_numbers_are_standardised_by_the_training_rows_and_categories_are_one_hot(table):
    data = table(["x,c,day,y", *lines()])
    train = whole(data, "train")["inputs"]
    torch.testing.assert_close(train[:, 0].mean(), torch.tensor(0.0), atol=1e-6, rtol=0)
    torch.testing.assert_close(train[:, 0].std(correction=0), torch.tensor(1.0), atol=1e-5, rtol=0)
    assert set(train[:, -3:].unique().tolist()) == {0.0, 1.0} and bool((train[:, -3:].sum(1) == 1).all())
    assert data.category_sizes == () and data.num_features == train.shape[1]


def test_codes_have_one_input_per_column_and_nan_for_gaps(table):
    rows = ["x,c,y", *(f"{'' if i % 5 == 0 else i},{'ab'[i % 2] * (i % 3 > 0)},{i % 2}" for i in range(N))]
    data = table(rows, encoding="codes")
    train = whole(data, "train")["inputs"]
    assert data.category_sizes == (4,) and train.shape[1] == 2  # unknown, gap, a, b
    assert bool(train[:, 0].isnan().any()) and set(train[:, 1].tolist()) == {1.0, 2.0, 3.0}
    wide = whole(table(rows), "train")["inputs"]  # x, whether x is missing; c is a gap, a, b
    assert wide.shape[1] == 5 and not wide.isnan().any() and bool((wide[:, 0][wide[:, 1] == 1] == 0).all())


@pytest.mark.parametrize("encoding", ["one-hot", "codes"])
def test_a_category_that_no_training_row_has_is_unknown_and_answered(table, tmp_path, encoding):
    data = table(["x,c,day,y", *lines()], encoding=encoding)
    (tmp_path / "new.csv").write_text("x,c,day\n1,red,2020-01-05\n1,purple,2020-01-05\n1,,2020-01-05\n")
    known, unseen, gap = data.read(tmp_path / "new.csv")["inputs"]
    assert bool((unseen == gap).all()) and not bool((known == unseen).all())
    assert unseen[-1] == 0 and not unseen.isnan().any()


def test_columns_that_say_nothing_are_left_out(table):
    rows = [f"{i % 5},same,,id{i},{i % 2}" for i in range(N)]
    data = table(["x,constant,empty,id,y", *rows])
    assert data.num_features == 1


def test_a_date_becomes_its_time_and_the_cycles_that_differ(table):
    stamps = pl.datetime_range(pl.datetime(2020, 1, 1), pl.datetime(2020, 12, 31), "11h", eager=True).to_list()
    data = table(["when,y", *(f"{when},{i % 2}" for i, when in enumerate(stamps))])
    assert data.num_features == 7  # the year; sine and cosine of season, week and day
    assert table(["when,y", *(f"2020-01-0{1 + i % 5},{i % 2}" for i in range(N))]).num_features == 1


def test_types_may_be_given(table):
    rows = ["code,y", *(f"{i % 3},{i % 2}" for i in range(N))]
    assert table(rows).num_features == 1
    assert table(rows, types={"code": "category"}).num_features == 3
    assert "no column 'kode'" in refused(table, rows, types={"kode": "category"})


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    numbers=st.lists(st.floats(-1e6, 1e6) | st.none(), min_size=4, max_size=12),
    words=st.lists(st.sampled_from(["a", "b", "c", ""]), min_size=12, max_size=12),
)
def test_one_hot_inputs_and_codes_hold_the_same(numbers, words, tmp_path):
    path = tmp_path / "rows.csv"
    cells = [f"{'' if x is None else repr(x)},{word},1" for x, word in zip(numbers, words, strict=False)]
    path.write_text("\n".join(["x,c,one", *cells, "0.5,a,1", "7.5,a,1"]) + "\n")
    frame = read_frame(path)
    columns = fit_columns(frame, ["x", "c"], {"x": "number", "c": "category"}, 100)
    codes, wide = columns.encode(frame), columns.widen(columns.encode(frame))
    assert wide.shape[1] == columns.width == len(columns.features(True)) and codes.shape[1] == len(
        columns.features(False)
    )
    for row, (code, inputs) in enumerate(zip(codes, wide, strict=True)):
        for value, feature in zip(inputs.tolist(), columns.features(True), strict=True):
            cell = frame.table[feature["column"]][row]
            if "mean" in feature:
                wanted = 0.0 if cell is None else (cell - feature["mean"]) / feature["std"]
            else:
                wanted = float(cell is None if "missing" in feature else cell == feature["equals"])
            assert value == pytest.approx(wanted, rel=1e-5, abs=1e-6)
        assert math.isnan(code[0]) == (frame.table["x"][row] is None)


# -- targets -----------------------------------------------------------------------------------------------------------


def test_classes_are_sorted_as_numbers_where_they_are_numbers(table):
    data = table(["x,y", *(f"{i},{[10, 9, 2][i % 3]}" for i in range(N))])
    assert (data.labels, data.num_classes) == (("2", "9", "10"), 3)


def test_a_number_is_standardised_and_its_metrics_are_in_the_units_of_the_file(table):
    data = table(["x,y", *(f"{i},{1000 + 10 * i}" for i in range(N))], TableNumbers)
    batch = whole(data, "test")
    answers = data.answers(batch, {"values": batch["targets"]})
    assert all(answer["value"] == answer["target"] for answer in answers)
    metrics = {name: metric() for name, metric in data.metrics.items()}
    off = batch["targets"] + 5 / batch["target_scale"].unsqueeze(1)
    metrics["rmse"].update(values=off, targets=batch["targets"], target_scale=batch["target_scale"])
    total, count = metrics["mae"](values=off, targets=batch["targets"], target_scale=batch["target_scale"])
    assert metrics["rmse"].compute() == pytest.approx(5, rel=1e-4) and float(total) / count == pytest.approx(
        5, rel=1e-4
    )


def test_rows_without_a_target_are_left_out_with_a_warning_that_counts_them(table, capsys):
    rows = ["x,y", *(f"{i},{'' if i in (3, 8) else i % 2}" for i in range(N))]
    data = table(rows)
    assert sum(len(whole(data, split)["targets"]) for split in data.splits) == N - 2
    assert "rows.csv: 2 rows without a target left out, the first in line 5" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("rows", "parameters", "message"),
    [
        (
            [f"{i},a" for i in range(N)],
            {},
            "all 42 training rows are of the class 'a' ('y'): there is nothing to learn",
        ),
        ([f"{i},5" for i in range(N)], {"kind": TableNumbers}, "the target 'y' is 5 in all 42 training rows"),
        ([f"{i}," for i in range(N)], {}, "the target 'y' has no values"),
        (
            [f"{i},{i % 3 or 'abc'}" for i in range(N)],
            {"kind": TableNumbers},
            "column 'y': expected a number, got 'abc'",
        ),
        (["1,a"] * N, {}, "all 42 training rows are of the class"),
        ([f"1,{'ab'[i % 2]}" for i in range(N)], {}, "no column distinguishes the training rows: x (constant)"),
        (
            [f"{i if i != 9 else 'oops'},{i % 2}" for i in range(N)],
            {},
            "rows.csv:11: column 'x': expected a number, got 'oops'",
        ),
        ([f"{'1e300' if i == 9 else i},{i % 2}" for i in range(N)], {}, "column 'x': 1e+300 is beyond float32"),
        (["1,a", "2,b"], {}, "2 rows are too few to train, validate and test"),
        (["1,a"] * 9, {"target": "z"}, "there is no column 'z'"),
    ],
)
def test_what_cannot_be_learned_is_named(table, rows, parameters, message):
    assert message in refused(table, ["x,y", *rows], **parameters)


# -- splits ------------------------------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(counts=st.lists(st.integers(1, 40), min_size=2, max_size=5), seed=st.integers(0, 5))
def test_each_class_has_about_the_same_share_of_every_split(counts, seed):
    classes = np.repeat(np.arange(len(counts)), counts)
    if len(classes) < 8:
        return
    parts = at_random(len(classes), classes, 0.2, 0.2, seed, "rows.csv")
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(len(classes)))
    assert set(classes[parts["train"]].tolist()) == set(range(len(counts)))
    for number, count in enumerate(counts):
        # A stretch is off by less than two; classes that would have no training rows change places with others
        assert abs(int((classes[parts["test"]] == number).sum()) - 0.2 * count) < 3


def test_a_seed_chooses_the_rows_and_nothing_else_does(table):
    rows = ["x,y", *(f"{i},{i % 2}" for i in range(N))]
    first, again, other = (table(rows, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(whole(first, "test")["inputs"], whole(again, "test")["inputs"])
    assert not torch.equal(whole(first, "test")["inputs"], whole(other, "test")["inputs"])


def test_a_column_may_name_the_splits(table):
    names = ["train"] * 40 + ["Valid"] * 8 + ["TEST"] * 12
    rows = ["part,x,y", *(f"{name},{i},{i % 2}" for i, name in enumerate(names))]
    data = table(rows, split_column="part")
    assert [len(whole(data, split)["targets"]) for split in data.splits] == [40, 8, 12]
    assert data.num_features == 1, "the column of splits is not an input"
    only_test = ["part,x,y", *(f"{name.replace('Valid', 'train')},{i},{i % 2}" for i, name in enumerate(names))]
    assert [len(whole(table(only_test, split_column="part"), split)["targets"]) for split in ("val", "test")] == [7, 12]
    wrong = [*rows[:3], "later,3,1", *rows[4:]]
    assert "rows.csv:4: column 'part': expected train, val or test, got 'later'" in refused(
        table, wrong, split_column="part"
    )


def test_rows_may_be_split_by_time(table):
    rows = ["day,x,y", *(f"2020-{1 + i % 12:02d}-01,{i % 12},{i % 2}" for i in range(N))]
    data = table(rows, TableNumbers, target="x", time_column="day", leave_out=["y"])
    months = {
        split: {a["target"] for a in data.answers(b, {"values": b["targets"]})}
        for split in data.splits
        for b in [whole(data, split)]
    }
    assert max(months["train"]) < min(months["val"]) and max(months["val"]) < min(months["test"])


def test_other_files_may_be_validated_and_tested(table, tmp_path):
    (tmp_path / "test.csv").write_text("y;c;day;x\n" + "no;red;2020-02-01;1,5\n" * 5)
    data = table(["x,c,day,y", *lines()], test_file=tmp_path / "test.csv")
    assert len(whole(data, "test")["targets"]) == 5 and len(whole(data, "val")["targets"]) == 9
    (tmp_path / "test.csv").write_text("x,c,day,y\n1,red,2020-02-01,no\n1,red,2020-02-01,perhaps\n")
    message = refused(table, ["x,c,day,y", *lines()], test_file=tmp_path / "test.csv")
    assert "test.csv:3: column 'y': expected a class of the training rows (no, yes), got 'perhaps'" in message
    (tmp_path / "test.csv").write_text("x,day,y\n1,2020-02-01,no\n")
    assert "test.csv: there is no column 'c'" in refused(
        table, ["x,c,day,y", *lines()], test_file=tmp_path / "test.csv"
    )


# -- a run -------------------------------------------------------------------------------------------------------------


def test_a_kept_state_reads_as_the_data_did(table, tmp_path):
    (tmp_path / "new.csv").write_text("day;c;x\n2020-03-01;green;0,5\n")
    for kind, target in ((TableClasses, "y"), (TableNumbers, "x")):
        data = table(["x,c,day,y", *lines()], kind, target=target)
        other = kind(file=tmp_path / "gone.csv", seed=0)
        other.load_state_dict(json.loads(json.dumps(data.state_dict(), default=torch.Tensor.tolist)) | _tensors(data))
        text = "day;c;x;y\n2020-03-01;green;0,5;no\n"
        (tmp_path / "new.csv").write_text(text)
        found, wanted = other.read(tmp_path / "new.csv"), data.read(tmp_path / "new.csv")
        assert {*found} == {*wanted} and all(torch.equal(found[key], wanted[key]) for key in wanted)
        assert (other.num_features, other.num_outputs) == (data.num_features, data.num_outputs)


def _tensors(data):
    state = data.state_dict()
    return {"columns": state["columns"]} | {k: v for k, v in state.items() if isinstance(v, torch.Tensor)}


def test_new_rows_go_by_name_in_any_order_and_format(table, tmp_path, capsys):
    data = table(["x,c,day,y", *lines()])
    (tmp_path / "a.csv").write_text("x,c,day\n1.5,red,2020-01-09\n")
    (tmp_path / "b.csv").write_text("more;day;c;x\n7;2020-01-09;red;1,5\n")
    (tmp_path / "c.jsonl").write_text('{"c": "red", "x": 1.5, "day": "2020-01-09"}\n')
    pl.read_csv(tmp_path / "a.csv", try_parse_dates=True).write_parquet(tmp_path / "d.parquet")
    first = data.read(tmp_path / "a.csv")
    assert [*first] == ["inputs"]
    for name in ("b.csv", "c.jsonl", "d.parquet"):
        assert torch.equal(data.read(tmp_path / name)["inputs"], first["inputs"]), name
    assert "b.csv: columns that the training file does not have are ignored: 'more'" in capsys.readouterr().err
    (tmp_path / "e.csv").write_text("x,color,dya\n1.5,red,2020-01-09\n")
    with pytest.raises(UserError, match="there is no column 'day'") as error:
        data.read(tmp_path / "e.csv")
    assert "did you mean dya?" in error.value.hint
    (tmp_path / "f.csv").write_text("x,c,day\n1.5,red,2020-01-09\nlow,red,2020-01-09\n")
    with pytest.raises(UserError, match=r"f.csv:3: column 'x': expected a number, got 'low'"):
        data.read(tmp_path / "f.csv")


def test_known_targets_are_judged_and_unknown_classes_are_not(table, tmp_path, capsys):
    data = table(["x,c,day,y", *lines()])
    (tmp_path / "a.csv").write_text("y,x,c,day\nyes,1.5,red,2020-01-09\n")
    assert data.read(tmp_path / "a.csv")["targets"].tolist() == [1]
    (tmp_path / "a.csv").write_text("y,x,c,day\nmaybe,1.5,red,2020-01-09\n")
    assert "targets" not in data.read(tmp_path / "a.csv")
    assert "a.csv:2: column 'y': expected a class of the training rows" in capsys.readouterr().err


def test_files_without_names_go_by_place(table, tmp_path):
    data = table([line.rpartition(",")[2] + "," + line.rpartition(",")[0] for line in lines()], target=1)
    (tmp_path / "with.csv").write_text("yes,1.5,red,2020-01-09\n")
    (tmp_path / "without.csv").write_text("1.5,red,2020-01-09\n")
    found = data.read(tmp_path / "with.csv")
    assert found["targets"].tolist() == [1]
    assert torch.equal(found["inputs"], data.read(tmp_path / "without.csv")["inputs"])
    (tmp_path / "short.csv").write_text("1.5,red\n")
    with pytest.raises(UserError, match="rows have 2 columns, the training file has 4"):
        data.read(tmp_path / "short.csv")


def test_preprocessing_says_what_read_does(table, tmp_path):
    data = table(["x,c,day,y", *lines()])
    (tmp_path / "a.csv").write_text("x,c,day\n1.5,red,2020-01-09\n")
    inputs = data.read(tmp_path / "a.csv")["inputs"][0].tolist()
    told = json.loads(json.dumps(data.preprocessing()))
    cells = {"x": 1.5, "c": "red"}
    for value, feature in zip(inputs, told["features"], strict=True):
        if feature["column"] in cells:
            cell = cells[feature["column"]]
            wanted = (
                float(cell == feature["equals"]) if "equals" in feature else (cell - feature["mean"]) / feature["std"]
            )
            assert value == pytest.approx(wanted, rel=1e-5)
    assert (told["from"], told["target"], len(inputs)) == ("typed-table", "y", len(told["features"]))

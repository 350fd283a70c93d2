"""Tables for regression: UCI data sets, a user's CSV, and predictions for new rows."""

from __future__ import annotations

import json

import pytest
import torch
from rk_kernels.tables import read_table
from rk_kernels.tabular import Diabetes, Tabular
from rk_kernels.uci import CHECKSUMS, UCI

from rk.errors import RecipeError, UserError

ROWS = 40


@pytest.fixture
def cars(tmp_path):
    """A user's table; the target is in the middle."""
    x = torch.rand(ROWS, 2, generator=torch.Generator().manual_seed(0))
    lines = [f"{a:.4f},{10 + 3 * a - b:.4f},{b:.4f}" for a, b in x.tolist()]
    path = tmp_path / "cars.csv"
    path.write_text("\n".join(["weight,price,age", *lines]) + "\n")
    return path


@pytest.mark.parametrize("name", CHECKSUMS)
def test_a_set_has_standardised_inputs_and_targets_in_their_unit(name, published):
    data = published(UCI(name, seed=0))
    train, test = data.batch("train", 0), data.batch("test", 0)
    assert train["inputs"].shape[1] == data.num_features
    torch.testing.assert_close(train["inputs"].mean(0), torch.zeros(data.num_features), atol=1e-4, rtol=0)
    sizes = [len(data.batch(s, 0)["targets"]) for s in data.splits]
    assert sizes[0] / sum(sizes) == pytest.approx(0.81, abs=0.02)
    assert test["targets"].dtype == torch.float64


def test_each_row_is_tested_in_one_of_the_ten_splits(published):
    tested = []
    for split in range(10):
        data = published(UCI("servo", seed=0, split=split))
        tested += data.batch("test", 0)["targets"].flatten().tolist()
    whole = [data.batch(s, 0)["targets"].flatten() for s in data.splits]
    assert sorted(tested) == sorted(torch.cat(whole).tolist())


def test_a_seed_may_choose_the_split():
    assert [UCI("servo", seed=seed, split=None).split for seed in (0, 3, 13)] == [0, 3, 3]
    assert UCI("servo", seed=3).split == 0


def test_a_damaged_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("RK_DATA", str(tmp_path))
    folder = tmp_path / "uci" / "yacht"
    folder.mkdir(parents=True)
    (folder / "data.csv.gz").write_bytes(b"something else")
    with pytest.raises(UserError, match="not the published file"):
        UCI("yacht", seed=0).prepare()


def test_training_batches_go_through_all_rows_once(published):
    data = published(UCI("servo", seed=0, batch_size=50))
    whole = published(UCI("servo", seed=0))
    found = [data.batch("train", i)["targets"] for i in range(data.batches("train"))]
    assert [len(targets) for targets in found] == [50, 50, 36]
    assert sorted(torch.cat(found).tolist()) == sorted(whole.batch("train", 0)["targets"].tolist())


def test_the_diabetes_table_has_442_rows():
    data = Diabetes(seed=0)
    data.prepare()
    assert sum(len(data.batch(s, 0)["targets"]) for s in data.splits) == 442


def test_a_users_table_is_learned_and_further_rows_are_answered(rk_folder, cars, tmp_path):
    data = f"data={{name: tabular, file: {cars}, target: price}}"
    run = rk_folder.train("kernels/yacht", data, "trainer.optimizer.lr=0.1", "fit.max_steps=40").path
    cars.unlink()  # the run answers without the table
    (tmp_path / "more.csv").write_text("age,weight\n0.5,0.5\n0.1,0.9\n")
    assert rk_folder.rk("predict", run, "more.csv", "-o", "a.json", "-o", "a.png") == 0
    first, second = json.loads((tmp_path / "a.json").read_text())
    assert first["lower"] < 11 < first["upper"]
    assert second["value"] == pytest.approx(12.6, abs=0.3)
    assert (tmp_path / "a.png").stat().st_size > 5000
    (tmp_path / "judged.csv").write_text("age,weight,price\n0.5,0.5,11\n0.1,0.9,99\n")
    assert rk_folder.rk("predict", run, "judged.csv", "data.level=0.5", "-o", "b.json") == 0
    narrow, outside = json.loads((tmp_path / "b.json").read_text())
    assert narrow["upper"] - narrow["lower"] < first["upper"] - first["lower"]
    assert (outside["target"], outside["inside"]) == (99, False)


def test_a_row_beyond_float32_has_no_answer_and_the_others_have_theirs(rk_folder, cars, tmp_path, capsys):
    data = f"data={{name: tabular, file: {cars}, target: price}}"
    run = rk_folder.train("kernels/yacht", data, "fit.max_steps=2", "~expect").path
    (tmp_path / "big.csv").write_text("weight,age\n1e300,1\n0.5,0.5\n")
    capsys.readouterr()
    assert rk_folder.rk("predict", run, "big.csv", "-o", "big.json") == 0

    def refused(word):
        raise AssertionError(f"{word} is not JSON")

    first, second = json.loads((tmp_path / "big.json").read_text(), parse_constant=refused)
    assert first["value"] is first["lower"] is first["upper"] is None
    assert second["lower"] < second["value"] < second["upper"]
    said = capsys.readouterr().err
    assert "big.csv:2: column 'weight': 1e+300 is beyond float32: this row has no answer\n" in said
    assert "warning: value of answer 1 is not finite" in said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("a,b\n", "no rows"),
        ("a,a\n1,2\n", "same name"),
        ("1,2\n3\n", "bad.csv:2: expected 2 columns, got 1"),
        ("1,2\n3,x\n", "bad.csv:2: column 2: expected a number, got 'x'"),
        ("a,b\n1,2\n\n3,x\n", "bad.csv:4: column 'b': expected a number, got 'x'"),
        ("1,2\n3,nan\n", "column 2: expected a finite number, got 'nan'"),
        ("1,2\n3,1_000\n", "column 2: expected a number, got '1_000'"),
        ("1,2\n3,\n", "column 2: expected a number, got an empty cell"),
        ("a;b\n1,5;2\n", "column 'a': expected a number, got '1,5'"),
        ("a,2019\n1,2\n", "bad.csv:1: column 1: expected a number, got 'a'"),
        ('a,b\n1,"2\n3,4\n', "bad.csv:2: a quote is opened and never closed"),
        ('a,b\n1,"' + "2,3\n" * 40_000, "bad.csv:2: a cell has more than 131072 characters"),
    ],
    ids=[
        "empty",
        "names-alone",
        "twice",
        "ragged",
        "word",
        "line",
        "nan",
        "underscore",
        "hole",
        "comma",
        "year",
        "quote",
        "long",
    ],
)
def test_a_file_that_is_not_a_table_is_refused_in_one_line(tmp_path, text, message):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        _ = read_table(path).values


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_table_may_have_any_line_end_separator_and_byte_order_mark(tmp_path, end, mark, encoding):
    path = tmp_path / "t.csv"
    path.write_bytes(end.join([f"größe{mark}b", f"1{mark}2", f"3{mark}-4.5e1"]).encode(encoding))
    table = read_table(path)
    assert table.names == ("größe", "b")
    assert table.values.tolist() == [[1, 2], [3, -45]]


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        read_table(tmp_path / "nothing.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("weight,price\n1,2\n", "no column 'age'"),
        ("1,2,3\n", "'price', was not the last column"),
        ("1,2,3,4\n", "rows have 4 numbers, the training rows have 2"),
    ],
    ids=["a column is missing", "the target's place is not known", "another width"],
)
def test_rows_of_another_table_are_refused(cars, tmp_path, text, message):
    data = Tabular(cars, seed=0, target="price")
    data.prepare()
    path = tmp_path / "rows.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        data.read(path)


@pytest.mark.parametrize(
    ("text", "inputs", "targets"),
    [
        ("5,6\n7,8\n", [[5, 6], [7, 8]], None),
        ("age,weight\n6,5\n8,7\n", [[5, 6], [7, 8]], None),
        ("age,city,weight,price\n6,Rome,5,1\n8,,7,2\n", [[5, 6], [7, 8]], [[1], [2]]),
    ],
    ids=["no names, no target", "names in another order", "an unused column of words"],
)
def test_rows_are_read_by_their_names_or_in_the_order_of_the_inputs(cars, tmp_path, text, inputs, targets):
    data = Tabular(cars, seed=0, target="price")
    data.prepare()
    path = tmp_path / "rows.csv"
    path.write_text(text)
    batch = data.read(path)
    expected = (torch.tensor(inputs, dtype=torch.float64) - data._mean) / data._deviation
    torch.testing.assert_close(batch["inputs"], expected.float())
    assert batch["targets"].tolist() == targets if targets else "targets" not in batch


def test_a_target_in_the_last_column_may_follow_without_names(cars, tmp_path):
    data = Tabular(cars, seed=0)
    data.prepare()
    loaded = Tabular(cars, seed=0)
    loaded.load_state_dict({k: v for k, v in data.state_dict().items() if k != "place"})  # a run of an older version
    path = tmp_path / "rows.csv"
    path.write_text("1,2,3\n")
    assert data.read(path)["targets"].tolist() == loaded.read(path)["targets"].tolist() == [[3]]


def test_a_run_that_did_not_store_the_place_of_its_target_does_not_guess_it(cars, tmp_path):
    data = Tabular(cars, seed=0, target="price")
    data.prepare()
    loaded = Tabular(cars, seed=0, target="price")
    loaded.load_state_dict({k: v for k, v in data.state_dict().items() if k != "place"})
    path = tmp_path / "rows.csv"
    path.write_text("1,2,3\n")
    with pytest.raises(UserError, match="was not the last column"):
        loaded.read(path)


def test_numbers_beyond_float32_are_refused_in_training_and_named_in_prediction(cars, tmp_path, capsys):
    path = tmp_path / "big.csv"
    path.write_text("weight,price,age\n" + "1,2,3\n" * 9 + "1,2,1e300\n")
    with pytest.raises(UserError, match=r"big.csv:11: column 'age': 1e\+300 is beyond float32"):
        Tabular(path, seed=0, target="price").prepare()
    data = Tabular(cars, seed=0, target="price")
    data.prepare()
    inputs = data.read(path)["inputs"]
    assert inputs.isfinite().all(1).tolist() == [True] * 9 + [False]
    assert "big.csv:11: column 'age': 1e+300 is beyond float32: this row has no answer\n" in capsys.readouterr().err


def test_a_target_that_is_the_same_in_all_training_rows_is_refused(rk_folder, tmp_path):
    (tmp_path / "flat.csv").write_text("a,b,price\n" + "".join(f"{i},{i % 7},0.1\n" for i in range(ROWS)))
    with pytest.raises(RecipeError, match="the target is the same in all training rows"):
        rk_folder.rk("train", "kernels/yacht", "data={name: tabular, file: flat.csv, target: price}")


def test_a_target_that_is_not_a_column_is_refused(cars):
    with pytest.raises(UserError, match="no column 'speed'"):
        Tabular(cars, seed=0, target="speed").prepare()


@pytest.mark.parametrize("count", [1, 2, 3, 50])
def test_the_bars_of_few_rows_are_not_cut_off(count):
    from rk_kernels.drawing import _intervals

    from rk.charts import chart

    middle, half = torch.arange(float(count)), torch.ones(count)
    with chart(5.6, 3.4) as (figure, axis):
        _intervals(axis, middle, half, None, 0.9, None)
        figure.draw_without_rendering()
        (bars,) = [c for c in axis.collections if c.get_linewidth()[0] >= 1]
        reach = bars.get_linewidth()[0] / 72 * figure.dpi / 2  # half a bar, in pixels
        left, right = axis.transData.transform([(0, 0), (count - 1, 0)])[:, 0]
        frame = axis.get_window_extent()
        assert frame.x0 <= left - reach and right + reach <= frame.x1


def test_the_stated_steps_turn_rows_into_inputs(cars, tmp_path):
    data = Tabular(cars, seed=0, target="price")
    data.prepare()
    steps = json.loads(json.dumps(data.preprocessing()))
    assert (steps["columns"], steps["target"]) == (["weight", "age"], "price")
    path = tmp_path / "more.csv"
    path.write_text("age,weight\n0.25,0.75\n")
    row = torch.tensor([[{"age": 0.25, "weight": 0.75}[name] for name in steps["columns"]]], dtype=torch.float64)
    found = (row - torch.tensor(steps["mean"]).double()) / torch.tensor(steps["std"]).double()
    torch.testing.assert_close(found.float(), data.read(path)["inputs"])

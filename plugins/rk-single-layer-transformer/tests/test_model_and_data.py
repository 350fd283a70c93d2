"""The model's options and slot, the data's grid and files, and mistakes in either."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from rk_single_layer_transformer.metrics import RootMeanSquaredError, SupError
from rk_single_layer_transformer.model import SingleLayerTransformer
from rk_single_layer_transformer.sequences import ContinuousSequences, grid_points
from torch import nn

from rk import UserError

SIZES = {"num_features": 1, "num_outputs": 1, "num_steps": 3}


class Summed(nn.Module):
    """A layer in place of attention."""

    def __init__(self, *, d_model):
        super().__init__()
        self.width = d_model

    def forward(self, x, mask=None):
        return x.sum(1, keepdim=True).expand_as(x)


def test_without_attention_an_answer_depends_on_its_own_step_alone():
    model = SingleLayerTransformer(**SIZES, attention=False)
    x = torch.rand(2, 3, 1, requires_grad=True)
    model(inputs=x)["values"][:, 1].sum().backward()
    assert x.grad[:, 1].abs().min() > 0 and not x.grad[:, [0, 2]].any()


def test_a_layer_takes_the_place_of_attention():
    model = SingleLayerTransformer(**SIZES, layer=Summed, d_model=12)
    assert model.mixer.width == 12
    x = torch.rand(2, 3, 1)
    stream = model.embed(model.encode(x))
    torch.testing.assert_close(model.mixed(x), stream + stream.sum(1, keepdim=True))
    model.residual = False
    torch.testing.assert_close(model.mixed(x), stream.sum(1, keepdim=True).expand(-1, 3, -1))


def test_a_layer_without_attention_is_a_contradiction():
    with pytest.raises(ValueError, match="takes the place of attention"):
        SingleLayerTransformer(**SIZES, layer=Summed, attention=False)


def test_another_length_is_refused():
    with pytest.raises(UserError, match="sequences of 3 steps, got 4"):
        SingleLayerTransformer(**SIZES)(inputs=torch.rand(1, 4, 1))


# -- functions ---------------------------------------------------------------------------------------------------------


def test_the_test_split_is_a_grid_with_corners_and_ties():
    data = ContinuousSequences(seed=0, function="sort", num_steps=3)
    inputs, targets = data.points()
    assert inputs.shape == (21**3, 3, 1) and targets.shape == inputs.shape
    rows = {tuple(row) for row in inputs.flatten(1).tolist()}
    assert {(0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (0.5, 0.5, 0.0)} <= rows
    assert data.values_on_grid()[0, 20, 10].flatten().tolist() == [0.0, 0.5, 1.0]
    assert torch.equal(data.batch("test", 0)["inputs"], inputs.float())


@pytest.mark.parametrize(("m", "points"), [(1, 41), (2, 41), (3, 21), (4, 9), (5, 5), (6, 3), (8, 3)])
def test_grids_are_odd_and_of_at_most_ten_thousand_points(m, points):
    assert grid_points(m) == points


def test_training_samples_are_a_fixed_set_or_an_endless_stream():
    fixed = ContinuousSequences(seed=0, function="sort", train_samples=10, batch_size=4)
    assert fixed.batches("train") == 3
    first = torch.cat([fixed.batch("train", i)["inputs"] for i in range(3)]).flatten(1)
    second = torch.cat([fixed.batch("train", i)["inputs"] for i in range(3, 6)]).flatten(1)
    assert torch.equal(first.sort(0).values, second.sort(0).values) and not torch.equal(first, second)
    endless = ContinuousSequences(seed=0, function="sort", train_samples=None, batch_size=4)
    assert endless.batches("train") is None
    assert not torch.equal(endless.batch("train", 0)["inputs"], endless.batch("train", 1)["inputs"])


def test_the_splits_of_samples_differ():
    data = ContinuousSequences(seed=0, function="sort", train_samples=50, val_samples=50)
    assert not torch.equal(
        data.batch("train", 0)["inputs"].sort(0).values, data.batch("val", 0)["inputs"].sort(0).values
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give function"),
        ({"function": "sort", "file": "x.csv"}, "give function"),
        ({"function": "max-sin", "num_steps": 3}, "max-sin has 2 steps of 1 number, got 3 of 1"),
        ({"function": "sort", "num_steps": 9}, r"must be <= 8, .*got 9 \* 1"),
        ({"function": "sort", "train_samples": None}, "batch_size is needed"),
    ],
)
def test_data_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ContinuousSequences(seed=0, **options)


def test_the_largest_error_and_the_root_of_the_mean_square_are_over_all_batches():
    sup, rms = SupError(), RootMeanSquaredError()
    assert sup.compute() != sup.compute() and rms.compute() != rms.compute()  # NaN
    for error in (0.5, -2.0, 1.0):
        for metric in (sup, rms):
            metric.update(values=torch.full((1, 2, 1), error), targets=torch.zeros(1, 2, 1))
    assert sup.compute() == 2.0 and rms.compute() == pytest.approx((5.25 / 3) ** 0.5)
    other = SupError()
    other.update(values=torch.full((1, 1, 1), float("nan")), targets=torch.zeros(1, 1, 1))
    sup.merge(other)
    assert sup.compute() != sup.compute()


# -- files -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def table(tmp_path):
    """Twenty sequences of two steps, by a table with its columns in any order."""
    path = tmp_path / "samples.csv"
    rows = [(i, 20.0 - i) for i in range(20)]
    path.write_text("y2,x1,x2,y1\n" + "".join(f"{a + b},{a},{b},{a * b}\n" for a, b in rows))
    return path


def test_a_table_is_read_by_the_names_of_its_columns(table):
    data = ContinuousSequences(seed=0, file=table)
    data.prepare()
    assert (data.num_steps, data.num_features, data.num_outputs) == (2, 1, 1)
    assert data.domain == ((0.0, 20.0),) and data.map is None and data.values_on_grid() is None
    found = [data.batch(split, 0) for split in data.splits]
    assert [len(b["inputs"]) for b in found] == [16, 2, 2]
    for batch in found:
        a, b = batch["inputs"][..., 0].T
        torch.testing.assert_close(batch["targets"][..., 0], torch.stack([a * b, a + b], 1))


def test_steps_of_several_numbers_are_columns_with_two_numbers(tmp_path):
    path = tmp_path / "samples.csv"
    path.write_text("x1_1,x1_2,x2_1,x2_2,y1,y2\n" + "".join(f"{i},{i + 1},{i + 2},{i + 3},0,{i}\n" for i in range(5)))
    data = ContinuousSequences(seed=0, file=path)
    data.prepare()
    assert (data.num_steps, data.num_features, data.num_outputs) == (2, 2, 1)
    assert data.domain == ((0.0, 6.0), (1.0, 7.0))


def test_arrays_are_read(tmp_path):
    path = tmp_path / "samples.npz"
    np.savez(path, inputs=np.random.rand(30, 3), targets=np.random.rand(30, 3, 2))
    data = ContinuousSequences(seed=0, file=path)
    data.prepare()
    assert (data.num_steps, data.num_features, data.num_outputs) == (3, 1, 2)


def test_a_run_answers_without_its_file(table):
    data = ContinuousSequences(seed=0, file=table)
    data.prepare()
    state = data.state_dict()
    table.write_text("x1,x2\n1,2\n")
    loaded = ContinuousSequences(seed=0, file=table)
    loaded.load_state_dict(state)
    assert loaded.num_steps == 2 and loaded.domain == ((0.0, 20.0),)
    assert loaded.read(table)["inputs"].shape == (1, 2, 1) and "targets" not in loaded.read(table)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2\n3,4\n", "the first line must name the columns"),
        ("x1,x2\n1,2\n", "there are no targets"),
        ("y1,y2\n1,2\n", "there are no inputs"),
        ("x1,x2,y1,y2,name\n1,2,3,4,5\n", "column 'name' is neither"),
        ("x1,x3,y1,y2\n1,2,3,4\n", "there is no column 'x2'"),
        ("x1,x1_1,y1\n1,2,3\n", "names an entry that another column has"),
        ("x1,x2,y1\n1,2,3\n", r"as many samples and steps as inputs, got \(1, 1\) and \(1, 2\)"),
        ("x1,y1\n1,a\n", "expected a number"),
        ("x1,y1\n1,2\n2,3\n", "expected at least 3 sequences, got 2"),
        ("x1,y1\n1,2\n1,3\n1,4\n", "feature 1 has the same value everywhere, 1"),
    ],
)
def test_a_table_that_is_none_of_these_is_refused(tmp_path, text, message):
    path = tmp_path / "samples.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        ContinuousSequences(seed=0, file=path).prepare()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"targets": np.zeros((3, 2))}, "there is no array 'inputs'"),
        ({"inputs": np.zeros(3), "targets": np.zeros((3, 2))}, "inputs must be numbers with 2 or 3 axes"),
        ({"inputs": np.array([["a"]]), "targets": np.zeros((1, 1))}, "inputs must be numbers"),
        ({"inputs": np.full((3, 2), np.nan), "targets": np.zeros((3, 2))}, "inputs must be finite, got nan"),
    ],
)
def test_arrays_of_another_kind_are_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "samples.npz", **arrays)
    with pytest.raises(UserError, match=message):
        ContinuousSequences(seed=0, file=tmp_path / "samples.npz").prepare()


def test_a_file_that_is_not_what_its_name_is_is_refused(tmp_path):
    path = tmp_path / "samples.npz"
    path.write_text("x1,y1\n")
    with pytest.raises(UserError, match=r"is not an .npz file|cannot be read"):
        ContinuousSequences(seed=0, file=path).prepare()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x1,x2,x3\n1,2,3\n", "expected 2 steps of 1 numbers, got 3 of 1"),
        ("x1,x2\n1,2\n1,20.5\n", "sequence 2, step 2: 20.5 is outside of the domain, 0 to 20"),
    ],
)
def test_sequences_that_a_run_cannot_answer_are_refused(table, tmp_path, text, message):
    data = ContinuousSequences(seed=0, file=table)
    data.prepare()
    new = tmp_path / "new.csv"
    new.write_text(text)
    with pytest.raises(UserError, match=message):
        data.read(new)


def test_answers_are_values_and_errors():
    data = ContinuousSequences(seed=0, function="sort")
    values, targets = torch.tensor([[[0.25], [0.5]]]), torch.tensor([[[0.25], [1.0]]])
    assert data.answers({"inputs": targets}, {"values": values}) == [{"sequence": 1, "values": [0.25, 0.5]}]
    found = data.answers({"inputs": targets, "targets": targets}, {"values": values})
    assert found == [{"sequence": 1, "values": [0.25, 0.5], "error": 0.5}]

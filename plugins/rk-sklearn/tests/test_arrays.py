"""Data from files of NumPy: what is refused, how it is scaled, and what is kept of the scaling."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from rk_sklearn.arrays import LabelledArrays, NumberArrays

from rk import UserError

X = np.array([[1.0, 5.0], [3.0, 5.0], [5.0, 5.0]])


@pytest.fixture
def file(tmp_path):
    """Writes arrays into a file and returns its path."""

    def write(**arrays):
        np.savez(tmp_path / "a.npz", **arrays)
        return tmp_path / "a.npz"

    return write


def test_features_are_centred_and_scaled_and_a_constant_one_is_only_centred(file):
    data = LabelledArrays(file(X=X, y=[0, 1, 2]), seed=0, batch_size=8)
    data.prepare()
    batch = data.batch("train", 0)
    assert (data.num_features, data.num_classes, data.batches("train")) == (2, 3, 1)
    order = batch["targets"].argsort()
    deviation = np.sqrt(8 / 3)
    expected = torch.tensor([[-2 / deviation, 0], [0, 0], [2 / deviation, 0]], dtype=torch.float32)
    assert torch.allclose(batch["inputs"][order], expected)


def test_the_scaling_is_kept_with_the_run_and_scales_what_is_read(file, tmp_path):
    data = NumberArrays(file(X=X, y=[10.0, 20.0, 30.0]), seed=0)
    data.prepare()
    other = NumberArrays(tmp_path / "gone.npz", seed=0)
    other.load_state_dict(data.state_dict())
    np.save(tmp_path / "rows.npy", X)
    (tmp_path / "rows.csv").write_text("1,5\n3,5\n5,5\n")
    for name in ("rows.npy", "rows.csv", "a.npz"):
        read = other.read(tmp_path / name)["inputs"]
        assert read.dtype is torch.float32 and read[1].tolist() == [0, 0] and read[0, 0] == -read[2, 0] < 0
    assert other.answers({}, {"values": torch.zeros(1, 1)}) == [{"values": [20.0]}]


@pytest.mark.parametrize(
    ("kind", "arrays", "said"),
    [
        (LabelledArrays, {"X": X}, "cannot be read"),
        (LabelledArrays, {"X": X, "y": [0, 1]}, "X has the shape"),
        (LabelledArrays, {"X": X[0], "y": [0, 1]}, "X has the shape"),
        (LabelledArrays, {"X": X * np.nan, "y": [0, 1, 2]}, "X must hold finite numbers"),
        (LabelledArrays, {"X": X, "y": [0.5, 1, 2]}, "y must hold classes"),
        (LabelledArrays, {"X": X, "y": [-1, 1, 2]}, "y must hold classes"),
        (LabelledArrays, {"X": X, "y": np.array([{}, {}, {}])}, "cannot be read"),
        (NumberArrays, {"X": X, "y": [np.inf, 1, 2]}, "y must hold finite numbers"),
    ],
)
def test_a_file_of_another_kind_is_refused(file, kind, arrays, said):
    with pytest.raises(UserError, match=said) as raised:
        kind(file(**arrays), seed=0).prepare()
    assert "numpy.savez" in raised.value.hint


@pytest.mark.parametrize("content", ["1,2\n3\n", "", "a,b\n"])
def test_rows_that_are_not_numbers_are_refused(tmp_path, content):
    (tmp_path / "rows.csv").write_text(content)
    with pytest.raises(UserError, match=r"rows\.csv"):
        NumberArrays(tmp_path / "a.npz", seed=0).read(tmp_path / "rows.csv")

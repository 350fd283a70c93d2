"""The task `sequential-mnist`, on generated images."""

from __future__ import annotations

import pytest
import torch
from rk_sequence.sequential_mnist import SequentialMNIST
from rk_vision.mnist import MNIST

PICTURES = torch.randint(256, (40, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
TARGETS = torch.arange(40) % 10


@pytest.fixture
def digits(monkeypatch):
    """Returns a function that makes and prepares the task, and one that does it for plain MNIST."""
    monkeypatch.setattr(MNIST, "_load", lambda self: ((PICTURES, TARGETS), (PICTURES, TARGETS)))

    def make(cls=SequentialMNIST, **settings):
        data = cls(seed=1, batch_size=8, **settings)
        data.prepare()
        return data

    return make


def test_pixels_come_line_by_line(digits):
    series, plain = digits().batch("train", 0), digits(MNIST).batch("train", 0)
    assert series["inputs"].shape == (8, 784, 1)
    assert torch.equal(series["inputs"].view(8, 1, 28, 28), plain["inputs"])
    assert torch.equal(series["targets"], plain["targets"])


def test_a_step_may_be_a_line(digits):
    data = digits(pixels_per_step=28)
    assert torch.equal(data.batch("test", 0)["inputs"][3], PICTURES[3, 0] / 255)
    assert (data.num_features, data.input_shape) == (28, (28, 28))


def test_shrunken_images_are_means_of_squares(digits):
    inputs = digits(shrink=2).batch("test", 0)["inputs"]
    assert inputs.shape == (8, 196, 1)
    torch.testing.assert_close(inputs[0, 15, 0], PICTURES[0, 0, 2:4, 2:4].float().mean() / 255)


def test_permuted_pixels_are_the_same_in_another_order(digits):
    plain, permuted = (digits(permuted=p).batch("test", 0)["inputs"] for p in (False, True))
    assert not torch.equal(plain, permuted)
    assert torch.equal(plain.sort(1).values, permuted.sort(1).values)
    other = SequentialMNIST(seed=2, batch_size=8, permuted=True)
    other.prepare()
    assert torch.equal(other.batch("test", 0)["inputs"], permuted)


@pytest.mark.parametrize("settings", [{}, {"permuted": True}, {"pixels_per_step": 7, "shrink": 2}], ids=str)
def test_series_become_images_again(digits, settings):
    data = digits(**settings)
    pictures = data._pictures(data.batch("test", 0)["inputs"])
    expected = torch.nn.functional.avg_pool2d(PICTURES[:8] / 255, settings.get("shrink", 1))
    torch.testing.assert_close(pictures, expected)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shrink": 3}, "shrink must divide a side of 28 pixels, got 3"),
        ({"pixels_per_step": 5}, "must divide 784 pixels, got 5"),
    ],
)
def test_a_size_that_does_not_divide_the_image_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        SequentialMNIST(seed=1, **settings)


@pytest.mark.parametrize("settings", [{}, {"shrink": 2, "pixels_per_step": 14}, {"permuted": True}])
def test_the_stated_steps_turn_an_image_into_the_series(digits, settings):
    data = digits(**settings)
    series = data.preprocessing()["series"]
    k = series["shrink"]
    images = digits(MNIST).batch("test", 0)["inputs"].numpy()
    means = images.reshape(8, 28 // k, k, 28 // k, k).mean((2, 4)).reshape(8, -1)
    found = torch.from_numpy(means[:, series["order"]].reshape(8, *series["shape"]))
    torch.testing.assert_close(found, data.batch("test", 0)["inputs"])
    assert data.labels == tuple("0123456789")

"""`augmented`: what training images become, and that nothing else changes."""

from __future__ import annotations

import math

import pytest
import torch
from rk_vision.augmented import Augmented, erased, shifted, turned

from rk import UserError
from rk.builtin.digits import Digits
from rk.fit.loaded import LoadedRun
from rk.wrappers import DataWrapper


@pytest.fixture(scope="module")
def digits() -> Digits:
    data = Digits(seed=0, batch_size=32)
    data.prepare()
    return data


def naive_shift(image: torch.Tensor, down: int, right: int) -> torch.Tensor:
    """One pixel at a time."""
    moved = torch.zeros_like(image)
    _, height, width = image.shape
    for row in range(height):
        for column in range(width):
            if 0 <= row - down < height and 0 <= column - right < width:
                moved[:, row, column] = image[:, row - down, column - right]
    return moved


def test_each_image_is_shifted_by_its_own_pixels():
    images = torch.rand(5, 2, 4, 6)
    by = torch.tensor([[0, 0], [1, -2], [-3, 3], [2, 0], [-1, -1]])
    expected = torch.stack([naive_shift(image, *move) for image, move in zip(images, by.tolist(), strict=True)])
    assert torch.equal(shifted(images, by), expected)


@pytest.mark.parametrize("shape", [(5, 5), (4, 6)])
def test_half_a_turn_reverses_both_axes_and_no_turn_changes_nothing(shape):
    images = torch.rand(2, 3, *shape)
    angles = torch.tensor([math.pi, 0.0])
    torch.testing.assert_close(turned(images, angles), torch.stack([images[0].flip(-1, -2), images[1]]))


def test_a_quarter_turn_of_a_square_is_torchs_rot90():
    images = torch.rand(1, 1, 6, 6)
    torch.testing.assert_close(turned(images, torch.tensor([math.pi / 2])), images.rot90(1, (-2, -1)))


def test_a_turn_keeps_lengths_on_a_wide_image():
    image = torch.zeros(1, 1, 21, 41)
    image[..., 10, 15:26] = 1  # a bar of 11 pixels along the middle
    up = turned(image, torch.tensor([math.pi / 2]))
    assert up[..., :, 20].sum().item() == pytest.approx(11, abs=0.5)


def test_a_square_is_erased_and_cut_at_the_border():
    images = torch.ones(2, 1, 5, 5)
    found = erased(images, torch.tensor([[2, 2], [0, 4]]), 3)
    assert (found == 0).sum((1, 2, 3)).tolist() == [9, 4]
    assert found[0, 0, 1:4, 1:4].sum() == 0 and found[1, 0, :2, 3:].sum() == 0


@pytest.mark.parametrize("change", [{"shift": 2}, {"rotate": 30.0}, {"mirror": True}, {"erase": 3}])
def test_training_images_change_from_batch_to_batch_and_depend_on_their_number_alone(digits, change):
    data = Augmented(digits, seed=3, **change)
    once, again, plain = data.batch("train", 4), data.batch("train", 4), digits.batch("train", 4)
    assert torch.equal(once["inputs"], again["inputs"]) and torch.equal(once["targets"], plain["targets"])
    assert once["inputs"].shape == plain["inputs"].shape and not torch.equal(once["inputs"], plain["inputs"])
    other = Augmented(digits, seed=4, **change).batch("train", 4)
    assert not torch.equal(once["inputs"], other["inputs"])


def test_what_is_validated_and_tested_stays_as_it_is(digits):
    data = Augmented(digits, seed=3, shift=2)
    for split in ("val", "test"):
        assert torch.equal(data.batch(split, 0)["inputs"], digits.batch(split, 0)["inputs"])
    assert data.num_classes == digits.num_classes and data.splits == digits.splits


def test_a_wrapper_that_changes_nothing_is_refused(digits):
    with pytest.raises(ValueError, match="augmented changes nothing: give shift, rotate, mirror or erase"):
        Augmented(digits, seed=0)


def test_a_recipe_wraps_any_image_data_and_reads_files_through_it(rk_folder):
    run = rk_folder.train("""
    rk: 1
    model: {name: mlp, hidden_sizes: [8]}
    data: {name: augmented, base: {name: digits, batch_size: 32}, shift: 1}
    loss: cross-entropy
    trainer: {name: backprop, optimizer: adam}
    fit: {max_steps: 4, seed: 0}
    """)
    assert LoadedRun.open(run.path).data.preprocessing() == Digits(seed=0).preprocessing()


def test_inputs_that_are_not_images_are_named(digits):
    class Rows(DataWrapper):
        def batch(self, split, i, stage=0):
            return {"inputs": torch.zeros(4, 10)}

    data = Augmented(Rows(digits), seed=0, shift=1)
    with pytest.raises(UserError, match=r"must be images .* got \(4, 10\)"):
        data.batch("train", 0)

"""The model `vit`, its slot for mixers, and attention in it."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from rk_vision.image_attention import ImageAttention
from rk_vision.vit import VisionTransformer

from rk.blocks import run_blocks


def make(**settings) -> VisionTransformer:
    torch.manual_seed(0)
    sizes = {"input_shape": (3, 8, 12), "num_classes": 5, "mixers": [ImageAttention], "patch_size": 4, "d_model": 8}
    return VisionTransformer(**(sizes | settings)).eval()


@torch.no_grad()
def test_attention_is_its_equation():
    torch.manual_seed(0)
    layer, x = ImageAttention(in_channels=6, out_channels=4, num_heads=1), torch.randn(2, 6, 3, 5)
    flat = x.flatten(2).mT
    q, (k, v) = layer.query(flat), layer.key_value(flat).chunk(2, -1)
    expected = layer.out((q @ k.mT / 6**0.5).softmax(-1) @ v).mT.unflatten(2, (3, 5))
    torch.testing.assert_close(layer(x), expected)
    layer.stride = 2
    torch.testing.assert_close(layer(x), expected[..., ::2, ::2])


@torch.no_grad()
def test_patches_are_embedded_one_by_one():
    model, x = make(positions=False), torch.rand(1, 3, 8, 12)
    model.embed.bias.normal_()
    hidden, _ = model.enter(inputs=x)
    assert hidden.shape == (1, 2, 3, 8)
    weight = model.embed.weight.flatten(1)
    torch.testing.assert_close(hidden[0, 1, 2], weight @ x[0, :, 4:, 8:].flatten() + model.embed.bias)


@torch.no_grad()
def test_an_empty_patch_begins_as_its_position():
    model = make()
    hidden, _ = model.enter(inputs=torch.zeros(1, 3, 8, 12))
    torch.testing.assert_close(hidden[0].movedim(-1, 0), model.positions)


@torch.no_grad()
def test_positions_of_a_larger_image_are_interpolated():
    model = make()
    model.embed.weight.zero_()
    model.embed.bias.zero_()
    model.positions.copy_(torch.arange(8.0).view(8, 1, 1).expand(8, 2, 3))
    hidden, _ = model.enter(inputs=torch.rand(1, 3, 16, 20))
    torch.testing.assert_close(hidden, torch.arange(8.0).expand(1, 4, 5, 8))


@torch.no_grad()
@pytest.mark.parametrize("pool", ["mean", "corners"])
def test_answers_are_those_of_the_blocks(pool):
    model, fields = make(pool=pool, num_layers=3), {"inputs": torch.rand(2, 3, 8, 12)}
    torch.testing.assert_close(run_blocks(model, fields, [0, 1, 2]), model(**fields))
    assert model(inputs=torch.rand(2, 3, 16, 16))["logits"].shape == (2, 5)


@torch.no_grad()
def test_corners_are_read_alone():
    model = make(pool="corners")
    hidden = torch.randn(1, 4, 4, 8)
    before = model.leave(hidden)["logits"]
    hidden[:, 1:3] += 1
    torch.testing.assert_close(model.leave(hidden)["logits"], before)


def test_blocks_take_mixers_in_turn():
    one, two = partial(ImageAttention, num_heads=1), partial(ImageAttention, num_heads=2)
    assert [block.mixer.num_heads for block in make(mixers=[one, two], num_layers=5).blocks] == [1, 2, 1, 2, 1]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"patch_size": 3}, "patch_size must divide images of 8 x 12, got 3"),
        ({"mixers": []}, "mixers must have at least one layer, got none"),
    ],
)
def test_what_cannot_be_is_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        make(**settings)

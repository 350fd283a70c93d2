"""Blocks: what makes them faster changes nothing; and the small conv net."""

from __future__ import annotations

import pytest
import torch
from rk_vision.blocks import BatchedBlock, Settled, TwoStageBlock
from rk_vision.conv_block import ConvBlock
from rk_vision.conv_net import ConvNet
from rk_vision.fusion import TimeEmbedding
from rk_vision.mlp_block import MLPBlock
from torch import nn


def make(kind, **params):
    torch.manual_seed(0)
    given = {"x_shape": (2, 6, 5), "z_shape": (4,), "num_classes": 3, "hidden_size": 7} | params
    return kind(**given).double().eval()


def draw(n: int = 5):
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randn(n, 4, generator=generator, dtype=torch.double),
        torch.randn(n, 2, 6, 5, generator=generator, dtype=torch.double),
        torch.rand(n, generator=generator, dtype=torch.double),
    )


@pytest.mark.parametrize("timed", [False, True], ids=["", "timed"])
@pytest.mark.parametrize("kind", [MLPBlock, ConvBlock])
def test_the_paths_meet_as_in_a_concatenation(kind, timed):
    block = make(kind, timed=timed)
    z, x, t = draw()
    parts = [block.image(x), block.label(z).relu(), *([block.time(t)] if timed else [])]
    wanted = block.out(block.fuse(torch.cat(parts, dim=1)).relu())
    torch.testing.assert_close(block(z, x, t if timed else None), wanted)


@pytest.mark.parametrize("timed", [False, True], ids=["", "timed"])
@pytest.mark.parametrize("kind", [MLPBlock, ConvBlock])
def test_features_computed_once_serve_many_labels(kind, timed):
    block = make(kind, timed=timed)
    assert isinstance(block, TwoStageBlock)
    _, x, _ = draw()
    z = torch.randn(15, 4, dtype=torch.double)
    t = torch.tensor(0.3, dtype=torch.double) if timed else None
    torch.testing.assert_close(Settled(block, x)(z, t), block(z, x.repeat(3, 1, 1, 1), t))


def test_a_block_that_cannot_encode_is_settled_all_the_same():
    class Plain(nn.Module):
        def forward(self, z, x, t=None):
            return z * x.flatten(1).sum(1, keepdim=True) + (0 if t is None else t)

    z, x, _ = draw()
    torch.testing.assert_close(Settled(Plain(), x)(z), Plain()(z, x))
    torch.testing.assert_close(Settled(Plain(), x)(z.repeat(2, 1), torch.tensor(2.0)), Plain()(z, x, 2).repeat(2, 1))


@pytest.mark.parametrize("visible", [1.0, 0.2])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_blocks_together_equal_blocks_one_by_one(count, visible):
    blocks = nn.ModuleList(make(MLPBlock, visible=visible) for _ in range(count))
    for i, block in enumerate(blocks):  # different blocks, not copies
        torch.manual_seed(i)
        for p in block.parameters():
            nn.init.normal_(p)
    assert isinstance(blocks[0], BatchedBlock)
    z, x, _ = draw()
    each = torch.stack([z * (i + 1) for i in range(count)])
    fast = blocks[0].together(blocks[1:], each, x)
    slow = torch.stack([block(each[i], x) for i, block in enumerate(blocks)])
    torch.testing.assert_close(fast, slow)
    weights = torch.randn_like(slow)
    got = torch.autograd.grad((fast * weights).sum(), [*blocks.parameters()])
    wanted = torch.autograd.grad((slow * weights).sum(), [*blocks.parameters()])
    torch.testing.assert_close(got, wanted)


def test_a_glimpse_sees_its_own_share_and_no_more():
    block = make(MLPBlock, visible=0.2)
    z, x, _ = draw()
    seen = block.image[0].seen
    assert len(seen) == 12
    hidden = torch.ones(60, dtype=torch.bool)
    hidden[seen] = False
    changed = x.flatten(1).clone()
    changed[:, hidden] += 1
    assert torch.equal(block(z, x), block(z, changed.view_as(x)))
    changed[:, seen[0]] += 1
    assert not torch.equal(block(z, x), block(z, changed.view_as(x)))


def test_times_are_distinguished_and_one_block_serves_all():
    embed = TimeEmbedding()
    codes = embed(torch.linspace(0, 1, 1001))
    assert codes.shape == (1001, 64)
    distances = torch.cdist(codes, codes).fill_diagonal_(9)
    assert distances.min() > 0.1
    assert embed(torch.tensor(0.5)).shape == (1, 64)


@pytest.mark.parametrize("shape", [(8, 8), (1, 8, 8), (3, 5, 7), (1, 1, 9)], ids=str)
def test_the_conv_nets_take_images_of_any_shape(shape):
    inputs = torch.rand(4, *shape)
    net = ConvNet(input_shape=shape, num_classes=3, channels=(4, 5, 6), hidden_sizes=(7,), dropout=0.1)
    assert net(inputs=inputs)["logits"].shape == (4, 3)
    block = ConvBlock(x_shape=shape, z_shape=(4,), num_classes=3, channels=(4, 5, 6), hidden_size=7, dropout=0.1)
    assert block(torch.rand(4, 4), inputs).shape == (4, 3)


@pytest.mark.parametrize("shape", [(64,), (2, 3, 8, 8)], ids=str)
def test_inputs_that_are_not_images_are_refused(shape):
    with pytest.raises(ValueError, match="expected images"):
        ConvNet(input_shape=shape, num_classes=3)

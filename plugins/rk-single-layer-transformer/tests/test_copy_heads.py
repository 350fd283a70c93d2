"""Attention and its copy heads: what they compute, what leaks, and what the temperature is worth."""

from __future__ import annotations

import math

import pytest
import torch
from rk_single_layer_transformer import construction
from rk_single_layer_transformer.attention import SoftmaxAttention
from rk_single_layer_transformer.bounds import copy_error
from rk_single_layer_transformer.construction import Construction, Settings
from rk_single_layer_transformer.model import SingleLayerTransformer
from rk_single_layer_transformer.naive import attention_row

UNIT = [(0.0, 1.0)]


def constructed(n: int, d: int = 1, beta: float = 4.0, **options) -> Construction:
    """A model whose heads copy; its network maps to the sum of all numbers."""
    model = SingleLayerTransformer(num_features=d, num_outputs=1, num_steps=n, ffn_width=1, **options)
    found = Construction(model, Settings(width=0, beta=beta), UNIT * d)
    x = torch.rand(50, n, d, dtype=torch.float64)
    found.write(x, x.sum((1, 2), keepdim=True).expand(-1, n, 1))
    return found


def copies(found: Construction, x: torch.Tensor) -> torch.Tensor:
    """What each position has of all steps, (batch, time, time * features)."""
    return found.model.mixed(x)[..., found.slots.z].detach()


def test_attention_is_the_softmax_written_out():
    torch.manual_seed(0)
    layer = SoftmaxAttention(d_model=5, num_heads=2, head_dim=3).double()
    x = torch.randn(1, 4, 5, dtype=torch.float64)
    layer.requires_grad_(False)
    query, key, value = (f(x)[0].view(4, 2, 3) for f in (layer.query, layer.key, layer.value))
    expected = torch.zeros(4, 2, 3, dtype=torch.float64)
    for t in range(4):
        for h in range(2):
            scores = [float(query[t, h] @ key[s, h]) / math.sqrt(3) for s in range(4)]
            for c in range(3):
                expected[t, h, c] = attention_row(scores, value[:, h, c].tolist())
    torch.testing.assert_close(layer(x)[0], layer.out(expected.flatten(1)))


@pytest.mark.parametrize(("n", "d"), [(2, 1), (3, 1), (2, 3), (5, 2)])
def test_every_position_has_a_copy_of_every_step(n, d):
    x = torch.rand(7, n, d, dtype=torch.float64)
    found = copies(constructed(n, d, beta=50.0), x)
    torch.testing.assert_close(found, x.flatten(1).unsqueeze(1).expand(-1, n, -1))


@pytest.mark.parametrize("n", [2, 3, 5])
@pytest.mark.parametrize("beta", [2.0, 6.0, 14.0])
def test_the_bound_of_a_copy_holds_and_is_reached(n, beta):
    found = constructed(n, beta=beta)
    bound = copy_error(beta, n, 1.0)
    x = torch.rand(500, n, 1, dtype=torch.float64)
    x[0] = torch.tensor([1.0] + [0.0] * (n - 1)).view(n, 1)  # the others differ most from what is copied
    errors = (copies(found, x) - x.flatten(1).unsqueeze(1)).abs()
    assert float(errors.max()) == pytest.approx(bound, rel=1e-9)
    assert float(errors[0].max()) == pytest.approx(bound, rel=1e-9)


def test_the_first_numbers_of_copy_errors():
    found = [copy_error(beta, 2, 1.0) for beta in (2, 4, 6, 8, 10, 14)]
    assert found == pytest.approx([0.119, 0.0180, 0.00247, 3.35e-4, 4.54e-5, 8.3e-7], rel=0.005)


def test_the_temperature_does_not_depend_on_the_width_of_heads():
    x = torch.rand(5, 3, 1, dtype=torch.float64)
    narrow, wide = (copies(constructed(3, beta=3.0, head_dim=width), x) for width in (1, 16))
    torch.testing.assert_close(narrow, wide)


def test_a_forgotten_root_of_the_width_is_noticed(plant):
    plant(construction, "write_copy_heads", "beta * math.sqrt(width)", "beta")
    with pytest.raises(AssertionError):
        test_the_temperature_does_not_depend_on_the_width_of_heads()


def test_the_own_number_survives_beside_the_copies():
    found = constructed(3)
    stream = found.model.mixed(torch.rand(4, 3, 1, dtype=torch.float64))
    assert torch.equal(stream[..., found.slots.positions], torch.eye(3, dtype=torch.float64).expand(4, 3, 3))


def test_more_heads_and_a_wider_stream_than_needed_change_nothing():
    x = torch.rand(5, 3, 1, dtype=torch.float64)
    torch.testing.assert_close(
        copies(constructed(3), x), copies(constructed(3, num_heads=5, head_dim=4, d_model=40), x)
    )

"""Comparisons of a fast operation with its naive twin: what agrees passes, what differs is named."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from rk.testing import ODD_LENGTHS, assert_close, assert_twins


def cumulative(x: Tensor, decay: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    steps, total = [], torch.zeros_like(x[:, 0])
    for t in range(x.shape[1]):
        total = decay * total + x[:, t]
        steps.append(total)
    return torch.stack(steps, 1), {"last": total}


def at_once(x: Tensor, decay: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    time = torch.arange(x.shape[1])
    powers = torch.where(time[:, None] >= time, (time[:, None] - time).clamp(min=0), 0)
    weights = torch.where((time[:, None] >= time)[..., None], decay ** powers[..., None], 0.0)
    result = torch.einsum("tsd,bsd->btd", weights, x)
    return result, {"last": result[:, -1]}


@pytest.mark.parametrize("length", ODD_LENGTHS)
def test_twins_agree_in_outputs_and_gradients(length):
    torch.manual_seed(0)
    x, decay = torch.randn(2, length, 3, dtype=torch.float64), torch.rand(3, dtype=torch.float64)
    assert_twins(at_once, cumulative, x, decay)


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        pytest.param(
            lambda x, d: (at_once(x, d)[0] * 1.001, at_once(x, d)[1]), r"output\[0\]: relative", id="an output"
        ),
        pytest.param(
            lambda x, d: at_once(x, d.detach()), "only one of the twins gives a gradient for input 1", id="cut"
        ),
        pytest.param(
            lambda x, d: at_once(x, d + 0.1 * (d - d.detach())), "gradient of input 1: relative", id="a gradient"
        ),
        pytest.param(lambda x, d: at_once(x, d)[:1], "the results: parts|parts", id="another structure"),
        pytest.param(lambda x, d: (at_once(x, d)[0][:, :-1], at_once(x, d)[1]), r"output\[0\]: shape", id="a shape"),
    ],
)
def test_twins_that_differ_are_reported(spoilt, said):
    torch.manual_seed(0)
    x, decay = torch.randn(2, 7, 3, dtype=torch.float64), torch.rand(3, dtype=torch.float64)
    with pytest.raises(AssertionError, match=said):
        assert_twins(spoilt, cumulative, x, decay)


def test_the_gradients_of_shared_weights_are_compared():
    layer = nn.Linear(3, 3).double()
    x = torch.randn(4, 3, dtype=torch.float64)
    assert_twins(layer, lambda x: x @ layer.weight.T + layer.bias, x, parameters=layer.parameters())
    with pytest.raises(AssertionError, match=r"gradient of parameter 0|gives a gradient for parameter 0"):
        assert_twins(layer, lambda x: x @ layer.weight.detach().T + layer.bias, x, parameters=layer.parameters())


def test_rounding_is_forgiven_by_dtype_and_a_slip_is_not():
    exact = torch.linspace(1, 2, 100)
    assert_close(exact * (1 + 1e-7), exact)
    assert_close((exact * 1.005).bfloat16(), exact)
    with pytest.raises(AssertionError, match=r"relative difference 0.0001, at most 1e-05 expected"):
        assert_close(exact * 1.0001, exact)


@pytest.mark.parametrize(
    ("found", "expected", "said"),
    [
        pytest.param(torch.tensor([1, 2]), torch.tensor([1, 3]), "1 of 2 values differ", id="integers"),
        pytest.param(torch.tensor([1.0, torch.nan]), torch.tensor([1.0, 2.0]), "not finite at other places", id="nan"),
        pytest.param({"a": torch.zeros(1)}, {"b": torch.zeros(1)}, "parts", id="names"),
        pytest.param(torch.full((2,), 1e-3), torch.zeros(2), "relative difference 0.001", id="nothing expected"),
    ],
)
def test_the_difference_is_named(found, expected, said):
    with pytest.raises(AssertionError, match=said):
        assert_close(found, expected)


def test_entries_near_zero_do_not_decide():
    expected = torch.tensor([1.0, 1e-12])
    assert_close(expected + torch.tensor([0.0, 1e-7]), expected)


def test_infinities_and_empty_tensors_agree_with_themselves():
    assert_close(torch.tensor([float("inf"), 1.0]), torch.tensor([float("inf"), 1.0]))
    assert_close(torch.empty(0), torch.empty(0))

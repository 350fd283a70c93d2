"""Leaky neurons: the fast loop is the equations, tau is at least 1, no neuron connects to itself."""

import pytest
import torch
from rk_timescales import naive
from rk_timescales.layer import Leaky
from rk_timescales.loop import ACTIVATIONS

from rk.testing import assert_twins

PLACES = ("outer", "inner")


def make_layer(**params) -> Leaky:
    torch.manual_seed(0)
    layer = Leaky(d_model=6, **params).double()
    with torch.no_grad():
        layer.tau[:2] = torch.tensor([0.7, 1.0])  # one that fell below the floor, one on it
    return layer


@pytest.mark.parametrize("activation", list(ACTIVATIONS))
@pytest.mark.parametrize("place", PLACES)
def test_the_fast_loop_answers_and_learns_as_the_equations(place, activation):
    layer = make_layer(nonlinearity=place, activation=activation)
    x, state = torch.randn(3, 7, 6, dtype=torch.float64), torch.rand(3, 6, dtype=torch.float64)
    used = [p for p in layer.parameters() if p.requires_grad]
    assert_twins(
        lambda x, state: layer.scan(x, state)[0],
        lambda x, state: naive.leaky(layer, x, state),
        x,
        state,
        parameters=used,
        relative=1e-9,
    )


@pytest.mark.parametrize("place", PLACES)
def test_without_input_weights_x_is_the_current(place):
    layer = make_layer(nonlinearity=place, input_weights=False)
    x, state = torch.randn(2, 4, 6, dtype=torch.float64), torch.rand(2, 6, dtype=torch.float64)
    torch.testing.assert_close(layer.scan(x, state)[0], naive.leaky(layer, x, state))


def test_the_fast_loop_is_the_plain_one_without_gradients():
    layer = make_layer()
    x, state = torch.randn(3, 7, 6, dtype=torch.float64), torch.rand(3, 6, dtype=torch.float64)
    learned = layer.scan(x, state)[0]
    with torch.no_grad():
        torch.testing.assert_close(layer.scan(x, state)[0], learned)


def test_a_neuron_alone_forgets_with_its_time_constant():
    layer = Leaky(d_model=3, activation="relu", input_weights=False)
    with torch.no_grad():
        layer.tau.copy_(torch.tensor([1.0, 2.0, 10.0]))
        layer.weight_hh.copy_(5 * torch.eye(3))  # self-connections, which are masked
        layer.bias_hh.zero_()
    hidden, _ = layer.scan(torch.zeros(1, 4, 3), torch.ones(1, 3))
    torch.testing.assert_close(hidden[0, -1], torch.tensor([0.0, 0.5**4, 0.9**4]))


def test_a_time_constant_below_one_acts_as_one_and_is_not_trained():
    layer = make_layer()
    layer(torch.randn(2, 5, 6, dtype=torch.float64)).square().sum().backward()
    assert layer.time_constants[0] == 1
    assert layer.tau.grad[0] == 0
    assert (layer.tau.grad[2:] != 0).all()


def test_the_diagonal_gets_no_gradient_and_is_not_written():
    layer = make_layer()
    before = layer.weight_hh.detach().clone()
    layer(torch.randn(2, 5, 6, dtype=torch.float64)).square().sum().backward()
    assert (layer.weight_hh.grad.diagonal() == 0).all()
    assert torch.equal(layer.weight_hh, before)
    assert (layer.connections.diagonal() == 0).all()


def test_fixed_time_constants_are_not_trained():
    layer = Leaky(d_model=4, train_tau=False, tau_init=(3.0, 3.0))
    assert "tau" not in dict(layer.named_parameters())
    assert layer.state_dict()["tau"].tolist() == [3.0] * 4


def test_a_sequence_begins_at_random_in_training_alone():
    layer = Leaky(d_model=50)
    state = layer.initial_state(20)
    assert 0 <= state.min() < 0.01 and 0.09 < state.max() < 0.1
    assert (layer.eval().initial_state(20) == 0.05).all()


def test_another_width_than_the_models_has_a_map_out():
    assert Leaky(d_model=4, hidden_size=9)(torch.randn(2, 3, 4)).shape == (2, 3, 4)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"tau_init": (0.5, 2.0)}, "must be a range from 1 upwards, got 0.5 to 2"),
        ({"tau_init": (3.0, 2.0)}, "must be a range from 1 upwards, got 3 to 2"),
        ({"input_weights": False, "hidden_size": 5}, "hidden_size must be d_model, got 5 and 4"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(params, message):
    with pytest.raises(ValueError, match=message):
        Leaky(d_model=4, **params)

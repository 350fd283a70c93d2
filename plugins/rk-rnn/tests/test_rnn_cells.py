"""The cells: what they compute, against their equations step by step; states, masks, gradients."""

import itertools

import pytest
import torch
from rk_rnn import gru_loop, naive
from rk_rnn.bidirectional import Bidirectional
from rk_rnn.elman import Elman
from rk_rnn.gru import GRU
from rk_rnn.irnn import IRNN
from rk_rnn.jordan import Jordan
from rk_rnn.lstm import LSTM
from torch import Tensor, nn

from rk.testing import ODD_LENGTHS, assert_close, assert_twins

D = 6
CELLS = {
    "elman": (Elman, {}),
    "elman-relu": (Elman, {"activation": "relu"}),
    "elman-truncated": (Elman, {"truncated": True}),
    "irnn": (IRNN, {"input_std": 0.3}),
    "jordan": (Jordan, {}),
    "jordan-without-self-connections": (Jordan, {"self_connection": 0.0}),
    **{
        f"lstm-{forget}{'-peepholes' if peepholes else ''}": (LSTM, {"forget": forget, "peepholes": peepholes})
        for forget, peepholes in itertools.product(["gate", "none", "coupled"], [False, True])
    },
    "gru": (GRU, {}),
    "gru-reset-before": (GRU, {"reset": "before"}),
}
every_cell = pytest.mark.parametrize("cell", CELLS)
sizes = pytest.mark.parametrize("hidden_size", [None, 9], ids=["as-wide", "wider"])


def make(cell: str, hidden_size: int | None = 9, dtype: torch.dtype = torch.double) -> nn.Module:
    torch.manual_seed(0)
    kind, params = CELLS[cell]
    layer = kind(d_model=D, hidden_size=hidden_size, **params).to(dtype)
    for parameter in layer.parameters():  # also where it begins at zero
        parameter.data += 0.1 * torch.randn_like(parameter)
    return layer


def twin(layer: nn.Module):
    return next(naive.TWINS[kind] for kind in type(layer).__mro__ if kind in naive.TWINS)


def any_state(layer: nn.Module, rows: int):
    generator = torch.Generator().manual_seed(1)
    state = layer.initial_state(rows)
    tensors = state if isinstance(state, tuple) else (state,)
    filled = [torch.randn(s.shape, generator=generator).to(s) for s in tensors]
    return tuple(filled) if isinstance(state, tuple) else filled[0]


def holes(rows: int, time: int) -> Tensor:
    """Masks: whole, padded at the end, at the front, with holes, and with no step at all."""
    mask = torch.rand(rows, time, generator=torch.Generator().manual_seed(2)) < 0.6
    mask[0], mask[1] = True, torch.arange(time) < time // 2
    mask[2], mask[3] = torch.arange(time) >= time // 2, False
    return mask


def assert_equals_twin(layer: nn.Module, time: int, mask: Tensor | None = None, relative: float | None = None) -> None:
    dtype = next(layer.parameters()).dtype
    x = torch.randn(5, time, D, dtype=dtype)
    state = any_state(layer, 5)
    parts = state if isinstance(state, tuple) else (state,)

    def run(scan):
        return lambda x, *parts: scan(x, parts if isinstance(state, tuple) else parts[0], mask)

    plain = twin(layer)
    assert_twins(
        run(layer.scan), run(lambda *given: plain(layer, *given)), x, *parts,
        parameters=layer.parameters(), relative=relative,
    )  # fmt: skip


@every_cell
@sizes
@pytest.mark.parametrize("time", [1, 2, 13])
def test_outputs_state_and_every_gradient_are_those_of_the_equations(cell, hidden_size, time):
    assert_equals_twin(make(cell, hidden_size), time)


@pytest.mark.parametrize("cell", ["lstm-gate-peepholes", "lstm-coupled-peepholes", "gru-reset-before", "jordan"])
@pytest.mark.parametrize("time", ODD_LENGTHS)
def test_the_loops_at_any_length_in_single_precision(cell, time):
    assert_equals_twin(make(cell, dtype=torch.float32), time, relative=1e-4)


MISTAKES = {
    "z keeps what is new": (
        "gru-reset-before",
        gru_loop._Loop,
        "forward",
        "torch.lerp(n, hidden, z,",
        "torch.lerp(hidden, n, z,",
    ),
    "r gates nothing": (
        "gru-reset-before",
        gru_loop._Loop,
        "forward",
        "r * hidden, weight[2 * h :]",
        "hidden, weight[2 * h :]",
    ),
    "the slope of z": (
        "gru-reset-before",
        gru_loop._Loop,
        "backward",
        "(before - n) * z * (1 - z)",
        "(before - n) * z",
    ),
    "gradients stop between steps": (
        "gru-reset-before",
        gru_loop._Loop,
        "backward",
        "d_hidden += d_hiddens[step - 1]",
        "d_hidden = d_hiddens[step - 1]",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_loop_is_noticed(plant, mistake):
    cell, *where = MISTAKES[mistake]
    plant(*where)
    with pytest.raises(AssertionError):
        assert_equals_twin(make(cell, None), 5)


@every_cell
@sizes
@pytest.mark.parametrize("time", [1, 12])
def test_a_masked_step_gives_zeros_and_keeps_the_state(cell, hidden_size, time):
    assert_equals_twin(make(cell, hidden_size), time, mask=holes(5, time))


@every_cell
def test_a_sequence_in_pieces_is_the_sequence(cell):
    layer, x, mask = make(cell), torch.randn(5, 12, D).double(), holes(5, 12)
    for given in (None, mask):
        whole, end = layer.scan(x, layer.initial_state(5), given)
        assert torch.equal(layer(x, given), whole)
        state, outputs = layer.initial_state(5), []
        for piece in (slice(0, 1), slice(1, 6), slice(6, 7), slice(7, 12)):
            y, state = layer.scan(x[:, piece], state, None if given is None else given[:, piece])
            outputs.append(y)
        assert_close(torch.cat(outputs, 1), whole)
        assert_close(state, end)


@every_cell
def test_a_state_has_the_batch_first_and_is_not_changed(cell):
    layer, x = make(cell), torch.randn(5, 4, D).double()
    state = any_state(layer, 5)
    tensors = state if isinstance(state, tuple) else (state,)
    copies = [s.clone() for s in tensors]
    y, end = layer.scan(x, state)
    assert all(torch.equal(s, copy) for s, copy in zip(tensors, copies, strict=True))
    rows = torch.tensor([3, 1])
    chosen = tuple(s[rows] for s in tensors) if isinstance(state, tuple) else state[rows]
    some, some_end = layer.scan(x[rows], chosen)
    assert_close(some, y[rows])
    assert_close(some_end, tuple(s[rows] for s in end) if isinstance(end, tuple) else end[rows])


@every_cell
def test_the_values_of_masked_steps_are_never_read(cell):
    layer, x, mask = make(cell), torch.randn(5, 9, D).double(), holes(5, 9)
    other = torch.where(mask.unsqueeze(-1), x, 1e6 * torch.randn_like(x))
    assert_close(layer.scan(other, layer.initial_state(5), mask), layer.scan(x, layer.initial_state(5), mask))


@pytest.mark.parametrize(
    "cell, theirs",
    [
        ("elman", nn.RNN(D, 9, batch_first=True)),
        ("elman-relu", nn.RNN(D, 9, nonlinearity="relu", batch_first=True)),
        ("lstm-gate", nn.LSTM(D, 9, batch_first=True)),
        ("gru", nn.GRU(D, 9, batch_first=True)),
    ],
    ids=["rnn-tanh", "rnn-relu", "lstm", "gru"],
)
def test_weights_of_torch_fit_as_they_are(cell, theirs):
    layer = make(cell, dtype=torch.float32)
    layer.load_state_dict({key.removesuffix("_l0"): value for key, value in theirs.state_dict().items()}, strict=False)
    x = torch.randn(3, 8, D)
    assert_close(layer(x), layer.out(theirs(x)[0]))


def test_a_layer_as_wide_as_the_model_has_no_projection():
    for kind in (Elman, IRNN, LSTM, GRU):
        assert {name.partition("_")[0] for name, _ in kind(d_model=D).named_parameters()} == {"weight", "bias"}
        assert dict(kind(d_model=D, hidden_size=9).out.named_parameters())["weight"].shape == (D, 9)


@pytest.mark.parametrize("forget, rows, bias", [("gate", slice(9, 18), 2.5), ("coupled", slice(0, 9), -2.5)])
def test_the_forget_gate_begins_open(forget, rows, bias):
    layer = LSTM(d_model=D, hidden_size=9, forget=forget, forget_bias=2.5)
    assert ((layer.bias_ih + layer.bias_hh)[rows] == bias).all()
    left = LSTM(d_model=D, hidden_size=9, forget=forget, forget_bias=None)
    assert (left.bias_ih.abs() <= 1 / 3).all() and left.bias_ih[rows].std() > 0


def test_orthogonal_weights_are_so_gate_by_gate():
    layer = LSTM(d_model=D, hidden_size=9, init="orthogonal", forget_bias=None)
    for block in layer.weight_hh.chunk(4):
        assert_close(block @ block.T, torch.eye(9), relative=1e-5)
    assert not layer.bias_hh.any() and not layer.bias_ih.any()


def test_an_irnn_without_input_keeps_its_state_and_its_gradient():
    layer = IRNN(d_model=D, hidden_size=9)
    start = torch.rand(2, 9).requires_grad_()
    _, end = layer.scan(torch.zeros(2, 200, D), start)
    assert_close(end, start)
    assert torch.equal(torch.autograd.grad(end.sum(), start)[0], torch.ones(2, 9))


def test_truncated_learning_sends_nothing_back_in_time():
    layer = make("elman-truncated")
    x = torch.randn(2, 7, D).double().requires_grad_()
    (gradient,) = torch.autograd.grad(layer(x)[:, 4].sum(), x)
    assert gradient[:, 4].any() and not gradient[:, :4].any()


@every_cell
def test_masks_on_weights_reach_every_kernel(cell):
    """A parametrization in the place of a weight, as pruning puts it there."""

    class Keep(nn.Module):
        def forward(self, weight):
            return weight * (torch.arange(weight.numel()).view_as(weight) % 3 > 0)

    layer, pruned = make(cell), make(cell)
    x = torch.randn(3, 8, D).double()
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        getattr(pruned, name).data = Keep()(getattr(pruned, name).data)
        nn.utils.parametrize.register_parametrization(layer, name, Keep())
    assert_close(layer(x), pruned(x))
    layer(x).sum().backward()
    assert not layer.parametrizations.weight_hh.original.grad.flatten()[::3].any()


@every_cell
def test_under_autocast_states_keep_their_precision(cell):
    layer = make(cell, dtype=torch.float32)
    x, mask = torch.randn(5, 20, D).bfloat16(), holes(5, 20)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, state = layer.scan(x, layer.initial_state(5), mask)
        layer.scan(x, state)[0].sum().backward()
    assert_close((y, state), layer.scan(x.float(), layer.initial_state(5), mask))


@pytest.mark.parametrize("cell", ["elman", "lstm-coupled", "lstm-none-peepholes", "gru-reset-before", "jordan"])
def test_a_layer_can_be_exported_for_inference(cell):
    layer, x = make(cell, dtype=torch.float32).eval(), torch.randn(3, 5, D)
    with torch.no_grad():
        program = torch.export.export(layer, (x,))
    assert_close(program.module()(x), layer(x))


def test_two_directions_are_two_layers():
    layer = Bidirectional(d_model=D, layer=lambda d_model: GRU(d_model=d_model, hidden_size=9)).double()
    x = torch.randn(3, 7, D).double()
    ahead, _ = naive.gru(layer.ahead, x, layer.ahead.initial_state(3))
    back, _ = naive.gru(layer.back, x.flip(1), layer.back.initial_state(3))
    assert_close(layer(x), torch.cat([ahead, back.flip(1)], -1) @ layer.out.weight.T + layer.out.bias)


def test_the_backward_chain_begins_at_the_last_real_step():
    layer = Bidirectional(d_model=D, layer=lambda d_model: LSTM(d_model=d_model, hidden_size=9)).double()
    x, lengths = torch.randn(4, 8, D).double(), [8, 3, 1, 5]
    mask = torch.arange(8) < torch.tensor(lengths).unsqueeze(1)
    y = layer(x, mask)
    for row, length in enumerate(lengths):
        assert_close(y[row : row + 1, :length], layer(x[row : row + 1, :length]))
        assert not y[row, length:].any()


@pytest.mark.parametrize("cell", ["elman", "jordan", "lstm-none", "lstm-gate-peepholes", "gru"])
def test_a_graph_of_a_layer_takes_any_number_of_rows(cell):
    layer, rows = make(cell).eval(), torch.export.Dim.AUTO
    examples = (torch.randn(4, 5, D).double(), holes(4, 5))
    with torch.no_grad():
        graph = torch.export.export(layer, examples, dynamic_shapes=({0: rows}, {0: rows}), strict=False).module()
        x, mask = torch.randn(7, 5, D).double(), holes(7, 5)
        assert_close(graph(x, mask), layer(x, mask))

"""The model `sequence`: what it computes, and that pieces give what the whole gives."""

from __future__ import annotations

import functools

import pytest
import torch
from rk_sequence import attention
from rk_sequence.attention import Attention
from torch import nn

from rk import UserError

READOUTS = ("step", "last", "mean")
PIECES = ((1, 1, 1, 1, 1, 1, 1), (3, 4))


class Reversed(nn.Module):
    """A layer that looks ahead."""

    def __init__(self, *, d_model):
        super().__init__()

    def forward(self, x, mask=None):
        return x.flip(1)


class Counter(nn.Module):
    """A layer that adds up its input: its output shows what it has seen."""

    def __init__(self, *, d_model):
        super().__init__()

    def forward(self, x, mask=None):
        return x.cumsum(1)


@pytest.fixture
def tokens():
    return torch.randint(7, (3, 7), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def mask():
    """Gaps, padding, and a row whose first step does not exist."""
    return torch.tensor([[1, 1, 1, 1, 1, 1, 1], [0, 1, 1, 0, 1, 1, 1], [1, 1, 1, 0, 0, 0, 0]]).bool()


def in_pieces(model, sizes, tokens, mask=None):
    """Returns what `scan` gives piece by piece: the answers of all steps, or the last answer."""
    state, given = model.initial_state(len(tokens)), []
    masks = [None] * len(sizes) if mask is None else mask.split(sizes, 1)
    for piece, part in zip(tokens.split(sizes, 1), masks, strict=True):
        outputs, state = model.scan(state=state, tokens=piece, mask=part)
        given.append(outputs["logits"])
    return torch.cat(given, 1) if model.readout == "step" else given[-1]


@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("sizes", PIECES, ids=str)
@pytest.mark.parametrize("readout", READOUTS)
def test_pieces_give_what_the_whole_gives(make_model, tokens, readout, sizes, window):
    model = make_model(
        functools.partial(Attention, num_heads=2, window=window), readout=readout, num_layers=2, mlp_ratio=2
    )
    expected = model(tokens=tokens)["logits"]
    torch.testing.assert_close(in_pieces(model, sizes, tokens), expected)


def test_a_looped_model_has_the_weights_of_its_blocks_and_a_cache_for_each_time_they_run(make_model, tokens):
    layer = functools.partial(Attention, num_heads=2)
    model = make_model(layer, readout="step", num_layers=6, num_loops=2, sharing="middle-cycle", mlp_ratio=2)
    alone = make_model(layer, readout="step", num_layers=4, mlp_ratio=2)
    assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for p in alone.parameters())
    assert len(model.initial_state(3)["layers"]) == 6
    torch.testing.assert_close(in_pieces(model, (3, 4), tokens), model(tokens=tokens)["logits"])


@pytest.mark.parametrize("window", [None, 1, 3])
@pytest.mark.parametrize("sizes", PIECES, ids=str)
@pytest.mark.parametrize("readout", READOUTS)
def test_pieces_of_a_masked_sequence_give_what_the_whole_gives(make_model, tokens, mask, readout, sizes, window):
    model = make_model(functools.partial(Attention, num_heads=2, window=window), readout=readout, num_layers=2)
    expected, found = model(tokens=tokens, mask=mask)["logits"], in_pieces(model, sizes, tokens, mask)
    if readout == "step":  # what is answered where nothing is means nothing
        expected, found = expected[mask], found[mask]
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("readout", READOUTS)
def test_a_masked_sequence_is_answered_as_the_same_without_what_is_masked(make_model, tokens, mask, readout, window):
    model = make_model(functools.partial(Attention, num_heads=2, window=window), readout=readout, num_layers=2)
    answers = model(tokens=tokens, mask=mask)["logits"]
    for row, exists in enumerate(mask):
        alone = model(tokens=tokens[row : row + 1, exists])["logits"][0]
        among = answers[row, exists] if readout == "step" else answers[row]
        torch.testing.assert_close(among, alone)


def test_a_state_is_not_changed_by_a_scan(make_model, tokens):
    model = make_model(readout="mean")
    _, state = model.scan(state=model.initial_state(3), tokens=tokens)
    first, _ = model.scan(state=state, tokens=tokens)
    again, _ = model.scan(state=state, tokens=tokens)
    assert torch.equal(first["logits"], again["logits"])


def test_every_tensor_of_a_state_has_the_batch_first(make_model):
    state = make_model(readout="mean", num_layers=2).initial_state(3)
    leaves, _ = torch.utils._pytree.tree_flatten(state)
    assert leaves and all(len(leaf) == 3 for leaf in leaves)


def test_a_block_adds_layer_and_mlp_behind_norms(make_model, tokens):
    model = make_model(Counter, mlp_ratio=2)
    block = model.blocks[0]
    x = model.embedding(tokens)
    x = x + nn.functional.rms_norm(x, (8,)).cumsum(1)
    gate, up = block.mlp[1].gate_up(nn.functional.rms_norm(x, (8,))).chunk(2, -1)
    x = x + block.mlp[1].down(nn.functional.silu(gate) * up)
    expected = model.head(nn.functional.rms_norm(x, (8,)))
    torch.testing.assert_close(model(tokens=tokens)["logits"], expected)


def test_without_residual_and_norm_it_is_the_plain_stack(make_model, tokens):
    model = make_model(Counter, residual=False, norm="none", num_layers=2)
    expected = model.head(model.embedding(tokens).cumsum(1).cumsum(1))
    torch.testing.assert_close(model(tokens=tokens)["logits"], expected)


def test_it_takes_numbers_and_gives_values(make_model):
    model = make_model(vocab_size=None, num_features=2, num_outputs=1, readout="last")
    outputs = model(inputs=torch.rand(3, 5, 2).double())
    assert outputs["values"].shape == (3, 1)
    assert outputs["values"] is outputs["logits"]


def test_a_tied_head_has_the_weights_of_the_embedding(make_model):
    model = make_model(num_outputs=7, tie=True)
    assert model.head.weight is model.embedding.weight
    assert model.head.bias is None


def test_a_tied_head_needs_the_same_tokens(make_model):
    with pytest.raises(ValueError, match="got 5 outputs and 7 tokens"):
        make_model(tie=True)


def test_steps_are_tokens_or_numbers(make_model):
    with pytest.raises(ValueError, match=r"tokens .* or numbers"):
        make_model(num_features=2)
    with pytest.raises(UserError, match="takes tokens"):
        make_model()(inputs=torch.rand(1, 2, 2))
    with pytest.raises(UserError, match="takes numbers"):
        make_model(vocab_size=None, num_features=2)(tokens=torch.zeros(1, 2, dtype=torch.int64))


def test_a_layer_that_looks_ahead_is_used_but_has_no_state(make_model, tokens):
    model = make_model(Reversed)
    assert model(tokens=tokens)["logits"].shape == (3, 7, 5)
    with pytest.raises(UserError, match="the layer Reversed keeps no state"):
        model.initial_state(3)


# -- attention ---------------------------------------------------------------------------------------------------------


def plain_attention(layer, x, window=None):
    """Attention with rotary positions, one query and one head at a time, by complex numbers."""
    b, t, d = x.shape
    heads, width = layer.num_heads, d // layer.num_heads
    query, key, value = (part.view(b, t, heads, width) for part in layer.in_proj(x).split(d, -1))
    rates = layer.rope_base ** (-torch.arange(width // 2).double() / (width // 2))

    def turned(vector, place):
        return torch.complex(vector[: width // 2], vector[width // 2 :]) * torch.exp(1j * place * rates)

    y = torch.zeros(b, t, heads, width, dtype=x.dtype)
    for row in range(b):
        for head in range(heads):
            for place in range(t):
                seen = range(0 if window is None else max(0, place - window + 1), place + 1)
                q = turned(query[row, place, head], place)
                scores = [(q.conj() * turned(key[row, other, head], other)).real.sum() for other in seen]
                shares = (torch.stack(scores) / width**0.5).softmax(0)
                y[row, place, head] = sum(s * value[row, o, head] for s, o in zip(shares, seen, strict=True))
    return layer.out_proj(y.flatten(2))


@pytest.mark.parametrize("window", [None, 1, 3])
def test_attention_agrees_with_its_definition(window):
    torch.manual_seed(0)
    layer, x = Attention(d_model=8, num_heads=2, window=window).double(), torch.randn(2, 6, 8).double()
    torch.testing.assert_close(layer(x), plain_attention(layer, x, window))


def test_some_steps_of_a_sequence_keep_the_positions_that_they_have_in_it():
    torch.manual_seed(0)
    layer, x = Attention(d_model=8, num_heads=2).double(), torch.randn(2, 9, 8).double()
    chosen = torch.tensor([[0, 3, 4, 8], [1, 2, 6, 7]])
    mask = torch.zeros(2, 9, dtype=torch.bool).scatter(1, chosen, True)
    places = torch.arange(9).expand(2, 9)
    rows = torch.arange(2).unsqueeze(1)
    short = layer(x[rows, chosen], positions=chosen)
    torch.testing.assert_close(short, layer(x, mask, places)[rows, chosen])
    state, found = layer.initial_state(2), []
    for span in (slice(0, 1), slice(1, 4)):
        y, state = layer.scan(x[rows, chosen][:, span], state, positions=chosen[:, span])
        found.append(y)
    torch.testing.assert_close(torch.cat(found, 1), short)
    assert not torch.allclose(short, layer(x[rows, chosen]))


def test_queries_alone_read_the_keys_of_others():
    torch.manual_seed(0)
    layer, x = Attention(d_model=8, num_heads=2).double(), torch.randn(2, 5, 8).double()
    places = torch.arange(5).expand(2, 5)
    query, key, value = layer.project(x)
    torch.testing.assert_close(layer.queries(x, places), query)
    torch.testing.assert_close(layer.attend(query, key, value), layer(x))
    layer.in_proj.register_forward_hook(lambda _, __, output: 2 * output)  # as a matrix of low rank would
    torch.testing.assert_close(layer.queries(x, places), 2 * query)


def test_a_step_of_some_rows_leaves_the_others_as_they_are():
    torch.manual_seed(0)
    layer, x = Attention(d_model=8, num_heads=2).double(), torch.randn(3, 7, 8).double()
    _, state = layer.scan(x[:, :5], layer.initial_state(3))
    rows, places = torch.tensor([0, 2]), torch.tensor([[5], [5]])
    y, after = layer.scan_rows(x[rows, 5:6], state, rows, places)
    mask = torch.tensor([[True], [False], [True]])
    expected, other = layer.scan(x[:, 5:6], state, mask)
    torch.testing.assert_close(y, expected[rows])
    torch.testing.assert_close(layer.scan(x[:, 6:], after)[0], layer.scan(x[:, 6:], other)[0])


def test_a_cache_drops_the_entries_that_no_row_needs():
    torch.manual_seed(0)
    layer, x = Attention(d_model=8, num_heads=2).double(), torch.randn(2, 40, 8).double()
    mask = torch.arange(40) % torch.tensor([[4], [5]]) == 0
    _, state = layer.scan(x[:, :39], layer.initial_state(2), mask[:, :39])
    small = layer.compacted(state)
    assert (state[0].shape[1], small[0].shape[1]) == (39, 10)
    last = x[:, 39:], mask[:, 39:] | True
    torch.testing.assert_close(layer.scan(last[0], small, last[1])[0], layer.scan(last[0], state, last[1])[0])
    assert layer.compacted(small)[0] is small[0]


def test_gradients_do_not_depend_on_the_pieces():
    torch.manual_seed(0)
    layer, x = Attention(d_model=8, num_heads=2).double(), torch.randn(2, 6, 8).double()
    mask = torch.tensor([[0, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 1]]).bool()

    def gradients(sizes):
        state, given = layer.initial_state(2), []
        for piece, part in zip(x.split(sizes, 1), mask.split(sizes, 1), strict=True):
            y, state = layer.scan(piece, state, part)
            given.append(y)
        return torch.autograd.grad(torch.cat(given, 1)[mask].square().sum(), layer.parameters())

    for one, other in zip(gradients((6,)), gradients((2, 1, 3)), strict=True):
        assert one.isfinite().all()
        torch.testing.assert_close(one, other)


def test_the_cache_of_a_window_never_grows():
    layer = Attention(d_model=8, num_heads=2, window=4)
    state = layer.initial_state(2)
    shapes = [part.shape for part in state]
    for _ in range(3):
        _, state = layer.scan(torch.randn(2, 3, 8), state)
    assert [part.shape for part in state] == shapes


@pytest.mark.parametrize(("d_model", "num_heads"), [(8, 3), (12, 4)])
def test_heads_divide_the_width_into_even_parts(d_model, num_heads):
    with pytest.raises(ValueError, match="must divide"):
        Attention(d_model=d_model, num_heads=num_heads)


@pytest.mark.parametrize("window", [None, 3])
def test_heads_may_have_a_width_of_their_own_and_stream_all_the_same(window):
    layer, x = Attention(d_model=6, num_heads=3, head_dim=4, window=window), torch.randn(2, 7, 6)
    assert layer.in_proj.weight.shape == (36, 6) and layer.out_proj.weight.shape == (6, 12)
    first, state = layer.scan(x[:, :4], layer.initial_state(2))
    torch.testing.assert_close(torch.cat([first, layer.scan(x[:, 4:], state)[0]], 1), layer(x))
    with pytest.raises(ValueError, match="head_dim must be even, got 3"):
        Attention(d_model=6, num_heads=2, head_dim=3)


@pytest.mark.parametrize("window", [None, 1, 3, 5])
@pytest.mark.parametrize("masked", [False, True])
def test_a_long_piece_is_mapped_block_by_block_with_the_same_answers(monkeypatch, window, masked):
    torch.manual_seed(0)
    layer, x = Attention(d_model=8, num_heads=2, window=window).double(), torch.randn(2, 23, 8).double()
    mask = torch.rand(2, 23) < 0.7 if masked else None
    whole, state = layer.scan(x, layer.initial_state(2), mask)
    monkeypatch.setattr(attention, "BLOCK", 4)
    found, after = layer.scan(x, layer.initial_state(2), mask)
    chosen = slice(None) if mask is None else mask
    torch.testing.assert_close(found[chosen], whole[chosen])
    for one, other in zip(after, state, strict=True):
        torch.testing.assert_close(one, other)


def test_the_memory_of_a_windowed_layer_does_not_grow_with_the_squared_length(monkeypatch):
    sizes = []
    allowed = Attention._allowed

    def measured(self, present, t):
        found = allowed(self, present, t)
        sizes.append(found.numel())
        return found

    monkeypatch.setattr(Attention, "_allowed", measured)
    layer = Attention(d_model=8, num_heads=2, window=64)
    with torch.no_grad():
        assert layer(torch.randn(1, 20_000, 8)).shape == (1, 20_000, 8)
    assert max(sizes) == attention.BLOCK * (attention.BLOCK + 63)

"""Depth-wise batching gives the tokens of one sequence at a time, whatever runs beside it and wherever it leaves."""

from __future__ import annotations

import pytest
import torch
from rk_recursion.layouts import Layout
from rk_recursion.relaxation import relax
from rk_relaxed_recursive.depthwise import Batcher, Request, oracle
from rk_relaxed_recursive.grouped import GroupedLowRank, Groups, SharedBlock
from rk_relaxed_recursive.naive import concatenated_low_rank
from rk_sequence.attention import Attention
from rk_sequence.language_model import LanguageModel

from rk import UserError

SURE = 0.13


def looped(sharing: str = "cycle", num_layers: int = 6, num_loops: int = 2, rank: int = 3, layer=Attention):
    """A language model whose answers differ from loop to loop, in 64 bits: no two tokens are equally likely."""
    torch.manual_seed(3)
    model = LanguageModel(
        vocab_size=11, layer=layer, d_model=8, num_layers=num_layers, num_loops=num_loops, sharing=sharing, mlp_ratio=2
    )
    model.blocks = relax(model.blocks, model.layout, rank)
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.4)
    model.temperature = 0.0
    return model.double().eval()


def prompts() -> list[Request]:
    random = torch.Generator().manual_seed(1)
    sizes = [(1, 5), (5, 3), (3, 7), (8, 1), (2, 4), (6, 6)]
    return [Request(torch.randint(11, (length,), generator=random).tolist(), new) for length, new in sizes]


def alone(model, request: Request) -> list[int]:
    model.max_new_tokens = request.new_tokens
    tokens = torch.tensor([request.prompt])
    with torch.no_grad():
        return model.predict(tokens=tokens, continue_meta=True)["continuation"][0].tolist()


@pytest.mark.parametrize("order", ["depth", "sequence"])
@pytest.mark.parametrize("slots", [3, 16])
def test_without_exits_the_tokens_are_those_of_one_sequence_at_a_time(slots, order):
    model = looped()
    found = Batcher(model, slots, order=order).run(prompts())
    assert found.tokens == [alone(model, request) for request in prompts()]
    assert {loop for exits in found.exits for loop in exits} == {1}


@pytest.mark.parametrize(
    ("sharing", "num_layers", "num_loops", "layer"),
    [
        ("cycle", 6, 3, Attention),
        ("middle-cycle", 6, 2, Attention),
        ("middle-cycle", 8, 3, lambda d_model: Attention(d_model=d_model, window=4)),
    ],
    ids=["three loops", "ends of their own", "within a window"],
)
def test_every_layout_and_layer_that_streams_is_continued(sharing, num_layers, num_loops, layer):
    model = looped(sharing, num_layers, num_loops, layer=layer)
    expected = [alone(model, request) for request in prompts()]
    assert Batcher(model, 3).run(prompts()).tokens == expected
    known = [Request(r.prompt, r.new_tokens, oracle(model, r.prompt, t)) for r, t in zip(prompts(), expected)]
    found = Batcher(model, 3).run(known)
    assert found.tokens == expected
    assert found.exits == [request.exits for request in known]
    assert len({loop for exits in found.exits for loop in exits}) == num_loops


@pytest.mark.parametrize(("slots", "order"), [(1, "depth"), (4, "depth"), (4, "sequence")])
def test_with_oracle_exits_keys_that_come_late_are_those_of_the_whole_model(slots, order):
    model = looped()
    expected = [alone(model, request) for request in prompts()]
    known = [Request(r.prompt, r.new_tokens, oracle(model, r.prompt, t)) for r, t in zip(prompts(), expected)]
    found = Batcher(model, slots, order=order).run(known)
    assert found.tokens == expected
    assert found.rows < Batcher(model, slots, order=order).run(prompts()).rows


def test_a_token_leaves_where_it_is_sure_enough():
    model = looped()
    whole = Batcher(model, 3).run(prompts())
    found = Batcher(model, 3, threshold=SURE).run(prompts())
    assert {loop for exits in found.exits for loop in exits} == {0, 1}
    assert Batcher(model, 3, threshold=1.1).run(prompts()).tokens == whole.tokens
    for request, tokens, exits in zip(prompts(), found.tokens, found.exits, strict=True):
        text = torch.tensor([[*request.prompt, *tokens]])
        hidden, context = model.enter(tokens=text)
        for depth, block in enumerate(model.blocks, 1):
            hidden = block(hidden, *context)
            if depth not in model.layout.exits:
                continue
            likely = (
                model.leave(hidden.detach())["logits"].detach().softmax(-1)[0, len(request.prompt) - 1 : -1].max(-1)
            )
            for i, loop in enumerate(exits):
                if loop == model.layout.exits.index(depth):
                    assert int(likely.indices[i]) == tokens[i]
                    assert loop == 1 or float(likely.values[i]) >= SURE
                elif depth == 3:
                    assert float(likely.values[i]) < SURE


def test_copied_keys_are_those_of_the_loop_that_was_left():
    model = looped()
    requests = [Request(r.prompt, 6, [0, 1, 0, 0, 1, 1]) for r in prompts()]
    found = Batcher(model, 3, missing="copy").run(requests)
    assert found.exits == [[0, 1, 0, 0, 1, 1]] * len(requests)
    for request, tokens in zip(requests, found.tokens, strict=True):
        assert tokens == naive_copy(model, request)


def naive_copy(model, request: Request) -> list[int]:
    """One token at a time, with a list of keys and values for each layer, of which those left out are copies."""
    layers = model.layout.num_layers
    state = model.initial_state(1)["layers"]
    if len(request.prompt) > 1:
        _, after = model.scan(state=model.initial_state(1), tokens=torch.tensor([request.prompt[:-1]]))
        state = after["layers"]
    state, tokens = list(state), [request.prompt[-1]]
    with torch.no_grad():
        for loop in request.exits:
            x = model.embed(torch.tensor([tokens[-1:]]))
            for layer in range(layers):
                if layer < 3 * (loop + 1):
                    x, state[layer] = model.blocks[layer].scan(x, state[layer])
                else:
                    source, own = state[layer - 3], state[layer]
                    newest = [torch.cat([own[i], source[i][:, -1:]], 1) for i in range(3)]
                    state[layer] = (*newest, own[3] + 1)
            tokens.append(int(model.decode(x)[0, -1].argmax()))
    return tokens[1:]


def test_slots_are_never_empty_while_texts_wait():
    model = looped()
    requests = [Request([1], 4, exits) for exits in ([0, 0, 0, 0], [1, 1, 1, 1]) * 6]
    depth, sequence = Batcher(model, 4).run(requests), Batcher(model, 4, order="sequence").run(requests)
    assert depth.rows == sequence.rows == 6 * 4 * (1 + 2)
    assert depth.steps <= 6 * 4 * 3 / 4 + 2  # the last texts leave slots empty
    assert sequence.steps == 3 * 4 * 2  # three rounds of four texts, whose tokens all wait for the second loop


@pytest.mark.parametrize("sizes", [(3, 3), (1, 4), (4, 0, 2), (0, 5)])
@pytest.mark.parametrize("time", [1, 3])
def test_grouped_matrices_are_those_of_each_rows_loop(sizes, time):
    torch.manual_seed(0)
    layout = Layout(len(sizes), len(sizes))
    layers = relax(torch.nn.ModuleList([torch.nn.Linear(5, 7)] * len(sizes)), layout, rank=2)
    for layer in layers:
        torch.nn.init.normal_(layer.relaxation.B)
    loops = [loop for loop, size in enumerate(sizes) for _ in range(size)]
    x = torch.randn(len(loops), time, 5)
    shared = SharedBlock(layers)
    shared.groups = Groups(sizes)
    expected = torch.stack([layers[loop](row) for loop, row in zip(loops, x, strict=True)])
    torch.testing.assert_close(shared.block(x), expected)
    grouped = GroupedLowRank([layer.relaxation for layer in layers])
    parts = [(layer.relaxation.A, layer.relaxation.B) for layer in layers]
    torch.testing.assert_close(grouped(x, shared.groups), concatenated_low_rank(x, torch.tensor(loops), parts))


def test_models_that_cannot_be_one_batch_are_refused():
    with pytest.raises(UserError, match="needs a language-model whose blocks run in loops"):
        Batcher(looped(num_loops=1, rank=0), 2)
    with pytest.raises(UserError, match="needs blocks that cycle, got sharing sequence"):
        Batcher(looped("sequence"), 2)
    with pytest.raises(UserError, match="missing: copy needs attention without a window"):
        Batcher(looped("middle-cycle"), 2, missing="copy")
    own = looped(rank=0)
    own.blocks = relax(own.blocks, own.layout, 0, own_norms=True)
    with pytest.raises(UserError, match=r"have layer_norm\.weight of their own"):
        Batcher(own, 2)
    with pytest.raises(ValueError, match="one token or more"):
        Batcher(looped(), 2).run([Request([], 3)])

"""Each token runs through the shared layers as often as its router says: compared with a loop over single tokens."""

from __future__ import annotations

import copy
import math
from functools import partial

import pytest
import torch
from rk_mor.model import MoR
from rk_mor.recursion import Recursion
from rk_mor.routers import capacity_of, top_tokens
from rk_sequence.attention import Attention
from rk_sequence.model import SequenceModel

import rk
from rk.blocks import run_blocks, run_exits

TOKENS = torch.randint(0, 7, (3, 12), generator=torch.Generator().manual_seed(3))
KV = ("recursion", "share", "hybrid")
GATES = {"sigmoid": lambda z: 1 / (1 + math.exp(-z)), "tanh": math.tanh, "identity": lambda z: z}


# the definition, token by token


def attended(layer, x, at, sources):
    """Softmax attention of one token over the keys and values of others, head by head."""
    query = layer.project(x.view(1, 1, -1), torch.tensor([[at]]))[0][0, 0]
    keys, values = zip(*(kv for position, kv in sorted(sources.items()) if position <= at), strict=True)
    mixed = []
    for head in range(layer.num_heads):
        scores = torch.stack([query[head] @ key[head] for key in keys]) / layer.head_dim**0.5
        mixed.append(sum(p * value[head] for p, value in zip(scores.softmax(0), values, strict=True)))
    return layer.out_proj(torch.cat(mixed))


def key_value(layer, x, at):
    _, key, value = layer.project(x.view(1, 1, -1), torch.tensor([[at]]))
    return key[0, 0], value[0, 0]


def ran(layers, tokens, first, kv):
    """Runs blocks on some tokens of a sequence: position -> vector. `first` has the keys of the first recursion."""
    fresh = not first
    for number, block in enumerate(layers):
        normed = {at: block.layer_norm(x) for at, x in tokens.items()}
        own = {at: key_value(block.layer, x, at) for at, x in normed.items()}
        if fresh:
            first[number] = own
            sources = own
        else:
            sources = {"recursion": own, "share": first[number], "hybrid": {**first[number], **own}}[kv]
        mixed = {at: attended(block.layer, normed[at], at, sources) for at in tokens}
        tokens = {at: block.mlp(x + mixed[at]) + x + mixed[at] for at, x in tokens.items()}
        if kv == "recursion":
            first.clear()
            fresh = True
    return tokens


def defined(model: MoR, row, top: bool):
    """Returns the logits and the depths of one sequence by the definition of the paper."""
    rules = model.rules
    x = model.embed(row.unsqueeze(0))[0]
    first, *recursions, last = model.blocks
    for block in first.layers:
        x = block(x.unsqueeze(0))[0]
    tokens = dict(enumerate(x))
    active, depths, keys, entered = list(tokens), dict.fromkeys(tokens, 0), {}, dict(tokens)
    chosen = {}
    for r, recursion in enumerate(recursions, start=1):
        gates = {}
        if rules.kind == "expert":
            z = {at: float(recursion.router(tokens[at]) / rules.temp) for at in active}
            if top or rules.capacity[r - 1] == 1:
                k = math.floor(rules.capacity[r - 1] * len(tokens) + 1e-9)
                active = sorted(sorted(active, key=lambda at: -z[at])[:k])
            else:
                active = [at for at in active if z[at] >= 0]
            gates = {at: rules.alpha * GATES[rules.function](z[at]) for at in active}
        elif rules.kind == "token":
            if r == 1:
                for at, vector in tokens.items():
                    p = (recursion.choice.router(vector) / rules.temp).softmax(0)
                    chosen[at] = (1 + int(p.argmax()), rules.alpha * float(p.max()))
            active = [at for at in tokens if chosen[at][0] >= r]
        after = ran(recursion.layers, {at: tokens[at] for at in active}, keys, rules.kv) if active else {}
        for at in active:
            depths[at] += 1
            before, g = tokens[at], gates.get(at)
            if rules.kind == "token":
                before, g = entered[at], chosen[at][1]
                if chosen[at][0] > r:
                    tokens[at] = after[at]
                    continue
            joined = {
                "weighted": lambda h, f, g: h + g * f,
                "additive": lambda h, f, _: h + f,
                "interpolate": lambda h, f, g: h + g * (f - h),
            }[rules.gating]
            tokens[at] = after[at] if rules.kind == "none" else joined(before, after[at], g)
    x = torch.stack([tokens[at] for at in range(len(row))])
    for block in last.layers:
        x = block(x.unsqueeze(0))[0]
    return model.decode(x), torch.tensor([depths[at] for at in range(len(row))])


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"gating": "additive", "router_func": "tanh", "temp": 0.5},
        {"gating": "interpolate", "router_func": "identity"},
        {"router_type": "mlp", "capacity": [1.0, 0.7, 0.25]},
        {"router": "token"},
        {"router": "token", "gating": "interpolate", "temp": 2.0},
        {"router": "none"},
    ],
    ids=str,
)
@pytest.mark.parametrize("kv", KV)
@pytest.mark.parametrize("top", [True, False], ids=["top-k", "threshold"])
def test_a_model_is_the_loop_over_its_tokens(make_mor, settings, kv, top):
    model = make_mor(**settings, kv=kv, inference="top-k" if top else "threshold")
    with torch.no_grad():
        found = model(tokens=TOKENS)
        for row in range(2):
            logits, depths = defined(model, TOKENS[row], top)
            assert found["depths"][row].tolist() == depths.tolist()
            torch.testing.assert_close(found["logits"][row], logits)


@pytest.mark.parametrize("kv", KV)
@pytest.mark.parametrize("router", ["expert", "token", "none"])
@pytest.mark.parametrize("training", [True, False])
def test_gathered_tokens_give_the_answers_and_gradients_of_masked_ones(make_mor, kv, router, training):
    model = make_mor(kv=kv, router=router).train(training)
    mask = torch.arange(12) < torch.tensor([[12], [9], [4]])

    def run(in_place):
        model.rules.in_place = in_place
        model.zero_grad()
        outputs = model(tokens=TOKENS, mask=mask)
        outputs["logits"][mask].square().sum().backward()
        return outputs, [p.grad.clone() for p in model.parameters() if p.grad is not None]

    (gathered, g1), (masked, g2) = run(False), run(True)
    torch.testing.assert_close(gathered["logits"][mask], masked["logits"][mask])
    assert torch.equal(gathered["routes"], masked["routes"])
    torch.testing.assert_close(g1, g2)


@pytest.mark.parametrize("kv", KV)
@pytest.mark.parametrize("router", ["expert", "token"])
def test_a_padded_row_has_the_answers_of_the_row_alone(make_mor, kv, router):
    model = make_mor(kv=kv, router=router, inference="top-k")
    mask = torch.arange(12) < torch.tensor([[12], [9], [4]])
    padded = model(tokens=TOKENS, mask=mask)
    for row, length in enumerate((12, 9, 4)):
        alone = model(tokens=TOKENS[row : row + 1, :length])
        torch.testing.assert_close(padded["logits"][row, :length], alone["logits"][0])
        assert torch.equal(padded["depths"][row, :length], alone["depths"][0])
        assert not padded["routes"][row, length:].any()


# what is left out


def test_only_the_tokens_that_run_are_computed(make_mor):
    model = make_mor(num_recursions=3, inference="top-k")
    lengths = []
    for block in model.blocks[1:-1]:
        block.layers[0].mlp.register_forward_pre_hook(lambda _, args: lengths.append(args[0].shape[1]))
    model(tokens=TOKENS)
    assert lengths[0] == 12 and 8 in lengths and 4 in lengths
    assert sum(lengths) == 3 * (12 + 8 + 4)  # one module, which each recursion calls: each call is noted thrice


@pytest.mark.parametrize(("share", "length", "expected"), [(2 / 3, 24, 16), (0.29, 100, 29), (0.01, 10, 1), (1, 7, 7)])
def test_a_capacity_is_a_share_of_the_whole_sequence(share, length, expected):
    assert capacity_of(share, length) == expected


def test_experts_take_the_highest_scores_of_their_candidates_in_ascending_order():
    scores = torch.tensor([[0.1, 0.9, 0.5, 0.8], [0.4, 0.3, 0.2, 0.1]])
    candidates = torch.tensor([[True, False, True, True], [True, True, True, True]])
    index, exists = top_tokens(scores, candidates, None, 0.5)
    assert index.tolist() == [[2, 3], [0, 1]] and exists is None
    there = torch.tensor([[True, True, False, False], [True, True, True, True]])
    index, exists = top_tokens(scores, None, there, 0.5)
    taken = [sorted(i for i, e in zip(row, real, strict=True) if e) for row, real in zip(index, exists, strict=True)]
    assert [[int(i) for i in row] for row in taken] == [[1], [0, 1]]


def test_a_token_that_was_left_out_stays_out_unless_asked(make_mor):
    routes = make_mor(capacity=[0.75, 0.5, 0.25], inference="top-k")(tokens=TOKENS)["routes"]
    assert not (routes[..., 1] & ~routes[..., 0]).any()
    assert routes.sum(1).tolist() == [[9, 6, 3]] * 3
    free = make_mor(capacity=[0.75, 0.5, 0.25], inference="top-k", hierarchical=False)(tokens=TOKENS)
    assert (free["routes"][..., 1] & ~free["routes"][..., 0]).any()
    assert free["routes"].sum(1).tolist() == [[9, 6, 3]] * 3


@pytest.mark.parametrize("kv", KV)
def test_a_threshold_looks_at_no_later_token_and_the_highest_scores_do(make_mor, kv):
    other = TOKENS.clone()
    other[:, 8:] = (other[:, 8:] + 3) % 7
    model = make_mor(kv=kv)
    torch.testing.assert_close(model(tokens=TOKENS)["logits"][:, :8], model(tokens=other)["logits"][:, :8])
    model.rules.inference = "top-k"
    assert not torch.equal(model(tokens=TOKENS)["routes"][:, :8], model(tokens=other)["routes"][:, :8])


def test_random_numbers_choose_as_many_tokens_but_not_by_their_scores(make_mor):
    model = make_mor(router="random")
    torch.manual_seed(1)
    first = model(tokens=TOKENS)["routes"]
    assert first.sum(1).tolist() == [[12, 8, 4]] * 3
    assert not torch.equal(model(tokens=TOKENS)["routes"], first)


def test_an_auxiliary_router_decides_where_the_model_answers(make_mor):
    model = make_mor(aux_router=True)
    with torch.no_grad():
        for block in model.blocks[1:-1]:
            block.auxiliary.score.weight.zero_()  # 0 is one half: it lets every token run
    assert model(tokens=TOKENS)["depths"].unique().tolist() == [3]
    assert model.train()(tokens=TOKENS)["routes"].sum(1).tolist() == [[12, 8, 4]] * 3


# parameters


def test_recursions_have_one_set_of_weights_also_when_copied_or_read_from_a_file(make_mor, tmp_path):
    model = make_mor()
    plain = make_mor(num_recursions=1, num_layers=3)  # as many layers as there are blocks
    routers = sum(p.numel() for name, p in model.named_parameters() if "router" in name)
    assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for p in plain.parameters()) + routers
    assert routers == 3 * 8

    def shared(of):
        recursions = [block for block in of.blocks if isinstance(block, Recursion)]
        states = [{name: t.data_ptr() for name, t in r.layers.state_dict().items()} for r in recursions]
        assert len(states) == 3 and states[0] == states[1] == states[2]

    shared(model)
    shared(copy.deepcopy(model))
    other = make_mor()
    other.load_state_dict(copy.deepcopy(model.state_dict()))
    shared(other)
    torch.testing.assert_close(other(tokens=TOKENS)["logits"], model(tokens=TOKENS)["logits"])


@pytest.mark.parametrize("kv", KV)
def test_each_recursion_may_add_matrices_of_its_own(make_mor, kv):
    model = make_mor(rank=2, kv=kv)
    recursions = [block.layers[0] for block in model.blocks[1:-1]]
    assert recursions[0].layer.in_proj.weight is recursions[1].layer.in_proj.weight
    assert recursions[0].layer.in_proj.relaxation is not recursions[1].layer.in_proj.relaxation
    before = model(tokens=TOKENS)["logits"]
    with torch.no_grad():
        recursions[2].layer.in_proj.relaxation.B[:8] += 1  # of the queries alone
    assert not torch.allclose(model(tokens=TOKENS)["logits"], before)
    twin = copy.deepcopy(model)
    assert twin.blocks[1].layers[0].mlp[1].down.weight is twin.blocks[2].layers[0].mlp[1].down.weight


def test_one_recursion_is_the_plain_model(make_mor):
    mor = make_mor(num_recursions=1)
    plain = SequenceModel(
        layer=partial(Attention, num_heads=2), vocab_size=7, num_features=None, num_outputs=7, readout="step",
        d_model=8, num_layers=5, mlp_ratio=2.0,
    ).double()  # fmt: skip
    weights = {name.replace("blocks.0.layers.", "blocks."): t for name, t in mor.state_dict().items()}
    del weights["capacity_slack"]
    plain.load_state_dict(weights)
    torch.testing.assert_close(mor(tokens=TOKENS)["logits"], plain(tokens=TOKENS)["logits"])


def test_without_a_router_it_is_the_looped_model(make_mor):
    mor = make_mor(router="none")
    torch.manual_seed(5)
    looped = SequenceModel(
        layer=partial(Attention, num_heads=2), vocab_size=7, num_features=None, num_outputs=7, readout="step",
        d_model=8, num_layers=5, num_loops=3, sharing="middle-cycle", mlp_ratio=2.0,
    ).double()  # fmt: skip
    layers = [layer for block in mor.blocks for layer in block.layers]
    for mine, theirs in zip(layers, looped.blocks, strict=True):
        theirs.load_state_dict(mine.state_dict())
    for part in ("embedding", "norm", "head"):
        getattr(looped, part).load_state_dict(getattr(mor, part).state_dict())
    torch.testing.assert_close(mor(tokens=TOKENS)["logits"], looped(tokens=TOKENS)["logits"])


# a chain of blocks


@pytest.mark.parametrize("router", ["expert", "token"])
def test_it_is_a_chain_of_blocks_that_can_be_left_early(make_mor, router):
    model = make_mor(router=router)
    whole, parts = model(tokens=TOKENS), run_blocks(model, {"tokens": TOKENS})
    for name, value in whole.items():
        assert torch.equal(value, parts[name]), name
    exits = dict(run_exits(model, {"tokens": TOKENS}, {2, 3, 5}))
    assert exits[2]["depths"].max() == 1 and torch.equal(exits[5]["logits"], whole["logits"])


# what does not go together


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"capacity": [1.0, 0.5]}, "capacity must have 3 numbers, one for each recursion, got 2"),
        ({"capacity": [0.5, 1.0, 0.5]}, r"capacity must not increase from one recursion to the next, got \[0.5, 1.0"),
        ({"router_func": "softmax"}, "softmax is over the numbers of recursions, for router: token"),
        ({"router": "token", "aux_router": True}, "aux_router is for router: expert"),
        ({"num_layers": 6}, "num_loops must divide the 4 layers between the first and the last"),
        ({"kv": "share", "layer": partial(Attention, window=4)}, "kv: share needs attention without a window"),
        ({"kv": "share", "layer": lambda d_model: torch.nn.Linear(d_model, d_model)}, "needs the layer attention"),
        ({"kv": "hybrid", "capacity": [0.5, 0.5, 0.5], "hierarchical": False}, "needs a first recursion that takes"),
    ],
)
def test_options_that_do_not_go_together_are_refused(make_mor, settings, message):
    with pytest.raises(ValueError, match=message):
        make_mor(**settings)


@pytest.mark.parametrize("settings", [{"router": "random"}, {"inference": "top-k"}])
def test_a_model_that_looks_ahead_does_not_stream(make_mor, settings):
    with pytest.raises(rk.UserError, match="does not stream: which tokens run depends on later ones"):
        make_mor(**settings).initial_state(1)

"""A text in pieces, from its caches, has the answers of the whole text, for every kind of cache."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rk_sequence.attention import Attention

from rk.states import tensors_of

TOKENS = torch.randint(0, 7, (3, 15), generator=torch.Generator().manual_seed(4))
KV = ("recursion", "share", "hybrid")


class Decaying(torch.nn.Module):
    """A layer with a state: a sum over the past that decays."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.mix = torch.nn.Linear(d_model, d_model)

    def forward(self, x, mask=None):
        return self.scan(x, self.initial_state(len(x)), mask)[0]

    def initial_state(self, batch_size):
        return self.mix.weight.new_zeros(batch_size, self.mix.in_features)

    def scan(self, x, state, mask=None):
        found = []
        for t in range(x.shape[1]):
            after = 0.5 * state + self.mix(x[:, t])
            state = after if mask is None else torch.where(mask[:, t : t + 1], after, state)
            found.append(state)
        return torch.stack(found, 1), state


LAYERS = {"attention": partial(Attention, num_heads=2), "window": partial(Attention, window=3), "decaying": Decaying}


def in_pieces(model, tokens, cuts, mask=None):
    state, found = model.initial_state(len(tokens)), []
    for start, end in zip([0, *cuts], [*cuts, tokens.shape[1]], strict=True):
        part = None if mask is None else mask[:, start:end]
        outputs, state = model.scan(state=state, tokens=tokens[:, start:end], mask=part)
        found.append(outputs)
    return {name: torch.cat([piece[name] for piece in found], 1) for name in ("logits", "depths")}, state


CASES = [("attention", "recursion"), ("attention", "share"), ("attention", "hybrid"), ("window", "recursion")]


@pytest.mark.parametrize(("layer", "kv"), [*CASES, ("decaying", "recursion")])
@pytest.mark.parametrize("router", ["expert", "token", "none"])
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.sets(st.integers(1, 14)), exists=st.lists(st.booleans(), min_size=45, max_size=45) | st.none())
def test_pieces_have_the_answers_of_the_whole(make_mor, router, layer, kv, cuts, exists):
    model = make_mor(layer=LAYERS[layer], router=router, kv=kv)
    mask = None if exists is None else torch.tensor(exists).view(3, 15)
    with torch.no_grad():
        whole = model(tokens=TOKENS, mask=mask)
        pieces, _ = in_pieces(model, TOKENS, sorted(cuts), mask)
    there = torch.ones(3, 15, dtype=torch.bool) if mask is None else mask
    torch.testing.assert_close(pieces["logits"][there], whole["logits"][there])
    assert torch.equal(pieces["depths"], whole["depths"])


@pytest.mark.parametrize("kv", KV)
@pytest.mark.parametrize("more", [{"rank": 2}, {"capacity": [0.9, 0.5, 0.5]}, {"aux_router": True}], ids=str)
def test_pieces_of_other_models(make_mor, kv, more):
    model = make_mor(kv=kv, **more)
    for name, p in model.named_parameters():
        if name.endswith(".B"):
            torch.nn.init.normal_(p, std=0.3)
    with torch.no_grad():
        pieces, _ = in_pieces(model, TOKENS, [1, 2, 3, 9])
        torch.testing.assert_close(pieces["logits"], model(tokens=TOKENS)["logits"])


@pytest.mark.parametrize("kv", KV)
@pytest.mark.parametrize("router", ["expert", "token", "none"])
def test_a_continuation_from_caches_is_that_of_reading_all_again(make_mor, router, kv):
    model = make_mor(router=router, kv=kv, max_new_tokens=12, temperature=0.0)
    with torch.no_grad():
        found = model.predict(tokens=TOKENS, continue_meta=True)["continuation"]
        text = TOKENS
        for _ in range(12):
            text = torch.cat([text, model(tokens=text)["logits"][:, -1:].argmax(-1)], 1)
    assert torch.equal(found, text[:, 15:])


@pytest.mark.parametrize("kv", KV)
@pytest.mark.parametrize("router", ["expert", "token"])
def test_autocast_trains_and_continues_a_text(make_mor, router, kv):
    model = make_mor(router=router, kv=kv, max_new_tokens=4, temperature=0.0).float()
    with torch.autocast("cpu", torch.bfloat16):
        loss = model.train()(tokens=TOKENS)["logits"].float().square().mean()
        found = model.eval().predict(tokens=TOKENS, continue_meta=True)
    loss.backward()
    assert found["continuation"].shape == (3, 4)
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("readout", ["last", "mean"])
def test_answers_for_a_whole_sequence_stream_too(make_mor, readout):
    model = make_mor(readout=readout)
    state = model.initial_state(3)
    for start in (0, 5, 10):
        outputs, state = model.scan(state=state, tokens=TOKENS[:, start : start + 5])
    torch.testing.assert_close(outputs["logits"], model(tokens=TOKENS)["logits"])


def kept(model, length):
    """Returns how many tokens have keys, summed over the recursions, for a text that is read token by token."""
    tokens = torch.randint(0, 7, (1, length), generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        pieces, state = in_pieces(model, tokens, range(1, length))
    floats = sum(t.numel() for t in tensors_of(state["blocks"]) if t.is_floating_point())
    return floats / (2 * 8), pieces["depths"]  # a key and a value of d_model numbers


def test_caches_hold_the_tokens_that_ran(make_mor):
    vanilla, _ = kept(make_mor(num_recursions=1, num_layers=3, sharing="cycle"), 40)
    assert vanilla == 120
    for router in ("expert", "token"):
        settings = {"router": router, "num_layers": 3, "sharing": "cycle"}
        recursion, depths = kept(make_mor(**settings), 40)
        assert recursion == depths.sum() < 120  # (N + 1) / 2N of all for the paper's capacities
        shared, depths = kept(make_mor(**settings, kv="share"), 40)
        assert shared == 40 and depths.sum() > 40  # 1 / N of all
        hybrid, depths = kept(make_mor(**settings, kv="hybrid"), 40)
        assert hybrid == depths.sum()

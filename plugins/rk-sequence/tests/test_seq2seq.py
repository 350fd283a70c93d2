"""Models from sequence to sequence: what they score is what they decode, alone as beside others."""

from __future__ import annotations

import math

import pytest
import torch
from rk_sequence.attention import Attention
from rk_sequence.seq2seq import END, before, greedy
from rk_sequence.seq2seq_lstm import Seq2SeqLSTM
from rk_sequence.seq2seq_prefix import Seq2SeqPrefix
from rk_sequence.seq2seq_transformer import MultiHead, Seq2SeqTransformer, sines

from rk import UserError
from rk.testing import assert_close

TRANSFORMERS = ("sinusoidal", "learned", "none", "post-norm")
MODELS = (*TRANSFORMERS, "lstm", "lstm-without-attention", "prefix")


def make(name, **changes):
    """Returns a small model in 64 bits over 5 tokens, with answers of 4, that has one of each kind of part."""
    torch.manual_seed(0)
    facts = {"vocab_size": 5, "num_outputs": 4, "max_answer": 7} | changes
    if name in TRANSFORMERS:
        how = {"norm_first": False} if name == "post-norm" else {"positions": name}
        model = Seq2SeqTransformer(d_model=16, num_heads=2, dim_feedforward=24, max_length=9, **how, **facts)
    elif name == "prefix":
        model = Seq2SeqPrefix(layer=Attention, d_model=16, num_layers=2, mlp_ratio=2, **facts)
    else:
        model = Seq2SeqLSTM(hidden_size=16, num_layers=2, attention=name == "lstm", **facts)
    return model.double().eval()


@pytest.fixture
def batch():
    random = torch.Generator().manual_seed(1)
    targets = torch.randint(1, 4, (6, 5), generator=random)
    for row, length in enumerate((1, 5, 3, 4, 2, 5)):
        targets[row, length - 1] = END
        targets[row, length:] = -100
    return {
        "tokens": torch.randint(5, (6, 8), generator=random),
        "targets": targets,
        "lengths": torch.tensor([8, 1, 3, 7, 5, 8]),
    }


def inputs(batch):
    return {"tokens": batch["tokens"], "lengths": batch["lengths"]}


@pytest.mark.parametrize("name", MODELS)
def test_cached_decoding_writes_what_scoring_the_whole_answer_again_would_write(name, batch):
    model = make(name)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(50):  # so that answers end at different steps
        optimizer.zero_grad()
        logits = model(**batch)["logits"]
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch["targets"].flatten()).backward()
        optimizer.step()
    with torch.no_grad():
        decoded = model.predict(**inputs(batch))["decoded"]
    assert len({int((row >= 0).sum()) for row in decoded}) > 2

    def recomputed(last, answer):
        answer = torch.cat([answer, last], 1)
        targets = torch.nn.functional.pad(answer[:, 1:], (0, 1))  # the model sees the tokens before the last alone
        with torch.no_grad():
            return model(**inputs(batch), targets=targets)["logits"][:, -1:], answer

    assert torch.equal(decoded, greedy(recomputed, torch.zeros(6, 0, dtype=torch.long), 6, model.max_answer))


@pytest.mark.parametrize("name", MODELS)
def test_an_example_is_scored_alone_as_it_is_beside_longer_ones(name, batch):
    model = make(name)
    together = model(**batch)["logits"]
    for row, n in enumerate(batch["lengths"].tolist()):
        alone = {key: value[row : row + 1] for key, value in batch.items()} | {"tokens": batch["tokens"][row, None, :n]}
        assert_close(model(**alone)["logits"][0], together[row])


@pytest.mark.parametrize("name", MODELS)
def test_without_lengths_all_tokens_exist(name, batch):
    model = make(name)
    full = batch | {"lengths": torch.full((6,), 8)}
    assert_close(
        model(tokens=batch["tokens"], targets=batch["targets"])["logits"],
        model(**full)["logits"],
    )
    assert torch.equal(model.predict(tokens=batch["tokens"])["decoded"], model.predict(**inputs(full))["decoded"])


@pytest.mark.parametrize("name", MODELS)
def test_a_token_is_scored_without_a_look_at_itself_and_what_follows(name, batch):
    model = make(name)
    changed = batch["targets"].clone()
    changed[:, 2:] = 3
    assert_close(model(**batch)["logits"][:, :3], model(**batch | {"targets": changed})["logits"][:, :3])


@pytest.mark.parametrize("name", ["sinusoidal", "lstm"])
def test_cross_attention_is_a_distribution_over_the_tokens_that_exist(name, batch):
    weights = make(name).cross_attention(**batch)
    layers, heads = (2, 2) if name == "sinusoidal" else (1, 1)
    assert weights.shape == (6, layers, heads, 5, 8)
    assert_close(weights.sum(-1), torch.ones(6, layers, heads, 5, dtype=torch.float64))
    absent = torch.arange(8) >= batch["lengths"][:, None]
    assert weights.movedim(-1, 1)[absent].eq(0).all()


def test_the_weights_that_are_shown_are_those_that_mix_the_values():
    torch.manual_seed(0)
    attention, x, read = MultiHead(8, 2).double(), torch.randn(2, 3, 8).double(), torch.randn(2, 4, 8).double()
    cache, weights = attention.cache(read), []
    mixed = attention(x, cache, torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1]]).bool(), weights=weights)
    assert_close(attention.out((weights[0] @ cache[1]).transpose(1, 2).flatten(2)), mixed)


def test_sines_alternate_with_cosines_of_falling_rates():
    found = sines(torch.arange(5), 6)
    for p in range(5):
        for i in range(3):
            angle = p / 10000 ** (2 * i / 6)
            expected = torch.tensor([math.sin(angle), math.cos(angle)], dtype=torch.float64)
            assert_close(found[p, 2 * i : 2 * i + 2], expected)


def test_the_token_before_is_the_end_in_front_and_behind():
    assert before(torch.tensor([[3, 1, 0, -100, -100]])).tolist() == [[0, 3, 1, 0, 0]]


def test_an_answer_that_does_not_end_is_cut_off():
    def never(last, state):
        return torch.tensor([[[0.0, 1.0]]]), state

    assert greedy(never, None, 1, 4).tolist() == [[1, 1, 1, 1]]


def test_more_tokens_than_learned_positions_are_refused():
    with pytest.raises(UserError, match="9 learned positions, got 10 tokens"):
        make("learned").predict(tokens=torch.zeros(1, 10, dtype=torch.long))


def test_attention_is_not_shown_where_there_is_none(batch):
    with pytest.raises(UserError, match="no attention"):
        make("lstm-without-attention").cross_attention(**batch)


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ValueError, match="num_heads must divide d_model 16, got 3"):
        Seq2SeqTransformer(5, 4, d_model=16, num_heads=3)

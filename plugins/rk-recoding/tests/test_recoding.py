"""Recoding against its naive twin, its guarantees, and what it does with states of every kind."""

from __future__ import annotations

import math

import pytest
import torch
from rk_deltaproduct.layer import DeltaProduct
from rk_recoding.anchored import Anchored
from rk_recoding.dynamic import DynamicEvaluation
from rk_recoding.ensemble import AnchoredEnsemble
from rk_recoding.model import Recoded
from rk_recoding.naive import recode_sentence
from rk_recoding.signals import predictive_entropy, surprisal, token_perplexity
from rk_rnn.gru import GRU
from rk_rnn.lstm import LSTM
from rk_sequence.attention import Attention
from rk_sequence.language_model import LanguageModel
from torch.nn import functional as F

from rk import UserError
from rk.builtin.backprop import Supervised
from rk.states import tensors_of
from rk.testing import assert_close

SIGNALS = ("nll", "ppl-token", "mc-entropy", "ensemble-entropy")


def language_model(layer=LSTM, **settings):
    torch.manual_seed(0)
    given = {"d_model": 12, "num_layers": 2, "norm": "none", "residual": False} | settings
    return LanguageModel(vocab_size=11, layer=layer, **given).double().eval()


def base_for(signal, **settings):
    base = language_model(**settings)
    return AnchoredEnsemble(base, members=3).double() if signal == "ensemble-entropy" else base


def text(rows=3, time=7):
    whole = torch.randint(11, (rows, time + 1), generator=torch.Generator().manual_seed(1))
    return whole[:, :-1], whole[:, 1:]


@pytest.mark.parametrize("signal", SIGNALS)
def test_a_batch_is_recoded_as_one_sentence_at_a_time(signal):
    base = base_for(signal)
    model = Recoded(base, signal=signal, step_size=0.7).eval()
    tokens, gold = text()
    torch.manual_seed(3)
    with torch.no_grad():
        found = model.predict(tokens=tokens, targets=gold)
    for row in range(len(tokens)):
        torch.manual_seed(3)
        logits, signals = recode_sentence(base, tokens[row], gold[row], signal, 0.7, redecode="entropy" in signal)
        assert_close(found["logits"][row], logits)
        assert_close(found["signal"][row], torch.tensor(signals, dtype=torch.float64))


@pytest.mark.parametrize("layer", [LSTM, GRU])
def test_step_0_is_the_base_to_the_last_bit(layer):
    base = language_model(layer).float()
    tokens, gold = text()
    with torch.no_grad():
        whole = Recoded(base, step_size=0.0).eval().predict(tokens=tokens, targets=gold)["logits"]
        looped, *_ = Recoded(base, step_size=0.0).eval().loop(base.initial_state(3), tokens, targets=gold)
        state, found = base.initial_state(3), []
        for t in range(tokens.shape[1]):
            outputs, state = base.scan(state=state, tokens=tokens[:, t : t + 1])
            found.append(outputs["logits"][:, 0])
        assert torch.equal(whole, base(tokens=tokens)["logits"])
    assert torch.equal(looped, torch.stack(found, 1))


@pytest.mark.parametrize("signal", SIGNALS)
def test_a_small_step_lowers_the_signal_of_the_same_step_for_every_example(signal):
    model = Recoded(base_for(signal), signal=signal, step_size=1e-3).eval()
    tokens, gold = text(rows=8)
    with torch.no_grad():
        found = model.predict(tokens=tokens, targets=gold)
    assert (found["recoded_signal"] < found["signal"]).all()


def test_a_surprisal_changes_predictions_from_the_next_step_on_alone():
    base = language_model()
    tokens, gold = text()
    with torch.no_grad():
        plain = base(tokens=tokens)["logits"]
        found = Recoded(base, step_size=0.5).eval().predict(tokens=tokens, targets=gold)["logits"]
        other = gold.clone()
        other[:, 3] = (other[:, 3] + 1) % 11
        changed = Recoded(base, step_size=0.5).eval().predict(tokens=tokens, targets=other)["logits"]
    assert_close(found[:, 0], plain[:, 0])
    assert torch.equal(found[:, :4], changed[:, :4])
    assert not torch.allclose(found[:, 4], changed[:, 4])


def test_redecoding_with_the_gold_token_is_refused():
    with pytest.raises(ValueError, match="gold: never"):
        Recoded(language_model(), signal="nll", redecode=True)


def test_an_entropy_decodes_the_recoded_hidden_vector_of_the_top_layer():
    base = language_model()
    model = Recoded(base, signal="mc-entropy", step_size=0.3).eval()
    tokens, _ = text(time=1)
    torch.manual_seed(0)
    with torch.no_grad():
        logits, _, _, state = model.loop(base.initial_state(3), tokens)
    top = next(iter(tensors_of(state["layers"][-1])))  # h of the LSTM, recoded
    assert_close(logits[:, 0], base.head(top))


def test_the_official_signal_of_a_rare_token_falls_when_the_token_becomes_rarer():
    logits = torch.zeros(1, 10, dtype=torch.float64, requires_grad=True)  # p = 0.1, below 1/e
    gold = torch.tensor([4])
    (of_official,) = torch.autograd.grad(token_perplexity(logits, gold).sum(), logits)
    (of_surprisal,) = torch.autograd.grad(surprisal(logits, gold).sum(), logits)
    assert of_official[0, 4] > 0 > of_surprisal[0, 4]
    assert_close(token_perplexity(logits, gold).detach(), torch.tensor([0.1**-0.1 - 1], dtype=torch.float64))


def test_the_entropy_averages_over_members_and_not_over_the_batch():
    sure = torch.tensor([[50.0, 0.0], [0.0, 50.0]])
    agree, disagree = torch.stack([sure, sure]), torch.stack([sure, sure.flip(0)])
    assert predictive_entropy(agree).max() < 1e-6
    assert_close(predictive_entropy(disagree), torch.full((2,), math.log(2)))


def test_a_gradient_that_is_not_a_number_leaves_the_state_and_warns(monkeypatch):
    base = language_model()
    model = Recoded(base, step_size=0.5).eval()
    tokens, gold = text()
    inner = model._signal

    def broken(*args):
        signal = inner(*args)
        return signal * torch.tensor([math.nan, 1.0, 1.0])

    monkeypatch.setattr(model, "_signal", broken)
    with torch.no_grad(), pytest.warns(UserWarning, match="not a number"):
        logits, *_ = model.loop(base.initial_state(3), tokens, targets=gold)
    assert_close(logits[0], base(tokens=tokens)["logits"][0])
    assert not torch.allclose(logits[1], base(tokens=tokens)["logits"][1])


@pytest.mark.parametrize(
    ("layer", "changed"),
    [
        (LSTM, 4),
        (GRU, 2),
        (lambda d_model: DeltaProduct(d_model=d_model, num_heads=2), None),
        (lambda d_model: Attention(d_model=d_model, num_heads=2, window=4), None),
    ],
)
def test_states_of_every_kind_are_recoded(layer, changed):
    base = language_model(layer, norm="rms", residual=True)
    tokens, gold = text(time=4)
    model = Recoded(base, step_size=1e-2).eval()
    with torch.no_grad():
        found = model.predict(tokens=tokens, targets=gold)
        _, _, _, state = model.loop(base.initial_state(3), tokens[:, :1], targets=gold[:, :1])
        _, plain = base.scan(state=base.initial_state(3), tokens=tokens[:, :1])
    assert (found["recoded_signal"] < found["signal"]).all()
    assert not torch.allclose(found["logits"][:, 2], base(tokens=tokens)["logits"][:, 2])
    moved = [not torch.equal(a, b) for a, b in zip(tensors_of(state), tensors_of(plain), strict=True)]
    assert sum(moved) == changed if changed is not None else any(moved)


def test_only_the_tensors_that_are_named_are_recoded():
    base = language_model()
    tokens, gold = text(time=1)
    model = Recoded(base, layers="top", states=[1], step_size=0.5).eval()
    with torch.no_grad():
        _, _, _, state = model.loop(base.initial_state(3), tokens, targets=gold)
        _, plain = base.scan(state=base.initial_state(3), tokens=tokens)
    moved = [not torch.equal(a, b) for a, b in zip(tensors_of(state), tensors_of(plain), strict=True)]
    assert moved == [False, False, False, True]


def test_a_state_that_the_answer_does_not_come_from_is_refused():
    class Hidden(LSTM):
        def scan(self, x, state, mask=None):
            y, after = super().scan(x, state, mask)
            return y, tuple(one.detach().requires_grad_() for one in after)

    model = Recoded(language_model(Hidden)).eval()
    with pytest.raises(UserError, match="nothing can be recoded"):
        model.predict(tokens=text()[0])


def test_a_masked_step_leaves_the_row_as_it_was():
    base = language_model()
    model = Recoded(base, step_size=0.5).eval()
    tokens, gold = text()
    mask = torch.ones_like(tokens, dtype=torch.bool)
    mask[1, 4:] = False
    with torch.no_grad():
        _, _, _, state = model.loop(base.initial_state(3), tokens, mask, gold)
        _, _, _, short = model.loop(base.initial_state(3), tokens[:, :4], None, gold[:, :4])
    for whole, part in zip(tensors_of(state), tensors_of(short), strict=True):
        assert_close(whole[1], part[1])
        assert not torch.allclose(whole[0], part[0])


def test_two_pieces_give_what_the_whole_gives():
    model = Recoded(language_model(), step_size=0.5).eval()
    tokens, gold = text()
    with torch.no_grad():
        whole, _ = model.scan(state=model.initial_state(3), tokens=tokens, targets=gold)
        one, middle = model.scan(state=model.initial_state(3), tokens=tokens[:, :3], targets=gold[:, :3])
        two, _ = model.scan(state=middle, tokens=tokens[:, 3:], targets=gold[:, 3:])
    assert_close(torch.cat([one["logits"], two["logits"]], 1), whole["logits"])


def test_the_norm_of_a_rows_gradient_is_bounded():
    base = language_model()
    tokens, gold = text(time=1)
    with torch.no_grad():
        _, _, _, state = (
            Recoded(base, step_size=1.0, grad_clip=1e-3).eval().loop(base.initial_state(3), tokens, targets=gold)
        )
        _, plain = base.scan(state=base.initial_state(3), tokens=tokens)
    pairs = zip(tensors_of(state), tensors_of(plain), strict=True)
    moved = torch.stack([(a - b).flatten(1).norm(dim=1) for a, b in pairs]).norm(dim=0)
    assert_close(moved, torch.full((3,), 1e-3, dtype=torch.float64))


def test_gradients_of_the_loss_take_the_direction_as_a_constant():
    base = language_model(num_layers=1)
    model = Recoded(base, step="learned", step_size=0.1).double().train()
    tokens, gold = text(rows=2, time=2)
    loss = F.cross_entropy(model(tokens=tokens, targets=gold)["logits"][:, 1], gold[:, 1])
    found = torch.autograd.grad(loss, [*model.steps.theta, base.blocks[0].layer.weight_hh])

    state = base.initial_state(2)
    outputs, state = base.scan(state=state, tokens=tokens[:, :1])
    tensors = list(tensors_of(state))
    constant = torch.autograd.grad(surprisal(outputs["logits"][:, 0], gold[:, 0]).sum(), tensors, retain_graph=True)
    new = [s - 0.1 * F.softplus(a) * g for s, a, g in zip(tensors, model.steps.theta, constant, strict=True)]
    outputs, _ = base.scan(state={"layers": (tuple(new),)}, tokens=tokens[:, 1:])
    expected = torch.autograd.grad(
        F.cross_entropy(outputs["logits"][:, 0], gold[:, 1]), [*model.steps.theta, base.blocks[0].layer.weight_hh]
    )
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other)
        assert one.abs().max() > 0


@pytest.mark.parametrize("step", ["learned", "mlp"])
def test_step_sizes_are_learned_and_do_not_decay(step):
    model = Recoded(language_model(), step=step).double().train()
    tokens, gold = text()
    F.cross_entropy(model(tokens=tokens, targets=gold)["logits"].flatten(0, 1), gold.flatten()).backward()
    weights = list(model.steps.parameters())
    assert weights
    assert all(weight.no_weight_decay for weight in weights)
    assert all(weight.grad is not None and weight.grad.abs().max() > 0 for weight in weights[:1])


def test_training_without_gold_uses_the_likeliest_token():
    base = language_model()
    model = Recoded(base, gold="eval-only", step_size=0.5).train()
    tokens, gold = text()
    one = model(tokens=tokens, targets=gold)["logits"]
    other = model(tokens=tokens, targets=(gold + 1) % 11)["logits"]
    assert torch.equal(one, other)


def test_a_recoded_model_continues_a_text():
    model = Recoded(language_model(max_new_tokens=3), step_size=0.5).eval()
    with torch.no_grad():
        found = model.predict(tokens=text()[0], continue_meta=True)
    assert found["continuation"].shape == (3, 3)


def test_anchors_are_drawn_kept_and_pull_the_heads():
    model = AnchoredEnsemble(language_model(), members=3, prior=0.25)
    loss = Anchored(lambda: (torch.tensor(0.0), 1), data_noise=0.1, num_examples=10)
    loss.watch(model)
    total, count, weight = loss.forward()["anchor"]
    head = model.head
    expected = sum(
        torch.linalg.norm(w - a) + torch.linalg.norm(b - c)
        for w, a, b, c in zip(head.weight, head.anchor_weight, head.bias, head.anchor_bias, strict=True)
    )
    assert_close(total, expected / 3)
    assert count == 1
    assert weight == pytest.approx(0.1 / 0.25 / 10)
    total.backward()
    assert head.weight.grad.abs().max() > 0
    assert head.anchor_weight.requires_grad is False
    assert "head.anchor_weight" in dict(model.base.named_buffers())


def test_an_ensemble_answers_with_the_mean_of_its_members_logits():
    head = AnchoredEnsemble(language_model(), members=3).double().head
    x = torch.randn(2, 5, 12, dtype=torch.float64)
    assert_close(head(x), head.members(x).mean(0))


def test_the_ensemble_signal_needs_an_ensemble():
    with pytest.raises(ValueError, match="anchored-ensemble"):
        Recoded(language_model(), signal="ensemble-entropy")
    with pytest.raises(UserError, match="needs a model with an ensemble"):
        Supervised(language_model(), Anchored(lambda: None))


def test_dynamic_evaluation_is_gradient_descent_from_segment_to_segment():
    base = language_model(num_layers=1)
    before = [weight.detach().clone() for weight in base.parameters()]
    tokens, _ = text(rows=1, time=4)
    model = DynamicEvaluation(base, lr=0.5, segment=2, decay=0.25, grad_clip=None).eval()
    with torch.no_grad():
        found = model.predict(tokens=tokens)["logits"]
    assert all(torch.equal(a, b) for a, b in zip(base.parameters(), before, strict=True))

    outputs, state = base.scan(state=base.initial_state(1), tokens=tokens[:, :2])
    weights = list(base.parameters())
    gradients = torch.autograd.grad(F.cross_entropy(outputs["logits"][0], tokens[0, 1:3]), weights)
    with torch.no_grad():
        for weight, old, gradient in zip(weights, before, gradients, strict=True):
            weight.copy_(old + 0.75 * (-0.5 * gradient))
        later, _ = base.scan(state=state, tokens=tokens[:, 2:])
    assert_close(found, torch.cat([outputs["logits"], later["logits"]], 1).detach())


def test_each_row_of_dynamic_evaluation_begins_with_the_trained_weights():
    model = DynamicEvaluation(language_model(), lr=0.5, segment=2).eval()
    tokens, _ = text()
    with torch.no_grad():
        together = model.predict(tokens=tokens)["logits"]
        alone = model.predict(tokens=tokens[2:])["logits"]
    assert_close(together[2:], alone)

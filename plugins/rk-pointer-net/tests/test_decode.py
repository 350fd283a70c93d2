"""Greedy and beam search, on models and on a decoder made by hand."""

from functools import partial

import pytest
import torch
from rk_pointer_net import naive
from rk_pointer_net.decode import beam, greedy
from rk_pointer_net.model import PointerNet

MODES = ["ptr", "attention", "seq2seq"]


def make_model(mode: str, **params) -> PointerNet:
    torch.manual_seed(3)
    return PointerNet(max_points=9, hidden_size=6, mode=mode, init_range=1.0, **params).double()


@pytest.mark.parametrize("size", [1, 2, 3, 7], ids=lambda k: f"beam{k}")
@pytest.mark.parametrize("mode", MODES)
def test_a_batched_beam_equals_running_every_beginning_again(mode, size):
    model = make_model(mode, beam_size=size, max_answer=6)
    points = torch.rand(4, 5, 2, dtype=torch.double)
    found = model.predict(points=points)
    for i in range(4):
        choices, log_prob = naive.beam_answer(model, points[i], size, max_steps=6)
        answer = found["pointers"][i].tolist()
        assert answer[: len(choices)] == choices
        assert not any(answer[len(choices) :])
        assert found["log_probs"][i].item() == pytest.approx(log_prob)


@pytest.mark.parametrize("mode", MODES)
def test_greedy_is_a_beam_of_one(mode, monkeypatch):
    model = make_model(mode)
    points = torch.rand(16, 7, 2, dtype=torch.double)
    single = model.predict(points=points)
    monkeypatch.setattr("rk_pointer_net.model.greedy", partial(beam, size=1))
    other = model.predict(points=points)
    assert single["pointers"].tolist() == other["pointers"].tolist()
    torch.testing.assert_close(single["log_probs"], other["log_probs"])


def test_an_answer_has_the_probability_of_teacher_forcing():
    model = make_model("ptr", beam_size=3)
    points = torch.rand(8, 6, 2, dtype=torch.double)
    answers = model.predict(points=points)
    pointers = answers["pointers"]
    log_probs = model(points=points, targets=pointers)["logits"].log_softmax(-1)
    chosen = log_probs.gather(2, pointers.unsqueeze(-1)).squeeze(-1)
    until_end = (pointers != 0).long().cumprod(1).roll(1, 1)
    until_end[:, 0] = 1  # END counts, what follows it does not
    torch.testing.assert_close((chosen * until_end).sum(1), answers["log_probs"])


def table_step(table: dict):
    """A decoder whose log-probabilities depend on the last two choices alone."""

    def step(previous, state):
        (last,) = state
        rows = [[table[int(a), int(b)] for a, b in zip(x, y, strict=True)] for x, y in zip(last, previous, strict=True)]
        return torch.tensor(rows).log(), (previous,)

    return step


def test_a_beam_finds_what_greedy_misses_and_keeps_each_beams_state():
    # choices: END, 1, 2. Greedy takes 1 (0.6) and then finds nothing good; 2 (0.4) is followed by a sure END
    table = {
        (0, 0): [0.0, 0.6, 0.4],
        (0, 1): [0.3, 0.35, 0.35],
        (0, 2): [1.0, 0.0, 0.0],
        (1, 1): [1.0, 0.0, 0.0],
        (1, 2): [1.0, 0.0, 0.0],
        (1, 0): [1.0, 0.0, 0.0],
        (2, 0): [1.0, 0.0, 0.0],
    }
    state = (torch.zeros(1, 1),)
    pointers, log_probs = greedy(table_step(table), state, 5)
    assert pointers.tolist() == [[1, 1, 0, 0, 0]]
    assert log_probs.exp().item() == pytest.approx(0.6 * 0.35)
    pointers, log_probs = beam(table_step(table), state, 5, size=2)
    assert pointers.tolist() == [[2, 0, 0, 0, 0]]
    assert log_probs.exp().item() == pytest.approx(0.4)


def test_impossible_choices_give_no_nan():
    step = table_step({(a, b): [1.0, 0.0, 0.0] for a in range(3) for b in range(3)})
    for pointers, log_probs in (greedy(step, (torch.zeros(1, 1),), 4), beam(step, (torch.zeros(1, 1),), 4, size=3)):
        assert pointers.tolist() == [[0, 0, 0, 0]]
        assert log_probs.tolist() == [0.0]

"""Tasks in which what matters is far back, each against a plain loop."""

from __future__ import annotations

import pytest
import torch
from rk_sequence.adding import Adding, solved
from rk_sequence.metrics import class_accuracy, sequence_accuracy, token_accuracy
from rk_sequence.parity import Parity

# -- parity ------------------------------------------------------------------------------------------------------------


def test_parity_counts_the_ones_so_far():
    batch = Parity(seed=1, length=20, batch_size=4).batch("train", 0)
    for bits, answers in zip(batch["tokens"].tolist(), batch["targets"].tolist(), strict=True):
        assert answers == [sum(bits[: t + 1]) % 2 for t in range(20)]
    assert 0.3 < batch["tokens"].float().mean() < 0.7


# -- adding ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [2, 3, 50])
def test_adding_marks_one_number_of_each_half(length):
    batch = Adding(seed=1, length=length, batch_size=200).batch("train", 0)
    numbers, markers = batch["inputs"].unbind(-1)
    for row in range(200):
        marked = [t for t in range(length) if markers[row, t] == 1]
        assert len(marked) == 2
        assert marked[0] < length // 2 <= marked[1]
        assert batch["targets"][row, 0] == numbers[row, marked[0]] + numbers[row, marked[1]]
    assert set(markers.unique().tolist()) <= {0.0, 1.0}


def test_who_answers_one_has_a_squared_error_of_a_sixth():
    targets = Adding(seed=1, batch_size=20000).batch("train", 0)["targets"]
    assert abs(float((targets - 1).square().mean()) - 1 / 6) < 0.005


def test_a_sum_is_solved_when_it_is_off_by_less_than_four_hundredths():
    hits, count = solved(values=torch.tensor([[1.0], [1.03], [1.05]]), targets=torch.ones(3, 1))
    assert (int(hits), count) == (2, 3)


# -- what all of them measure ------------------------------------------------------------------------------------------


def test_targets_of_minus_100_count_for_nothing():
    logits = torch.eye(3)[torch.tensor([[0, 1, 2], [0, 0, 0]])]
    targets = torch.tensor([[0, 1, -100], [0, 1, -100]])
    assert [int(n) for n in token_accuracy(logits=logits, targets=targets)] == [3, 4]
    assert [int(n) for n in sequence_accuracy(logits=logits, targets=targets)] == [1, 2]


def test_a_class_of_the_whole_is_right_or_wrong():
    assert [int(n) for n in class_accuracy(logits=torch.eye(3), targets=torch.tensor([0, 1, 1]))] == [2, 3]

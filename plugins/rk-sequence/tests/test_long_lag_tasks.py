"""Tasks in which what matters is far back, each against a plain loop."""

from __future__ import annotations

import pytest
import torch
from rk_sequence.adding import Adding, solved
from rk_sequence.copying import Copying, memoryless_loss, recall
from rk_sequence.hop_mix import HopMix, one_hop_accuracy, two_hop_accuracy
from rk_sequence.metrics import class_accuracy, sequence_accuracy, token_accuracy
from rk_sequence.parity import Parity
from rk_sequence.recall import AssociativeRecall
from rk_sequence.temporal_order import TemporalOrder
from rk_sequence.two_sided import TwoSided

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


def test_the_constant_answer_one_has_a_squared_error_of_a_sixth():
    targets = Adding(seed=1, batch_size=20000).batch("train", 0)["targets"]
    assert abs(float((targets - 1).square().mean()) - 1 / 6) < 0.005


def test_a_sum_is_solved_when_it_is_off_by_less_than_four_hundredths():
    hits, count = solved(values=torch.tensor([[1.0], [1.03], [1.05]]), targets=torch.ones(3, 1))
    assert (int(hits), count) == (2, 3)


# -- copying -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 2, 30])
def test_copying_shows_symbols_and_asks_for_them_after_the_delimiter(length):
    batch = Copying(seed=1, length=length, batch_size=20).batch("train", 0)
    for tokens, targets in zip(batch["tokens"].tolist(), batch["targets"].tolist(), strict=True):
        symbols = tokens[:10]
        assert all(1 <= symbol <= 8 for symbol in symbols)
        assert tokens[10:] == [0] * (length - 1) + [9] + [0] * 10
        assert targets == [0] * (length + 10) + symbols


def test_predicting_blanks_and_guessing_symbols_has_the_memoryless_loss():
    data = Copying(seed=1, length=30, batch_size=200)
    batch = data.batch("train", 0)
    logits = torch.full((200, 50, data.num_outputs), -1e9)
    logits[:, :40, 0] = 0
    logits[:, 40:, 1:] = 0
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch["targets"].flatten())
    assert float(loss) == pytest.approx(memoryless_loss(30), rel=1e-5)
    hits, count = recall(logits=logits, targets=batch["targets"])
    assert int(count) == 2000
    assert 0.09 < int(hits) / 2000 < 0.16


# -- associative recall ------------------------------------------------------------------------------------------------


def test_recall_asks_for_every_key_once_and_for_its_value():
    data = AssociativeRecall(seed=1, num_pairs=5, test_pairs=[7], num_keys=9, num_values=4, batch_size=50)
    for split, n in (("train", 5), ("test-7", 7)):
        batch = data.batch(split, 0)
        for tokens, targets in zip(batch["tokens"].tolist(), batch["targets"].tolist(), strict=True):
            value_of = dict(zip(tokens[: 2 * n : 2], tokens[1 : 2 * n : 2], strict=True))
            asked = tokens[2 * n :]
            assert len(value_of) == n
            assert sorted(asked) == sorted(value_of)
            assert all(key < 9 <= value < 13 for key, value in value_of.items())
            assert targets == [-100] * 2 * n + [value_of[key] - 9 for key in asked]


def test_more_pairs_than_keys_are_refused():
    with pytest.raises(ValueError, match="num_keys must be >= 6, the number of pairs, got 4"):
        AssociativeRecall(seed=1, num_pairs=3, test_pairs=[6], num_keys=4)


# -- two-sided ---------------------------------------------------------------------------------------------------------


def test_two_sided_asks_for_the_neighbours():
    batch = TwoSided(seed=1, length=8, batch_size=50).batch("train", 0)
    for x, targets in zip(batch["inputs"].squeeze(-1).tolist(), batch["targets"].tolist(), strict=True):
        assert targets == [-100, *(int(x[t - 1] + x[t + 1] > 1) for t in range(1, 7)), -100]


def test_a_model_that_looks_only_back_has_three_quarters_right():
    batch = TwoSided(seed=1, length=200, batch_size=200).batch("train", 0)
    guess = (batch["inputs"][:, :-2, 0] > 0.5).long()  # the better guess, given x[t-1]
    assert abs(float((guess == batch["targets"][:, 1:-1]).float().mean()) - 0.75) < 0.01


# -- temporal order ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [10, 100])
def test_temporal_order_asks_which_of_x_and_y_came_first(length):
    batch = TemporalOrder(seed=1, length=length, batch_size=100).batch("train", 0)
    tenth = length // 10
    for tokens, target in zip(batch["tokens"].tolist(), batch["targets"].tolist(), strict=True):
        first, second = (t for t, token in enumerate(tokens) if token in (4, 5))
        assert tenth <= first < 2 * tenth
        assert length // 2 <= second < length // 2 + tenth
        assert target == 2 * (tokens[first] - 4) + tokens[second] - 4
        assert (tokens[0], tokens[-1]) == (6, 7)
        noise = [t for i, t in enumerate(tokens) if i not in (0, first, second, length - 1)]
        assert set(noise) <= {0, 1, 2, 3}


# -- what all of them measure ------------------------------------------------------------------------------------------


def test_targets_of_minus_100_count_for_nothing():
    logits = torch.eye(3)[torch.tensor([[0, 1, 2], [0, 0, 0]])]
    targets = torch.tensor([[0, 1, -100], [0, 1, -100]])
    assert [int(n) for n in token_accuracy(logits=logits, targets=targets)] == [3, 4]
    assert [int(n) for n in sequence_accuracy(logits=logits, targets=targets)] == [1, 2]


def test_a_class_of_the_whole_is_right_or_wrong():
    assert [int(n) for n in class_accuracy(logits=torch.eye(3), targets=torch.tensor([0, 1, 1]))] == [2, 3]


# -- what is drawn -----------------------------------------------------------------------------------------------------


def test_a_task_that_asks_at_each_step_draws_where_answers_are_right(tmp_path):
    data = Parity(seed=1, length=6, batch_size=4)
    batch = data.batch("test", 0)
    logits = torch.nn.functional.one_hot(batch["targets"], 2).float()
    (path,) = data.render(batch, {"logits": logits}, tmp_path / "test")
    assert path.name == "test.png"
    assert path.read_bytes().startswith(b"\x89PNG")
    assert Adding(seed=1).render({}, {}, tmp_path / "test") == []


# -- hop-mix -----------------------------------------------------------------------------------------------------------


def test_a_query_of_two_hops_is_looked_up_twice_in_the_table_of_its_sequence():
    batch = HopMix(seed=1, num_symbols=5, length=40, two_hop=0.4, batch_size=8).batch("train", 0)
    assert batch["inputs"].shape == (8, 45, 17)
    for row in range(8):
        codes = batch["inputs"][row]
        table = {int(step[:5].argmax()): int(step[5:10].argmax()) for step in codes[:5]}
        assert sorted(table) == sorted(table.values()) == [0, 1, 2, 3, 4]
        for step, target, kind in zip(codes, batch["targets"][row].tolist(), batch["kinds"][row].tolist(), strict=True):
            if kind == 0:
                assert target == -100 and step[10:].sum() == 0
                continue
            query = int(step[10:15].argmax())
            assert step[:10].sum() == 0 and int(step[15:].argmax()) == kind - 1
            assert target == (table[query] if kind == 1 else table[table[query]])
    assert 0.3 < (batch["kinds"] == 2).sum() / (batch["kinds"] > 0).sum() < 0.5


def test_accuracy_is_measured_for_each_number_of_hops():
    kinds, targets = torch.tensor([[0, 1, 1, 2]]), torch.tensor([[-100, 0, 1, 1]])
    logits = torch.tensor([[[1.0, 0.0]] * 4])
    fields = {"logits": logits, "targets": targets, "kinds": kinds}
    assert [int(n) for n in one_hop_accuracy(**fields)] == [1, 2]
    assert [int(n) for n in two_hop_accuracy(**fields)] == [0, 1]

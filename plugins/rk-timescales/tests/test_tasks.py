"""N-parity and N-DMS: what is asked at each stage, and what the right answers are."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rk_timescales import naive
from rk_timescales.dms import NDMS
from rk_timescales.growth import Growth
from rk_timescales.loss import HeadCrossEntropy
from rk_timescales.parity import NParity
from rk_timescales.task import head_accuracy, newest_accuracy

from rk.testing import assert_twins


def asked(schedule, stages, first=2, largest=9, add=1, window=3):
    growth = Growth(schedule, first, largest, add, window)
    return [list(growth.asked(s)) for s in range(stages)]


def test_the_cumulative_schedule_asks_all_so_far():
    assert asked("cumulative", 3) == [[2], [2, 3], [2, 3, 4]]
    assert asked("cumulative", 3, add=3) == [[2], [2, 3, 4, 5], [2, 3, 4, 5, 6, 7, 8]]


def test_the_single_schedule_asks_the_newest():
    assert asked("single", 3, add=2) == [[2], [4], [6]]


def test_the_sliding_schedule_forgets_as_many_as_it_adds():
    assert asked("sliding", 3, add=2) == [[2, 3, 4], [4, 5, 6], [6, 7, 8]]


def test_the_fixed_schedule_asks_all_at_once():
    assert asked("fixed", 2, largest=5) == [[2, 3, 4, 5]] * 2


@given(
    schedule=st.sampled_from(["cumulative", "single", "sliding", "fixed"]),
    first=st.integers(2, 6),
    more=st.integers(0, 20),
    add=st.integers(1, 4),
    window=st.integers(1, 5),
)
def test_the_last_stage_is_the_first_that_asks_the_largest(schedule, first, more, add, window):
    growth = Growth(schedule, first, first + more, add, window)
    newest = [growth.newest(s) for s in range(growth.stages + 2)]
    assert newest.index(first + more) == growth.stages - 1
    assert all(first <= n <= first + more for s in range(growth.stages) for n in growth.asked(s))


def test_dms_compares_the_last_bit_with_the_nth_from_the_end():
    batch = NDMS(seed=1, largest=5, schedule="fixed").batch("train", 0)
    bits = batch["inputs"].squeeze(-1)
    for k, n in enumerate(range(2, 6)):
        assert batch["targets"][:, k].tolist() == [int(row[-1] == row[len(row) - n]) for row in bits]


def test_parity_counts_the_last_n_bits():
    batch = NParity(seed=1, largest=5, schedule="fixed").batch("train", 0)
    bits = batch["inputs"].squeeze(-1)
    for k, n in enumerate(range(2, 6)):
        assert batch["targets"][:, k].tolist() == [int(sum(row[len(row) - n :])) % 2 for row in bits]


def test_each_sequence_of_parity_has_its_own_chance_of_a_one():
    spread = {}
    for bias in ("uniform", 0.5):
        data = NParity(seed=1, bias=bias, batch_size=2000, first=20, largest=20)
        spread[bias] = data.batch("train", 0)["inputs"].mean(1).var()
    assert spread["uniform"] == pytest.approx(1 / 12, rel=0.2)
    assert spread[0.5] < 0.02


def test_a_batch_has_one_length_between_the_bounds_of_the_paper():
    data = NDMS(seed=1, schedule="single", batch_size=2)
    lengths = {data.batch("train", i, stage=2)["inputs"].shape[1] for i in range(400)}
    assert lengths == set(range(4 + 2, 4 * 4 + 2))  # N = 4: from N + 2 to 4 N + 1


def test_a_repeated_bit_lasts_so_many_steps():
    inputs = NDMS(seed=1, repeat=3).batch("train", 0)["inputs"]
    assert torch.equal(inputs[:, 0::3], inputs[:, 2::3])


def test_a_single_head_is_shared_unless_each_n_has_its_own():
    shared, own = NDMS(seed=1, schedule="single"), NDMS(seed=1, schedule="single", heads="each")
    assert shared.num_outputs == 2 and own.num_outputs == 2 * 19
    a, b = (data.batch("train", 0, stage=4)["targets"] for data in (shared, own))
    assert torch.equal(a[:, 0], b[:, 4])
    assert (b[:, :4] == -100).all()


def test_tests_ask_one_n_whatever_the_stage():
    data = NDMS(seed=1, test_n=[3, 7])
    assert data.splits == ("train", "val", "test-3", "test-7")
    targets = data.batch("test-7", 0)["targets"]
    assert [k for k in range(targets.shape[1]) if targets[0, k] != -100] == [5]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"first": 9, "largest": 4}, "first must be at most largest, got 9 and 4"),
        ({"heads": "shared"}, "heads must be each"),
        ({"test_n": [2, 21]}, "test_n must be from 2 to 20, got 21"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(params, message):
    with pytest.raises(ValueError, match=message):
        NDMS(seed=1, **params)


def test_the_loss_is_the_sum_over_the_heads_that_are_asked():
    targets = NDMS(seed=1, largest=8, batch_size=16).batch("train", 0, stage=3)["targets"]
    logits = torch.randn(16, 14, dtype=torch.float64)

    def fast(logits):
        total, count = HeadCrossEntropy()(logits=logits, targets=targets)
        return total / count

    assert_twins(fast, lambda logits: naive.head_cross_entropy(logits, targets), logits)


def test_metrics_count_the_heads_that_are_asked():
    targets = torch.tensor([[0, 1, -100], [1, 1, -100]])
    logits = torch.tensor([[5.0, 0, 0, 5, 9, 9], [5, 0, 0, 5, 9, 9]])  # 0 and 1, of both sequences
    assert [int(x) for x in head_accuracy(logits=logits, targets=targets)] == [3, 4]
    assert [int(x) for x in newest_accuracy(logits=logits, targets=targets)] == [2, 2]

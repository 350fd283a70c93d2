"""What counts as right: any start, either direction; and what fails: crossings, no END, too many invalid answers."""

import math

import pytest
import torch
from rk_pointer_net.data import ConvexHull
from rk_pointer_net.metrics import AreaCoverage, ValidArea, hull_accuracy, judge, valid_rate

POINTS = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [0.5, 0.5]])
TARGET = [1, 2, 3, 4, 0, -100]


def fields(*answers: list[int]) -> dict[str, torch.Tensor]:
    b = len(answers)
    return {
        "points": POINTS.expand(b, -1, -1),
        "targets": torch.tensor([TARGET] * b),
        "pointers": torch.tensor(answers),
    }


def area(metric: type[ValidArea], *answers: list[int]) -> float:
    instance = metric()
    instance.update(**fields(*answers))
    return instance.compute()


def test_the_hull_counts_from_any_start_and_in_either_direction():
    total, count = hull_accuracy(
        **fields([1, 2, 3, 4, 0], [3, 4, 1, 2, 0], [2, 1, 4, 3, 0], [1, 3, 2, 4, 0], [1, 2, 3, 0, 0])
    )
    assert (int(total), count) == (3, 5)


def test_an_answer_that_does_not_end_is_neither_right_nor_valid():
    batch = fields([1, 2, 3, 4])
    assert hull_accuracy(**batch) == (0, 1)
    assert valid_rate(**batch) == (0, 1)


@pytest.mark.parametrize(
    ("answer", "valid"),
    [
        ([1, 2, 3, 4, 0], True),
        ([1, 2, 5, 0, 0], True),
        ([1, 3, 2, 4, 0], False),  # a bow-tie
        ([1, 2, 3, 1, 0], False),  # a corner twice
        ([1, 2, 0, 0, 0], False),
        ([0, 0, 0, 0, 0], False),
        ([1, 2, 3, 4, 5], False),  # no END
    ],
    ids=str,
)
def test_valid_answers_are_simple_polygons_that_ended(answer, valid):
    assert valid_rate(**fields(answer)) == (valid, 1)


def test_area_is_the_share_of_the_hull_and_a_bow_tie_has_none():
    verdict = judge(*fields([1, 2, 3, 4, 0], [1, 2, 3, 0, 0], [1, 2, 5, 0, 0], [1, 3, 2, 4, 0]).values())
    assert verdict.share.tolist() == [1.0, 0.5, 0.25, 0.0]


def test_area_averages_valid_answers_and_fails_when_more_than_one_percent_is_invalid():
    good, half, bad = [1, 2, 3, 4, 0], [1, 2, 3, 0, 0], [1, 3, 2, 4, 0]
    assert area(AreaCoverage, *[good] * 98, half, bad) == pytest.approx((98 + 0.5) / 99)
    assert math.isnan(area(AreaCoverage, *[good] * 97, half, bad, bad))
    assert area(ValidArea, *[good] * 97, half, bad, bad) == pytest.approx((97 + 0.5) / 98)


def test_area_without_any_valid_answer_is_not_nan():
    assert area(ValidArea, [0, 0]) == 0.0
    assert ValidArea().compute() == 0.0


def test_metrics_merge_and_reset():
    first, second, whole = ValidArea(), ValidArea(), ValidArea()
    first.update(**fields([1, 2, 3, 4, 0]))
    second.update(**fields([1, 2, 3, 0, 0], [1, 3, 2, 4, 0]))
    whole.update(**fields([1, 2, 3, 4, 0], [1, 2, 3, 0, 0], [1, 3, 2, 4, 0]))
    first.merge(second)
    assert torch.equal(first.state, whole.state)
    first.reset()
    assert not first.state.any()


def test_no_answer_to_random_sets_covers_more_than_the_hull():
    batch = ConvexHull(seed=0).batch("test-10", 0)
    tours = torch.stack([torch.randperm(10) + 1 for _ in range(128)])
    for size in (3, 4, 5):
        pointers = torch.cat([tours[:, :size], torch.zeros(128, 1, dtype=torch.long)], 1)
        verdict = judge(batch["points"], batch["targets"], pointers)
        assert verdict.valid.any()
        assert ((verdict.share > 0) == verdict.valid).all()
        assert (verdict.share <= 1 + 1e-12).all()


def test_the_targets_themselves_are_perfect():
    data = ConvexHull(seed=0)
    for split in ("val", *data.splits[2:]):
        batch = data.batch(split, 0)
        verdict = judge(batch["points"], batch["targets"], batch["targets"].clamp(min=0))
        assert verdict.exact.all()
        assert verdict.valid.all()
        torch.testing.assert_close(verdict.share, torch.ones(128, dtype=torch.double))

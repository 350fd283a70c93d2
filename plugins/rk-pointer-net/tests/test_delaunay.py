"""The task `delaunay`: its targets, what counts as right, and what a user's file is answered with."""

import json
from pathlib import Path

import pytest
import rk_pointer_net
import torch
from rk_pointer_net.delaunay import Delaunay
from rk_pointer_net.model import PointerNet
from rk_pointer_net.triangle_metrics import (
    judge,
    triangle_accuracy,
    triangle_coverage,
    triangulation_rate,
    whole_triangles,
)
from rk_pointer_net.triangulations import triangulations

CAPITALS = Path(rk_pointer_net.__file__).parent / "examples" / "capitals.csv"
POINTS = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.1, 1.0], [0.0, 1.2], [0.4, 0.5]])
TARGET = [1, 4, 5, 1, 2, 5, 3, 4, 5, 2, 3, 5, 0, -100, -100, -100]


def fields(*answers: list[int], target: list[int] = TARGET) -> dict[str, torch.Tensor]:
    b, width = len(answers), max(map(len, answers))
    return {
        "points": POINTS.expand(b, -1, -1),
        "targets": torch.tensor([target] * b),
        "pointers": torch.tensor([[*answer, *[0] * (width - len(answer))] for answer in answers]),
    }


def test_a_batch_is_a_function_of_seed_split_and_number():
    for order in ("incenter", "random"):
        one = Delaunay(seed=3, num_points=(5, 7), order=order)
        other = Delaunay(seed=3, num_points=(5, 7), order=order, test_sizes=[7], test_examples=50)
        for split, i in [("train", 0), ("train", 10**9), ("val", 2)]:
            assert torch.equal(one.batch(split, i)["points"], other.batch(split, i)["points"])
            assert torch.equal(one.batch(split, i)["targets"], other.batch(split, i)["targets"])
        assert torch.equal(one.batch("test-7", 0)["points"][:50], other.batch("test-7", 0)["points"])


def test_targets_are_triangulations_with_one_end_and_padding():
    batch = Delaunay(seed=0).batch("test", 0)
    assert batch["points"].shape == (128, 5, 2)
    assert batch["points"].dtype == torch.float32
    truth = triangulations(batch["points"]).tolist()
    for row, wanted in zip(batch["targets"].tolist(), truth, strict=True):
        numbers = row[: row.index(0)]
        assert numbers == [j for j in wanted if j]
        assert set(row[len(numbers) + 1 :]) <= {-100}


def test_random_order_has_the_same_triangles_in_another_order():
    ordered, mixed = (Delaunay(seed=0, order=order) for order in ("incenter", "random"))
    for split in ("train", "val", "test"):
        one, other = ordered.batch(split, 0), mixed.batch(split, 0)
        assert torch.equal(one["points"], other["points"])
        assert torch.equal(one["targets"] <= 0, other["targets"] <= 0)
        assert (one["targets"] != other["targets"]).any(1).float().mean() > 0.9
        assert judge(one["points"], one["targets"], other["targets"].clamp(min=0)).exact.all()
    train, val = mixed.batch("train", 0)["targets"], mixed.batch("train", 1)["targets"]
    assert not torch.equal(train[:, :3], val[:, :3])


@pytest.mark.parametrize("n", [3, 5, 10])
def test_the_targets_themselves_are_perfect(n):
    batch = Delaunay(seed=0, num_points=(n, n)).batch("test", 0)
    verdict = judge(batch["points"], batch["targets"], batch["targets"].clamp(min=0))
    assert verdict.exact.all()
    assert verdict.valid.all()
    assert torch.equal(verdict.found, verdict.wanted)


@pytest.mark.parametrize(
    ("answer", "exact", "valid", "found"),
    [
        ([1, 4, 5, 1, 2, 5, 3, 4, 5, 2, 3, 5, 0], True, True, 4),
        ([5, 3, 4, 2, 5, 3, 1, 5, 4, 5, 2, 1, 0], True, True, 4),  # any order
        ([1, 4, 5, 1, 2, 5, 3, 4, 5, 2, 3, 5], False, False, 4),  # no END
        ([1, 4, 5, 1, 2, 5, 3, 4, 5, 2, 3, 5, 1, 0], False, False, 4),  # one number left over
        ([1, 4, 5, 1, 2, 5, 3, 4, 5, 2, 3, 5, 2, 3, 5, 0], False, False, 4),  # one twice
        ([1, 4, 5, 1, 2, 5, 3, 4, 5, 2, 3, 5, 1, 2, 3, 0], False, False, 4),  # one too many
        ([1, 4, 5, 1, 2, 5, 3, 4, 5, 0], False, False, 3),  # one too few
        ([1, 4, 5, 4, 1, 5, 1, 5, 4, 5, 1, 4, 0], False, False, 1),  # one four times
        ([1, 4, 5, 3, 4, 5, 1, 2, 3, 1, 3, 5, 0], False, True, 2),  # another triangulation
        ([1, 4, 0, 5, 1, 2], False, False, 0),
        ([0], False, False, 0),
    ],
    ids=str,
)
def test_triangles_count_in_any_order_but_once_each(answer, exact, valid, found):
    for batch in (fields(answer), fields(answer, target=TARGET[:13])):  # padding is not part of a target
        assert triangle_accuracy(**batch) == (exact, 1)
        assert triangulation_rate(**batch) == (valid, 1)
        assert triangle_coverage(**batch) == (found, 4)


def test_coverage_is_over_all_triangles_of_a_batch():
    answers = fields([1, 4, 5, 1, 2, 5, 3, 4, 5, 2, 3, 5, 0], [1, 4, 5, 0], [2, 3, 4, 0])
    assert triangle_coverage(**answers) == (5, 12)
    assert triangle_accuracy(**answers) == (1, 3)


def test_triangles_are_read_three_numbers_at_a_time():
    triangles, whole = whole_triangles(
        torch.tensor([[1, 2, 3, 4, 0], [1, 2, 3, 0, 4], [1, 0, 2, 3, 4], [0, 0, 0, 0, 0]])
    )
    assert triangles.tolist() == [[1, 2, 3, 0, 0, 0], [1, 2, 3, 0, 0, 0], [0] * 6, [0] * 6]
    assert whole.tolist() == [False, True, False, True]


def test_a_file_keeps_its_shape():
    batch = Delaunay(seed=0).read(CAPITALS)
    (source,) = batch["sets_meta"]
    extent = source.coordinates.amax(0) - source.coordinates.amin(0)
    spread = batch["points"][0].amax(0) - batch["points"][0].amin(0)
    torch.testing.assert_close(spread, (extent / extent.max()).float())


def test_answers_name_the_triangles_and_compare_them(tmp_path):
    path = tmp_path / "points.csv"
    path.write_text("name,x,y\na,0,0\nb,1,0\nc,1.1,1\nd,0,1.2\ne,.4,.5\n")
    data = Delaunay(seed=0)
    batch = data.read(path)
    (right,) = data.answers(batch, {"pointers": torch.tensor([TARGET]).clamp(min=0)})
    assert right["triangles"] == right["true_triangles"] == [[1, 4, 5], [1, 2, 5], [3, 4, 5], [2, 3, 5]]
    assert right["labels"][0] == ["a", "d", "e"]
    assert (right["exact"], right["valid"], right["ended"], right["coverage"]) == (True, True, True, 1.0)
    (endless,) = data.answers(batch, {"pointers": torch.tensor([[5, 4, 1, 1, 2, 3, 1, 2]])})
    assert endless["triangles"] == [[5, 4, 1], [1, 2, 3]]
    assert (endless["exact"], endless["valid"], endless["ended"], endless["coverage"]) == (False, False, False, 0.25)
    json.dumps([right, endless])


def test_the_model_answers_a_file_of_sets_of_several_sizes(tmp_path):
    path = tmp_path / "sets.txt"
    path.write_text("0 0 1 0 1 1 0 2 .5 .5 output 1\n0 0 2 0 1 5 output 1\n0 0 1 1 2 2 output 1\n")
    data = Delaunay(seed=0)
    batch = data.read(path)
    model = PointerNet(max_points=5, hidden_size=8, max_answer=16)
    answers = data.answers(batch, model.predict(points=batch["points"], lengths=batch["lengths"]))
    assert [len(answer["true_triangles"]) for answer in answers] == [4, 1, 0]
    assert answers[2]["coverage"] is None
    assert not answers[2]["valid"]
    assert data.render(batch, {"pointers": torch.zeros(3, 4, dtype=torch.long)}, tmp_path / "sets")


def test_batches_and_single_sets_are_drawn(tmp_path):
    data = Delaunay(seed=0, batch_size=4)
    batch = data.batch("test", 0)
    pointers = batch["targets"].clamp(min=0)
    pointers[0] = 0  # an empty answer
    pointers[1, :6] = torch.tensor([1, 1, 2, 1, 2, 3])
    (grid,) = data.render(batch, {"pointers": pointers}, tmp_path / "grid")
    (one,) = data.render(data.read(CAPITALS), {"pointers": torch.tensor([[1, 2, 3, 4, 5, 6, 7]])}, tmp_path / "map.svg")
    assert grid == tmp_path / "grid.png"
    assert min(grid.stat().st_size, one.stat().st_size) > 10_000

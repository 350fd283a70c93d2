"""The task: what is generated, read, answered and drawn."""

import json
from pathlib import Path

import pytest
import rk_pointer_net
import torch
from rk_pointer_net.data import ConvexHull
from rk_pointer_net.hull import convex_hulls
from rk_pointer_net.model import PointerNet

CAPITALS = Path(rk_pointer_net.__file__).parent / "examples" / "capitals.csv"


def test_splits_are_named_after_their_sizes():
    assert ConvexHull(seed=0, num_points=(5, 5)).splits == ("train", "val", "test")
    assert ConvexHull(seed=0).splits == ("train", "val", "test-5", "test-10")
    assert ConvexHull(seed=0, test_sizes=[5, 20]).splits == ("train", "val", "test-5", "test-20")
    assert ConvexHull(seed=0, num_points=(5, 5), test_sizes=[5]).splits == ("train", "val", "test-5")
    assert ConvexHull(seed=0, test_sizes=[]).splits == ("train", "val")
    assert ConvexHull(seed=0, num_points=(4, 7)).max_points == 7
    with pytest.raises(ValueError, match="not a range"):
        ConvexHull(seed=0, num_points=(7, 4))


def test_training_is_endless_and_other_splits_have_the_requested_size():
    data = ConvexHull(seed=0, batch_size=64, val_examples=100, test_examples=130)
    assert data.batches("train") is None
    sizes = {
        split: [len(data.batch(split, i)["points"]) for i in range(data.batches(split))] for split in data.splits[1:]
    }
    assert sizes == {"val": [64, 36], "test-5": [64, 64, 2], "test-10": [64, 64, 2]}


def test_a_batch_is_a_function_of_seed_split_and_number():
    one, other = ConvexHull(seed=3), ConvexHull(seed=3, test_sizes=[10], test_examples=50)
    for split, i in [("train", 0), ("train", 10**9), ("val", 2)]:
        first, second = one.batch(split, i), other.batch(split, i)
        assert torch.equal(first["points"], second["points"])
        assert torch.equal(first["targets"], second["targets"])
    assert torch.equal(one.batch("test-10", 0)["points"][:50], other.batch("test-10", 0)["points"])


def test_no_set_is_in_two_batches_or_splits():
    sets = set()
    n_sets = 0
    for seed in (0, 1):
        data = ConvexHull(seed=seed, num_points=(5, 6), val_examples=256, test_examples=256)
        for split, batches in [("train", 20), ("val", 2), ("test-5", 2), ("test-6", 2)]:
            for i in range(batches):
                points = data.batch(split, i)["points"]
                sets |= {tuple(row) for row in points.flatten(1).tolist()}
                n_sets += len(points)
    assert len(sets) == n_sets


def test_training_sizes_are_drawn_and_validation_goes_through_all_of_them():
    data = ConvexHull(seed=0, num_points=(5, 8), batch_size=16)
    drawn = {data.batch("train", i)["points"].shape[1] for i in range(40)}
    assert drawn == {5, 6, 7, 8}
    seen = [data.batch("val", i)["points"].shape[1] for i in range(data.batches("val"))]
    assert seen[0] == 5
    assert seen[-1] == 8
    assert seen == sorted(seen)
    assert set(seen) == drawn


def test_targets_are_hulls_with_one_end_and_padding():
    batch = ConvexHull(seed=0).batch("test-10", 0)
    assert batch["points"].dtype == torch.float32
    for row in batch["targets"].tolist():
        hull = row[: row.index(0)]
        assert len(hull) >= 3
        assert hull[0] == min(hull)
        assert len(set(hull)) == len(hull)
        assert set(row[len(hull) + 1 :]) <= {-100}


def test_a_file_is_stretched_over_the_unit_square_and_keeps_its_hull():
    batch = ConvexHull(seed=0).read(CAPITALS)
    points, (source,) = batch["points"], batch["sets_meta"]
    assert points.dtype == torch.float32
    assert points.shape == (1, 30, 2)
    assert points.amin(1).tolist() == [[0, 0]]
    assert points.amax(1).tolist() == [[1, 1]]
    assert torch.equal(convex_hulls(points), convex_hulls(source.coordinates[None]))
    extent = source.coordinates.amax(0) - source.coordinates.amin(0)
    shifted = points[0].double() * extent - source.coordinates
    torch.testing.assert_close(shifted, shifted[:1].expand(30, 2), atol=1e-4, rtol=0)


def test_answers_name_the_hull_and_compare_it(tmp_path):
    data = ConvexHull(seed=0)
    batch = data.read(CAPITALS)
    hull = [8, 30, 26, 28, 29, 23, 20, 17, 25]
    (right,) = data.answers(batch, {"pointers": torch.tensor([[*hull, 0, 0]])})
    assert right["hull"] == right["true_hull"] == hull
    assert right["labels"][:3] == ["Buenos Aires", "Wellington", "Suva"]
    assert right["coordinates"][0] == [-58.38, -34.6]
    assert (right["exact"], right["valid"], right["area_share"]) == (True, True, 1.0)
    (short,) = data.answers(batch, {"pointers": torch.tensor([[*hull[:-1], 0]])})
    assert (short["exact"], short["valid"]) == (False, True)
    assert 0.8 < short["area_share"] < 1
    (endless,) = data.answers(batch, {"pointers": torch.tensor([hull])})
    assert (endless["exact"], endless["valid"], endless["area_share"]) == (False, False, None)
    assert [answer["ended"] for answer in (right, short, endless)] == [True, True, False]
    json.dumps([right, short, endless])


def test_the_model_answers_a_file_of_sets_of_several_sizes(tmp_path):
    path = tmp_path / "sets.txt"
    path.write_text("0 0 1 0 1 1 0 1 .5 .5 output 1 2 3 4 1\n0 0 2 0 1 5 output 1 2 3 1\n")
    data = ConvexHull(seed=0)
    batch = data.read(path)
    assert batch["points"][1].tolist() == [[0, 0], [1, 0], [0.5, 1], [0, 0], [0, 0]]
    assert batch["lengths"].tolist() == [5, 3]
    model = PointerNet(max_points=10, hidden_size=8)
    outputs = model.predict(points=batch["points"], lengths=batch["lengths"])
    answers = data.answers(batch, outputs)
    assert [answer["true_hull"] for answer in answers] == [[1, 2, 3, 4], [1, 2, 3]]
    assert all(j <= n for answer, n in zip(answers, (5, 3), strict=True) for j in answer["hull"])


def test_a_line_is_answered_with_its_ends(tmp_path):
    path = tmp_path / "line.json"
    path.write_text("[[0, 2], [1, 2], [3, 2]]")
    data = ConvexHull(seed=0)
    batch = data.read(path)
    assert batch["points"].tolist() == [[[0, 0.5], [pytest.approx(1 / 3), 0.5], [1, 0.5]]]
    (answer,) = data.answers(batch, {"pointers": torch.tensor([[1, 3, 0]])})
    assert (answer["true_hull"], answer["exact"], answer["valid"]) == ([1, 3], True, False)


def drawn_as_a_grid(place, rows):
    """Draws the first rows of a batch, one of which has an empty answer, one the same point twice."""
    data = ConvexHull(seed=0)
    batch = {name: value[:rows] for name, value in data.batch("test-5", 0).items()}
    pointers = batch["targets"].clamp(min=0)
    pointers[0, 0] = 0
    pointers[1, :3] = torch.tensor([1, 1, 2])
    return data.render(batch, {"pointers": pointers}, place)


def test_a_batch_is_drawn_as_a_grid(tmp_path):
    assert drawn_as_a_grid(tmp_path / "hulls", 100) == [tmp_path / "hulls.png"]
    assert (tmp_path / "hulls.png").stat().st_size > 10_000


@pytest.mark.parametrize(("name", "written"), [("v0.5", "v0.5.png"), ("h.svg", "h.svg")])
def test_a_figure_has_the_format_of_its_ending_and_is_a_png_by_default(tmp_path, name, written):
    assert drawn_as_a_grid(tmp_path / name, 2) == [tmp_path / written]
    assert (tmp_path / written).read_bytes()[:5] in (b"\x89PNG\r", b"<?xml")


@pytest.mark.parametrize("n", [2, 9])
def test_a_single_set_is_drawn_as_a_map(tmp_path, n):
    data = ConvexHull(seed=0)
    hull = [8, 30, 26, 28, 29, 23, 20, 17, 25][:n]
    (picture,) = data.render(data.read(CAPITALS), {"pointers": torch.tensor([[*hull, 0]])}, tmp_path / "map")
    assert picture.stat().st_size > 10_000


def test_points_on_a_line_can_be_drawn(tmp_path):
    path = tmp_path / "line.json"
    path.write_text("[[0, 0], [0, 1], [0, 3]]")
    data = ConvexHull(seed=0)
    (picture,) = data.render(data.read(path), {"pointers": torch.tensor([[1, 3, 0]])}, tmp_path / "line")
    assert picture.exists()

"""The task of tours: what is generated, kept, measured, answered and drawn."""

import json
import math
from pathlib import Path

import pytest
import rk_pointer_net
import torch
from rk_pointer_net.model import PointerNet
from rk_pointer_net.tour_metrics import TourGap, TourLength, judge, valid_rate
from rk_pointer_net.tours import solve, tour_lengths
from rk_pointer_net.tsp import TSP

from rk import UserError

CAPITALS = Path(rk_pointer_net.__file__).parent / "examples" / "capitals.csv"
SQUARE = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty folder for solved sets."""
    monkeypatch.setenv("RK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def count(monkeypatch):
    """Counts how often sets are solved."""
    calls = []

    def counted(points, solver):
        calls.append((len(points), solver))
        return solve(points, solver)

    monkeypatch.setattr("rk_pointer_net.tsp.solve", counted)
    return calls


def prepared(**params) -> TSP:
    data = TSP(**{"seed": 1, "num_points": (5, 6), "batch_size": 8, "pool": 50} | params)
    data.prepare()
    return data


def assert_same(first, second) -> None:
    assert torch.equal(first["points"], second["points"])
    assert torch.equal(first["targets"], second["targets"])


def test_targets_are_shortest_tours_and_end():
    batch = TSP(seed=0, num_points=(6, 6), batch_size=16).batch("train", 3)
    assert batch["targets"].shape == (16, 7)
    assert torch.equal(batch["targets"][:, :6], solve(batch["points"], "exact"))
    assert not batch["targets"][:, 6].any()


def test_a_batch_is_a_function_of_seed_split_and_number():
    one, other = TSP(seed=3), TSP(seed=3, test_sizes=[10], test_examples=50)
    for split, i in [("train", 0), ("train", 10**9), ("val", 2)]:
        assert_same(one.batch(split, i), other.batch(split, i))
    assert torch.equal(one.batch("test-10", 0)["points"][:50], other.batch("test-10", 0)["points"])


def test_the_solver_makes_training_targets_and_tests_have_the_best_available(count):
    data = TSP(seed=0, num_points=(5, 20), solver="a1", batch_size=4, test_sizes=[6, 20], val_examples=4)
    for split in ("train", "val", "test-6", "test-20"):
        data.batch(split, 0)
    assert [solver for _, solver in count] == ["a1", "a1", "exact", "a3"]


def test_sizes_that_cannot_be_solved_or_pooled_are_refused():
    with pytest.raises(ValueError, match="exact takes at most 13 points, got 14"):
        TSP(seed=0, num_points=(5, 14))
    assert TSP(seed=0, num_points=(5, 14), solver="a3").splits == ("train", "val", "test-5", "test-14")
    with pytest.raises(ValueError, match="at least one set of each size of num_points, got 5"):
        TSP(seed=0, num_points=(5, 10), pool=5)


def test_a_pool_is_solved_once_and_read_again(cache, count):
    first = prepared()
    assert sorted(count) == [(25, "exact"), (25, "exact")]
    assert len(list(cache.iterdir())) == 2
    second = prepared()
    assert len(count) == 2
    for i in (0, 1, 7, 10**6):
        assert_same(first.batch("train", i), second.batch("train", i))


def test_the_constructor_touches_no_file(cache):
    TSP(seed=0, pool=100)
    assert not cache.exists()
    prepared(pool=None)
    assert not cache.exists()


@pytest.mark.parametrize(
    "params",
    [{"seed": 2}, {"solver": "a1"}, {"pool": 52}, {"num_points": (4, 6)}, {}],
    ids=lambda p: next(iter(p), "same"),
)
def test_every_pool_has_its_own_file(cache, params):
    prepared(num_points=(6, 6), pool=25)
    before = set(cache.iterdir())
    prepared(**{"num_points": (6, 6), "pool": 25} | params)
    assert (set(cache.iterdir()) == before) == (params == {})


@pytest.mark.parametrize("damage", ["cut", "flipped", "text", "empty"])
def test_a_damaged_pool_is_made_again(cache, count, damage):
    whole = prepared(num_points=(5, 5)).batch("train", 0)
    (path,) = cache.iterdir()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes({"cut": content[:-40], "flipped": content, "text": b"no pool", "empty": b""}[damage])
    assert_same(prepared(num_points=(5, 5)).batch("train", 0), whole)
    assert len(count) == 2
    prepared(num_points=(5, 5))
    assert len(count) == 2
    assert list(cache.iterdir()) == [path]


def test_a_cache_that_cannot_be_written_is_named_before_the_work(tmp_path, monkeypatch, count):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RK_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match="file") as error:
        prepared()
    assert "RK_CACHE" in error.value.hint
    assert not count


def test_an_epoch_of_a_pool_has_every_set_once_in_a_new_order(cache):
    data = prepared()
    epochs = []
    for epoch in range(2):
        seen = {5: [], 6: []}
        for i in range(8 * epoch, 8 * epoch + 8):  # 4 batches of each size
            points = data.batch("train", i)["points"]
            seen[points.shape[1]] += [tuple(row) for row in points.flatten(1).tolist()]
        assert [len(rows) for rows in seen.values()] == [len(set(rows)) for rows in seen.values()] == [25, 25]
        epochs.append(seen)
    assert set(epochs[0][5]) == set(epochs[1][5])
    assert epochs[0][5] != epochs[1][5]


def test_validation_and_tests_do_not_come_from_the_pool(cache):
    pooled, fresh = prepared(), TSP(seed=1, num_points=(5, 6), batch_size=8)
    for split in ("val", "test-5", "test-6"):
        assert_same(pooled.batch(split, 0), fresh.batch(split, 0))
    assert pooled.batches("train") is None


def fields(*answers: list[int]) -> dict[str, torch.Tensor]:
    b = len(answers)
    return {
        "points": SQUARE.expand(b, -1, -1),
        "targets": torch.tensor([[1, 2, 3, 4, 0]] * b),
        "pointers": torch.tensor(answers),
    }


@pytest.mark.parametrize(
    ("answer", "valid"),
    [
        ([1, 2, 3, 4, 0], True),
        ([3, 1, 2, 4, 0, 0], True),
        ([1, 2, 3, 0, 0], False),
        ([1, 2, 3, 3, 0], False),
        ([1, 2, 3, 4], False),  # no END
        ([1, 2, 3, 4, 1, 0], False),
        ([0, 1, 2, 3, 4, 0], False),
    ],
    ids=str,
)
def test_valid_answers_name_every_point_once_and_end(answer, valid):
    assert valid_rate(**fields(answer)) == (valid, 1)


def measure(metric: type[TourLength], *answers: list[int]) -> float:
    instance = metric()
    instance.update(**fields(*answers))
    return instance.compute()


def test_lengths_and_gaps_are_means_over_valid_answers():
    best, crossed, short = [1, 2, 3, 4, 0], [1, 3, 2, 4, 0], [1, 2, 0, 0, 0]
    assert measure(TourLength, best, crossed, short) == pytest.approx(3 + 2**0.5)
    assert measure(TourGap, best, crossed, short) == pytest.approx((2 * 3 + 2 * 2**0.5) / 8 - 1)
    assert measure(TourGap, [3, 4, 1, 2, 0]) == 0.0
    assert math.isnan(measure(TourLength, short))
    assert math.isnan(TourGap().compute())


def test_metrics_merge_reset_and_are_better_when_lower():
    first, second, whole = TourGap(), TourGap(), TourGap()
    first.update(**fields([1, 2, 3, 4, 0]))
    second.update(**fields([1, 3, 2, 4, 0], [1, 1, 1, 1, 0]))
    whole.update(**fields([1, 2, 3, 4, 0], [1, 3, 2, 4, 0], [1, 1, 1, 1, 0]))
    first.merge(second)
    assert torch.equal(first.state, whole.state)
    first.reset()
    assert not first.state.any()
    assert not TourLength.higher_is_better
    assert not TourGap.higher_is_better


def test_the_targets_themselves_have_no_gap():
    data = TSP(seed=0, test_sizes=[5, 20], test_examples=64, val_examples=64)
    for split in ("val", "test-5", "test-20"):
        batch = data.batch(split, 0)
        verdict = judge(batch["points"], batch["targets"], batch["targets"])
        assert verdict.valid.all()
        assert torch.equal(verdict.length, verdict.target)


def test_a_file_keeps_its_proportions():
    batch = TSP(seed=0).read(CAPITALS)
    (points,), (source,) = batch["points"].double(), batch["sets_meta"]
    scale = (source.coordinates.amax(0) - source.coordinates.amin(0)).amax()
    wanted = source.coordinates / scale
    torch.testing.assert_close(points - points[0], wanted - wanted[0], atol=1e-6, rtol=0)


def test_answers_give_lengths_in_the_users_coordinates(tmp_path):
    path = tmp_path / "places.csv"
    path.write_text("name,x,y\nA,10,10\nB,30,10\nC,30,20\nD,10,20\n")
    data = TSP(seed=0)
    batch = data.read(path)
    (right,) = data.answers(batch, {"pointers": torch.tensor([[1, 4, 3, 2, 0]])})
    assert (right["tour"], right["labels"], right["length"], right["gap"]) == ([1, 4, 3, 2], list("ADCB"), 60.0, 0.0)
    assert (right["best_tour"], right["best_length"], right["best_is_optimal"]) == ([1, 2, 3, 4], 60.0, True)
    assert right["coordinates"][1] == [10.0, 20.0]
    (crossed,) = data.answers(batch, {"pointers": torch.tensor([[1, 3, 2, 4, 0]])})
    assert crossed["length"] == pytest.approx(20 + 2 * 500**0.5)
    assert crossed["gap"] == pytest.approx(crossed["length"] / 60 - 1)
    (endless,) = data.answers(batch, {"pointers": torch.tensor([[1, 2, 3, 4]])})
    assert [endless[key] for key in ("ended", "valid", "length", "gap")] == [False, False, None, None]
    json.dumps([right, crossed, endless])


def test_the_model_answers_a_file_of_sets_of_several_sizes(tmp_path):
    path = tmp_path / "sets.txt"
    path.write_text("0 0 1 0 1 1 0 1 .5 .5 output 1 2 3 4 1\n0 0 2 0 1 5 output 1 2 3 1\n")
    data = TSP(seed=0)
    batch = data.read(path)
    model = PointerNet(max_points=10, hidden_size=8, constraint="tour", beam_size=2)
    answers = data.answers(batch, model.predict(points=batch["points"], lengths=batch["lengths"]))
    assert [answer["valid"] for answer in answers] == [True, True]
    assert [len(answer["tour"]) for answer in answers] == [5, 3]
    assert [len(answer["best_tour"]) for answer in answers] == [5, 3]


def test_beyond_what_is_exact_an_answer_is_compared_with_a_teacher():
    data = TSP(seed=0)
    batch = data.read(CAPITALS)
    (answer,) = data.answers(batch, {"pointers": torch.arange(1, 32).remainder(31).unsqueeze(0)})
    assert answer["valid"]
    assert answer["gap"] > 0
    assert not answer["best_is_optimal"]
    best = torch.tensor([answer["best_tour"]])
    assert answer["best_length"] == pytest.approx(tour_lengths(batch["sets_meta"][0].coordinates[None], best).item())


def test_batches_and_single_sets_are_drawn(tmp_path):
    data = TSP(seed=0, num_points=(5, 5), batch_size=14)
    batch = data.batch("val", 0)
    pointers = batch["targets"].clone()
    pointers[0] = 0  # an empty answer
    pointers[1, 1] = pointers[1, 2]
    pointers[2, :5] = torch.tensor([1, 2, 3, 4, 5])
    grid = data.render(batch, {"pointers": pointers}, tmp_path / "tours.svg")
    tour = torch.arange(1, 32).remainder(31).unsqueeze(0)
    one = data.render(data.read(CAPITALS), {"pointers": tour}, tmp_path / "map")
    assert (*grid, *one) == (tmp_path / "tours.svg", tmp_path / "map.png")
    assert all(path.stat().st_size > 10_000 for path in (*grid, *one))

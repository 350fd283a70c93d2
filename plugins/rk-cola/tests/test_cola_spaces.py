"""Programs: what an action makes of a path, and what bounds it."""

import math
import random

import pytest
from rk_cola.paths import layer_entropy, pareto, path_text, read_path
from rk_cola.spaces import Edits, Limits, Segments

LIMITS = {"depth": 28, "max_length": 60, "protect_first": 0}
SPACES = {"edits": Edits, "segments": Segments}


def walk(space, seed: int, steps: int = 12):
    """Yields the states of a random walk from the root."""
    draw, state = random.Random(seed), space.root
    for _ in range(steps):
        state = space.edit(state, draw) or state
        yield state


@pytest.mark.parametrize(
    ("limits", "count"),
    [
        ({}, 530),  # 4 D - 6 = 106 skips, four times as many repeats
        ({"max_repeats": 1}, 212),
        ({"ops": "skip"}, 106),
        ({"ops": "repeat"}, 424),
        ({"depth": 30}, 570),
        ({"depth": 30, "max_repeats": 1}, 228),
    ],
    ids=str,
)
def test_the_root_has_as_many_single_edits_as_blocks_and_repeats(limits, count):
    space = Edits(Limits(**LIMITS | limits))
    assert len(space.singles()) == len({space.path(s) for s in space.singles()}) == count


def test_a_longest_path_leaves_out_what_would_be_longer():
    short = Edits(Limits(depth=28, max_length=42, protect_first=0)).singles()
    assert len(short) == 530 - 25, "four copies of any of 25 blocks of four"


def test_segments_are_skipped_or_run_twice():
    space = Segments(Limits(depth=8, max_length=12))
    assert space.path(()) == tuple(range(8))
    assert space.path(((1, 2, False), (4, 2, True))) == (0, 3, 4, 5, 4, 5, 6, 7)
    assert space.path(((1, 1, True), (2, 1, True))) == (0, 1, 1, 2, 2, 3, 4, 5, 6, 7)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("ops", ["skip", "repeat", "both"])
def test_programs_keep_all_bounds(space, ops):
    space = SPACES[space](Limits(depth=10, ops=ops, max_length=13, protect_first=2, protect_last=1))
    for seed in range(60):
        for state in walk(space, seed):
            path = space.path(state)
            assert 0 < len(path) <= 13
            assert path[:2] == (0, 1) and path[-1] == 9
            assert set(path) <= set(range(10))
            if ops == "skip":
                assert list(path) == sorted(set(path))
            if ops == "repeat":
                assert set(path) == set(range(10))


def test_edits_act_on_the_path_as_it_is_and_segments_on_every_layer_once():
    limits = Limits(depth=6, max_length=40, protect_first=0)
    thrice = [p for seed in range(200) for p in walk(Edits(limits), seed) if max(map(p.count, p)) > 5]
    assert thrice, "a copy can be repeated again"
    for seed in range(100):
        space = Segments(limits)
        for state in walk(space, seed):
            assert max(map(space.path(state).count, range(6))) <= 2
            taken = [layer for start, k, _ in state for layer in range(start, start + k)]
            assert len(taken) == len(set(taken))


@pytest.mark.parametrize("space", SPACES)
def test_singles_are_what_one_action_can_reach(space):
    space = SPACES[space](Limits(depth=6, max_length=8, max_block=2, max_repeats=2, protect_first=1))
    draw = random.Random(0)
    reached = {space.edit(space.root, draw) for _ in range(4000)} - {None}
    assert {space.path(s) for s in reached} == {space.path(s) for s in space.singles()}


def test_both_actions_and_all_sizes_are_drawn_alike():
    space, draw = Edits(Limits(depth=30, max_length=60, protect_first=1)), random.Random(0)
    lengths = [len(space.edit(space.root, draw)) - 30 for _ in range(8000)]
    assert sum(n < 0 for n in lengths) / 8000 == pytest.approx(0.5, abs=0.03)
    for k in range(1, 5):
        assert lengths.count(-k) / 8000 == pytest.approx(1 / 8, abs=0.02)


def test_bounds_that_leave_no_path_are_refused():
    with pytest.raises(ValueError, match="leave no layer of 4"):
        Limits(depth=4, protect_first=3, protect_last=1)
    with pytest.raises(ValueError, match="max_len_ratio"):
        Limits(depth=4, max_length=3)


@pytest.mark.parametrize(
    ("path", "text"),
    [((0, 1, 2), "0-2"), ((0, 1, 1, 2, 5), "0-1 1-2 5"), ((3,), "3"), ((), ""), ((4, 3), "4 3")],
)
def test_a_path_is_written_in_runs_and_read_again(path, text):
    assert path_text(path) == text
    assert read_path(text) == path


def test_the_front_has_the_paths_that_no_other_dominates():
    tried = [((0, 1, 2), True), ((0, 1), True), ((0,), False), ((1,), False), ((0, 2), True), ((0, 1, 2, 3), True)]
    assert pareto(tried) == [((0,), False), ((0, 1), True)]
    assert pareto([((0,), True), ((0, 1), False)]) == [((0,), True)]
    assert pareto([]) == []


def test_entropy_of_the_full_path_is_that_of_equal_use():
    assert layer_entropy([tuple(range(32))]) == pytest.approx(math.log(32))
    assert layer_entropy([(0, 0), (1, 1)]) == pytest.approx(math.log(2))
    assert math.isnan(layer_entropy([]))
    assert str(layer_entropy([(3, 3)])) == "0.0", "and not -0.0"

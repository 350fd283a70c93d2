"""What may be chosen for a key, and in which order a grid takes it."""

from __future__ import annotations

import pytest
from rk_sweep.choosers import Grid, Sampled
from rk_sweep.space import Range, check, grid, overrides

from rk import UserError


def test_a_grid_is_every_choice_with_the_last_key_changing_fastest():
    space = {"a": [1, "x"], "b": Range(0, 2), "c": Range(0.0, 0.5, step=0.25)}
    found = list(grid(space))
    assert len(found) == 2 * 3 * 3
    assert found[:4] == [
        {"a": 1, "b": 0, "c": 0.0},
        {"a": 1, "b": 0, "c": 0.25},
        {"a": 1, "b": 0, "c": 0.5},
        {"a": 1, "b": 1, "c": 0.0},
    ]
    assert list(Grid(space).choices()) == found


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({}, "the space of the sweep is empty"),
        ({"a": []}, "space.a: the list of values is empty"),
        ({"a": Range(2, 1)}, "space.a: low must be at most high, got 2 and 1"),
        ({"a": Range(0, 1, log=True)}, "space.a: low must be above 0 where log is true, got 0"),
        ({"a": Range(1, 9, log=True, step=2)}, "space.a: step does not go with log"),
        ({"a": Range(1, 9, step=-1)}, "space.a: step must be above 0, got -1"),
    ],
)
def test_a_space_in_which_nothing_can_be_chosen_is_refused(space, message):
    with pytest.raises(UserError) as error:
        check(space)
    assert error.value.message == message


def test_a_grid_of_a_range_without_a_step_is_refused():
    with pytest.raises(UserError, match=r"space.a: a grid needs a step"):
        next(grid({"a": Range(0.0, 1.0)}))


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_choices_depend_on_the_seed_and_the_scores_alone(sampler):
    space = {"lr": Range(1e-4, 1e-1, log=True), "width": Range(8, 64), "sizes": [[8], [8, 8]], "p": Range(0.0, 1.0)}

    def first(count: int, seed: int) -> list[dict]:
        chooser, found = Sampled(space, sampler, seed), []
        for values in chooser.choices():
            found.append(values)
            if len(found) == count:
                return found
            chooser.learn(None if len(found) == 3 else -values["lr"])
        raise AssertionError

    once = first(12, 0)
    assert once == first(12, 0)
    assert once != first(12, 1)
    for values in once:
        assert 1e-4 <= values["lr"] <= 1e-1 and 8 <= values["width"] <= 64 and 0 <= values["p"] <= 1
        assert isinstance(values["width"], int) and values["sizes"] in ([8], [8, 8])
    assert len({values["lr"] for values in once}) == 12


def test_tpe_comes_closer_to_the_best_value_than_random_choices():
    space = {"x": Range(0.0, 10.0)}

    def mean_distance(sampler: str) -> float:
        chooser, found = Sampled(space, sampler, 0), []
        for values in chooser.choices():
            found.append(abs(values["x"] - 7))
            chooser.learn(-found[-1])
            if len(found) == 40:
                return sum(found[20:]) / 20
        raise AssertionError

    assert mean_distance("tpe") < 0.6 * mean_distance("random")


def test_values_are_written_as_a_command_line_takes_them():
    assert overrides({"a.b": [8, 8], "c": "x: y", "d": None, "e": True}) == (
        "a.b=[8, 8]",
        'c="x: y"',
        "d=null",
        "e=true",
    )

"""Which differences between settings are noise, as far as their seeds show."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from rk.cli.compare import compare
from rk.report.noise import compared, groups, noise_in, noise_table


@pytest.fixture
def trained(written):
    """Writes one run for each value of ``test/accuracy``, with the seeds 1, 2, ..., and a learning rate."""

    def call(lr, *values, first=1, **info):
        recipe = written.recipe.replace("lr: 0.001", f"lr: {lr}")
        return [
            written(recipe.replace("seed: 1", f"seed: {first + i}"), [], metrics={"test/accuracy": value}, **info)
            for i, value in enumerate(values)
        ]

    return call


def marks(runs):
    found = groups(runs)
    return noise_table(found, compared(found))


def test_runs_that_differ_in_the_seed_alone_are_one_group(trained):
    found = groups([*trained(0.1, 0.5, 0.6), *trained(0.2, 0.7), *trained(0.1, 0.8, first=9)])
    assert [(group.label, sorted(group.runs)) for group in found] == [("lr=0.1", [1, 2, 9]), ("lr=0.2", [1])]


def test_the_newest_run_of_a_seed_counts_once(trained):
    (group,) = groups([*trained(0.1, 0.5), *trained(0.1, 0.7)])
    assert group.values("test/accuracy") == {1: 0.7}


def test_only_finished_runs_count(trained):
    assert groups(trained(0.1, 0.5, status="running")) == []


def test_a_difference_whose_interval_includes_0_is_noise(trained):
    ((metric, one, other, difference),) = marks([*trained(0.1, 0.70, 0.80, 0.75), *trained(0.2, 0.78, 0.76, 0.77)])
    assert (metric, one, other) == ("test/accuracy", "0.75 ± 0.05 ~", "0.77 ± 0.01 *")
    assert difference.startswith("+0.02 (") and difference.endswith("p 0.375")  # + 0.08, - 0.04, + 0.02: three of eight


def test_a_difference_with_each_seed_is_none(trained):
    runs = [*trained(0.1, 0.70, 0.80, 0.75), *trained(0.2, 0.75, 0.85, 0.80)]
    assert marks(runs)[0][1:3] == ("0.75 ± 0.05", "0.8 ± 0.05 *"), "0.05 with each seed, although both spread as far"
    assert noise_in(runs) == [[]] * 6


def test_other_seeds_are_compared_without_pairs(trained):
    runs = [*trained(0.1, 0.70, 0.80, 0.75), *trained(0.2, 0.75, 0.85, 0.80, first=7)]
    ((_, one, _, difference),) = marks(runs)
    assert one.endswith("~") and "p " not in difference
    assert noise_in(runs) == [["test/accuracy"]] * 3 + [[]] * 3


def test_less_may_be_better(trained):
    runs = [*trained(0.1, 0.70, 0.71, 0.72), *trained(0.2, 0.30, 0.31, 0.32)]
    for run in runs:
        run.info["higher_is_better"] = {"accuracy": False}
    assert marks(runs)[0][1:3] == ("0.71 ± 0.01", "0.31 ± 0.01 *")


def test_a_single_seed_is_called_single_and_gets_no_mark(trained):
    found = groups([*trained(0.1, 0.7), *trained(0.2, 0.8, 0.9), *trained(0.3, 0.1, 0.2)])
    (row,) = noise_table(found, compared(found))
    assert row == ("test/accuracy", "0.7 (single seed)", "0.85 ± 0.071 *", "0.15 ± 0.071")


def test_a_seed_without_a_number_does_not_count(trained):
    assert marks([*trained(0.1, 0.7, None, 0.72), *trained(0.2, 0.8, 0.9, 0.82)])[0][1] == "0.71 ± 0.014"


@pytest.mark.parametrize(
    ("values", "said"),
    [(((0.7,), (0.8,)), "single seeds cannot distinguish"), (((0.7, 0.8), (0.7, 0.9)), "* the best mean; ~ noise")],
)
def test_the_command_says_what_is_noise(values, said, trained):
    paths = [str(run.folder.path) for lr, own in zip((0.1, 0.2), values, strict=True) for run in trained(lr, *own)]
    done = CliRunner().invoke(compare, paths, standalone_mode=False)
    assert done.exception is None and said in done.output


def test_seeds_of_the_same_settings_are_not_compared_with_each_other(trained):
    paths = [str(run.folder.path) for run in trained(0.1, 0.5, 0.6)]
    done = CliRunner().invoke(compare, paths, standalone_mode=False)
    assert done.exception is None and "noise" not in done.output

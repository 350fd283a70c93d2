"""Intervals and tests over a few seeds: numbers known by hand, and scipy's."""

from __future__ import annotations

import math

import pytest

from rk.report.seeds import DRAWS, MAX_EXACT, mean_interval, paired, sign_flip_p, t_quantile, too_few, unpaired


@pytest.fixture(scope="module")
def stats():
    """scipy's; imported here, as every pytest imports the test files."""
    from scipy import stats

    return stats


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 6, 9, 10, 29, 200])
def test_the_quantile_is_students(freedom, stats):
    assert t_quantile(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-10)


def test_the_interval_of_a_mean_is_students(stats):
    found = mean_interval([0.90, 0.92, 0.94])  # 0.92 ± 4.303 x 0.02 / sqrt(3)
    assert (found.low, found.high) == (pytest.approx(0.8703, abs=1e-4), pytest.approx(0.9697, abs=1e-4))
    values = [0.3, 0.7, 0.2, 0.9, 0.5]
    wanted = stats.t.interval(0.95, 4, loc=0.52, scale=stats.sem(values))
    assert (found := mean_interval(values)) is not None and (found.low, found.high) == pytest.approx(wanted)


def test_one_value_has_no_interval_and_equal_values_have_one_without_width():
    assert mean_interval([0.9]) is None and mean_interval([]) is None
    assert str(mean_interval([0.5, 0.5, 0.5])) == "no spread"


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_has_no_interval(value):
    with pytest.raises(ValueError, match="must be finite"):
        mean_interval([0.5, value])


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        ([1, 2, 3], 1 / 8),
        ([1, 2, -1], 3 / 8),  # as large as 2: + + +, + + -, - + + of eight
        ([-1, -2, -3], 1.0),
        ([0, 0, 0], 1.0),
        ([0.1, 0.1, 0.1, 0.1, 0.1], 1 / 32),
        ([0.3, 0.1, 0.2, -0.1], 3 / 16),  # sums of 0.5 or more, which rounding must not part: one of 0.7, two of 0.5
    ],
)
def test_the_p_value_is_the_share_of_signs_with_as_large_a_sum(differences, p):
    assert sign_flip_p(differences) == p


@pytest.mark.parametrize("count", [3, 6, 10])
def test_the_p_value_is_that_of_scipys_permutation_test(count, stats):
    differences = [math.sin(i * i) + 0.3 for i in range(count)]
    wanted = stats.permutation_test(
        (differences,),
        lambda x, axis: x.sum(axis=axis),
        permutation_type="samples",
        alternative="greater",
        n_resamples=math.inf,
        vectorized=True,
    )
    assert sign_flip_p(differences) == pytest.approx(wanted.pvalue, abs=1e-12)


def test_many_pairs_are_tested_with_random_signs(stats):
    differences = [math.sin(i * i) + 0.3 for i in range(MAX_EXACT + 4)]
    exact = stats.permutation_test(
        (differences,),
        lambda x, axis: x.sum(axis=axis),
        permutation_type="samples",
        alternative="greater",
        n_resamples=100_000,
        rng=1,
        vectorized=True,
    ).pvalue
    assert sign_flip_p(differences) == pytest.approx(exact, abs=5 * math.sqrt(exact / DRAWS))


def test_methods_are_compared_over_the_seeds_that_both_have():
    found = paired({1: 0.9, 2: 0.8, 3: 0.7, 8: 0.0}, {3: 0.5, 2: 0.5, 1: 0.5, 9: 1.0}, more=True)
    assert found.seeds == 3 and found.mean == pytest.approx(0.3) and found.p == 1 / 8
    less = paired({1: 0.1, 2: 0.2}, {1: 0.5, 2: 0.5}, more=False)
    assert less.mean == pytest.approx(0.35)


@pytest.mark.parametrize("gone", [None, math.nan, math.inf])
def test_a_seed_without_a_number_is_left_out(gone):
    found = paired({1: 0.9, 2: 0.8, 3: gone}, {1: 0.5, 2: 0.5, 3: 0.5}, more=True)
    assert found.seeds == 2
    assert paired({1: 0.9, 2: gone}, {1: 0.5, 2: 0.5}, more=True) is None


def test_single_seeds_and_other_seeds_cannot_be_compared():
    assert paired({1: 0.9}, {1: 0.1}, more=True) is None
    assert paired({1: 0.9, 2: 0.9}, {3: 0.1, 4: 0.1}, more=True) is None
    assert unpaired([0.9], [0.1, 0.2], more=True) is None


def test_seeds_of_ones_own_are_compared_by_welchs_interval(stats):
    a, b = [0.9, 0.8, 0.7, 0.95], [0.5, 0.3, 0.45]
    found = unpaired(a, b, more=True)
    wanted = stats.ttest_ind(a, b, equal_var=False)
    half = (found.interval.high - found.interval.low) / 2
    error = half / t_quantile(math.floor(wanted.df))
    assert found.mean / error == pytest.approx(wanted.statistic) and found.p is None
    assert found.shown and not unpaired([0.5, 0.7], [0.5, 0.65], more=True).shown
    assert unpaired([0.5, 0.5], [0.4, 0.4], more=True).shown, "no spread at all"
    assert unpaired(a, b, more=False).mean == pytest.approx(-found.mean)
    assert unpaired(a, b, more=False).reversed


@pytest.mark.parametrize(
    ("differences", "shown", "reversed_", "noise"),
    [
        pytest.param([0.30, 0.31, 0.32], True, False, False, id="three that agree"),
        pytest.param([-0.30, -0.31, -0.32], False, True, False, id="the wrong sign"),
        pytest.param([0.30, 0.01, 0.60], False, False, True, id="three that agree, and spread too far"),
        pytest.param([0.5, 0.6, -0.01, 0.6, 0.5, 0.6], True, False, False, id="one of six against it"),
        pytest.param([1.0, 1.0, 1.0, 1.0, -0.1], False, False, False, id="one of five against it: p is 2/32"),
        pytest.param([0.1, 0.1, 0.1], True, False, False, id="no spread"),
        pytest.param([0.0, 0.0, 0.0], False, False, True, id="no difference"),
    ],
)
def test_a_difference_is_shown_when_interval_and_test_agree(differences, shown, reversed_, noise):
    found = paired(dict(enumerate(differences)), dict.fromkeys(range(len(differences)), 0.0), more=True)
    assert (found.shown, found.reversed, found.is_noise) == (shown, reversed_, noise)


def test_what_three_seeds_cannot_show_is_printed():
    assert too_few(3) == "3 seeds cannot show p < 0.05: the least p of a sign-flip test over them is 0.125"
    assert too_few(5) == ""


def test_a_difference_is_shown_with_its_interval_and_p():
    found = paired({1: 0.9, 2: 0.9, 3: 0.9}, {1: 0.5, 2: 0.5, 3: 0.5}, more=True)
    assert str(found) == "+0.4 (no spread), p 0.125"

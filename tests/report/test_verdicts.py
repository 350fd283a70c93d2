"""Every verdict, from numbers whose right verdict is known by hand."""

from __future__ import annotations

import math

import pytest

from rk.recipe.sections import Expect, Multiple
from rk.report.verdicts import MEANINGS, Sample, verdict


def sample(*values, name="test/accuracy", seeds=None, **others):
    seeds = range(1, len(values) + 1) if seeds is None else seeds
    metrics = {name: dict(zip(seeds, values, strict=True))}
    metrics |= {k.replace("_", "/", 1): dict(zip(seeds, v, strict=True)) for k, v in others.items()}
    return Sample(metrics, {"accuracy": True, "loss": False, "error": False})


def said(own, baseline=None, metric="test/accuracy", **claim):
    if baseline is not None:
        claim.setdefault("baseline", "plain")
    return verdict(Expect(metric, **claim), metric, own, baseline).text


FAR = sample(0.10, 0.11, 0.12)
"""An accuracy of 0.11 where the paper has 0.81."""


def test_a_number_far_from_the_papers_is_never_reached():
    assert said(FAR, paper=0.81, at_least=0.07) == "own bar only"
    assert said(FAR, paper=0.81) == "not shown"
    assert said(FAR, sample(0.01, 0.01, 0.02), paper=0.81, at_least=0.07) == "in order"
    assert said(FAR, paper=0.81, at_least=0.07, refuted="the width is too small") == "refuted here"
    assert said(FAR, paper=0.81, at_least=0.2) == "NOT REACHED"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([0.94, 0.95, 0.96], "paper reached", id="above it"),
        pytest.param([0.915, 0.92, 0.91], "paper reached", id="below it, within the interval"),
        pytest.param([0.900, 0.901, 0.902], "own bar only", id="below it, and sure of it"),
        pytest.param([0.80, 0.90, 0.99], "own bar only", id="an interval that holds the bar too"),
        pytest.param([0.95], "paper reached", id="a single seed above it"),
        pytest.param([0.919], "own bar only", id="a single seed just below it"),
        pytest.param([0.92, 0.92, 0.92], "paper reached", id="equal, without spread"),
        pytest.param([0.91, 0.91, 0.91], "own bar only", id="below, without spread"),
        pytest.param([0.94, None, 0.96], "NOT REACHED", id="one seed without a number"),
        pytest.param([0.94, math.nan, 0.96], "NOT REACHED", id="one seed of NaN"),
        pytest.param([math.inf], "NOT REACHED", id="infinite"),
    ],
)
def test_the_papers_number_is_reached_within_the_interval(values, expected):
    assert said(sample(*values), paper=0.92, at_least=0.85) == expected


def test_without_a_bar_the_mean_itself_must_reach_the_paper():
    assert said(sample(0.915, 0.92, 0.91), paper=0.92) == "not shown"
    assert said(sample(0.93, 0.92, 0.92), paper=0.92) == "paper reached"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([2.12, 2.125, 2.13], "paper reached"),
        ([2.14, 2.141, 2.142], "own bar only"),
        ([2.18, 2.18, 2.2], "NOT REACHED"),
    ],
)
def test_less_may_be_better(values, expected):
    own = sample(*values, name="test/error")
    assert said(own, metric="test/error", paper=2.12, at_most=2.17) == expected


def test_the_bar_says_which_side_is_better_where_the_metric_does_not():
    own = sample(0.10, 0.11, 0.12)  # an accuracy that should be low
    assert said(own, paper=0.2, at_most=0.3) == "paper reached"
    assert said(own, paper=0.05, at_most=0.3) == "own bar only"


def test_a_bar_may_be_a_multiple_of_another_metric():
    own = sample(0.90, 0.92, 0.91, test_error=[0.2, 0.2, 0.2])
    assert said(own, at_least_times=Multiple("test/error", 4), paper=0.95) == "own bar only"
    assert said(own, at_least_times=Multiple("test/error", 5), paper=0.95) == "NOT REACHED"


def test_a_number_of_other_conditions_is_not_compared():
    assert said(sample(0.95, 0.95, 0.96), paper=0.9, at_least=0.8, differs="MNIST") == "own bar only"
    assert said(sample(0.5, 0.51, 0.5), paper=0.9, at_least=0.4, differs="MNIST", refuted="x") == "own bar only"


# -- the order ---------------------------------------------------------------------------------------------------------

OWN = sample(0.90, 0.91, 0.92)


@pytest.mark.parametrize(
    ("baseline", "expected"),
    [
        pytest.param(sample(0.50, 0.52, 0.51), "in order", id="each seed is better"),
        pytest.param(sample(0.50, 0.95, 0.51), "own bar only", id="one seed is not"),
        pytest.param(sample(0.89, 0.60, 0.70), "own bar only", id="the differences spread too far"),
        pytest.param(sample(0.95, 0.96, 0.97), "own bar only", id="the wrong sign"),
        pytest.param(sample(0.90, 0.91, 0.92), "own bar only", id="the same numbers"),
        pytest.param(sample(0.50), "own bar only", id="a single seed of the baseline"),
        pytest.param(sample(0.50, 0.50, 0.50, seeds=[7, 8, 9]), "own bar only", id="other seeds"),
        pytest.param(sample(0.50, 0.51, 0.52, seeds=[1, 2, 9]), "in order", id="two seeds in common"),
        pytest.param(sample(None, None, None), "own bar only", id="a baseline without numbers"),
        pytest.param(None, "own bar only", id="no baseline"),
        pytest.param(sample(0.5, 0.5, 0.5, name="test/loss"), "own bar only", id="a baseline without the metric"),
    ],
)
def test_the_order_is_shown_by_paired_seeds(baseline, expected):
    assert said(OWN, baseline, at_least=0.85, paper=0.99) == expected


def test_less_may_be_better_in_the_order_too():
    own, worse = sample(0.1, 0.11, 0.12, name="test/loss"), sample(0.5, 0.51, 0.52, name="test/loss")
    assert said(own, worse, "test/loss", at_most=0.2) == "in order"
    assert said(worse, own, "test/loss", at_most=0.6) == "own bar only"
    assert said(worse, own, "test/loss") == "refuted here"


def test_of_ten_seeds_one_may_be_against_it():
    own = sample(0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.6)
    rest = sample(0.7, 0.72, 0.7, 0.71, 0.7, 0.7, 0.73, 0.7, 0.7, 0.62)
    found = verdict(Expect("test/accuracy", at_least=0.8, baseline="plain"), "test/accuracy", own, rest)
    assert found.text == "in order" and found.difference.p == pytest.approx(2 / 1024)


def test_a_bar_on_the_baseline_counts_with_the_bound():
    worse = sample(0.50, 0.52, 0.51)
    assert said(OWN, worse, better_by=0.3) == "in order"
    assert said(OWN, worse, better_by=0.5) == "NOT REACHED"
    assert said(OWN, worse, times_baseline=1.5) == "in order"
    assert said(OWN, worse, times_baseline=2.0, refuted="the baseline learns it too") == "refuted here"


def test_the_bound_and_the_bar_on_the_baseline_must_both_be_kept():
    worse = sample(0.50, 0.52, 0.51)
    assert said(OWN, worse, at_least=0.95, better_by=0.3) == "NOT REACHED"
    assert said(OWN, worse, at_least=0.85, better_by=0.5) == "NOT REACHED"


def test_a_bar_of_many_times_the_baseline_is_not_what_the_difference_is_taken_from():
    claim = Expect("test/accuracy", baseline="plain", times_baseline=1.7)
    assert verdict(claim, "test/accuracy", OWN, sample(0.50, 0.51, 0.52)).difference.mean == pytest.approx(0.4)


def test_no_worse_than_a_part_of_the_baseline_is_an_order_too():
    better = sample(0.91, 0.92, 0.93)  # by 0.01: OWN has 0.989 of it
    assert said(OWN, better, times_baseline=0.98) == "in order"
    assert said(OWN, better, times_baseline=0.999) == "NOT REACHED"
    own, less = sample(0.52, 0.51, 0.5, name="test/loss"), sample(0.5, 0.49, 0.48, name="test/loss")
    assert said(own, less, "test/loss", times_baseline=1.1) == "in order"


def test_a_claim_of_an_order_alone_is_shown_refuted_or_not_shown():
    assert said(OWN, sample(0.50, 0.52, 0.51)) == "in order"
    assert said(OWN, sample(0.95, 0.965, 0.97)) == "refuted here"
    assert said(OWN, sample(0.50, 0.95, 0.51)) == "not shown"


# -- causes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "baseline", "expected"),
    [
        pytest.param(sample(0.95, 0.96, 0.95), None, "paper reached", id="it is reached"),
        pytest.param(OWN, sample(0.5, 0.5, 0.52), "in order", id="the order holds"),
        pytest.param(sample(0.90, 0.87, 0.93), None, "own bar only", id="the interval does not show it"),
        pytest.param(sample(0.90), None, "own bar only", id="a single seed does not show it"),
    ],
)
def test_a_cause_makes_no_verdict(own, baseline, expected):
    assert said(own, baseline, paper=0.95, at_least=0.86, refuted="a cause") == expected


def test_what_claims_nothing_gets_no_verdict():
    assert said(OWN) == ""
    assert said(sample(None)) == "NOT REACHED"


def test_every_verdict_has_a_meaning_and_a_rank():
    own = {verdict(Expect("test/accuracy", at_least=0.5), "test/accuracy", OWN).text}
    assert own <= MEANINGS.keys() and next(iter(MEANINGS)) == "paper reached" and list(MEANINGS)[-1] == "NOT REACHED"

"""The claims of this repository's recipes were run with the current recipes, and docs/results shows them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from rk.catalog import Catalog
from rk.recipe import check_recipe
from rk.recipe.find import find_recipe, packaged
from rk.report.verdicts import PAPER, UNTESTABLE
from rk.reproduce.ledger import NO_CAUSE, STALE_CAUSE, ledger
from rk.reproduce.pages import write_pages
from rk.reproduce.plan import Reproduction, plan
from rk.reproduce.results import FILE, read_results

ROOT = Path(__file__).parent.parent
FOLDERS = sorted(
    {path.parent for path in [*ROOT.glob("plugins/*/src/*/recipes/*.yaml"), *ROOT.glob("recipes/**/*.yaml")]}
)


@pytest.fixture(scope="module")
def catalog():
    """All that is installed, its sources read once."""
    return Catalog()


@pytest.fixture(scope="module")
def items(catalog):
    """All recipes of the repository that claim something, in the order of the page."""
    return plan(tuple(map(str, FOLDERS)), catalog)


@pytest.fixture(scope="module")
def results():
    found = {}
    for folder in FOLDERS:
        found |= read_results(folder / FILE)
    return found


@pytest.fixture(scope="module")
def current(items, results, catalog):
    files = {f.name: f for item in items for f in (item.file, *item.baselines.values())}
    return {n: results[n].is_of(check_recipe(f, (), catalog).valid()) for n, f in files.items() if n in results}


def test_there_are_claims(items):
    assert len(items) >= 2


def test_every_claim_was_run_with_the_recipe_as_it_is_and_holds(items, results, current):
    lines = [line for item in items for line in ledger(item, results, current)]
    assert [(x.recipe, x.claim, x.reached, x.verdict) for x in lines if not x.holds] == [], "run rk reproduce RECIPE"


def test_what_the_numbers_refute_has_its_cause_and_nothing_else_has_one(items, results, current):
    lines = [line for item in items for line in ledger(item, results, current)]
    assert [(x.recipe, x.claim, x.verdict) for x in lines if x.why in (NO_CAUSE, STALE_CAUSE)] == []
    costly = {(item.file.name, claim.metric) for item in items for claim in item.recipe.expect if claim.cost}
    assert costly == {(x.recipe, x.metric) for x in lines if x.verdict == UNTESTABLE}, "remove the cost of what was run"


def test_no_number_that_is_further_from_the_papers_than_its_interval_is_called_reached(items, results):
    for item in items:
        for claim in item.recipe.expect:
            if claim.paper is None or item.file.name not in results:
                continue
            own = results[item.file.name]
            (line,) = ledger(replace_claims(item, claim), results, dict.fromkeys(results, True))
            numbers = own.numbers(line.metric)
            far = abs(own.mean(line.metric) - claim.paper) > 0.03 * abs(claim.paper)
            worse = (own.mean(line.metric) < claim.paper) == claim.wants_more(own.higher_is_better(line.metric))
            if far and worse:
                assert line.verdict != PAPER, (item.file.name, line.claim, numbers)


def replace_claims(item, claim):
    return Reproduction(item.file, SimpleNamespace(expect=[claim]), item.baselines)


def test_the_pages_of_results_are_what_reproduce_writes(items, results, current, tmp_path):
    lines = [line for item in items for line in ledger(item, results, current)]
    write_pages(tmp_path, items, lines, results)
    written = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    pages = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "results").iterdir()}
    assert pages == written, "make results"


def test_no_bar_is_so_low_that_the_baseline_meets_it(items, results):
    met = []
    for item in items:
        for claim in item.recipe.expect:
            ratio, name = claim.times_baseline, item.baseline_of(claim)
            if name is None or (ratio is None and claim.better_by is None):
                continue
            means = {metric: results[name].mean(metric) for metric in results[name].values["metrics"]}
            for metric in claim.among(means):
                more = results[name].higher_is_better(metric)
                no_worse = claim.better_by is None and ((ratio < 1) if more else (ratio > 1))  # that is all it claims
                if not no_worse and claim.met(means[metric], means):
                    met.append((item.file.name, metric, name))
    assert met == []


def test_no_result_is_of_an_older_recipe(results, catalog):
    files = {file.name: file for file in packaged(catalog.plugins)}
    files |= {path.stem: find_recipe(str(path), catalog.plugins) for path in ROOT.glob("recipes/**/*.yaml")}
    known = {name: measured.is_of(check_recipe(files[name], (), catalog).valid()) for name, measured in results.items()}
    assert [name for name, is_current in known.items() if not is_current] == [], "run rk reproduce RECIPE"


def test_every_result_is_of_an_existing_recipe(results, catalog):
    names = {r.name for r in packaged(catalog.plugins)} | {path.stem for path in ROOT.glob("recipes/**/*.yaml")}
    assert set(results) <= names

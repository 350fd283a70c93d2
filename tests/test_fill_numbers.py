"""Numbers in READMEs and recipe headers are those of `results.json`."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from rk.reproduce.results import Measured

ROOT = Path(__file__).parent.parent
SCRIPT = runpy.run_path(str(ROOT / "docs" / "fill_numbers.py"))
shown, filled, with_reached, reached = (SCRIPT[n] for n in ("shown", "filled", "with_reached", "reached"))
Unknown = SCRIPT["Unknown"]


def measured(seeds: list[int], **metrics: list[float | None]) -> Measured:
    named = {name.replace("_", "/", 1): values for name, values in metrics.items()}
    return Measured({"seeds": seeds, "metrics": named, "seconds": [2.0] * len(seeds)})


RESULTS = {
    "a": measured([1, 2, 3], test_loss=[0.5, 0.6, 0.7], test_accuracy=[0.91, 0.92, 0.96], test_area=[None, 0.9, 0.9]),
    "b": measured([1, 2, 3], test_loss=[0.4, 0.6, 0.5]),
    "one": measured([0], test_accuracy=[0.25]),
}


def test_every_number_of_the_repository_is_the_stored_one():
    found = {str(path.relative_to(ROOT)): SCRIPT["differences"](*texts) for path, *texts in SCRIPT["changed"]()}
    assert found == {}, "make results"


def test_the_run_that_the_readme_shows_is_the_stored_one():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    printed = dict(re.findall(r"^ ?(test/[\w-]+) +([\d.]+|FAIL)", text, re.MULTILINE))
    run = SCRIPT["stored"]()["pointer-net/convex-hull-quick"]
    assert run.seeds[0] == 1 and len(printed) >= 4
    assert printed == {name: SCRIPT["number"](run.values["metrics"][name][0]) for name in printed}


@pytest.mark.parametrize(
    ("what", "text", "expected"),
    [
        ("a test/loss", "0.1", "0.6"),
        ("a test/loss", "9.999", "0.600"),
        ("a test/loss", "0.1 ± 0.99", "0.6 ± 0.10"),
        ("a test/loss se", "0.1 ± 0.999", "0.6 ± 0.058"),
        ("a test/accuracy", "1.0%", "93.0%"),
        ("a test/accuracy", "1% ± 1.0%", "93% ± 2.6%"),
        ("a test/accuracy x100", "1.0", "93.0"),
        ("a test/accuracy seed=2", "0.11", "0.92"),
        ("a test/accuracy min", "0.1", "0.9"),
        ("a test/accuracy max", "0.11", "0.96"),
        ("a test/loss - b test/loss", "0.11 ± 0.99", "0.10 ± 0.10"),
        ("a seeds", "1", "3"),
        ("a seconds", "1", "2"),
        ("one test/accuracy", "0.11 ± 0.01", "0.25"),
    ],
)
def test_a_number_is_written_as_it_was(what, text, expected):
    assert shown(what, text, RESULTS) == expected


@pytest.mark.parametrize(
    ("what", "text", "message"),
    [
        ("gone test/loss", "0.1", "no result is stored"),
        ("a test/gone", "0.1", "no test/gone is stored"),
        ("a test/area", "0.1", "no test/area is stored"),
        ("a test/loss seed=9", "0.1", "no such seed"),
        ("a", "0.1", "must be 'RECIPE METRIC'"),
        ("a test/loss", "about 0.1", "must be a number"),
    ],
)
def test_a_marker_that_cannot_be_looked_up_is_reported_with_the_reason(what, text, message):
    with pytest.raises(Unknown, match=re.escape(message)):
        shown(what, text, RESULTS)


def test_a_page_gets_the_stored_numbers_and_nothing_else_of_it_changes():
    page = "| **<!-- result: a test/loss -->0.7<!-- /result -->** | 0.7 | <!-- result: a seeds -->2<!-- /result --> |\n"
    right = (
        "| **<!-- result: a test/loss -->0.6<!-- /result -->** | 0.7 | <!-- result: a seeds -->3<!-- /result --> |\n"
    )
    assert filled(page, RESULTS) == right
    assert filled(right, RESULTS) == right


def test_a_marker_without_its_end_is_refused():
    with pytest.raises(Unknown, match="has no"):
        filled("<!-- result: a test/loss -->0.7", RESULTS)


def test_a_header_has_what_was_reached_as_its_last_line():
    recipe = "# Title.\n#\n#   rk train x\nrk: 1\n# a comment of the body\n"
    line = reached(RESULTS["a"], ["test/accuracy", "test/loss"])
    assert line == "# reached: test/accuracy 0.93 ± 0.026, test/loss 0.6 ± 0.1 (3 seeds)"
    whole = f"# Title.\n#\n#   rk train x\n#\n{line}\nrk: 1\n# a comment of the body\n"
    assert with_reached(recipe, line) == whole
    assert with_reached(whole, line) == whole
    assert with_reached(whole, None) == recipe
    assert reached(RESULTS["one"], ["test/accuracy"]) == "# reached: test/accuracy 0.25 (seed 0)"


def test_a_long_line_is_broken_and_taken_back_whole():
    long = measured([1], **{f"test_number-{i}-of-several": [0.123456] for i in range(8)})
    line = reached(long, long.values["metrics"])
    assert "\n#   " in line and max(map(len, line.split("\n"))) <= 120
    recipe = "# Title.\nrk: 1\n"
    assert with_reached(with_reached(recipe, line), None) == recipe


def test_prose_of_a_header_repeats_no_result():
    said = re.compile(r"\b(accuracy|perplexity|squared error|coverage|mean length|mean)( of| is| has)? \d*\.\d")
    found = []
    for path in [*ROOT.glob("plugins/*/src/*/recipes/*.yaml"), *ROOT.glob("recipes/**/*.yaml")]:
        head = re.match(r"(?:#.*\n)*", path.read_text(encoding="utf-8"))[0]
        prose = (
            head.partition("# reached:")[0].replace("squared error of .167", "").replace("squared error of 0.167", "")
        )
        found += [f"{path.name}: {match[0]}" for match in said.finditer(prose)]
    assert found == [], "leave it to the line '# reached:'"

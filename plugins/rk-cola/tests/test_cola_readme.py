"""The README's numbers of recipes are those in results.json."""

import json
from pathlib import Path
from statistics import fmean

import pytest

PLUGIN = Path(__file__).parents[1]
RESULTS = json.loads((PLUGIN / "src/rk_cola/recipes/results.json").read_text())["results"]
COLUMNS = ("accuracy", "accuracy@oracle", "accuracy@control", "accuracy@oracle-over-control", "accuracy@pass-at-n")


@pytest.mark.parametrize("name", [n for n, found in RESULTS.items() if "test/accuracy@oracle" in found["metrics"]])
def test_the_readme_has_the_measured_numbers(name):
    lines = (PLUGIN / "README.md").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith(f"| `{name}` |")]
    seeds, *numbers = [cell.strip() for cell in line.strip("|").split("|")][1:]
    assert int(seeds) == len(RESULTS[name]["seeds"])
    measured = RESULTS[name]["metrics"]
    assert numbers == [f"{fmean(measured[f'test/{column}']):.3f}" for column in COLUMNS]

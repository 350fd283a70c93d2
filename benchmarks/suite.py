"""The cost of the tests: core-seconds by plugin, against the budget of each.

    python benchmarks/suite.py            runs all tests on all cores and prints the table
    python benchmarks/suite.py FOLDER     reads what `pytest --rk-times=FOLDER` has written

Exit code 1 when all tests together take more than `TOTAL`, or a paper's plugin more than its `BUDGET`, its share of the
contract kit included. The times are CPU seconds of the tests, their fixtures and the programs that they start. What
importing large libraries costs is counted by itself, as the host's: the first test that needs one would pay for all.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent
BUDGET = 15.0
"""Core-seconds of a paper's plugin."""
CORES = 2
TOTAL = 12 * 60.0 * CORES
"""Core-seconds of all tests: twelve minutes on two cores."""
DOMAINS = {"rk-sequence", "rk-vision", "rk-kernels", "rk-lm"}
"""Plugins that papers share: their tests serve many papers."""


def owner(test: str) -> str:
    """Returns whose test it is: a plugin's folder name, or the host's part of the tests."""
    if test == "collection":
        return test
    if test == "imports":
        return "host: imports"
    parts = test.split("::")[0].split("/")
    if parts[0] == "plugins":
        return parts[1]
    return f"host: {parts[1]}" if len(parts) > 2 else "host"


def read(folder: Path) -> dict[str, float]:
    """Returns test -> core-seconds, from all files of a run."""
    found: Counter[str] = Counter()
    for path in folder.glob("*.tsv"):
        for line in path.read_text(encoding="utf-8").splitlines():
            test, seconds = line.rsplit("\t", 1)
            found[test] += float(seconds)
    return dict(found)


def over(sums: Mapping[str, float]) -> list[str]:
    """Returns what takes more than its budget: plugins, and `all`."""
    found = [n for n, s in sums.items() if n.startswith("rk-") and n not in DOMAINS and s > BUDGET]
    return [*found, "all"] if sum(sums.values()) > TOTAL else found


def table(sums: Mapping[str, float], tests: int) -> list[str]:
    """Returns the lines of the table: core-seconds by plugin, the most first, and of all."""
    broken = over(sums)
    total = sum(sums.values())
    rows = [*sorted(sums.items(), key=lambda row: -row[1]), ("all", total)]
    lines = [f"{name:24} {seconds:8.1f}{'  over its budget' if name in broken else ''}" for name, seconds in rows]
    return [*lines, f"{tests} tests; {total / 60 / CORES:.1f} minutes on {CORES} cores, of {TOTAL / 60 / CORES:.0f}"]


def main() -> None:
    if len(sys.argv) > 1:
        tests = read(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as scratch:
            spread = ["-n", "logical", "--dist", "loadfile", "--no-loadscope-reorder"]
            command = [sys.executable, "-m", "pytest", "-q", *spread, f"--rk-times={scratch}"]
            subprocess.run(command, cwd=ROOT, check=False)
            tests = read(Path(scratch))
    sums: Counter[str] = Counter()
    for test, seconds in tests.items():
        sums[owner(test)] += seconds
    for line in table(sums, len(tests)):
        print(line)
    print("\nthe slowest tests")
    for test, seconds in Counter(tests).most_common(25):
        print(f"{seconds:8.1f}  {test}")
    raise SystemExit(bool(over(sums)))


if __name__ == "__main__":
    main()

"""What the tests cost: core-seconds by plugin, against the budget of each.

    python benchmarks/suite.py            runs all tests on all cores and prints the table
    python benchmarks/suite.py FOLDER     reads what `pytest --rk-times=FOLDER` has written

Exit code 1 when a paper's plugin takes more than its budget, its share of the contract kit included.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parent.parent
BUDGET = 15.0
"""Core-seconds of a paper's plugin."""
DOMAINS = {"rk-sequence", "rk-vision", "rk-kernels", "rk-lm"}
"""Plugins that papers stand on: their tests are those of many."""
_KIT = re.compile(r"tests/testing/test_every_plugin\.py::Test(\w+)::")


def owner(test: str, plugins: dict[str, str]) -> str:
    """Returns whose test it is: a plugin's folder name, or the host's part of the tests."""
    if match := _KIT.match(test):
        return plugins.get(match[1].lower(), "host: kit")
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


def main() -> None:
    if len(sys.argv) > 1:
        tests = read(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as scratch:
            command = ["-m", "pytest", "-q", "-n", "logical", "--dist", "loadfile", f"--rk-times={scratch}"]
            subprocess.run([sys.executable, *command], cwd=ROOT, check=False)
            tests = read(Path(scratch))
    plugins = {path.name.removeprefix("rk-").replace("-", ""): path.name for path in (ROOT / "plugins").iterdir()}
    sums: Counter[str] = Counter()
    for test, seconds in tests.items():
        sums[owner(test, plugins)] += seconds
    over = [n for n, s in sums.items() if n.startswith("rk-") and n not in DOMAINS and s > BUDGET]
    for name, seconds in sums.most_common():
        print(f"{name:24} {seconds:8.1f}{'  over its budget' if name in over else ''}")
    print(f"{'all':24} {sum(sums.values()):8.1f} core-seconds, {len(tests)} tests")
    print("\nthe slowest tests")
    for test, seconds in Counter(tests).most_common(25):
        print(f"{seconds:8.1f}  {test}")
    raise SystemExit(bool(over))


if __name__ == "__main__":
    main()

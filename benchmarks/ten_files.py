"""Real tables of others, each trained by two commands: the network, boosted trees, and a linear model side by side.

    python benchmarks/ten_files.py                             all tables, one seed: some minutes
    python benchmarks/ten_files.py --seeds 3 --write           puts the table into the README of rk-tabular
    python benchmarks/ten_files.py --only wine iris

For each table and each model, what a user would type:

    rk recipes init FILE.csv --model MODEL
    rk train FILE.yaml

Tables: those that scikit-learn ships, written as CSV files with names, and UCI's regression sets, as `rk train
kernels/yacht data.dataset=airfoil` downloads them (CSV in gzip files, without names); those that are not there are left
out. Numbers are means over seeds of the test split, with the standard deviation; a seed is a split, the same for each
model. Beside them, what the best constant answer reaches.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rk_tabular.examples import write_example
from rk_tabular.tables import TableClasses, TableNumbers

from rk.catalog import Catalog
from rk.cli import cli
from rk.files import data_folder
from rk.runs.folder import RunFolder
from rk.scaffold.recipe import propose

SHIPPED = ("breast-cancer", "wine", "iris", "diabetes")
UCI = ("airfoil", "autompg", "concrete", "energy", "housing", "red-wine")
MODELS = ("mlp", "boosted-trees", "linear")
Result = dict[str, Any]
"""The numbers of one table: name, metric, about, found and seconds by model."""
README = Path(__file__).resolve().parent.parent / "plugins" / "rk-tabular" / "README.md"
MARKS = ("<!-- ten-files -->", "<!-- /ten-files -->")


def put(name: str, folder: Path) -> Path:
    """Puts a table into a folder; returns its path."""
    if name in SHIPPED:
        return write_example(name, folder / f"{name}.csv")
    return Path(shutil.copy(source(name), folder / f"{name}.csv.gz"))


def source(name: str) -> Path:
    """Returns where a set of UCI is kept."""
    return data_folder() / "uci" / name.removeprefix("red-") / "data.csv.gz"


def commands(*lines: tuple[str, ...]) -> None:
    """Runs commands of rk in this process. Raises `SystemExit` when one fails."""
    for line in lines:
        code = cli([*line], standalone_mode=False)
        if code:
            sys.exit(f"rk {' '.join(line)}: exit code {code}")


def trained(path: Path, model: str, seed: int, catalog: Catalog) -> tuple[str, float, float, str]:
    """Returns metric, value, seconds and what is learned, for one model and seed."""
    recipe, runs = Path(f"{path.name.partition('.')[0]}-{model}.yaml"), Path("runs", f"{path.stem}-{model}-{seed}")
    start = time.perf_counter()
    commands(
        ("recipes", "init", str(path), "--model", model, "-o", str(recipe)),
        ("train", str(recipe), f"fit.seed={seed}", "fit.threads=1", "--runs-dir", str(runs)),
    )
    seconds = time.perf_counter() - start
    recipe.unlink()
    about = propose(path, catalog).draft.about
    metrics = next(RunFolder.all(runs)).read()["metrics"]
    metric = "accuracy" if "test/accuracy" in metrics else "rmse"
    return metric, metrics[f"test/{metric}"], seconds, about


def constant(path: Path, metric: str, seed: int, catalog: Catalog) -> float:
    """Returns what the best answer reaches that looks at no column: the commonest class, or the mean."""
    draft = propose(path, catalog).draft
    kind = TableClasses if metric == "accuracy" else TableNumbers
    data = kind(seed=seed, **{**draft.data, "file": path, "batch_size": 1_000_000})
    data.prepare()
    train, test = data.batch("train", 0)["targets"], data.batch("test", 0)
    if metric == "accuracy":
        return float((test["targets"] == train.mode().values).double().mean())
    answers = data.answers(test, {"values": train.mean().expand(len(test["targets"]), 1)})
    return math.sqrt(statistics.fmean((answer["target"] - answer["value"]) ** 2 for answer in answers))


def row(name: str, seeds: int, folder: Path) -> Result:
    """Returns all numbers of one table."""
    path, catalog = put(name, folder), Catalog()
    found: dict[str, list[float]] = {model: [] for model in ("constant", *MODELS)}
    seconds: dict[str, list[float]] = {model: [] for model in MODELS}
    metric = about = ""
    for seed in range(seeds):
        for model in MODELS:
            metric, value, taken, about = trained(path, model, seed, catalog)
            found[model].append(value)
            seconds[model].append(taken)
        found["constant"].append(constant(path, metric, seed, catalog))
    return {"name": name, "metric": metric, "about": about, "found": found, "seconds": seconds}


def shown(values: list[float], metric: str) -> str:
    """Returns a mean and its standard deviation over the seeds."""
    mean, spread = statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None
    written = f"{mean:.3f}" if metric == "accuracy" else f"{mean:.3g}"
    return written + (f" ± {spread:.2g}" if spread is not None else "")


def page(results: list[Result]) -> str:
    """Returns the results as a Markdown table."""
    lines = [
        "| table | | metric | constant | `mlp` | `boosted-trees` | `linear` |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for result in results:
        about = re.sub(r"^the (class|number) \S+ ", "", result["about"])
        cells = [shown(result["found"][model], result["metric"]) for model in ("constant", *MODELS)]
        means = [statistics.fmean(result["found"][model]) for model in MODELS]
        best = max(means) if result["metric"] == "accuracy" else min(means)
        cells = [cells[0], *(f"**{c}**" if m == best else c for c, m in zip(cells[1:], means, strict=True))]
        lines.append(f"| {result['name']} | {about} | {result['metric']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Trains, prints the table, and writes it where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=(*SHIPPED, *UCI), default=(*SHIPPED, *UCI))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--json", type=Path, help="a file that keeps finished tables, so that a second call resumes")
    given = parser.parse_args()
    given.json = given.json and given.json.absolute()
    kept: dict[str, Result] = json.loads(given.json.read_text()) if given.json and given.json.exists() else {}
    missing = [name for name in given.only if name in UCI and not source(name).exists()]
    if missing:
        print(f"left out, for they are not in {data_folder()}: {', '.join(missing)}")
    results = []
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for name in [name for name in given.only if name not in missing]:
            if name not in kept:
                kept[name] = row(name, given.seeds, Path(folder))
                if given.json:
                    given.json.write_text(json.dumps(kept))
            results.append(kept[name])
    table = page(results)
    print(table)
    for model in MODELS:
        taken = [seconds for result in results for seconds in result["seconds"][model]]
        print(f"{model}: {statistics.median(taken):.0f} s a table (median), at most {max(taken):.0f} s, both commands")
    if given.write:
        text = README.read_text(encoding="utf-8")
        before, rest = text.split(MARKS[0])
        README.write_text(f"{before}{MARKS[0]}\n{table}\n{MARKS[1]}{rest.split(MARKS[1])[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()

"""Reading a table of a million rows: rk_tabular.frame against polars alone and rk.reading's rows, cell by cell.

    python benchmarks/tabular.py                        a million rows of 20 columns
    python benchmarks/tabular.py --rows 100000

The file has numbers, whole numbers, dates, categories and gaps. polars alone guesses types from the first rows and
gives no lines. `read_frame` finds types from all cells, gaps, decimal marks, the line of each row, and rows of other
lengths. rk.reading gives texts without types; it is timed on a tenth of the rows. Last, what `prepare` costs: reading,
splitting, encoding. Ratios are of CPU seconds, which other programs on the machine change little.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
from rk_tabular.frame import read_frame
from rk_tabular.tables import TableNumbers

from rk.reading import read_rows


def write(path: Path, rows: int) -> None:
    """Writes a table of 20 columns: twelve floats, one with gaps; four whole numbers; three categories; a date."""
    rng = np.random.default_rng(0)
    columns: dict[str, pl.Series] = {f"x{i}": pl.Series(rng.normal(size=rows).round(6)) for i in range(10)}
    columns |= {f"n{i}": pl.Series(rng.integers(0, 10 ** (i + 1), rows)) for i in range(4)}
    words = np.array(["red", "green", "blue, or so", "white"])
    columns |= {f"c{i}": pl.Series(words[rng.integers(0, 4, rows)]) for i in range(3)}
    start = np.datetime64("2020-01-01")
    columns["day"] = pl.Series(start + rng.integers(0, 1000, rows).astype("timedelta64[D]"))
    gaps = pl.Series(rng.random(rows) < 0.1)
    columns["with_gaps"] = pl.Series(rng.normal(size=rows).round(4)).set(gaps, None)
    columns["y"] = pl.Series(rng.normal(size=rows).round(5))
    pl.DataFrame(columns).write_csv(path)


def best(function: Callable[[], object], times: int = 3) -> tuple[float, float]:
    """Returns the least CPU seconds of some runs, of all threads, and the least seconds on the clock."""
    clock, cpu = [], []
    for _ in range(times):
        start, used = time.perf_counter(), time.process_time()
        function()
        clock.append(time.perf_counter() - start)
        cpu.append(time.process_time() - used)
    return min(cpu), min(clock)


def prepared(path: Path) -> None:
    """Reads, splits and encodes a table as a training does."""
    TableNumbers(file=path, seed=0, target="y", encoding="codes").prepare()


def main() -> None:
    """Prints seconds, rows per second and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows: int = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as folder:
        path, tenth = Path(folder, "table.csv"), Path(folder, "tenth.csv")
        write(path, rows)
        write(tenth, rows // 10)
        print(f"{rows:,} rows x 20 columns, {path.stat().st_size / 1e6:.0f} MB")
        found = {
            "polars.read_csv": best(lambda: pl.read_csv(path, try_parse_dates=True)),
            "rk_tabular.frame.read_frame": best(lambda: read_frame(path)),
            "rk.reading.read_rows, texts only": best(lambda: sum(1 for _ in read_rows(tenth))),
            "table-numbers, prepare": best(lambda: prepared(path), 2),
        }
    cpu, clock = found["rk.reading.read_rows, texts only"]
    found["rk.reading.read_rows, texts only"] = (10 * cpu, 10 * clock)
    base = found["polars.read_csv"][0]
    for name, (cpu, clock) in found.items():
        print(f"  {name:34} {cpu:6.2f} CPU s  {clock:6.2f} s  {cpu / base:5.1f}x polars")
    ratio = found["rk_tabular.frame.read_frame"][0] / base
    print(f"  read_frame takes {ratio:.1f} times the CPU time of polars alone (bar: 8)")


if __name__ == "__main__":
    main()

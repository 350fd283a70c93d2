"""Timing on noisy machines: contestants take turns, and the medians are compared."""

from __future__ import annotations

import resource
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence


def interleave(contestants: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Calls each contestant once per round and returns the median of what each returned, after one warm-up round.

    The order turns around from round to round, so that a drift of the machine hits all of them alike.
    """
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for round_ in range(rounds + 1):
        names = list(contestants) if round_ % 2 else list(reversed(contestants))
        for name in names:
            value = contestants[name]()
            if round_:
                times[name].append(value)
    return {name: statistics.median(values) for name, values in times.items()}


def seconds(function: Callable[[], object]) -> float:
    """Returns the wall-clock seconds of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def process_seconds(function: Callable[[], object]) -> float:
    """Returns the CPU seconds of one call: with one thread, the time that it takes when nothing else runs."""
    start = time.process_time()
    function()
    return time.process_time() - start


def cpu_seconds(command: Sequence[str], **settings: object) -> float:
    """Returns the CPU seconds (user and system) of a command; its output is dropped and its exit code ignored."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, **settings)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def report(title: str, found: dict[str, float], baseline: str, limits: dict[str, float] | None = None) -> None:
    """Prints each median and its ratio to the baseline's; beside a limit, whether it is kept."""
    print(f"\n{title}")
    for name, value in found.items():
        ratio = value / found[baseline]
        limit = (limits or {}).get(name)
        verdict = "" if limit is None else f"   limit {limit:g}x: {'kept' if ratio <= limit else 'BROKEN'}"
        print(f"  {name:<44} {value * 1e3:10.3f} ms   {ratio:6.2f}x{verdict}")

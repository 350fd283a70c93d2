"""Kills ten kinds of recipes, inside checkpoints and final tests too, and compares them with uninterrupted runs.

    python benchmarks/kills.py               200 kills, 20 of each recipe
    python benchmarks/kills.py --kills 40    fewer

Each process is killed by SIGKILL: before a file is synced, renamed or removed, or after a batch of a final test. A run
counts as equal when all its weights and final metrics are bit-equal and its metric lines are the same, none lost or
doubled.
"""

from __future__ import annotations

import argparse
import signal
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file

from rk.runs import RunFolder
from rk.testing.kills import RUN, Place
from rk.testing.zygote import Zygote

SHORT = ("fit.max_steps=24", "fit.checkpoint_every=4", "fit.validate_every=8", "fit.log_every=3", "fit.threads=1")
RECIPES: dict[str, tuple[str, ...]] = {
    "pointer-net/tsp-quick": (),
    "pointer-net/convex-hull-quick": ("fit.workers=1",),
    "noprop/digits-dt": (),
    "noprop/digits-fm": ("fit.accumulate=2",),
    "gradient-noise/zero-init-quick": (),
    "kernels/digits": (),
    "nngp-mixture/problems-quick": (),
    "deltaproduct/s3-quick": (),
    "rnn/adding-quick": ("fit.monitor=val/loss",),
    "sequence/text-quick": (),
}
"""The purpose of each: the method's state, in order; workers, accumulation and the best checkpoint beside it."""
PLACES: tuple[tuple[Place, int], ...] = (
    *(("file", n) for n in (1, 2, 3, 4, 5, 6, 7, 9, 11, 13, 16, 19, 23, 27, 32, 38, 45)),
    ("test", 1),
    ("test", 2),
)


class Row:
    """The outcome for one recipe."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.kills = self.runs = self.equal_runs = 0
        self.differences: list[str] = []


def kill_often(zygote: Zygote, root: Path, name: str, overrides: tuple[str, ...], kills: int) -> Row:
    """Trains a recipe uninterrupted, then again and again under kills; returns what was found."""
    row, command = Row(name), ("train", name, *SHORT, *overrides, "--runs-dir")
    start(zygote, *command, root / "whole", kill_at=None)
    if zygote.wait() != 0:
        row.differences.append("the uninterrupted run failed")
        return row
    (whole,) = RunFolder.all(root / "whole")
    turn = 0
    while row.kills < kills:
        row.runs += 1
        killed = root / f"killed-{row.runs}"
        start(zygote, *command, killed, kill_at=PLACES[turn % len(PLACES)])
        while (code := zygote.wait()) == -signal.SIGKILL:
            row.kills += 1
            turn += 1
            runs = list(RunFolder.all(killed))
            again = ("train", "--resume", runs[0].path) if runs else (*command, killed)
            start(zygote, *again, kill_at=PLACES[turn % len(PLACES)] if row.kills < kills else None)
        turn += 1
        found = "" if code == 0 else f"exit code {code}"
        found = found or difference(whole, next(RunFolder.all(killed)))
        row.equal_runs += not found
        if found:
            row.differences.append(f"{killed.name}: {found}")
    return row


def start(zygote: Zygote, *command: object, kill_at: tuple[Place, int] | None) -> None:
    """Starts `rk COMMAND` in a process that kills itself at `kill_at`."""
    zygote.start(RUN, command=[str(word) for word in command], kill_at=kill_at)


def difference(whole: RunFolder, run: RunFolder) -> str:
    """Returns how a run that was killed differs from the whole one; nothing, if it does not."""
    expected, found = load_file(whole.model), load_file(run.model)
    if expected.keys() != found.keys() or not all(torch.equal(t, found[n]) for n, t in expected.items()):
        return "other weights"
    if run.read()["metrics"] != whole.read()["metrics"]:
        return "other metrics"
    lines = [[{k: v for k, v in m.items() if k != "seconds"} for m in each.metrics()] for each in (whole, run)]
    return "" if lines[0] == lines[1] else "other metric lines"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("recipes", nargs="*", help="only recipes whose name contains one of these")
    options = parser.parse_args()
    chosen = {n: o for n, o in RECIPES.items() if not options.recipes or any(part in n for part in options.recipes)}
    rows = []
    with tempfile.TemporaryDirectory() as scratch, Zygote(Path(scratch)) as zygote:
        for name, overrides in chosen.items():
            row = kill_often(zygote, Path(scratch, name), name, overrides, options.kills // len(chosen))
            rows.append(row)
            print(
                f"{name:32} {row.kills:4} kills  {row.equal_runs} of {row.runs} runs equal",
                *row.differences,
                flush=True,
            )
    print(f"{sum(r.kills for r in rows)} kills, {sum(r.equal_runs for r in rows)} of {sum(r.runs for r in rows)} equal")
    raise SystemExit(any(row.differences for row in rows))


if __name__ == "__main__":
    main()

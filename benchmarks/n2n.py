"""rk-n2n: the students of an iteration trained at once and one after the other, known ones, and students cut out of a
supernet; one thread.

python benchmarks/n2n.py
"""

from __future__ import annotations

import contextlib
import io
import itertools
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from paired import interleave, report, seconds
from rk_n2n.architecture import Architecture
from rk_n2n.evaluators import Brief, Supernet, Teacher, Trained

import rk
from rk.training import train_inside

STEPS, ROUNDS = 230, 3
STUDENTS = [
    Architecture.of({"model.hidden_sizes": sizes}) for sizes in ([128], [64, 102], [51, 102], [25, 64], [12, 12])
]


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        run = train_inside("n2n/digits-teacher", ("expect=[]",), name="teacher", within=folder).run
        iterations(Teacher(run, ["model.hidden_sizes"], "val/accuracy"), folder)
        cache(run, folder)


def iterations(teacher: Teacher, folder: Path) -> None:
    """What the five students of an iteration cost."""
    numbers = itertools.count()
    brief = Brief(STEPS, 4e-3, "standardized")
    start = Architecture.of({"model.hidden_sizes": [128, 128]})
    net = teacher.nested("supernet", start, ["blocks.*"], (0.1, 0.5), STEPS, folder)
    supernet = Supernet(teacher, net, folder / "cut")

    def trained(count: int, together: bool) -> Callable[[], float]:
        evaluator = Trained(teacher, brief, together, folder)
        return lambda: seconds(lambda: evaluator.judge(f"s{next(numbers)}", STUDENTS[-count:]))

    found = interleave(
        {
            "five, one after the other": trained(5, False),
            "five at once": trained(5, True),
            "one of the five is new": trained(1, True),
            "five, cut out of a supernet": lambda: seconds(lambda: supernet.judge("", STUDENTS)),
        },
        ROUNDS,
    )
    report(f"students of an iteration, {STEPS} steps each", found, "five, one after the other")


def cache(run: rk.LoadedRun, folder: Path) -> None:
    """How many of the rollouts of a search are new."""
    print("\nrollouts of a search, 22 iterations of five, and the students that were trained")
    for method in ("reinforce", "random"):
        search = {
            "name": "n2n",
            "run": str(run.folder.path),
            "stage": "removal",
            "method": method,
            "student_steps": STEPS,
            "final_steps": 0,
        }
        recipe = {"rk": 1, "search": search, "fit": {"seed": 1, "threads": 1}}
        with contextlib.redirect_stdout(io.StringIO()):
            done = rk.train(recipe, runs_dir=folder / method)
        print(f"  {method:<44} {110:10}        {done.metrics['run/evaluations']:6g}")


if __name__ == "__main__":
    main()

"""Several trainings at once, one in each of a few processes.

The process that the user started trains nothing. It hands a run to each worker that is free, passes on Ctrl-C and
SIGTERM, and takes what is finished as it comes. A worker ends when this process is gone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch.multiprocessing as mp

from rk.blame import explain
from rk.catalog import Catalog
from rk.errors import ExitCode, RkError, RunFailed, UserError
from rk.fit import launch
from rk.fit.launch import Forwarding, Packed, packed, unpacked
from rk.recipe import check_recipe
from rk.recipe.find import RecipeFile
from rk.recipe.model import Trainable
from rk.recipe.walk import named_runs
from rk.record import record
from rk.reproduce.runner import Runner, Stopped
from rk.runs import RunFolder
from rk.safepath import safe_interpreters
from rk.verbosity import QUIET
from rk.verbosity import VARIABLE as VERBOSITY

THREADS = "OMP_NUM_THREADS"
_SEVERAL = "several runs"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)

Done = Callable[[RecipeFile, int, RunFolder], None]
"""Takes a finished run: its recipe, its seed, its folder."""


@record
class Task:
    """One training: a recipe and a seed. One that `supplies` may train a run first that others need too."""

    file: RecipeFile
    seed: int
    supplies: bool

    def __str__(self) -> str:
        return f"{self.file.name}, seed {self.seed}"


class Worker:
    """One of the processes, from this side. `task` is what it trains; None while it is free."""

    def __init__(self, entries: Packed, root: Path, reuse: bool) -> None:
        self.task: Task | None = None
        self.supplying = False
        context: Any = mp.get_context(launch.START_METHOD)  # its stub has no Process
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, entries, root, reuse))
        self.process.start()
        theirs.close()

    def give(self, task: Task) -> None:
        """Hands over what is to be trained."""
        self.task, self.supplying = task, task.supplies
        with contextlib.suppress(OSError):  # a worker that has died is found when its answer is awaited
            self.connection.send((task.file, task.seed))

    def end(self) -> None:
        """Lets it end, once it has nothing to train, and waits for that."""
        with contextlib.suppress(OSError):
            self.connection.send(None)
        self.process.join()
        self.connection.close()

    def answer(self) -> tuple[str, Any]:
        """Returns the next message; its kind is ``died`` where the process is gone."""
        try:
            found: tuple[str, Any] = self.connection.recv()
            return found
        except (EOFError, OSError):
            self.process.join()
            code = self.process.exitcode or 0
            return "died", signal.Signals(-code).name if code < 0 else f"exit code {code}"


class Workers:
    """Trains recipes with several seeds, so many at once.

    Args:
        runner: What to train and where.
        jobs: How many processes.
    """

    def __init__(self, runner: Runner, jobs: int) -> None:
        self.runner = runner
        self.jobs = jobs

    def run(self, files: list[RecipeFile], done: Done) -> None:
        """Trains each recipe with each seed.

        Args:
            files: The recipes.
            done: Called with each run as soon as it is finished.

        Raises:
            Stopped: When a signal has ended the runs; they have their checkpoints.
            RkError: As a run raised it; the others are stopped at their next step, with a checkpoint.
        """
        tasks = deque(
            Task(file, seed, _supplies(file, self.runner.catalog))
            for file in files
            for seed in self.runner.seeds_of(file)
        )
        jobs = min(self.jobs, len(tasks))
        with safe_interpreters(), _environment(jobs), _signals_wait():
            workers = [Worker(packed(self.runner.catalog), self.runner.root, self.runner.reuse) for _ in range(jobs)]
        pids = [worker.process.pid for worker in workers if worker.process.pid is not None]
        with Forwarding(pids) as forwarding:
            try:
                self._serve(workers, tasks, done, forwarding)
            finally:
                for worker in workers:
                    worker.end()

    def _serve(self, workers: list[Worker], tasks: deque[Task], done: Done, forwarding: Forwarding) -> None:
        error: RkError | None = None
        stopped: int | None = None
        while True:
            if error is None and not forwarding.caught:
                hand_out(tasks, workers)
            busy = [worker for worker in workers if worker.task is not None]
            if not busy:
                break
            for worker in _ready(busy):
                kind, value = worker.answer()
                task = worker.task
                if kind == "said":
                    self.runner.say(value)
                elif kind == "began":
                    worker.supplying = False
                else:
                    worker.task, worker.supplying = None, False
                    if kind == "done" and task is not None:
                        done(task.file, task.seed, RunFolder(value))
                    elif kind == "stopped" or (kind == "died" and forwarding.caught):
                        stopped = value if kind == "stopped" else ExitCode.INTERRUPTED
                    elif error is None:
                        error = _error(kind, value, task)
                        _interrupt(workers)
        if forwarding.caught:
            raise Stopped(stopped if stopped is not None else ExitCode.INTERRUPTED, _SEVERAL)
        if error is not None:
            raise error
        if stopped is not None:  # a worker alone was sent a signal
            raise Stopped(stopped, _SEVERAL)


def hand_out(tasks: deque[Task], workers: list[Worker]) -> None:
    """Gives each free worker the next task; of those that may train a run for others, one at a time begins."""
    for worker in [worker for worker in workers if worker.task is None and worker.process.is_alive()]:
        supplying = any(one.supplying for one in workers)
        task = next((task for task in tasks if not (supplying and task.supplies)), None)
        if task is None:
            return
        tasks.remove(task)
        worker.give(task)


def _ready(busy: list[Worker]) -> Iterator[Worker]:
    """Yields the workers that have something to say, when one has."""
    ready = wait([worker.connection for worker in busy])
    yield from (worker for worker in busy if worker.connection in ready)


def _error(kind: str, value: Any, task: Task | None) -> RkError:
    if kind == "died":
        return RunFailed(f"{task}: the process exited without an error message: {value}")
    message, hint, code = value
    return (UserError if code == ExitCode.USER_ERROR else RunFailed)(f"{task}: {message}", hint)


def _interrupt(workers: list[Worker]) -> None:
    for worker in workers:
        if worker.task is not None and worker.process.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.process.pid, signal.SIGINT)


def _supplies(file: RecipeFile, catalog: Catalog) -> bool:
    runs = named_runs(check_recipe(file, (), catalog).valid())
    return any(isinstance(run.wanted, Trainable) for _, run in runs)


@contextlib.contextmanager
def _environment(jobs: int) -> Iterator[None]:
    """Processes that are started within have their share of the threads, and show no progress."""
    before = {name: os.environ.get(name) for name in (THREADS, VERBOSITY)}
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    os.environ.setdefault(THREADS, str(max(1, cores // jobs)))
    os.environ[VERBOSITY] = QUIET
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _signals_wait() -> Iterator[None]:
    """Processes that are started within get no signal before they ask for them: an import would show a traceback."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# -- within a worker ---------------------------------------------------------------------------------------------------


def _work(connection: Connection, entries: Packed, root: Path, reuse: bool) -> None:
    """Trains what it is given, until that is None or the connection closes.

    Ctrl-C from the terminal does not reach it by itself: it is handed on.
    """
    os.setpgrp()
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115  for as long as the process lasts
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        catalog = unpacked(entries)
        runner = Runner(
            catalog,
            root,
            1,
            reuse,
            say=lambda text: connection.send(("said", text)),
            began=lambda: connection.send(("began", None)),
        )
        while (task := connection.recv()) is not None:
            connection.send(_trained(runner, *task))
    except KeyboardInterrupt:  # while it waited
        with contextlib.suppress(OSError):
            connection.send(("stopped", int(ExitCode.INTERRUPTED)))
    except (EOFError, OSError):  # the process that handed out tasks has ended
        return


def _trained(runner: Runner, file: RecipeFile, seed: int) -> tuple[str, Any]:
    try:
        return "done", runner.run(file, seed).path
    except Stopped as stop:
        return "stopped", int(stop.exit_code)
    except RkError as error:
        return "failed", (error.message, error.hint, int(error.exit_code))
    except KeyboardInterrupt as stop:  # before the first step, with the exit code of the signal
        return "stopped", int(getattr(stop, "exit_code", ExitCode.INTERRUPTED))
    except (EOFError, OSError):
        raise
    except Exception as error:
        found = explain(error)
        return "failed", (found.message, found.hint, int(found.exit_code))

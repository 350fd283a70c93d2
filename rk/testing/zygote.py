"""Processes that begin with torch and rk imported: a forked child costs milliseconds, not seconds.

A child knows nothing of what the parent has learned: what it answers comes from files alone. What one child has
imported of large libraries, the zygote imports before it forks the next child. It never imports a plugin.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import gc
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TextIO

from rk.errors import RkError
from rk.testing.libraries import ImportClock, cpu_seconds, is_of_a_library

_PR_SET_PDEATHSIG = 1
IMPORTS = ("rk.fit.train", "rk.fit.loaded", "rk.builtin.backprop", "torch._dynamo")


@dataclass(frozen=True)
class Done:
    """A program that has ended: its exit code and what it printed."""

    code: int
    out: str
    err: str


class ChildFailed(RuntimeError):
    """A job ended with an exception; the message is its traceback."""


class Zygote:
    """Forks one child at a time.

    Args:
        folder: The working folder of the children.
        imports: Modules that are imported once, for all of them; none of a plugin that is to be found unused.

    Attributes:
        uncounted_seconds: What the children of all zygotes have used, less what the system counts of zygotes among
            what this process's children have used: it does so once they have ended.
        import_seconds: What all zygotes and their children have used to import large libraries.
    """

    uncounted_seconds = 0.0
    import_seconds = 0.0

    def __init__(self, folder: Path | None = None, imports: Sequence[str] = IMPORTS) -> None:
        self._told: set[str] = set()
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from rk.testing.zygote import serve; serve()", *imports],
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        orders, answers = self._process.stdin, self._process.stdout
        if orders is None or answers is None:
            raise OSError("the zygote has no pipes")
        self._orders, self._answers = orders, answers

    def __enter__(self) -> Zygote:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the zygote, and a child that still runs."""
        before = _of_children()
        self._process.kill()
        self._process.communicate()
        Zygote.uncounted_seconds -= _of_children() - before

    def start(self, job: str, /, libraries: Sequence[str] = (), **arguments: Any) -> None:
        """Forks a child that calls the function ``module:function`` with JSON-able arguments.

        Args:
            job: The function.
            libraries: Modules of `LIBRARIES` that the zygote imports before.
            arguments: What the function is called with.
        """
        order = {"libraries": libraries, "child": {"job": job, "arguments": arguments}}
        self._orders.write(json.dumps(order) + "\n")
        self._orders.flush()
        self.pid = int(self._answers.readline())

    def running(self) -> bool:
        """Whether the child has not ended yet."""
        return not select.select([self._answers], [], [], 0)[0]

    def kill(self, number: int = signal.SIGKILL) -> int:
        """Sends the child a signal and returns its exit code."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)
        return self.wait()

    def wait(self) -> int:
        """Waits for the child; returns its exit code, or minus the number of the signal that killed it."""
        code, seconds, imports = self._answers.readline().split()
        Zygote.uncounted_seconds += float(seconds)
        Zygote.import_seconds += float(imports)
        return int(code)

    def call(self, job: str, /, **arguments: Any) -> Any:
        """Returns what ``module:function`` returns in a child, which has this process's import path and environment.

        What this process has imported of `LIBRARIES`, the child is likely to need: the zygote imports it first.

        Raises:
            ChildFailed: When it raised.
            RkError: When it raised one; with its message.
        """
        import torch  # not at the top: collecting tests that only start programs needs no torch

        libraries = [name for name in [*sys.modules] if _may_be_imported(name) and name not in self._told]
        self._told.update(libraries)
        with tempfile.TemporaryDirectory() as scratch:
            result = Path(scratch, "result.pt")
            self.start(
                "rk.testing.zygote:answer",
                libraries,
                job=job,
                arguments=arguments,
                path=sys.path,
                environment=dict(os.environ),
                folder=os.getcwd(),
                result=str(result),
            )
            code = self.wait()
            if not result.exists():
                raise ChildFailed(f"the process ended with exit code {code}")
            kind, value = torch.load(result, weights_only=False)
        if kind == "error":
            raise value
        return value

    def rk(
        self, arguments: Sequence[Any], folder: Path, environment: Mapping[str, str] | None = None, timeout: float = 120
    ) -> Done:
        """Runs `rk` with `arguments` in a child and returns how it ended.

        Raises:
            subprocess.TimeoutExpired: When it takes longer than `timeout` seconds.
        """
        words = [str(word) for word in arguments]
        with tempfile.TemporaryDirectory() as scratch:
            out, err = Path(scratch, "out"), Path(scratch, "err")
            self.start(
                "rk.testing.zygote:program",
                words=words,
                folder=str(folder),
                environment={**os.environ, **(environment or {})},
                path=sys.path,
                out=str(out),
                err=str(err),
            )
            if not select.select([self._answers], [], [], timeout)[0]:
                self.kill()
                raise subprocess.TimeoutExpired(["rk", *words], timeout)
            return Done(self.wait(), out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8"))


@functools.cache
def shared_zygote() -> Zygote:
    """Returns the zygote of this process, which ends with it."""
    zygote = Zygote()
    atexit.register(zygote.close)
    return zygote


# -- in the zygote and its children --------------------------------------------------------------------------------


def serve() -> None:
    """The zygote itself: forks a child for each line of standard input."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell ignores it
    _end_with_the_parent()
    _import(sys.argv[1:])
    import torch

    torch.set_num_threads(1)
    imports = mark = cpu_seconds()  # the cost of a zygote is not a test's
    wanted: list[str] = []
    with tempfile.TemporaryFile("w+") as notes:
        for line in sys.stdin:
            order = json.loads(line)
            _import([*wanted, *order["libraries"]])
            imports, mark = imports + cpu_seconds() - mark, cpu_seconds()
            pid = os.fork()
            if pid == 0:
                _be_child(notes, **order["child"])
            print(pid, flush=True)
            _, status, usage = os.wait4(pid, 0)
            in_child, *wanted = _words_of(notes) or ["0"]
            used = usage.ru_utime + usage.ru_stime + cpu_seconds() - mark
            mark = cpu_seconds()
            print(os.waitstatus_to_exitcode(status), used - float(in_child), imports + float(in_child), flush=True)
            imports = 0.0


def _import(names: Sequence[str]) -> None:
    """Imports modules, and spares the children the collection of what stays for good."""
    new = [name for name in names if name not in sys.modules]
    for name in new:
        with (
            contextlib.suppress(*([Exception] if is_of_a_library(name) else [])),
            contextlib.redirect_stdout(sys.stderr),  # a library's output is not an answer
        ):
            importlib.import_module(name)
    if new:
        gc.collect()
        gc.freeze()


def _may_be_imported(name: str) -> bool:
    """Whether the zygote may import a module. Torch's compiler starts threads when it is imported: a fork has none."""
    return is_of_a_library(name) and not name.startswith("torch._inductor")


def _of_children() -> float:
    return sum(os.times()[2:4])


def _words_of(file: TextIO) -> list[str]:
    """Returns the words of an open file, which is empty afterwards."""
    file.seek(0)
    words = file.read().split()
    file.seek(0)
    file.truncate()
    return words


def _be_child(notes: TextIO, job: str, arguments: dict[str, Any]) -> NoReturn:
    known = {*sys.modules}
    clock = ImportClock()
    clock.start()
    os.setsid()
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # tests that `nohup` has started would pass on that they ignore it
    _end_with_the_parent()
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    code = 0
    try:
        _function(job)(**arguments)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    with contextlib.suppress(Exception):
        atexit._run_exitfuncs()  # worker processes and queues are ended as at the end of any program
    imported = (name for name in [*sys.modules] if name not in known and _may_be_imported(name))
    print(clock.seconds, *imported, file=notes)
    for stream in (sys.stdout, sys.stderr, notes):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _end_with_the_parent() -> None:
    """Lets the system kill this process when its parent ends, however that ends (Linux)."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def program(words: list[str], folder: str, environment: dict[str, str], path: list[str], out: str, err: str) -> None:
    """Is the program `rk`: a job of the zygote."""
    for number, file in ((1, out), (2, err)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), number)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:] = [*filter(None, environment.get("PYTHONPATH", "").split(os.pathsep)), *path]
    os.chdir(folder)
    sys.argv = ["rk", *words]
    fork_processes()
    from rk.cli import main

    main()


def fork_processes() -> None:
    """Forks the processes of a run with several, too: this one has neither threads nor a GPU that they could share."""
    from rk.fit import launch

    launch.START_METHOD = "fork"


def answer(
    job: str, arguments: dict[str, Any], path: list[str], environment: dict[str, str], folder: str, result: str
) -> None:
    """Calls `job` as `Zygote.call` asks, and writes what it returns or raises into the file `result`."""
    import torch

    sys.path[:] = path
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    try:
        found: tuple[str, Any] = ("done", _function(job)(**arguments))
    except RkError as error:
        found = ("error", type(error)(error.message, error.hint) if type(error).__init__ is RkError.__init__ else error)
    except BaseException:
        found = ("error", ChildFailed(traceback.format_exc()))
    torch.save(found, result)


def _function(name: str) -> Any:
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)

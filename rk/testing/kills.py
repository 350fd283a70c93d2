"""Real processes that are killed at chosen places: inside a checkpoint, in a final test, after any number of steps.

`Zygote` imports torch once and then forks a process for each command line, so that a hundred kills do not cost a
hundred times the start of Python. A process is killed from outside (`kill`), or kills itself (SIGKILL, so that nothing
is cleaned up) when it reaches a place that was named beforehand.

Example:
    ```python
    with Zygote(tmp_path) as zygote:
        zygote.start("train", "recipe.yaml", "--runs-dir", "runs", kill_at=("file", 7))
        assert zygote.wait() == -signal.SIGKILL
    ```
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

Place = Literal["file", "test"]
"""Where a process kills itself: before a file is synced, renamed or removed, or after a batch of a final test."""


class Zygote:
    """Forks one process at a time, each of which runs an `rk` command line.

    Args:
        folder: The working folder of the processes.
        imports: Modules that are imported once, for all of them.
    """

    def __init__(self, folder: Path, imports: Sequence[str] = ("rk.fit.loop", "rk.builtin.backprop")) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from rk.testing.kills import serve; serve()", *imports],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Zygote:
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.kill()
        self._process.communicate()

    def start(self, *command: Any, kill_at: tuple[Place, int] | None = None) -> None:
        """Starts `rk COMMAND`; with `kill_at`, it kills itself when it reaches that place for the n-th time."""
        self._process.stdin.write(json.dumps({"command": [str(c) for c in command], "kill_at": kill_at}) + "\n")
        self._process.stdin.flush()
        self.pid = int(self._process.stdout.readline())

    def running(self) -> bool:
        """Whether the process has not ended yet."""
        return not select.select([self._process.stdout], [], [], 0)[0]

    def kill(self, number: int = signal.SIGKILL) -> int:
        """Sends the process a signal and returns its exit code."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)
        return self.wait()

    def wait(self) -> int:
        """Waits for the end of the process; returns its exit code, or minus the number of the signal that killed it."""
        return int(self._process.stdout.readline())


def serve() -> None:
    """The zygote itself: forks a process for each line of standard input."""
    import importlib

    import torch

    for name in sys.argv[1:]:
        importlib.import_module(name)
    torch.set_num_threads(1)
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _run(**order)
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _run(command: list[str], kill_at: list[Any] | None) -> None:
    os.setsid()
    sys.argv = ["rk", *command]
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    if kill_at is not None:
        place, count = kill_at
        (_before_files if place == "file" else _in_tests)(count)
    from rk.cli import main

    main()


def _die_at(count: int) -> Any:
    """Returns a function that kills the process when it is called for the `count`-th time."""
    seen = [0]

    def called() -> None:
        seen[0] += 1
        if seen[0] == count:
            os.kill(os.getpid(), signal.SIGKILL)

    return called


def _before_files(count: int) -> None:
    """Dies before the `count`-th operation on files of a checkpoint, a result or a state."""
    due = _die_at(count)
    for name in ("fsync", "replace", "rename", "rmdir", "unlink"):
        original = getattr(os, name)

        def counted(*args: Any, original: Any = original, **options: Any) -> Any:
            due()
            return original(*args, **options)

        setattr(os, name, counted)


def _in_tests(count: int) -> None:
    """Dies after the `count`-th batch that is measured once training has ended."""
    from rk.fit import loop

    due, original = _die_at(count), loop.Loop._each

    def each(self: Any, *args: Any) -> Any:
        after_batch = original(self, *args)

        def measured(*batch: Any) -> None:
            after_batch(*batch)
            due()

        return measured

    loop.Loop._each = each

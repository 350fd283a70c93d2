"""Runs that kill themselves at a chosen place: inside a checkpoint, or in a final test.

Example:
    ```python
    with Zygote(tmp_path) as zygote:
        zygote.start(RUN, command=["train", "recipe.yaml", "--runs-dir", "runs"], kill_at=("file", 7))
        assert zygote.wait() == -signal.SIGKILL
    ```
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any, Literal

from rk.testing.zygote import fork_processes

Place = Literal["file", "test"]
"""The places where a process kills itself: before a file is synced, renamed or removed, or after a batch of a final
test.
"""
RUN = "rk.testing.kills:run"
"""The job of a `rk.testing.zygote.Zygote`."""


def run(command: list[str], kill_at: tuple[Place, int] | None = None, folder: str | None = None) -> None:
    """Runs `rk COMMAND`; with `kill_at`, the process kills itself when it reaches that place for the n-th time.

    Args:
        command: The words after `rk`.
        kill_at: A place, and for which time.
        folder: The working folder; None: that of the zygote.
    """
    if folder is not None:
        os.chdir(folder)
    sys.argv = ["rk", *command]
    if kill_at is not None:
        place, count = kill_at
        (_before_files if place == "file" else _in_tests)(count)
    fork_processes()
    from rk.cli import main

    main()


def _die_at(count: int) -> Callable[[], None]:
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
    from rk.fit.final_tests import FinalTests

    due, original = _die_at(count), FinalTests.after_batch

    def each(self: Any, *args: Any) -> Any:
        inner = original(self, *args)

        def measured(*batch: Any) -> None:
            inner(*batch)
            due()

        return measured

    setattr(FinalTests, original.__name__, each)

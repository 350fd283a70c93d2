"""What a call from a program must not change: the process that it is made in."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import torch

from rk.fit.rng import forked

_ALONE = threading.RLock()
"""Random generators are the process's own: of two threads that train, one waits."""


@contextlib.contextmanager
def unchanged() -> Iterator[None]:
    """Leaves random generators and torch's threads as they were before the block; one thread at a time is in it."""
    with _ALONE:
        threads = torch.get_num_threads()
        try:
            with forked(0):
                yield
        finally:
            torch.set_num_threads(threads)

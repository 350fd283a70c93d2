"""New interpreters that find no module in the working folder by themselves.

A process that Python starts for another task looks for `multiprocessing` in the working folder first: a folder that was
downloaded, and has a file of that name, would run.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

VARIABLE = "PYTHONSAFEPATH"


@contextlib.contextmanager
def safe_interpreters() -> Iterator[None]:
    """Interpreters that are started within leave the working folder out, until they take over this one's path.

    `multiprocessing` hands its own `sys.path` on: what the user has put there is found as before.
    """
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = "1"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(VARIABLE, None)
        else:
            os.environ[VARIABLE] = before

"""For all tests: one thread each, byte code that is kept, and nothing of what the user has set for rk.

Tests run in as many processes as there are cores. With as many threads in each, they would wait for each other, and
waiting threads of OpenMP keep a core busy: small tensors then take many times as long.

Hundreds of tests start Python. Where it may not write byte code beside the sources, each start would compile torch and
all else again, which takes longer than most tests; here it is in a separate folder.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from pathlib import Path

from rk.testing.pytest_plugin import OF_THE_USER

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # of a shell's background job: many tests press Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ.setdefault("OMP_NUM_THREADS", "1")  # torch reads it when it is imported, which is later
if sys.dont_write_bytecode:
    sys.dont_write_bytecode, sys.pycache_prefix = False, str(Path(__file__).parent / "__pycache__")
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_sessionstart() -> None:
    """Forgets the user's variables before the first fixture; `RK_DATA` and `RK_CACHE` stay, where data may lie."""
    for name in OF_THE_USER:
        os.environ.pop(name, None)


def pytest_collection_finish() -> None:
    """Spares the collector of garbage what was imported and collected: it stays to the end."""
    gc.collect()
    gc.freeze()

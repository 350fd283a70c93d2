"""Imports one plugin's module in a fresh interpreter, ``python -m rk.probe MODULE``, and says what that cost.

One interpreter per plugin: in a shared one, the first plugin that imports numpy would pay for all others.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

HEAVY = (
    "PIL", "datasets", "griffe", "h5py", "jax", "jinja2", "keras", "lightning", "matplotlib", "networkx", "numpy",
    "onnx", "onnxruntime", "pandas", "pooch", "pyarrow", "requests", "rich", "safetensors", "scipy", "sklearn", "sympy",
    "tensorflow", "tokenizers", "torch", "torch_geometric", "torchmetrics", "torchvision", "transformers",
)  # fmt: skip
"""Modules that no plugin needs to say what it offers: each costs more than all of `rk --help`."""

TIMEOUT = 60
"""Seconds that a plugin's module may take."""


def probe(module: str) -> dict[str, Any]:
    """Imports `module` in a fresh interpreter.

    Returns:
        ``milliseconds``, None where the import failed, and ``heavy``: those of `HEAVY` that it imported.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-m", "rk.probe", module], capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
        return json.loads(done.stdout.splitlines()[-1])
    except (subprocess.TimeoutExpired, IndexError, ValueError):  # it hung, exited, or printed the last word
        return {"milliseconds": None, "heavy": []}


def main() -> None:
    import importlib

    import rk.hookspecs  # noqa: F401  what every plugin imports is not its own cost

    before = time.perf_counter()
    try:
        importlib.import_module(sys.argv[1])
        milliseconds = round(1000 * (time.perf_counter() - before), 2)
    except (Exception, SystemExit):  # what went wrong is told by who loads it in earnest
        milliseconds = None
    print(json.dumps({"milliseconds": milliseconds, "heavy": [name for name in HEAVY if name in sys.modules]}))


if __name__ == "__main__":
    main()

"""Imports one plugin's module in a fresh interpreter, ``python -P -m rk.probe MODULE``, and reports what that cost.

One interpreter per plugin: in a shared one, the first plugin that imports numpy would pay for all others.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

from rk.values import PlainDict

HEAVY = (
    "PIL", "datasets", "griffe", "h5py", "jax", "jinja2", "keras", "lightning", "matplotlib", "networkx", "numpy",
    "onnx", "onnxruntime", "pandas", "pooch", "pyarrow", "requests", "rich", "safetensors", "scipy", "sklearn", "sympy",
    "tensorflow", "tokenizers", "torch", "torch_geometric", "torchmetrics", "torchvision", "transformers",
)  # fmt: skip
"""Modules that no plugin needs for its hooks: each costs more than all of `rk --help`."""

TIMEOUT = 60
"""Seconds that a plugin's module may take."""
MAX_PRINTED = 80
"""Characters of a module's output that are shown."""


def probe(module: str) -> PlainDict:
    """Imports `module` in a fresh interpreter, which takes nothing from the working folder.

    Returns:
        ``milliseconds``, None where the import failed; ``heavy``, those of `HEAVY` that it imported; ``printed``, what
        the import wrote to standard output or standard error; where it failed, ``error``.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "rk.probe", module],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"milliseconds": None, "heavy": [], "error": f"it takes more than {TIMEOUT} s"}
    try:
        found: PlainDict = json.loads(done.stdout)  # Any: what JSON can say
        return found
    except ValueError:  # it ended the interpreter, or rk itself could not be imported
        said = done.stderr.decode(errors="replace").strip().splitlines()
        error = f"the interpreter ended with code {done.returncode}" + (f": {said[-1]}" if said else "")
        return {"milliseconds": None, "heavy": [], "error": error}


def main() -> None:
    import importlib
    import tempfile

    import rk.hookspecs  # noqa: F401  what every plugin imports is not its own cost

    answer = os.dup(1)
    error = None
    with tempfile.TemporaryFile() as printed:
        os.dup2(printed.fileno(), 1)
        os.dup2(printed.fileno(), 2)
        before = time.perf_counter()
        try:
            importlib.import_module(sys.argv[1])
        except BaseException as raised:
            error = f"{type(raised).__name__}: {' '.join(str(raised).split())}".removesuffix(": ")
        milliseconds = round(1000 * (time.perf_counter() - before), 2)
        for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
            try:
                if stream is not None:
                    stream.flush()
            except (AttributeError, OSError, ValueError):
                continue
        printed.seek(0)
        text = " ".join(printed.read(4 * MAX_PRINTED).decode(errors="replace").split())[:MAX_PRINTED]
    found = {
        "milliseconds": None if error else milliseconds,
        "heavy": [name for name in HEAVY if name in sys.modules],
        "printed": text,
    }
    os.write(answer, json.dumps(found if error is None else {**found, "error": error}).encode())


if __name__ == "__main__":
    main()

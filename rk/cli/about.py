"""The lines that `rk --verbose` prints beside a command's own output, on standard error."""

from __future__ import annotations

import platform
import time

from rk.cli.messages import show
from rk.version import __version__

LIBRARIES = ("torch", "numpy", "lightning", "click", "pluggy")
"""Their versions are read, and they are not imported."""

_BEGAN = time.perf_counter()


def print_about() -> None:
    """Prints the versions of rk, of Python and of the libraries, and the plugins."""
    from rk.plugins import installed

    show(f"rk {__version__}, Python {platform.python_version()}, {platform.platform()}")
    show(", ".join(f"{name} {version}" for name in LIBRARIES if (version := _version(name)) is not None))
    plugins = [f"{entry.name} {entry.version}" for entry in installed()]
    show(f"plugins: {', '.join(plugins) or 'none'}")


def print_time() -> None:
    """Prints how long the command has taken."""
    show(f"took {time.perf_counter() - _BEGAN:.2f} s, {time.process_time():.2f} s of it computing")


def _version(name: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return None

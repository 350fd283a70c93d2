"""Tools for testing plugins: the contract kit, and comparisons of a fast operation with its naive twin.

``rk.testing`` comes with a pytest plugin (the fixture `rk`, the option ``--rk-plugin``); pytest finds it by itself.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rk.testing.close import ODD_LENGTHS, assert_close, assert_twins
    from rk.testing.contract import PluginContract
    from rk.testing.trial import Trial
    from rk.testing.writes import watched_writes

_HOME = {
    "ODD_LENGTHS": "close",
    "PluginContract": "contract",
    "Trial": "trial",
    "assert_close": "close",
    "assert_twins": "close",
    "watched_writes": "writes",
}

__all__ = ["ODD_LENGTHS", "PluginContract", "Trial", "assert_close", "assert_twins", "watched_writes"]


def __getattr__(
    name: str,
) -> object:  # pytest loads the plugin of this package in every project: torch loaded on first use
    if name in _HOME:
        import importlib

        return getattr(importlib.import_module(f"rk.testing.{_HOME[name]}"), name)
    raise AttributeError(f"module 'rk.testing' has no attribute {name!r}")

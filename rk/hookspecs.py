"""The hooks of rk: one per kind of component, made from the table in `rk.kinds`.

Every hook returns ``{name: "package.module:Class"}``. The string is resolved on first use, so the module that holds
the hooks (the plugin's entry point in the group ``rk.plugins``) imports nothing heavy. Names are lower-case words
joined by hyphens.
The host calls each plugin's implementation on its own: a plugin that raises costs only itself.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pluggy

from rk.kinds import KINDS, Kind

hookspec = pluggy.HookspecMarker("rk")
hookimpl = pluggy.HookimplMarker("rk")

HOOK_OF_KIND = {kind.name: kind.hook for kind in KINDS.values()}
"""Kind -> the name of its hook."""


def _hook(kind: Kind) -> Callable[[], dict[str, str]]:
    """Returns the specification of the hook of `kind`: pluggy reads it from a function."""

    def hook() -> dict[str, str]:
        raise NotImplementedError  # pluggy calls the plugins' functions of this name

    hook.__name__ = hook.__qualname__ = kind.hook
    hook.__doc__ = f"{kind.help} (`rk.protocols.{kind.protocol}`)."
    return hookspec(hook)


globals().update({kind.hook: _hook(kind) for kind in KINDS.values()})


@hookspec
def rk_recipes() -> Path | str:
    """The folder of the plugin's recipes. Without an implementation: ``recipes/`` beside the plugin's module."""
    raise NotImplementedError  # pluggy calls the plugins' functions of this name

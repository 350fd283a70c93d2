"""What kept answers on recipes and components rest on besides files: all that is installed."""

from __future__ import annotations

import json

from rk.index.stamps import digest
from rk.plugins import Plugins
from rk.recipe.find import packaged


def world_of(plugins: Plugins) -> str:
    """Returns a digest of what is installed: the plugins, their components and the names of their recipes."""
    recipes = [r.name for r in packaged(plugins)]
    components = [[c.kind, c.qualified, c.target] for c in plugins.components]
    return digest(
        json.dumps([[[p.name, p.distribution, p.version, p.state, p.errors] for p in plugins], components, recipes])
    )

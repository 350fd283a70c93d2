"""Every plugin that is installed keeps the contract: the kit that authors of others use, run on ours.

One recipe of each plugin goes through all checks here; `rk plugins test NAME` takes one for each set of components.
"""

from __future__ import annotations

from rk.plugins import BUILTIN, Plugins
from rk.testing import PluginContract

for _plugin in Plugins():
    if _plugin.name != BUILTIN:
        _name = f"Test{''.join(word.capitalize() for word in _plugin.name.split('-'))}"
        globals()[_name] = type(_name, (PluginContract,), {"plugin": _plugin.name, "samples": 1})
del PluginContract

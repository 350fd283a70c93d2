"""The plugin graphs keeps rk's contract: the kit runs its recipes, cut off, resumed, loaded and exported."""

from rk.testing import PluginContract


class TestContract(PluginContract):
    plugin = "graphs"
    samples = 2  # one recipe of nodes, one of graphs

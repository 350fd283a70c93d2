"""The plugin snnk keeps rk's contract: the kit runs its recipes, cut off, resumed, loaded and exported."""

from rk.testing import PluginContract


class TestContract(PluginContract):
    plugin = "snnk"
    samples = 1  # one recipe takes all checks; `rk plugins test NAME` takes one for each set of components

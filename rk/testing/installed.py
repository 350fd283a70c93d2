"""Collected by `rk plugins test`: the contract of the plugin that ``--rk-plugin`` names."""

from rk.testing.contract import PluginContract


class TestContract(PluginContract):
    """The contract, as it is."""

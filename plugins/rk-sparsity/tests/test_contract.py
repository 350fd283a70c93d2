"""The plugin sparsity keeps rk's contract: the kit runs its recipes, cut off, resumed, loaded and exported."""

from rk.testing import PluginContract


class TestContract(PluginContract):
    plugin = "sparsity"
    samples = 1  # the callbacks' own resumes are in test_sparse_runs.py

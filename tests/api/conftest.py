"""A small recipe as a dict, and one run of it that the tests of this folder share."""

from __future__ import annotations

import copy

import pytest

import rk as kit
from rk.testing.pytest_plugin import OF_THE_USER

RECIPE = {
    "rk": 1,
    "data": {"name": "digits", "batch_size": 32},
    "model": {"name": "mlp", "hidden_sizes": [16]},
    "loss": "cross-entropy",
    "trainer": {"name": "backprop", "optimizer": {"name": "adam", "lr": 0.01}},
    "fit": {"max_steps": 20, "log_every": 5, "threads": 1},
}


@pytest.fixture
def recipe():
    return copy.deepcopy(RECIPE)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working folder, without the user's settings."""
    for name in OF_THE_USER:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A finished run; tests only read it."""
    return kit.train(RECIPE, runs_dir=tmp_path_factory.mktemp("runs"), progress=False)

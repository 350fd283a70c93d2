"""Small models of every readout, and recipes that are run for a few steps."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
import torch
from rk_sequence.attention import Attention
from rk_sequence.model import SequenceModel

from rk.runs import RunFolder


class Bench:
    """An empty working folder with one recipe in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def rk(self, *args: str | Path) -> int:
        """Runs `rk` in this process; returns its exit code, or raises what it would print."""
        from rk.cli import cli

        return cli([str(a) for a in args], standalone_mode=False) or 0

    def train(self, recipe: str, *overrides: str) -> RunFolder:
        """Trains the text of a recipe; returns its run."""
        (self.folder / "recipe.yaml").write_text(textwrap.dedent(recipe), encoding="utf-8")
        assert self.rk("train", "recipe.yaml", *overrides, "--runs-dir", self.folder / "runs") == 0
        return next(RunFolder.all(self.folder / "runs"))


@pytest.fixture(autouse=True)
def _one_thread():
    """Several threads only get in each other's way over tensors as small as these."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def bench(tmp_path, monkeypatch) -> Bench:
    monkeypatch.chdir(tmp_path)
    return Bench(tmp_path)


@pytest.fixture
def make_model():
    """Returns a function that makes a small model in 64 bits, of attention unless told otherwise."""

    def two_heads(d_model):
        return Attention(d_model=d_model, n_heads=2)

    def make(layer=two_heads, **changes) -> SequenceModel:
        torch.manual_seed(0)
        settings = {"vocab_size": 7, "num_features": None, "num_outputs": 5, "readout": "step", "d_model": 8}
        return SequenceModel(layer=layer, **(settings | changes)).double().eval()

    return make

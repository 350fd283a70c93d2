"""Small models of every readout."""

from __future__ import annotations

import pytest
import torch
from rk_sequence.attention import Attention
from rk_sequence.model import SequenceModel


@pytest.fixture(autouse=True)
def _one_thread():
    """Several threads only get in each other's way over tensors as small as these."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def make_model():
    """Returns a function that makes a small model in 64 bits, of attention by default."""

    def two_heads(d_model):
        return Attention(d_model=d_model, num_heads=2)

    def make(layer=two_heads, **changes) -> SequenceModel:
        torch.manual_seed(0)
        settings = {"vocab_size": 7, "num_features": None, "num_outputs": 5, "readout": "step", "d_model": 8}
        return SequenceModel(layer=layer, **(settings | changes)).double().eval()

    return make

"""Small models of every router."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from rk_mor.model import MoR
from rk_sequence.attention import Attention


@pytest.fixture(autouse=True)
def _one_thread():
    """Several threads only get in each other's way over tensors as small as these."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def make_mor():
    """Returns a function that makes a small model in 64 bits whose routers disagree, of attention by default."""

    two_heads = partial(Attention, num_heads=2)

    def make(layer=two_heads, **changes) -> MoR:
        torch.manual_seed(0)
        settings = {
            "vocab_size": 7,
            "num_features": None,
            "num_outputs": 7,
            "readout": "step",
            "d_model": 8,
            "num_layers": 5,
            "num_recursions": 3,
            "mlp_ratio": 2.0,
            "alpha": 0.5,
        }
        model = MoR(layer=layer, **(settings | changes)).double().eval()
        for p in model.parameters():
            if p.ndim > 1:
                torch.nn.init.normal_(p, std=0.4)
        return model

    return make

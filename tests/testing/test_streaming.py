"""`layer-streams`: in pieces, a layer with a state gives what it gives for the whole; else the kit reports why."""

import pytest

from rk.testing.broken import Broken, NotApplicable
from rk.testing.streaming import pieces_are_the_whole, streams

SOUND = '''
import torch
from torch import nn


class Sum(nn.Module):
    """A running sum.

    Args:
        d_model: Width.
    """

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(d_model))

    def initial_state(self, batch_size):
        return {"sum": self.scale.new_zeros(batch_size, len(self.scale))}

    def scan(self, x, state, mask=None):
        if mask is not None:
            x = x * mask.unsqueeze(-1)
        sums = state["sum"].unsqueeze(1) + x.cumsum(1)
        return self.scale * sums, {"sum": sums[:, -1]}

    def forward(self, x, mask=None):
        return self.scan(x, self.initial_state(len(x)), mask)[0]
'''

MISTAKES = {
    "forgets": ('sums = state["sum"].unsqueeze(1) + ', "sums = ", "differs from forward()"),
    "looks-ahead": ("self.initial_state(len(x)), mask)[0]", "self.initial_state(len(x)), mask)[0].flip(1)", "differs"),
    "reads-padding": ("x = x * mask.unsqueeze(-1)", "pass", "steps whose mask is False change what comes after them"),
    "changes-its-state": (
        'return self.scale * sums, {"sum": sums[:, -1]}',
        'out = self.scale * sums; return out, {"sum": state["sum"].copy_(sums[:, -1])}',
        "scan() changes the state that it is given",
    ),
    "batch-second": (
        'return {"sum": self.scale.new_zeros(batch_size, len(self.scale))}',
        'return {"sum": self.scale.new_zeros(len(self.scale), batch_size)}',
        "the batch, of 3, must be its first dimension",
    ),
    "batch-second-later": (
        'return self.scale * sums, {"sum": sums[:, -1]}',
        'return self.scale * sums, {"sum": sums[:, -1], "seen": torch.zeros(2)}',
        "the batch, of 3, must be its first dimension",
    ),
    "no-start": ("def initial_state", "def first_state", "no initial_state()"),
}


def layer_of(workshop, source: str):
    catalog = workshop.catalog(workshop.plugin("sums", source, layers={"sum": "Sum"}))
    return catalog.resolve("layer", "sum"), catalog


def test_a_sound_layer_passes(workshop):
    component, catalog = layer_of(workshop, SOUND)
    assert streams(component, catalog)
    pieces_are_the_whole(component, catalog)


@pytest.mark.parametrize("name", MISTAKES)
def test_the_mistake_is_found_and_reported(workshop, name):
    old, new, said = MISTAKES[name]
    assert old in SOUND
    with pytest.raises(Broken) as found:
        pieces_are_the_whole(*layer_of(workshop, SOUND.replace(old, new)))
    assert said in str(found.value)


def test_a_layer_without_a_state_is_not_looked_at(workshop):
    assert not streams(*layer_of(workshop, SOUND.replace("def scan", "def go_on")))


def test_a_layer_that_needs_more_than_its_width_is_not_applicable(workshop):
    source = SOUND.replace("d_model: int)", "d_model: int, order: int)").replace(
        "Width.", "Width.\n        order: Of it."
    )
    with pytest.raises(NotApplicable, match="order"):
        pieces_are_the_whole(*layer_of(workshop, source))

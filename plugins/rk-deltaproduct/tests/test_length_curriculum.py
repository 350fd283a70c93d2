"""The curriculum: sequences grow evenly, and every field of a step is cut alike."""

import pytest
import torch
from rk_deltaproduct.curriculum import LengthCurriculum
from torch import nn

from rk import Runtime, UserError
from rk.builtin.losses import CrossEntropy
from rk.builtin.optimizers import SGD


class Echo(nn.Module):
    """Remembers the shapes that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3))
        self.seen: list[tuple[int, ...]] = []

    def forward(self, *, tokens: torch.Tensor, mask: torch.Tensor) -> dict[str, torch.Tensor]:
        self.seen.append((*tokens.shape, *mask.shape))
        return {"logits": self.weight.expand(*tokens.shape, 3)}


def make_trainer(model: nn.Module, accumulate: int = 1, **params: int) -> LengthCurriculum:
    trainer = LengthCurriculum(SGD(lr=0.1), **params)
    trainer.setup(model=model, loss=CrossEntropy(), runtime=Runtime(accumulate=accumulate))
    return trainer


def make_batch(t: int) -> dict[str, torch.Tensor]:
    return {"tokens": torch.zeros(2, t).long(), "mask": torch.ones(2, t).bool(), "targets": torch.zeros(2, t).long()}


def test_sequences_grow_evenly_to_their_whole_length():
    model = Echo()
    trainer = make_trainer(model, initial_length=2, over=4)
    for _ in range(7):
        trainer.step(make_batch(10))
    assert model.seen == [(2, t, 2, t) for t in (2, 4, 6, 8, 10, 10, 10)]


def test_short_sequences_are_taken_whole():
    model = Echo()
    trainer = make_trainer(model, initial_length=4, over=2)
    trainer.step(make_batch(3))
    assert model.seen == [(2, 3, 2, 3)]


def test_micro_batches_of_an_update_have_one_length():
    trainer = make_trainer(Echo(), accumulate=2, initial_length=2, over=4)
    lengths = []
    for trainer.seen in range(6):
        lengths.append(trainer.length(10))
    assert lengths == [2, 2, 4, 4, 6, 6]


def test_it_resumes_where_it_stopped():
    trainer, again = make_trainer(Echo(), initial_length=2, over=4), make_trainer(Echo(), initial_length=2, over=4)
    for _ in range(2):
        trainer.step(make_batch(10))
    again.load_state_dict(trainer.state_dict())
    assert again.length(10) == trainer.length(10) == 6


def test_one_target_for_a_whole_sequence_is_refused():
    trainer = make_trainer(Echo())
    with pytest.raises(UserError, match="one target for a whole sequence"):
        trainer.step({**make_batch(5), "targets": torch.zeros(2).long()})

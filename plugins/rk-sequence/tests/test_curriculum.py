"""Curricula: parameters of any data follow the stage, and stages advance at a fixed pace or when they are mastered."""

from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rk_sequence.curriculum import UNREACHED, Curriculum
from rk_sequence.group_words import GroupWords
from rk_sequence.pace import Evenly, evenly
from rk_sequence.scheduled import Scheduled
from torch import nn

from rk import Runtime, UserError
from rk.builtin.losses import CrossEntropy
from rk.builtin.optimizers import SGD


def test_an_even_schedule_reaches_its_last_value_and_stays():
    assert [evenly(t, 2, 10, 4) for t in range(7)] == [2, 4, 6, 8, 10, 10, 10]
    assert [evenly(t, 3, 0, 3) for t in range(5)] == [3, 2, 1, 0, 0]


@given(st.integers(0, 50), st.integers(-20, 20), st.integers(-20, 20), st.integers(1, 40))
def test_an_even_schedule_moves_towards_its_last_value(t, first, last, over):
    a, b = evenly(t, first, last, over), evenly(t + 1, first, last, over)
    assert min(first, last) <= a <= max(first, last)
    assert (b - a) * (last - first) >= 0


def words(**params):
    return partial(GroupWords, **{"seed": 3, "group": "S3", "length": 12, "batch_size": 5, **params})


def scheduled() -> Scheduled:
    return Scheduled(words(), {"length": Evenly(4, 12, 2), "skew": [3.0, 0.0]})


def test_a_stage_has_the_batches_of_the_data_with_its_values():
    for stage, (length, skew) in enumerate([(4, 3.0), (8, 0.0), (12, 0.0), (12, 0.0)]):
        found = scheduled().batch("train", 7, stage)
        expected = words(length=length, skew=skew)().batch("train", 7)
        assert torch.equal(found["tokens"], expected["tokens"])


def test_validation_and_facts_are_those_of_the_data_as_it_is_written():
    data = scheduled()
    for stage in (0, 1):
        assert torch.equal(data.batch("val", 0, stage)["tokens"], words()().batch("val", 0)["tokens"])
    assert data.num_outputs == 6
    assert data.stages == 3


def test_what_the_data_does_not_take_is_refused():
    with pytest.raises(ValueError, match="vary must name parameters of the data with their values, got wide"):
        Scheduled(words(), {"wide": [1]})
    with pytest.raises(ValueError, match="vary, stage 1: lengths must be >= 1, got 0"):
        Scheduled(words(), {"length": [4, 0]})
    with pytest.raises(ValueError, match=r"vary\.length must have a value for a stage"):
        Scheduled(words(), {"length": []})


class Constant(nn.Module):
    """Answers class `answer` of two."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))
        self.answer = 0

    def forward(self, *, inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"logits": (self.weight * 1e-6 + torch.eye(2)[self.answer]).expand(len(inputs), 2)}


def hits(*, logits: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, int]:
    return (logits.argmax(-1) == targets).sum(), len(targets)


class Levels:
    """Stage s is of level 10 + s; its right answer is 0 for the first two stages, then 1."""

    splits = ("train", "val")
    metrics = {"accuracy": hits}
    stages = 4

    def batches(self, split: str) -> int | None:
        return None if split == "train" else 3

    def batch(self, split: str, i: int, stage: int = 0) -> dict[str, torch.Tensor]:
        return {"inputs": torch.zeros(4, 1), "targets": torch.full((4,), int(stage >= 2))}

    def level(self, stage: int) -> int:
        return 10 + stage


def make_trainer(accumulate: int = 1, data=None, **params) -> Curriculum:
    trainer = Curriculum(SGD(lr=0.1), **params)
    trainer.setup(model=Constant(), loss=CrossEntropy(), data=data or Levels(), runtime=Runtime(accumulate=accumulate))
    return trainer


def stages(trainer: Curriculum, steps: int) -> list[int]:
    found = []
    for i in range(steps):
        trainer.step(trainer.data.batch("train", i, trainer.stage))
        found.append(trainer.stage)
    return found


def test_without_a_threshold_a_stage_lasts_so_many_updates():
    assert stages(make_trainer(stage_steps=2, threshold=None), 9) == [0, 1, 1, 2, 2, 3, 3, 3, 3]
    assert stages(make_trainer(accumulate=2, stage_steps=2, threshold=None), 5) == [0, 0, 0, 1, 1]


def test_with_a_threshold_a_stage_lasts_until_it_is_mastered():
    trainer = make_trainer(stage_steps=2)
    assert stages(trainer, 8) == [0, 1, 1, 2, 2, 2, 2, 2]
    assert trainer.results() == {"stages": 2, "level": 11, "updates-10": 2, "updates-11": 4}
    trainer.learner.model.answer = 1
    assert stages(trainer, 4) == [2, 3, 3, 3]
    assert trainer.results()["level"] == 13


def test_what_is_measured_is_of_the_stage_and_is_not_trained_on():
    class Watched(Levels):
        def batch(self, split: str, i: int, stage: int = 0) -> dict[str, torch.Tensor]:
            asked.append((split, i, stage))
            return super().batch(split, i, stage)

    asked: list[tuple[str, int, int]] = []
    trainer = make_trainer(data=Watched(), stage_steps=2, batches=3)
    stages(trainer, 4)
    trained = [i for _, i, _ in asked if i < UNREACHED]
    measured = [(i, stage) for _, i, stage in asked if i >= UNREACHED]
    assert trained == [0, 1, 2, 3]
    assert [stage for _, stage in measured] == [0, 0, 0, 1, 1, 1]


def test_it_resumes_at_its_stage():
    trainer, again = make_trainer(stage_steps=2), make_trainer(stage_steps=2)
    stages(trainer, 3)
    again.load_state_dict(trainer.state_dict())
    assert stages(again, 2) == stages(trainer, 2) == [2, 2]
    assert again.results() == trainer.results()


def test_a_metric_that_the_data_does_not_have_is_refused():
    with pytest.raises(UserError, match="the data has no metric 'acuracy'"):
        make_trainer(metrics=("acuracy",))


def test_a_metric_that_has_an_update_is_refused():
    class Object:
        def update(self) -> None: ...

    data = Levels()
    data.metrics = {"accuracy": Object}
    with pytest.raises(UserError, match="accuracy must be a function of fields"):
        make_trainer(data=data)

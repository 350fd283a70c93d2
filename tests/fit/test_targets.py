"""A target that is not a class is named, also where a GPU would only stop."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from rk.errors import RunFailed, UserError
from rk.fit.runtime import Runtime
from rk.fit.targets import check_targets, is_gpu_assert, stopped_gpu

ASSERT = RuntimeError("CUDA error: device-side assert triggered\nCUDA kernel errors might be ...")


def test_the_first_batch_is_checked_before_it_reaches_a_device(run, monkeypatch):
    monkeypatch.setattr(Runtime, "backward", lambda self, objective: pytest.fail("a step was taken"))
    with pytest.raises(UserError, match=r"a target is \d, but the model has 5 classes"):
        run("model.num_classes=5")


def test_the_target_that_stopped_a_gpu_is_looked_for_in_batches_since_the_last_log(run, monkeypatch):
    from rk.builtin.digits import Digits

    original = Digits.batch

    def batch(self, split, i, stage=0):
        found = original(self, split, i, stage)
        if (split, i) == ("train", 5):
            found["targets"][3] = 17
        return found

    def stopped(self, objective):
        if self.step == 7:  # a GPU stops some steps later
            raise ASSERT
        return {"loss": torch.tensor(1.0)}

    monkeypatch.setattr(Digits, "batch", batch)
    monkeypatch.setattr(Runtime, "backward", stopped)
    monkeypatch.setattr("rk.builtin.losses.functional.cross_entropy", lambda logits, *_, **__: logits.sum())
    with pytest.raises(UserError, match="a target is 17, but the model has 10 classes"):
        run()


def test_where_no_target_is_wrong_the_hint_is_how_to_find_out(run):
    recipe = run("fit.max_steps=1").recipe
    data = SimpleNamespace(batch=lambda split, i, stage: {"targets": torch.tensor([0, 9])})
    parts = SimpleNamespace(data=data, trainer=None, runtime=Runtime(), facts={"num_classes": 10})
    error = stopped_gpu(parts, range(3), recipe)
    assert isinstance(error, RunFailed) and "fit.accelerator=cpu" in error.hint
    assert is_gpu_assert(ASSERT) and not is_gpu_assert(ValueError("another"))


def test_targets_that_are_ignored_or_of_another_loss_are_left_alone(run):
    recipe = run("fit.max_steps=1", "loss={name: cross-entropy, ignore_index: -100}").recipe
    facts = {"num_classes": 10}
    check_targets({"targets": torch.tensor([0, -100])}, recipe, facts)
    with pytest.raises(UserError, match=r"a target is -1,"):
        check_targets({"targets": torch.tensor([0, -1])}, recipe, facts)
    recipe.loss = None
    check_targets({"targets": torch.tensor([99])}, recipe, facts)

"""Metrics where the learner is, and precision as it was trained."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rk.fit.evaluate import Measured, evaluate, widened
from rk.fit.loaded import LoadedRun
from rk.fit.runtime import Runtime
from rk.recipe.stored import read_stored

BF16 = ("fit.max_steps=4", "model.dropout=0.0")


class Tracked:
    """A metric object that can be moved, as those of torchmetrics can."""

    def __init__(self):
        self.devices = []

    def to(self, device):
        self.devices.append(str(device))
        return self

    def update(self, *, values):
        self.seen = values

    def compute(self):
        return 0.0


class Plain:
    """One that keeps tensors which it makes on the host."""

    def __init__(self):
        self.total = torch.zeros(())

    def update(self, *, values):
        assert values.device == self.total.device
        self.total += values.sum()

    def compute(self):
        return float(self.total)


class Elsewhere(torch.Tensor):
    """A tensor that claims to be on a GPU, until it is brought to the host."""

    @property
    def device(self):
        return torch.device("cuda")

    def cpu(self):
        return self.as_subclass(torch.Tensor)


GPU = torch.device("cuda")


def test_a_movable_metric_object_is_on_the_learners_device_and_is_merged_on_the_host():
    metric = Measured(Tracked, GPU)
    values = torch.ones(3).as_subclass(Elsewhere)
    metric.add({"values": values})
    assert metric.object.devices == ["cuda"] and metric.object.seen is values
    assert metric.state is metric.object and metric.object.devices == ["cuda", "cpu"]


def test_any_other_metric_object_is_given_fields_on_the_host():
    metric = Measured(Plain, GPU)
    metric.add({"values": torch.ones(3).as_subclass(Elsewhere), "other": None})
    assert metric.compute() == 3.0


def test_a_metric_that_is_a_function_stays_on_the_device():
    seen = []

    def share(*, values):
        seen.append(values.device)
        return torch.tensor(1.0), 1

    Measured(share, GPU).add({"values": torch.ones(3).as_subclass(Elsewhere)})
    assert seen == [GPU]


def test_a_run_is_measured_in_the_precision_that_it_was_trained_in(run, catalog):
    pytest.importorskip("lightning")
    trained = run(*BF16, "fit.precision=bf16-mixed")
    loaded = LoadedRun.open(trained.folder.path, catalog)
    seen = []
    loaded.learner.model.register_forward_hook(lambda module, args, output: seen.append(output["logits"].dtype))
    assert loaded.evaluate(("test",)) == {k: v for k, v in trained.metrics.items() if k.startswith("test")}
    assert set(seen) == {torch.bfloat16}

    read_stored(trained.folder, ("fit.precision=32-true",), catalog)
    whole = LoadedRun.open(trained.folder.path, catalog, ("fit.precision=32-true",))
    assert whole.evaluate(("test",))["test/loss"] != trained.metrics["test/loss"]
    assert whole.evaluate(("test",))["test/loss"] == pytest.approx(trained.metrics["test/loss"], rel=0.05)


def test_answers_of_16_bits_are_measured_in_32():
    found = widened({"values": torch.ones(2, dtype=torch.bfloat16), "n": torch.ones(2, dtype=torch.int64), "meta": "x"})
    assert found["values"].dtype == torch.float32 and found["n"].dtype == torch.int64 and found["meta"] == "x"


def test_variants_are_called_through_the_runtime():
    class Learner(nn.Module):
        def predict(self, batch):
            return {"values": batch["x"]}

        def variants(self):
            return {"twice": lambda batch: {"values": 2 * batch["x"]}}

    class Data:
        def batches(self, split):
            return 1

        def batch(self, split, i):
            return {"x": torch.ones(2)}

    class Counting(Runtime):
        calls = 0

        def answering(self, learner, function):
            def call(batch):
                self.calls += 1
                return function(batch)

            return call

    def mean(*, values):
        return values.sum(), len(values)

    runtime = Counting()
    found = evaluate(Learner(), Data(), "test", {"mean": mean}, runtime)
    assert found == {"test/mean": 1.0, "test/mean@twice": 2.0} and runtime.calls == 1

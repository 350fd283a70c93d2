"""Components that pass on: whatever fits the component inside fits the wrapper, and nothing else does."""

from __future__ import annotations

import pytest
import torch

from rk.fit.loaded import LoadedRun
from rk.fit.train import train
from rk.runs import RunFolder

WRAPPERS = '''
import torch
from torch import Tensor, nn
from rk import Batch, Data, Factory, Loss, Metric, Model, Objective, Outputs
from rk.wrappers import DataWrapper, LossWrapper, MetricWrapper, ModelWrapper


class Damped(ModelWrapper):
    """Weights that are scaled down before each call of the model inside.

    Args:
        base: The model.
        factor: The factor.
    """

    def __init__(self, base: Model, factor: float = 0.5) -> None:
        super().__init__(base)
        self.log_factor = nn.Parameter(torch.tensor(float(factor)).log())

    def forward(self, **fields: Tensor) -> Outputs:
        outputs = super().forward(**fields)
        return {name: value * self.log_factor.exp() for name, value in outputs.items()}


class Pair(nn.Module):
    """The sum of two models of one recipe.

    Args:
        base: The model; two are built.
    """

    def __init__(self, base: Factory[Model]) -> None:
        super().__init__()
        self.first, self.second = base(), base()

    def forward(self, **fields: Tensor) -> Outputs:
        mine, other = self.first(inputs=fields["inputs"]), self.second(inputs=fields["inputs"])
        return {name: mine[name] + other[name] for name in mine}


class Doubled(LossWrapper):
    """Twice a loss.

    Args:
        base: The loss.
    """

    def __init__(self, base: Loss) -> None:
        super().__init__(base)

    def forward(self, **fields: Tensor) -> Objective:
        total, count = super().forward(**fields)
        return 2 * total, count


class Permuted(DataWrapper):
    """Inputs in another order of their pixels.

    Args:
        base: The data.
        seed: Seeds the order.
    """

    def __init__(self, base: Data, seed: int = 0) -> None:
        super().__init__(base)
        self.order = torch.randperm(64, generator=torch.Generator().manual_seed(seed))

    def batch(self, split: str, i: int, stage: int = 0) -> Batch:
        batch = super().batch(split, i, stage)
        return {**batch, "inputs": batch["inputs"].flatten(1)[:, self.order].view(-1, 8, 8)}


class Halved(DataWrapper):
    """Training batches of half the size.

    Args:
        base: The data.
    """

    def __init__(self, base: Factory[Data]) -> None:
        super().__init__(base())
        self.half = base(batch_size=self.base.batch_size // 2)

    def prepare(self) -> None:
        self.base.prepare()
        self.half.prepare()

    def batch(self, split: str, i: int, stage: int = 0) -> Batch:
        return (self.half if split == "train" else self.base).batch(split, i, stage)


class Error(MetricWrapper):
    """One minus a metric.

    Args:
        base: The metric.
    """

    def __init__(self, base: Metric) -> None:
        super().__init__(base)
        self.higher_is_better = not self.higher_is_better

    def __call__(self, **fields: Tensor):
        total, count = super().__call__(**fields)
        return count - total, count


class Blocky(nn.Module):
    """A model with gates.

    Args:
        num_classes: Classes.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.gates = nn.ModuleList([nn.Linear(64, num_classes)])

    def forward(self, *, inputs: "Float[Tensor, 'batch *shape']") -> "LogitsOutputs":
        return {"logits": self.gates[0](inputs.flatten(1))}


from jaxtyping import Float
from rk.fields import LogitsOutputs
from rk import Learner
from typing import Protocol


class HasGates(Model, Protocol):
    gates: nn.ModuleList


class Blockwise:
    """Needs gates."""

    def setup(self, *, model: HasGates, loss: Loss, data: Data, runtime) -> Learner: ...
    def step(self, batch: Batch) -> dict: ...
'''
RECIPE = """
rk: 1
model: MODEL
data: {name: permuted, base: {name: digits, batch_size: 64}, seed: 3}
loss: {name: doubled, base: LOSS}
metrics: {error: {name: error, base: accuracy}}
trainer: {name: backprop, optimizer: {name: adam, lr: 3e-3}}
fit: {max_steps: 12, seed: 5, threads: 1, validate_every: 6, monitor: val/error, accelerator: cpu}
"""
MLP = "{name: damped, base: {name: mlp, hidden_sizes: [16]}}"


@pytest.fixture
def wrapping(workshop):
    plugin = workshop.plugin(
        "wrapping",
        WRAPPERS,
        models={"damped": "Damped", "pair": "Pair", "blocky": "Blocky"},
        losses={"doubled": "Doubled"},
        data={"permuted": "Permuted", "halved": "Halved"},
        metrics={"error": "Error"},
        trainers={"blockwise": "Blockwise"},
    )
    return workshop.catalog(plugin)


def recipe(model=MLP, loss="cross-entropy"):
    return RECIPE.replace("MODEL", model).replace("LOSS", loss)


def test_wrappers_of_model_data_loss_and_metric_fit_where_what_they_wrap_fits(check, wrapping):
    found = check(recipe(), catalog=wrapping)
    assert found.problems == [] and found.warnings == []
    fields = {field.name: field for field in found.binding.fields}
    assert fields["inputs"].readers == ["model damped", "model.predict"]
    assert fields["targets"].readers == ["loss doubled", "metric accuracy", "metrics.error"]
    assert found.binding.metrics == ["accuracy", "error"] and found.binding.splits == ("train", "val", "test")


def test_facts_are_those_of_the_data_inside(check, wrapping):
    facts = {(f.owner.key, f.param): f.source for f in check(recipe(), catalog=wrapping).binding.facts}
    assert facts["model.base", "num_classes"] == "data"


def test_fields_that_the_base_needs_are_required(check, wrapping):
    messages = [p.message for p in check(recipe(loss="mse"), catalog=wrapping).problems]
    assert "loss doubled needs the field 'values', which nothing provides" in messages


def test_a_wrapper_of_a_factory_builds_what_it_wraps_twice(check, wrapping, tmp_path):
    found = check(recipe("{name: pair, base: {name: mlp, hidden_sizes: [4]}}"), catalog=wrapping)
    assert found.problems == []
    fields = {field.name: field for field in found.binding.fields}
    assert fields["inputs"].readers == ["model pair"] and fields["logits"].provider == "model pair"
    facts = {(f.owner.key, f.param): f.source for f in found.binding.facts}
    assert facts["model.base", "num_classes"] == "data"


def test_wrappers_wrap_wrappers(check, wrapping):
    assert check(recipe(f"{{name: damped, base: {MLP}}}"), catalog=wrapping).problems == []


def test_a_wrapper_may_build_what_it_wraps_more_than_once(check, wrapping, tmp_path):
    text = recipe().replace("permuted, base: {name: digits, batch_size: 64}, seed: 3", "halved, base: {name: digits}")
    found = check(text, catalog=wrapping)
    assert found.problems == [] and found.binding.splits == ("train", "val", "test")
    folder = RunFolder.begin(tmp_path / "runs", "halved", found.recipe.to_yaml())
    train(found.recipe, wrapping, folder)
    run = LoadedRun.open(folder.path, wrapping)
    run.prepare()
    data = run.data
    assert [len(data.batch(split, 0)["targets"]) for split in ("train", "val")] == [32, 64]


@pytest.mark.parametrize(("inside", "fits"), [("blocky", True), ("{name: mlp, hidden_sizes: [4]}", False)])
def test_capabilities_are_seen_through_the_wrapper(check, wrapping, inside, fits):
    text = recipe(f"{{name: damped, base: {inside}}}").replace(
        "{name: backprop, optimizer: {name: adam, lr: 3e-3}}", "blockwise"
    )
    problems = [p.message for p in check(text, catalog=wrapping).problems]
    assert (problems == []) is fits, problems
    if not fits:
        assert problems == ["blockwise needs a model with `gates`; damped has none"]


def test_a_wrapped_recipe_learns_resumes_and_answers(check, wrapping, tmp_path):
    checked = check(recipe(), catalog=wrapping).recipe
    folder = RunFolder.begin(tmp_path / "runs", "wrapped", checked.to_yaml())
    outcome = train(checked, wrapping, folder)
    assert outcome.metrics["test/error"] == pytest.approx(1 - outcome.metrics["test/accuracy"])
    loaded = LoadedRun.open(folder.path, wrapping)
    assert "model.log_factor" in loaded.learner.state_dict()
    assert torch.equal(loaded.learner.state_dict()["model.log_factor"], loaded.learner.model.state_dict()["log_factor"])
    assert loaded.evaluate(("test",))["test/error"] == outcome.metrics["test/error"]

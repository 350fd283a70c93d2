"""The contract: what needs and what provides each field, fact and capability, known before the first step."""

from __future__ import annotations

import pytest

from rk.recipe.contract import Binding

GOOD = """
rk: 1
model: mlp
data: digits
loss: cross-entropy
trainer: {name: backprop, optimizer: adam}
fit: {max_steps: 10}
"""

HEAD = """
from __future__ import annotations
from typing import Any, NotRequired, Protocol, TypedDict
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from rk import Batch, Data, Factory, Layer, Loss, Model, Run, SequenceLayer
from rk.fields import ClassificationBatch, InputsOnly, LogitsOutputs
"""


def bound(binding: Binding) -> dict[str, tuple[str, list[str]]]:
    """Returns field -> (what provides it, what reads it)."""
    return {field.name: (field.provider, field.readers) for field in binding.fields}


def facts(binding: Binding) -> list[tuple[str, str]]:
    """Returns (what is filled, by whom)."""
    return [(f"{fact.owner.key}.{fact.param}", fact.source) for fact in binding.facts]


@pytest.fixture
def compose(workshop, check):
    """Checks a recipe whose components come from a plugin of the given source: one class per kind, by its name."""
    hooks = {"model": "models", "data": "data", "loss": "losses", "trainer": "trainers", "search": "searches"}
    hooks |= {"metric": "metrics", "layer": "layers"}

    def call(source: str, recipe: str, **classes: str):
        components = {hooks[kind]: {name.lower(): name for name in names.split()} for kind, names in classes.items()}
        catalog = workshop.catalog(workshop.plugin("toys", HEAD + source, **components))
        return check(f"rk: 1\n{recipe}\n", catalog=catalog)

    return call


# -- what fits ---------------------------------------------------------------------------------------------------------


def test_digits_and_mlp_are_bound_field_by_field(check):
    checked = check(GOOD)
    assert (checked.problems, checked.warnings) == ([], [])
    assert bound(checked.binding) == {
        "inputs": ("data digits", ["model mlp"]),
        "targets": ("data digits", ["loss cross-entropy", "metric accuracy"]),
        "logits": ("model mlp", ["loss cross-entropy", "metric accuracy"]),
    }
    assert [str(field.type) for field in checked.binding.fields] == [
        "Float[batch *shape]",
        "Int[batch]",
        "Float[batch classes]",
    ]
    assert facts(checked.binding) == [
        ("data.seed", "fit"),
        ("model.num_features", "data"),
        ("model.num_classes", "data"),
    ]
    assert checked.binding.splits == ("train", "val", "test")
    assert checked.binding.metrics == ["accuracy"]


def test_a_metric_of_the_recipe_is_bound_beside_the_datas_own(check):
    checked = check(GOOD, "metrics.top3={name: accuracy, top: 3}", "fit.monitor=val/top3")
    assert checked.problems == []
    assert checked.binding.metrics == ["accuracy", "top3"]
    assert bound(checked.binding)["logits"][1] == ["loss cross-entropy", "metric accuracy", "metrics.top3"]


DATA = """
class Task:
    splits = ("train", "val")
    num_features: int = 64
    num_classes: int = 10
    def batches(self, split: str) -> int: ...
    def batch(self, split: str, i: int, stage: int = 0) -> ClassificationBatch: ...
class Net(nn.Module):
    def forward(self, *, inputs: Float[Tensor, "batch *shape"]) -> LogitsOutputs: ...
"""
TASK = "data: task\nmodel: net\nloss: cross-entropy\ntrainer: {name: backprop, optimizer: adam}\nfit: {max_steps: 10}"


# -- fields ------------------------------------------------------------------------------------------------------------


def test_an_unbound_optional_mask_is_a_warning(compose):
    source = """
class Loss:
    def __call__(self, *, logits, targets, mask=None, temperature=None): ...
"""
    checked = compose(DATA + source, TASK.replace("cross-entropy", "loss"), data="Task", model="Net", loss="Loss")
    assert checked.problems == []
    assert [str(w) for w in checked.warnings] == [
        "recipe.yaml:4:7: loss: loss loss could use the field 'mask', which nothing provides"
    ]


@pytest.mark.parametrize("field", ["mask", "lengths", "weights"])
def test_an_optional_field_that_is_there_is_bound(field, compose):
    source = f"""
class MaskedBatch(ClassificationBatch):
    {field}: Bool[Tensor, "batch"]
class Masked(Task):
    def batch(self, split: str, i: int, stage: int = 0) -> MaskedBatch: ...
class Loss:
    def __call__(self, *, logits, targets, {field}=None): ...
"""
    recipe = TASK.replace("cross-entropy", "loss").replace("task", "masked")
    checked = compose(DATA + source, recipe, data="Masked", model="Net", loss="Loss")
    assert (checked.problems, checked.warnings) == ([], [])
    assert bound(checked.binding)[field] == ("data masked", ["loss loss"])


def test_a_field_that_nothing_reads_is_a_warning(compose):
    source = """
class RichBatch(ClassificationBatch):
    ages: Int[Tensor, "batch"]
    names_meta: list[str]
class Rich(Task):
    def batch(self, split: str, i: int, stage: int = 0) -> RichBatch: ...
"""
    checked = compose(DATA + source, TASK.replace("task", "rich"), data="Rich", model="Net")
    assert checked.problems == []
    assert [str(w) for w in checked.warnings] == ["recipe.yaml:2:7: data: nothing reads the field 'ages'"]
    assert checked.binding.unread == ["ages"]


@pytest.mark.parametrize(
    "metrics",
    [
        pytest.param("metrics = {'f1': torchmetrics.F1Score()}", id="an object that cannot be read"),
        pytest.param("metrics = {'f1': lambda ages: ages}", id="a lambda"),
        pytest.param("metrics = {'f1': f1}", id="a function of any fields"),
        pytest.param("metrics = {**OTHERS}", id="others taken over"),
        pytest.param("metrics = OTHERS", id="others'"),
        pytest.param("@property\n    def metrics(self): ...", id="a property"),
        pytest.param("def __init__(self):\n        self.metrics = {}", id="made in the constructor"),
    ],
)
def test_a_metric_that_cannot_be_read_may_read_any_field(metrics, compose):
    source = f"""
import torchmetrics
def f1(**fields): ...
OTHERS = {{}}
class RichBatch(ClassificationBatch):
    ages: Int[Tensor, "batch"]
class Rich(Task):
    {metrics}
    def batch(self, split: str, i: int, stage: int = 0) -> RichBatch: ...
"""
    checked = compose(DATA + source, TASK.replace("task", "rich"), data="Rich", model="Net")
    assert (checked.problems, checked.warnings) == ([], [])


def test_an_optional_field_does_not_serve_a_component_that_requires_it(compose):
    source = """
class SomeBatch(TypedDict):
    inputs: Float[Tensor, "batch n"]
    targets: NotRequired[Int[Tensor, "batch"]]
class Some(Task):
    def batch(self, split: str, i: int, stage: int = 0) -> SomeBatch: ...
"""
    checked = compose(DATA + source, TASK.replace("task", "some"), data="Some", model="Net")
    assert [p.message for p in checked.problems] == [
        "loss cross-entropy needs the field 'targets', which nothing always provides"
    ]


def test_an_output_named_like_a_field_of_the_batch_is_refused(compose):
    source = """
class Echo(LogitsOutputs):
    inputs: Float[Tensor, "batch n"]
class EchoNet(Net):
    def forward(self, *, inputs: Float[Tensor, "batch *shape"]) -> Echo: ...
    def predict(self, *, inputs: Float[Tensor, "batch *shape"]) -> Echo: ...
"""
    checked = compose(DATA + source, TASK.replace("net", "echonet"), data="Task", model="EchoNet")
    assert checked.lines == [
        "recipe.yaml:3:8: model: model echonet gives 'inputs', which is a field of task's batch too",
    ]


PREDICTING = """
class Pairs(TypedDict):
    inputs: Float[Tensor, "batch n"]
    targets: Int[Tensor, "batch"]
    teacher: Float[Tensor, "batch n"]
class Answers(TypedDict):
    choice: Int[Tensor, "batch"]
def hits(*, choice, targets): ...
class Labelled(Task):
    metrics = {"hits": hits}
    def batch(self, split: str, i: int, stage: int = 0) -> Pairs: ...
class Student(nn.Module):
    def forward(self, *, inputs: Float[Tensor, "batch n"], teacher: Float[Tensor, "batch n"]) -> LogitsOutputs: ...
    def predict(self, *, inputs: Float[Tensor, "batch n"]) -> Answers: ...
"""


def test_predict_may_need_fewer_fields_and_metrics_see_what_it_answers(compose):
    checked = compose(
        DATA + PREDICTING, TASK.replace("task", "labelled").replace("net", "student"), data="Labelled", model="Student"
    )
    assert (checked.problems, checked.warnings) == ([], [])
    assert bound(checked.binding) == {
        "inputs": ("data labelled", ["model student", "model.predict"]),
        "targets": ("data labelled", ["loss cross-entropy", "metric hits"]),
        "teacher": ("data labelled", ["model student"]),
        "logits": ("model student", ["loss cross-entropy"]),
        "choice": ("model student", ["metric hits"]),
    }
    assert list(checked.binding.answers) == ["choice"]


def test_metrics_that_are_not_all_known_are_not_judged(compose):
    source = "OTHERS = {}\ndef hits(*, logits): ...\nclass More(Task):\n    metrics = {'hits': hits, **OTHERS}\n"
    recipe = TASK.replace("task", "more").replace("10}", "10, monitor: val/others}")
    checked = compose(DATA + source, recipe, data="More", model="Net")
    assert (checked.problems, checked.binding.metrics) == ([], None)


def test_a_metric_cannot_see_what_only_training_gives(compose):
    source = PREDICTING.replace("def hits(*, choice, targets)", "def hits(*, logits, targets)")
    recipe = TASK.replace("task", "labelled").replace("net", "student")
    checked = compose(DATA + source, recipe, data="Labelled", model="Student")
    assert [str(p) for p in checked.problems] == [
        "recipe.yaml:2:7: data: metric hits needs the field 'logits', which nothing provides"
        "\n  hint: fields there are: choice, inputs, targets, teacher"
    ]


@pytest.mark.parametrize(
    ("source", "kind", "said"),
    [
        pytest.param("class X(Task):\n    batch = None", "data", "data x has no method batch()", id="no batch"),
        pytest.param(
            "class X:\n    def batch(self, split, i, stage=0) -> ClassificationBatch: ...",
            "data",
            "data x has no method batches()",
            id="no batches",
        ),
        pytest.param("class X(nn.Module): ...", "model", "model x has no forward()", id="no forward"),
        pytest.param(
            "class X(nn.Module):\n    def forward(self, *, inputs): ...",
            "model",
            "model x: forward() has no TypedDict as return annotation",
            id="forward undeclared",
        ),
        pytest.param(
            "class X(Net):\n    def predict(self, *, inputs) -> dict[str, Tensor]: ...",
            "model",
            "model x: predict() has no TypedDict as return annotation",
            id="predict undeclared",
        ),
        pytest.param("class X: ...", "loss", "loss x cannot be called", id="a loss without call"),
        pytest.param("class X: ...", "metric", "metric x cannot be called", id="a metric without call"),
        pytest.param(
            "class X:\n    def step(self, batch) -> dict: ...",
            "trainer",
            "trainer x has no method setup()",
            id="no setup",
        ),
    ],
)
def test_a_component_without_what_its_kind_has_is_named_with_its_distribution(source, kind, said, compose):
    names = {"data": "Task", "model": "Net", kind: "X"}
    recipe = {"data": "task", "model": "net", "loss": "cross-entropy", "trainer": "{name: backprop, optimizer: adam}"}
    if "batch = None" in source:
        source = "class X:\n    def batches(self, split): ..."
    recipe |= {"metrics": "{m: x}"} if kind == "metric" else {kind: "x"}
    text = "\n".join(f"{k}: {v}" for k, v in recipe.items()) + "\nfit: {max_steps: 10}"
    checked = compose(DATA + source, text, **names)
    assert [p.message for p in checked.problems] == [f"rk-toys: {said}"]


# -- trainers ----------------------------------------------------------------------------------------------------------

READOUT = """
class Readout(nn.Module):
    def predict(self, batch: Batch) -> LogitsOutputs: ...
class Hebb:
    def setup(self, *, model: Model, data: Data) -> Readout: ...
    def step(self, batch: InputsOnly) -> dict[str, Tensor]: ...
class Ear(nn.Module):
    def forward(self, *, inputs: Float[Tensor, "batch *shape"], whatever: Tensor): ...
"""


def test_a_learner_that_declares_outputs_is_bound_in_place_of_the_model(compose):
    """Its outputs are what metrics see; the outputs of the model's own forward do not matter."""
    recipe = "data: digits\nmodel: ear\ntrainer: hebb\nfit: {max_steps: 10}"
    checked = compose(READOUT, recipe, model="Ear", trainer="Hebb")
    assert (checked.problems, checked.warnings) == ([], [])
    assert bound(checked.binding) == {
        "inputs": ("data digits", ["trainer hebb"]),
        "targets": ("data digits", ["metric accuracy"]),
        "logits": ("trainer hebb", ["metric accuracy"]),
    }
    assert list(checked.binding.answers) == ["logits"]
    assert checked.binding.metrics == ["accuracy"]


def test_the_outputs_of_a_learner_must_fit_the_metrics(compose):
    source = (
        READOUT.replace("-> LogitsOutputs", "-> Choices")
        + """
class Choices(TypedDict):
    logits: Int[Tensor, "batch"]
"""
    )
    checked = compose(
        source, "data: digits\nmodel: ear\ntrainer: hebb\nfit: {max_steps: 10}", model="Ear", trainer="Hebb"
    )
    (problem,) = checked.problems
    assert "takes logits: Float[batch *positions classes], but trainer hebb gives Int[batch]" in problem.message


def test_metrics_are_not_judged_where_the_trainer_does_not_fit_the_data(compose):
    """What it would answer means nothing: one problem, not one for each metric."""
    source = (
        READOUT.replace("-> LogitsOutputs", "-> Choices")
        + """
class Choices(TypedDict):
    logits: Int[Tensor, "batch"]
class Wants(TypedDict):
    ages: Int[Tensor, "batch"]
class Greedy(Hebb):
    def step(self, batch: Wants) -> dict[str, Tensor]: ...
"""
    )
    recipe = "data: digits\nmodel: ear\ntrainer: greedy\nfit: {max_steps: 10}"
    checked = compose(source, recipe, model="Ear", trainer="Greedy")
    assert [p.message for p in checked.problems] == ["trainer greedy needs the field 'ages', which nothing provides"]


def test_missing_facts_are_not_reported_for_a_model_that_does_not_fit_the_data(compose):
    source = """
class Dates(TypedDict):
    tokens: Int[Tensor, "batch time"]
    targets: Int[Tensor, "batch"]
class Calendar:
    splits = ("train",)
    def batches(self, split: str) -> int: ...
    def batch(self, split: str, i: int, stage: int = 0) -> Dates: ...
"""
    recipe = "data: calendar\nmodel: mlp\nloss: cross-entropy\n"
    recipe += "trainer: {name: backprop, optimizer: adam}\nfit: {max_steps: 10}"
    checked = compose(source, recipe, data="Calendar")
    assert [p.message for p in checked.problems] == ["model mlp needs the field 'inputs', which nothing provides"]


def test_a_loss_that_is_refused_is_not_bound(compose):
    """The fields that it would need are not reported."""
    source = READOUT + "class Quiet(Hebb):\n    def setup(self) -> Readout: ...\n"
    checked = compose(source, "data: digits\nloss: mse\ntrainer: quiet\nfit: {max_steps: 10}", trainer="Quiet")
    assert [p.message for p in checked.problems] == ["trainer quiet takes no loss"]


@pytest.mark.parametrize("returned", ["'Readout'", "Same"])
def test_a_learner_is_found_by_another_name_too(returned, compose):
    source = READOUT.replace("-> Readout", f"-> {returned}") + "Same = Readout\n"
    checked = compose(
        source, "data: digits\nmodel: ear\ntrainer: hebb\nfit: {max_steps: 10}", model="Ear", trainer="Hebb"
    )
    assert list(checked.binding.answers) == ["logits"]


def test_a_step_that_names_its_fields_is_bound(compose):
    source = (
        READOUT.replace("inputs: Float", "inputs: Float")
        + """
class Wants(TypedDict):
    inputs: Float[Tensor, "batch *shape"]
    mask: NotRequired[Bool[Tensor, "batch"]]
    ages: Int[Tensor, "batch"]
class Greedy(Hebb):
    def step(self, batch: Wants) -> dict[str, Tensor]: ...
"""
    )
    recipe = "data: digits\nmodel: ear\ntrainer: greedy\nfit: {max_steps: 10}"
    checked = compose(source, recipe, model="Ear", trainer="Greedy")
    assert [p.message for p in checked.problems] == ["trainer greedy needs the field 'ages', which nothing provides"]
    assert [w.message for w in checked.warnings] == [
        "trainer greedy could use the field 'mask', which nothing provides"
    ]
    assert bound(checked.binding)["inputs"] == ("data digits", ["trainer greedy"])


@pytest.mark.parametrize(
    ("annotation", "default", "loss", "said"),
    [
        pytest.param("Loss", "", "mse", [], id="needed and there"),
        pytest.param("Loss", "", "null", ["missing: trainer t needs a loss"], id="needed but absent"),
        pytest.param("Loss | None", " = None", "null", [], id="allowed and absent"),
        pytest.param("Loss | None", "", "null", [], id="None is a loss to it"),
        pytest.param("Loss", " = None", "null", [], id="with a default"),
    ],
)
def test_the_signature_of_setup_determines_whether_a_loss_is_needed(annotation, default, loss, said, compose):
    source = f"""
class T:
    def setup(self, *, loss: {annotation}{default}) -> nn.Module: ...
    def step(self, batch) -> dict[str, Tensor]: ...
class Anything:
    def __call__(self): ...
"""
    recipe = f"data: digits\nloss: {loss}\ntrainer: t\nfit: {{max_steps: 10}}".replace("mse", "anything")
    assert [p.message for p in compose(source, recipe, trainer="T", loss="Anything").problems] == said


@pytest.mark.parametrize(
    ("step", "ends"),
    [
        pytest.param("def step(self, batch) -> dict[str, Tensor]: ...", False, id="always learns"),
        pytest.param("def step(self, batch) -> dict[str, Tensor] | None: ...", True, id="may return None"),
        pytest.param("def step(self) -> None: ...", True, id="does all at once"),
    ],
)
def test_a_run_needs_an_end_unless_its_trainer_has_one(step, ends, compose):
    source = f"class T:\n    def setup(self) -> nn.Module: ...\n    {step}\n"
    said = [p.message for p in compose(source, "data: digits\ntrainer: t", trainer="T").problems]
    assert said == ([] if ends else ["missing: trainer t does not end by itself"])
    assert compose(source, "data: digits\ntrainer: t\nfit: {max_epochs: 1}", trainer="T").problems == []


# -- capabilities ------------------------------------------------------------------------------------------------------

CAPABILITY = """
class LocalBlocks(Model, Protocol):
    blocks: nn.ModuleList
    def parameters(self): ...
class Plain(Protocol):
    blocks: nn.ModuleList
class ByBlocks:
    def setup(self, *, model: ANNOTATION) -> nn.Module: ...
    def step(self, batch) -> dict[str, Tensor]: ...
class Flat(nn.Module):
    def forward(self, *, inputs) -> LogitsOutputs: ...
class Built(Flat):
    def __init__(self):
        self.blocks = nn.ModuleList()
class Registered(Flat):
    def __init__(self):
        self.add_module("blocks", nn.ModuleList())
class Inherited(Built): ...
class Torchs(nn.Transformer):
    def __init__(self, depth: int = 1): ...
    def forward(self, *, inputs) -> LogitsOutputs: ...
class Unreadable(Flat):
    def __init__(self, **kwargs): ...
"""


@pytest.mark.parametrize("annotation", ["LocalBlocks", "'LocalBlocks'", "LocalBlocks | None", "Plain", "'Plain'"])
@pytest.mark.parametrize(
    ("model", "fits"),
    [
        pytest.param("built", True, id="set in the constructor"),
        pytest.param("registered", True, id="registered by name"),
        pytest.param("inherited", True, id="inherited"),
        pytest.param("torchs", True, id="a base that is not looked into may have it"),
        pytest.param("flat", False, id="missing"),
    ],
)
def test_a_trainer_may_ask_for_what_only_some_models_have(annotation, model, fits, compose):
    checked = compose(
        CAPABILITY.replace("ANNOTATION", annotation),
        f"data: digits\nmodel: {model}\ntrainer: byblocks\nfit: {{max_steps: 10}}",
        model="Flat Built Registered Inherited Torchs Unreadable",
        trainer="ByBlocks",
    )
    hint = "models that have: built, inherited, mlp, registered, torchs, unreadable"
    said = f"recipe.yaml:3:8: model: byblocks needs a model with `blocks`; flat has none\n  hint: {hint}"
    assert checked.lines == ([] if fits else [said.replace(", unreadable", "")])


@pytest.mark.parametrize("annotation", ["nn.Module", "Any", "Model", "int | str", "LocalBlocks | Plain"])
def test_a_trainer_without_a_required_protocol_takes_any_model(annotation, compose):
    checked = compose(
        CAPABILITY.replace("ANNOTATION", annotation),
        "data: digits\nmodel: flat\ntrainer: byblocks\nfit: {max_steps: 10}",
        model="Flat",
        trainer="ByBlocks",
    )
    assert checked.problems == []


def test_another_plugins_mistake_does_not_spoil_the_list_of_what_fits(compose):
    """The hint looks at every installed model; one whose module is gone is passed over."""
    checked = compose(
        CAPABILITY.replace("ANNOTATION", "Plain"),
        "data: digits\nmodel: flat\ntrainer: byblocks\nfit: {max_steps: 10}",
        model="Flat Missing",
        trainer="ByBlocks",
    )
    assert [p.hint for p in checked.problems] == ["models that have: mlp"]


def test_a_capability_may_be_required_of_the_data_too(compose):
    source = """
class HasVocabulary(Data, Protocol):
    vocabulary: list[str]
class Reader:
    def setup(self, *, data: HasVocabulary) -> nn.Module: ...
    def step(self, batch) -> dict[str, Tensor]: ...
"""
    checked = compose(source, "data: digits\ntrainer: reader\nfit: {max_steps: 10}", trainer="Reader")
    assert checked.lines == [
        "recipe.yaml:2:7: data: reader needs a data with `vocabulary`; digits has none\n  hint: no installed data has"
    ]


# -- facts -------------------------------------------------------------------------------------------------------------

FACTS = """
class Task2(Task):
    vocab_size: int
    depth: str
    seed: str
    @property
    def widths(self) -> tuple[int, ...]: ...
class Cell(nn.Module):
    def __init__(self, d_model: int, vocab_size: int, seed: int): ...
    def forward(self, x, mask=None): ...
class Stack(Net):
    def __init__(self, num_classes: int, layer: Factory[SequenceLayer], widths: list[int], seed: int, given: float): ...
"""
STACK = TASK.replace("task", "task2").replace("model: net", "model: {name: stack, layer: cell, given: 1}")


def test_facts_flow_into_every_component_nested_ones_too(compose):
    checked = compose(DATA + FACTS, STACK, data="Task2", model="Stack", layer="Cell")
    assert checked.problems == []
    assert facts(checked.binding) == [
        ("model.num_classes", "data"),
        ("model.widths", "data"),
        ("model.seed", "fit"),
        ("model.layer.vocab_size", "data"),
        ("model.layer.seed", "fit"),
    ]


def test_a_parameter_given_in_the_recipe_is_not_filled_by_a_fact(check):
    checked = check(GOOD.replace("model: mlp", "model: {name: mlp, num_classes: 10}"), "data.seed=3")
    assert facts(checked.binding) == [("model.num_features", "data")]


def test_a_parameter_without_value_or_fact_is_missing(compose):
    checked = compose(DATA + FACTS, STACK.replace(", given: 1", ""), data="Task2", model="Stack", layer="Cell")
    assert checked.lines == ["recipe.yaml:3:8: model.given: missing: given (float)\n  hint: give model.given"]


def test_facts_are_not_for_the_data_itself_nor_for_what_it_is_built_from(compose):
    source = """
class Part:
    def __init__(self, seed: int, num_classes: int): ...
class Own(Task):
    def __init__(self, seed: int, num_classes: int, part: Loss): ...
"""
    recipe = TASK.replace("task", "{name: own, part: part}")
    checked = compose(DATA + source, recipe, data="Own", model="Net", loss="Part")
    assert [(p.key, p.message) for p in checked.problems] == [
        ("data.num_classes", "missing: num_classes (int)"),
        ("data.part.num_classes", "missing: num_classes (int)"),
    ]
    assert facts(checked.binding) == [("data.seed", "fit"), ("data.part.seed", "fit")]


@pytest.mark.parametrize(
    ("parameter", "said"),
    [
        pytest.param("depth: int", "mlp2 takes int, but the data's fact depth is str", id="of the data"),
        pytest.param("seed: str", "mlp2 takes str, but fit.seed is int", id="of the host, whatever the data calls so"),
    ],
)
def test_a_fact_of_another_type_is_refused(parameter, said, compose):
    source = f"class Mlp2(Net):\n    def __init__(self, {parameter}): ...\n"
    recipe = TASK.replace("task", "task2").replace("net", "mlp2")
    assert [p.message for p in compose(DATA + FACTS + source, recipe, data="Task2", model="Mlp2").problems] == [said]


def test_a_component_or_a_run_is_never_a_fact(compose):
    """So they are missed even where the data is not known yet: a search takes the data of its run."""
    source = """
class Prune:
    def __init__(self, run: Run, num_classes: int): ...
    def setup(self, *, data: Data) -> nn.Module: ...
    def step(self) -> dict[str, Tensor] | None: ...
"""
    checked = compose(source, "search: prune", search="Prune")
    assert checked.lines == ["recipe.yaml:2:9: search.run: missing: run (a run folder)\n  hint: give search.run"]


def test_an_optimizer_is_missed_without_data_too(check):
    keys = {p.key for p in check("rk: 1\nmodel: mlp\nloss: mse\ntrainer: backprop\nfit: {max_steps: 1}\n").problems}
    assert keys == {"data", "trainer.optimizer"}


# -- slots -------------------------------------------------------------------------------------------------------------

GRAPH = """
class GraphLayer(Layer, Protocol):
    def __init__(self, *, width: int) -> None: ...
    def propagate(self, x, edge_index): ...
class Conv(nn.Module):
    def __init__(self, width: int, hops: int = 1): ...
    def forward(self, x): ...
    def propagate(self, x, edge_index): ...
class Cell(nn.Module):
    def __init__(self, d_model: int): ...
    def forward(self, x, mask=None): ...
class GraphNet(Net):
    def __init__(self, layer: Factory[GraphLayer]): ...
class GraphNets(Net):
    def __init__(self, layers: list[GraphLayer]): ...
"""


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        pytest.param("conv", None, id="fits"),
        pytest.param("{name: conv, hops: 2}", None, id="fits, with parameters"),
        pytest.param("{name: conv, width: 2}", "model.layer.width: is supplied by the component", id="supplied"),
        pytest.param("cell", "model.layer: cell is not a GraphLayer: it has no `propagate`", id="another slot"),
        pytest.param("{name: conv, hop: 2}", "did you mean hops? (conv of rk-toys takes: hops)", id="hint without it"),
    ],
)
def test_a_slot_of_a_third_partys_protocol_takes_only_what_fits(layer, said, compose):
    recipe = TASK.replace("model: net", f"model: {{name: graphnet, layer: {layer}}}")
    checked = compose(DATA + GRAPH, recipe, data="Task", model="GraphNet", layer="Conv Cell")
    assert len(checked.problems) == (said is not None)
    assert said is None or said in checked.lines[0]
    if said is None:
        spec = checked.recipe.model.params["layer"]
        assert (spec.supplied, spec.missing) == (("width",), ())


def test_a_layer_that_is_built_at_once_needs_all_its_parameters(compose):
    recipe = TASK.replace("model: net", "model: {name: graphnets, layers: [conv, {name: conv, width: 3}]}")
    checked = compose(DATA + GRAPH, recipe, data="Task", model="GraphNets", layer="Conv Cell")
    assert [(p.key, p.message) for p in checked.problems] == [("model.layers.0.width", "missing: width (int)")]
    assert [spec.supplied for spec in checked.recipe.model.params["layers"]] == [None, None]


# -- splits ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("splits", "known"),
    [
        pytest.param('splits = ("train", "val")', ("train", "val"), id="tuple"),
        pytest.param('splits: tuple[str, ...] = ("train",)', ("train",), id="annotated"),
        pytest.param("splits = SPLITS", ("train", "val-long"), id="constant"),
        pytest.param('splits = ("train")', None, id="a string is not a tuple of its letters"),
        pytest.param("splits = tuple(SPLITS)", None, id="computed"),
        pytest.param("@property\n    def splits(self): ...", None, id="property"),
    ],
)
def test_splits_that_cannot_be_read_are_not_judged(splits, known, compose):
    source = DATA.replace('splits = ("train", "val")', splits) + 'SPLITS = ("train", "val-long")\n'
    checked = compose(source, TASK.replace("10}", "10, monitor: val-long/loss}"), data="Task", model="Net")
    assert checked.binding.splits == known
    assert [p.message for p in checked.problems] == (
        [] if known is None or "val-long" in known else ["unknown split 'val-long'"]
    )


# -- what cannot be read -----------------------------------------------------------------------------------------------


def test_an_unreadable_module_behind_a_method_is_a_problem_of_the_recipe(workshop, check):
    broken = workshop.package("class Batch(:")
    source = f"""
from {broken} import Batch
class Task:
    def batches(self, split): ...
    def batch(self, split, i, stage=0) -> Batch: ...
"""
    catalog = workshop.catalog(workshop.plugin("toys", source, data={"task": "Task"}))
    checked = check(GOOD.replace("digits", "task"), catalog=catalog)
    assert any("__init__.py: invalid syntax" in p.message for p in checked.problems)

"""Values of recipes: each type that a parameter can have, defaults, and how a stored recipe writes them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from rk.recipe import Spec
from rk.recipe.model import EnumRef, RunRef

GOOD = """
rk: 1
model: mlp
data: digits
loss: cross-entropy
trainer: {name: backprop, optimizer: adam}
fit: {max_steps: 10}
"""


# -- values of each type -----------------------------------------------------------------------------------------------

KITCHEN = """
from __future__ import annotations
import enum
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Callable, Literal
from annotated_types import Ge, MaxLen, MinLen, MultipleOf
from rk import Decode, Factory, Loss, Run, SequenceLayer, hookimpl
from rk.fields import LogitsOutputs
from torch import nn

class Color(enum.StrEnum):
    RED = "red"

class Size(enum.Enum):
    LARGE = 3

@dataclass
class Stage:
    steps: Annotated[int, Ge(1)]
    rate: float = 0.1
    loss: Loss | None = None
    then: list[Stage] = field(default_factory=list)

class Kitchen(nn.Module):
    def __init__(
        self, *,
        a_bool: bool = False, an_int: int = 1, a_float: float = 1, a_str: str = "x", anything: Any = None,
        a_literal: Literal["a", "b", 1, True, None] = "a",
        a_list: list[int] = (), a_pair: tuple[int, str] = (1, "a"), a_tuple: tuple[float, ...] = (1, 2),
        a_dict: dict[str, list[int]] = {},
        a_path: Path | None = None, a_default_path: Path = "here",
        a_color: Color = Color.RED, a_size: Size = Size.LARGE,
        a_bounded: Annotated[int, Ge(1), MultipleOf(2)] | None = None,
        few: Annotated[list[int], MinLen(1), MaxLen(2)] = (1,),
        float_or_int: float | int = 1, bounded_or_word: Annotated[int | str, Ge(1)] = 1,
        one_or_more: int | list[int] = 1, layer_or_word: SequenceLayer | Literal["none"] = "none",
        decoding: Decode[int] = 1,
        a_loss: Loss | None = None, losses: list[Loss] = (), by_name: dict[str, Loss] = {},
        a_factory: Factory[SequenceLayer] | None = None,
        a_run: Run | None = None,
        a_callable: Callable = len,
        a_wrong_default: bool = 0, bytes_default: Any = b"x", int_keys: dict[str, int] = {1: 2},
        by_number: dict[int, float] = {}, by_switch: dict[bool, int] = {},
        a_stage: Stage | None = None, stages: list[Stage] = (),
    ): ...
    def forward(self, *, inputs) -> LogitsOutputs: ...

class Cell(nn.Module):
    def __init__(self, d_model: int, depth: int = 1): ...
    def forward(self, x, mask=None): ...

class NoCell(nn.Module):
    def __init__(self, width: int): ...
    def forward(self, x): ...
"""


@pytest.fixture
def kitchen(workshop):
    return workshop.catalog(
        workshop.plugin("kitchen", KITCHEN, models={"kitchen": "Kitchen"}, layers={"cell": "Cell", "no-cell": "NoCell"})
    )


@pytest.fixture
def give(kitchen, check):
    """Gives the model one parameter; returns what was found."""

    def call(parameter: str, value: str):
        return check(GOOD.replace("model: mlp", f"model: {{name: kitchen, {parameter}: {value}}}"), catalog=kitchen)

    return call


@pytest.mark.parametrize(
    ("parameter", "text", "value"),
    [
        pytest.param("a_bool", "true", True, id="bool"),
        pytest.param("an_int", "3", 3, id="int"),
        pytest.param("a_float", "1e-3", 1e-3, id="float"),
        pytest.param("a_float", "3", 3.0, id="an int for a float"),
        pytest.param("a_float", ".inf", math.inf, id="infinity"),
        pytest.param("a_str", '"3"', "3", id="str"),
        pytest.param("anything", "{a: [1, null]}", {"a": [1, None]}, id="anything"),
        pytest.param("a_literal", "b", "b", id="Literal"),
        pytest.param("a_literal", "1", 1, id="Literal of an int"),
        pytest.param("a_literal", "true", True, id="Literal of a bool"),
        pytest.param("a_literal", "null", None, id="Literal of None"),
        pytest.param("a_list", "[1, 2]", [1, 2], id="list"),
        pytest.param("a_list", "[]", [], id="empty list"),
        pytest.param("a_pair", "[2, b]", (2, "b"), id="tuple of fixed length"),
        pytest.param("a_tuple", "[1, 2.5]", (1.0, 2.5), id="tuple of any length"),
        pytest.param("a_dict", "{x: [1]}", {"x": [1]}, id="dict"),
        pytest.param("a_path", "null", None, id="no path"),
        pytest.param("a_color", "red", "red", id="string enum"),
        pytest.param("a_size", "LARGE", "LARGE", id="plain enum"),
        pytest.param("a_bounded", "4", 4, id="bounds"),
        pytest.param("few", "[1, 2]", [1, 2], id="bounded length"),
        pytest.param("float_or_int", "3", 3, id="an int stays one where floats are accepted too"),
        pytest.param("float_or_int", "3.0", 3.0, id="a float stays one where ints are accepted too"),
        pytest.param("bounded_or_word", "word", "word", id="a bound is for numbers"),
        pytest.param("one_or_more", "3", 3, id="one of one or more"),
        pytest.param("one_or_more", "[3]", [3], id="more of one or more"),
        pytest.param("layer_or_word", "none", "none", id="a word before a component"),
        pytest.param("decoding", "3", 3, id="decoding"),
        pytest.param("a_loss", "mse", "rk/mse", id="component by name"),
        pytest.param("losses", "[mse, {name: mse}]", ["rk/mse", "rk/mse"], id="components in a list"),
        pytest.param("by_name", "{x: mse}", {"x": "rk/mse"}, id="components by name"),
        pytest.param("a_factory", "{name: cell, depth: 3}", {"name": "kitchen/cell", "depth": 3}, id="factory"),
        pytest.param("a_run", "runs/x", "runs/x", id="run"),
        pytest.param(
            "a_stage", "{steps: 3}", {"rate": 0.1, "then": [], "steps": 3}, id="dataclass, defaults written out"
        ),
        pytest.param(
            "stages",
            "[{steps: 3, rate: 1, loss: mse, then: [{steps: 4, rate: 2, then: []}]}]",
            [{"steps": 3, "rate": 1.0, "loss": "rk/mse", "then": [{"steps": 4, "rate": 2.0, "then": []}]}],
            id="dataclasses within each other, with a component",
        ),
    ],
)
def test_a_value_is_stored_as_it_was_given(parameter, text, value, give, kitchen, check):
    first = give(parameter, text)
    assert first.problems == []
    stored = first.recipe.model.plain()[parameter]
    assert stored == (list(value) if isinstance(value, tuple) else value)
    assert type(stored) is (list if isinstance(value, tuple) else type(value))
    second = check(first.recipe.to_yaml(), catalog=kitchen)
    assert second.problems == []
    assert second.recipe.model.params[parameter] == first.recipe.model.params[parameter]
    assert second.recipe.plain() == first.recipe.plain()


@pytest.mark.parametrize(
    ("parameter", "text", "value"),
    [
        pytest.param("a_pair", "[2, b]", (2, "b"), id="tuples arrive as tuples"),
        pytest.param("a_tuple", "[1]", (1.0,), id="tuples of any length too"),
        pytest.param("a_run", "runs/x", RunRef(Path("runs/x")), id="runs arrive as folders"),
    ],
)
def test_a_value_is_converted_to_its_type(parameter, text, value, give):
    assert give(parameter, text).recipe.model.params[parameter] == value


def test_an_enum_arrives_as_its_member_not_yet_imported(give):
    found = give("a_size", "LARGE").recipe.model.params["a_size"]
    assert isinstance(found, EnumRef)
    assert (found.member, found.key) == ("LARGE", "LARGE")


@pytest.mark.parametrize(
    ("parameter", "text", "said"),
    [
        pytest.param("a_literal", "c", "expected a, b, 1, true or null, got a string ('c')", id="Literal"),
        pytest.param("an_int", str(2**63), f"must be <= {2**63 - 1}, got {2**63}", id="an int of 65 bits"),
        pytest.param("an_int", str(-(2**63) - 1), f"must be >= {-(2**63)}, got", id="a negative int of 65 bits"),
        pytest.param("a_list", f"[1, {10**30}]", f"must be <= {2**63 - 1}, got", id="a long int in a list"),
        pytest.param("one_or_more", str(10**30), f"must be <= {2**63 - 1}, got", id="a long int of one or more"),
        pytest.param("a_float", "1" + "0" * 400, "is too large for a float", id="an int that no float holds"),
        pytest.param("a_literal", "1.0", "expected a, b, 1, true or null, got a float ('1.0')", id="Literal is exact"),
        pytest.param("a_size", "LARG", "expected LARGE, got a string ('LARG')\n  hint: did you mean LARGE?", id="enum"),
        pytest.param("a_size", "3", "expected LARGE, got an int ('3')", id="plain enums go by name"),
        pytest.param("a_bounded", "3", "must be multiple of 2, got 3", id="multiple"),
        pytest.param("a_bounded", "x", "expected an int, got a string ('x')", id="option"),
        pytest.param("few", "[]", "must have a length >= 1, got a list", id="too short"),
        pytest.param("few", "[1, 2, 3]", "must have a length <= 2, got a list", id="too long"),
        pytest.param("bounded_or_word", "0", "must be >= 1, got 0", id="bound on an option"),
        pytest.param("one_or_more", "[x]", "a.0: expected an int", id="wrong item in an option"),
        pytest.param("one_or_more", "x", "expected int | list of int, got a string ('x')", id="no option fits"),
        pytest.param(
            "a_dict", "{x: 1}", "a_dict.x: expected a list of int, got an int ('1')", id="wrong value in a dict"
        ),
        pytest.param("a_dict", "[x]", "expected a mapping, got a list", id="a list for a dict"),
        pytest.param("a_path", "3", "expected a path, got an int ('3')\n  hint: put it in quotes: \"3\"", id="path"),
        pytest.param("a_path", '"~no-such-user/x"', "'~no-such-user/x' is not a path", id="unknown home"),
        pytest.param("a_path", '"a\\0b"', "is not a path: embedded null byte", id="null byte in a path"),
        pytest.param(
            "a_loss", "mlp", "unknown loss 'mlp'\n  hint: mlp is a model, of recursion-kit", id="another kind"
        ),
        pytest.param("losses", "[mse, msee]", "losses.1: unknown loss 'msee'", id="unknown component in a list"),
        pytest.param("by_name", "{x: msee}", "by_name.x: unknown loss 'msee'", id="unknown component in a mapping"),
        pytest.param("a_factory", "mlp", "unknown layer 'mlp'", id="a factory of another kind"),
        pytest.param("a_factory", "{name: cell, d_model: 8}", "is supplied by the component that uses", id="supplied"),
        pytest.param(
            "a_factory", "no-cell", "no-cell does not take `d_model`, which its user supplies", id="not taken"
        ),
        pytest.param("a_run", "3", "expected a run folder, got an int ('3')", id="run"),
        pytest.param(
            "layer_or_word", "{name: cell, dpth: 3}", "layer_or_word.dpth: unknown parameter", id="in an option"
        ),
        pytest.param("layer_or_word", "[cell]", "expected a layer | none, got a list", id="of no option's shape"),
        pytest.param(
            "a_stage", "3", "a_stage: expected a mapping {steps, rate, loss, then}, got an int", id="no dataclass"
        ),
        pytest.param(
            "a_stage", "{rate: 1}", "a_stage.steps: missing: steps (int >= 1)", id="a field of a dataclass is missing"
        ),
        pytest.param("a_stage", "{steps: 0}", "a_stage.steps: must be >= 1, got 0", id="a bound in a dataclass"),
        pytest.param("a_stage", "{step: 3}", "did you mean steps?", id="a misspelt field of a dataclass"),
        pytest.param(
            "stages", "[{steps: 1}, {steps: x}]", "stages.1.steps: expected an int", id="in a list of dataclasses"
        ),
        pytest.param(
            "a_stage", "{steps: 1, loss: msee}", "a_stage.loss: unknown loss", id="a component in a dataclass"
        ),
        pytest.param("an_int", "nan", "expected an int, got a string ('nan')", id="a word"),
        pytest.param("a_bounded", "[2]", "expected an int, got a list", id="a list for a bounded int"),
        pytest.param("a_callable", "len", "takes Callable, which a recipe cannot express", id="not expressible"),
    ],
)
def test_a_value_of_another_type_is_refused(parameter, text, said, give):
    checked = give(parameter, text)
    assert len(checked.problems) == 1
    assert said.replace("a.0", f"{parameter}.0") in checked.lines[0]


def test_a_path_is_relative_to_the_file_that_has_it(kitchen, validate, tmp_path, monkeypatch):
    (tmp_path / "base/sub").mkdir(parents=True)
    (tmp_path / "work").mkdir()
    (tmp_path / "base/b.yaml").write_text(GOOD.replace("model: mlp", "model: {name: kitchen, a_path: sub/../x.csv}"))
    (tmp_path / "base/sub/r.yaml").write_text("extends: ../b.yaml\n")
    monkeypatch.chdir(tmp_path / "work")
    recipe = validate("../base/sub/r.yaml", kitchen).recipe
    assert recipe.model.params["a_path"] == tmp_path / "base/x.csv"
    assert recipe.plain()["model"]["a_path"] == str(tmp_path / "base/x.csv"), "a run may be anywhere"
    given = validate("../base/sub/r.yaml", kitchen, "model.a_path=y.csv").recipe.model.params["a_path"]
    assert given == tmp_path / "work/y.csv", "one on the command line is relative to the working folder"


def test_defaults_are_written_out_where_a_recipe_can_express_them(check, kitchen):
    recipe = check(GOOD.replace("mlp", "kitchen"), catalog=kitchen).recipe
    assert recipe.model.defaults == {
        "a_bool": False,
        "an_int": 1,
        "a_float": 1.0,
        "a_str": "x",
        "a_literal": "a",
        "a_list": [],
        "a_pair": (1, "a"),
        "a_tuple": (1.0, 2.0),
        "a_dict": {},
        "a_color": EnumRef(recipe.model.defaults["a_color"].target, "RED", "red"),
        "a_size": EnumRef(recipe.model.defaults["a_size"].target, "LARGE", "LARGE"),
        "few": [1],
        "float_or_int": 1,
        "bounded_or_word": 1,
        "one_or_more": 1,
        "layer_or_word": "none",
        "decoding": 1,
        "losses": [],
        "by_name": {},
        "by_number": {},
        "by_switch": {},
        "stages": [],
    }


def test_a_stored_recipe_reruns_as_it_is(check):
    text = """
        rk: 1
        paper: arXiv:1506.03134
        about: "yes: 1e-3, #3 — 'quoted'"
        model: {name: mlp, hidden_sizes: [32, 32], dropout: 0}
        data: digits
        loss: {name: cross-entropy, ignore_index: -1}
        trainer: {name: backprop, optimizer: {name: sgd, lr: 1, schedule: {name: step, at: [5, 10]}}}
        metrics: {top3: {name: accuracy, top: 3}}
        fit: {max_steps: 10, monitor: val/top3, gradient_clip: 1e-7}
        expect:
          - {metric: test/accuracy, at_least: 0.5, note: "on"}
          - {metric: test/top3@ema, at_most: .inf, baseline: other}
    """
    first = check(text)
    assert first.problems == []
    second = check(first.recipe.to_yaml())
    assert second.problems == []
    assert second.recipe.plain() == first.recipe.plain()
    assert second.recipe.to_yaml() == first.recipe.to_yaml()
    assert second.recipe.expect == first.recipe.expect
    assert [s.component for s in second.recipe.specs()] == [s.component for s in first.recipe.specs()]


def test_a_recipe_yields_all_its_components_nested_ones_too(check):
    recipe = check(GOOD.replace("adam", "{name: adam, schedule: linear}"), "metrics.a.name=accuracy").recipe
    assert [s.key for s in recipe.specs()] == [
        "data",
        "model",
        "loss",
        "trainer",
        "trainer.optimizer",
        "trainer.optimizer.schedule",
        "metrics.a",
    ]
    assert all(isinstance(s, Spec) for s in recipe.specs())


def test_components_in_lists_and_mappings_are_among_them(check, kitchen):
    given = "{name: kitchen, losses: [mse], by_name: {x: mse}, a_factory: cell}"
    recipe = check(GOOD.replace("model: mlp", f"model: {given}"), catalog=kitchen).recipe
    keys = [s.key for s in recipe.model.nested()]
    assert keys == ["model", "model.losses.0", "model.by_name.x", "model.a_factory"]


def test_parameters_without_effect_on_weights_are_marked(give):
    assert give("an_int", "1").recipe.model.decodes == {"decoding"}


def test_a_key_that_is_not_a_number_where_numbers_are_expected_is_named(give):
    (problem,) = give("by_number", "{one: 1.0}").problems
    assert problem.key == "model.by_number.one" and "expected an int, got a string ('one')" in problem.message


def test_keys_have_the_annotated_type_and_are_stored_as_recipes_write_them(give, check, kitchen):
    first = give("by_number", '{"1": 2.5, "-3": 1}')
    assert first.recipe.model.params["by_number"] == {1: 2.5, -3: 1.0}
    again = check(first.recipe.to_yaml(), catalog=kitchen)
    assert again.problems == [] and again.recipe.model.params["by_number"] == {1: 2.5, -3: 1.0}
    assert give("by_switch", '{"true": 1}').recipe.model.params["by_switch"] == {True: 1}


@pytest.mark.parametrize(
    ("key", "most"),
    [("seed", 2**64 - 1), ("threads", 4096), ("workers", 1024), ("max_steps", 2**63 - 1), ("log_every", 2**63 - 1)],
)
def test_the_numbers_of_fit_have_upper_bounds_that_messages_spell_out(key, most, check):
    def problems(value):
        fit = {"max_steps": 10, key: value}
        return [str(p) for p in check(GOOD.replace("{max_steps: 10}", json.dumps(fit))).problems]

    assert problems(most) == []
    (problem,) = problems(most + 1)
    assert problem.endswith(f"fit.{key}: must be <= {most}, got {most + 1}")


def test_a_file_name_in_place_of_a_component_is_refused_with_data_that_reads_files(kitchen, check):
    (problem,) = check(GOOD.replace("model: mlp", "model: sub/rows.csv"), catalog=kitchen).problems
    assert problem.message == "unknown model 'sub/rows.csv'"
    assert "as in '{name: kitchen, a_path: sub/rows.csv}' (files are read by kitchen)" in problem.hint

"""Recipes: how YAML is read, how files and overrides join, what values mean, and how a recipe is written again."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from rk.catalog import Unresolved
from rk.errors import Mark, RecipeError, UserError
from rk.recipe import Recipe, Spec, read_search
from rk.recipe.compose import apply_override, compose, merge
from rk.recipe.find import RecipeFile, find_recipe
from rk.recipe.model import EnumRef, RunRef
from rk.recipe.tree import Mapping, Node, Scalar, Sequence, is_number, parse_tree, parse_value

GOOD = """
rk: 1
model: mlp
data: digits
loss: cross-entropy
trainer: {name: backprop, optimizer: adam}
fit: {max_steps: 10}
"""


def plain(node: Node):
    """Returns a tree's values, as a YAML reader would."""
    if isinstance(node, Mapping):
        return {key: plain(child) for key, child in node.items.items()}
    if isinstance(node, Sequence):
        return [plain(child) for child in node.items]
    return node.value


def tree(text: str, label: str = "r.yaml") -> Mapping:
    node, problems = parse_tree(text, label)
    assert problems == []
    return node


# -- scalars -----------------------------------------------------------------------------------------------------------

SCALARS = [
    ("3", 3),
    ("-3", -3),
    ("+3", 3),
    ("0", 0),
    ("-0", 0),
    ("1_000", 1000),
    ("1e-3", 1e-3),
    ("1E3", 1e3),
    ("-1e+3", -1e3),
    ("1.5", 1.5),
    (".5", 0.5),
    ("-.5", -0.5),
    ("5.", 5.0),
    ("0.5", 0.5),
    ("08.5", 8.5),
    ("1_0.5", 10.5),
    (".inf", math.inf),
    ("-.inf", -math.inf),
    ("+.Inf", math.inf),
    ("true", True),
    ("True", True),
    ("FALSE", False),
    ("null", None),
    ("Null", None),
    ("~", None),
    ("", None),
    # words, whatever other readers take them for
    ("None", "None"),
    ("nan", "nan"),
    ("inf", "inf"),
    ("y", "y"),
    ("n", "n"),
    ("0x1F", "0x1F"),
    ("0o17", "0o17"),
    ("1:30", "1:30"),
    ("2020-01-01", "2020-01-01"),
    ("1e", "1e"),
    ("1.2.3", "1.2.3"),
    ("1_0e_1", "1_0e_1"),
    ("٣", "٣"),
    # quotes make a string of anything
    ('"1e-3"', "1e-3"),
    ("'yes'", "yes"),
    ('"null"', "null"),
    ('""', ""),
    ("|\n  two\n  lines", "two\nlines\n"),
    (">\n  one\n  line", "one line\n"),
]


@pytest.mark.parametrize(("text", "value"), SCALARS, ids=[repr(text) for text, _ in SCALARS])
def test_a_scalar_is_read_as_a_person_means_it(text, value):
    found = plain(tree(f"key: {text}\n").items["key"])
    assert found == value and type(found) is type(value)


def test_not_a_number_is_a_float():
    assert math.isnan(plain(tree("key: .nan"))["key"])


@pytest.mark.parametrize("word", ["yes", "No", "ON", "off"])
def test_a_word_that_readers_disagree_on_is_refused(word):
    _, (problem,) = parse_tree(f"key: {word}", "r.yaml")
    assert f'"{word}" in quotes' in problem.hint


@pytest.mark.parametrize(
    ("padded", "meant"), [("010", "10"), ("00", "0"), ("-007", "-7"), ("+08", "8"), ("0_1", "1"), ("0010", "10")]
)
def test_a_leading_zero_is_refused_with_what_is_meant(padded, meant):
    _, (problem,) = parse_tree(f"key: {padded}", "r.yaml")
    assert problem.hint == f"write {meant}"


def test_every_node_knows_its_place():
    node = tree("model:\n  name: mlp\n  sizes: [1,\n    22]\nünï: {a: 1}\n")
    model, other = node.items["model"], node.items["ünï"]
    assert node.mark_of("model") == Mark("r.yaml", 1, 1)
    assert model.mark == Mark("r.yaml", 2, 3)
    assert model.mark_of("sizes") == Mark("r.yaml", 3, 3)
    assert model.items["sizes"].mark == Mark("r.yaml", 3, 10)
    assert model.items["sizes"].items[1].mark == Mark("r.yaml", 4, 5)
    assert other.items["a"].mark == Mark("r.yaml", 5, 10)


def test_a_byte_order_mark_and_windows_line_ends_change_nothing(tmp_path, catalog, validate):
    (tmp_path / "r.yaml").write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert validate(tmp_path / "r.yaml", catalog).problems == []


# -- any text, any values ----------------------------------------------------------------------------------------------

bounded = settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
SNIPPETS = [
    "a: ",
    "- ",
    "[",
    "]",
    "{",
    "}",
    "\n",
    "  ",
    "&x ",
    "*x",
    "!!int ",
    "<<: ",
    "? ",
    ": ",
    "---\n",
    '"',
    "#",
    "|",
    "\t",
]


@bounded
@given(st.one_of(st.text(), st.lists(st.sampled_from(SNIPPETS) | st.text(max_size=3)).map("".join)))
def test_no_text_breaks_the_reader(text):
    for read in (parse_tree, parse_value):
        try:
            _, problems = read(text, "r.yaml")
        except RecipeError as error:
            problems = error.problems
        assert all(str(p).startswith("r.yaml") and "\n" not in p.message for p in problems)


words = st.text(max_size=8) | st.sampled_from([text for text, _ in SCALARS] + ["yes", "010", "=", "<<", "a: b", "# no"])
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | words
values = st.recursive(scalars, lambda v: st.lists(v, max_size=4) | st.dictionaries(words, v, max_size=4), max_leaves=12)


def wrote_a_number(value) -> bool:
    """Whether PyYAML leaves a string bare that is a number to everyone but YAML 1.1: 1e3."""
    if isinstance(value, list | dict):
        return any(map(wrote_a_number, [*value, *(value.values() if isinstance(value, dict) else ())]))
    return isinstance(value, str) and is_number(value) and isinstance(yaml.safe_load(value), str)


@bounded
@given(st.dictionaries(words, values, max_size=5))
def test_what_yaml_writes_is_read_as_it_was(mapping):
    """PyYAML quotes what a YAML 1.1 reader would misread; rk's reader takes all it writes, or says why not."""
    assume(not wrote_a_number(mapping))
    node, problems = parse_tree(yaml.safe_dump(mapping), "r.yaml")
    if not problems:
        assert plain(node) == mapping
    assert all("quotes" in (p.hint or "") or p.message.startswith("merge keys") for p in problems)


@bounded
@given(st.dictionaries(words, values, max_size=5))
def test_a_stored_recipe_is_read_as_it_was(mapping):
    """`Recipe.to_yaml` writes what its own reader takes, without a single problem."""
    recipe = Recipe("r", paper="x")
    recipe.plain = lambda: mapping
    node, problems = parse_tree(recipe.to_yaml(), "r.yaml")
    assert problems == []
    assert plain(node) == mapping


# -- joining files and overrides ---------------------------------------------------------------------------------------


def joined(below: str, above: str):
    return plain(merge(tree(below), tree(above)))


@pytest.mark.parametrize(
    ("below", "above", "result"),
    [
        pytest.param("a: 1\nb: 2", "b: 3", {"a": 1, "b": 3}, id="keys join"),
        pytest.param("fit: {a: 1, b: 2}", "fit: {b: 3}", {"fit": {"a": 1, "b": 3}}, id="mappings join, deeply"),
        pytest.param("a: [1, 2]", "a: [3]", {"a": [3]}, id="lists are replaced"),
        pytest.param("a: {b: 1}", "a: null", {"a": None}, id="null removes"),
        pytest.param(
            "model: {name: mlp, p: 1}",
            "model: {p: 2, q: 3}",
            {"model": {"name": "mlp", "p": 2, "q": 3}},
            id="parameters join",
        ),
        pytest.param(
            "model: {name: mlp, p: 1}",
            "model: {name: mlp, q: 3}",
            {"model": {"name": "mlp", "p": 1, "q": 3}},
            id="same name",
        ),
        pytest.param("model: {name: mlp, p: 1}", "model: {name: cnn}", {"model": {"name": "cnn"}}, id="another name"),
        pytest.param("model: {name: mlp, p: 1}", "model: mlp", {"model": "mlp"}, id="a bare name has no parameters"),
        pytest.param(
            "model: mlp", "model: {p: 2}", {"model": {"name": "mlp", "p": 2}}, id="a bare name gains parameters"
        ),
        pytest.param(
            "model: mlp", "model: {name: cnn, p: 2}", {"model": {"name": "cnn", "p": 2}}, id="another component"
        ),
        pytest.param("model: null", "model: {p: 2}", {"model": {"p": 2}}, id="nothing gains no name"),
    ],
)
def test_a_recipe_lies_over_the_one_that_it_extends(below, above, result):
    assert joined(below, above) == result


def test_joining_leaves_both_recipes_as_they_were():
    below, above = tree("fit: {a: 1}"), tree("fit: {b: 2}")
    merge(below, above)
    assert (plain(below), plain(above)) == ({"fit": {"a": 1}}, {"fit": {"b": 2}})


def test_each_key_keeps_the_place_where_it_was_written():
    result = merge(tree("fit:\n  a: 1\n  b: 2", "below.yaml"), tree("fit: {b: 3}", "above.yaml"))
    fit = result.items["fit"]
    assert (str(fit.mark_of("a")), str(fit.mark_of("b"))) == ("below.yaml:2:3", "above.yaml:1:7")
    assert str(fit.items["b"].mark) == "above.yaml:1:10"


BASE = "model: {name: mlp, p: 1}\nloss: mse\ncallbacks: [ema, {name: stop, after: 3}]\nfit: {a: 1}\nexpect:\n"


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        pytest.param("fit.a=2", "fit", {"a": 2}, id="a value"),
        pytest.param("fit.b=1e-3", "fit", {"a": 1, "b": 1e-3}, id="a new value"),
        pytest.param("fit.b='1e-3'", "fit", {"a": 1, "b": "1e-3"}, id="a quoted value"),
        pytest.param("fit.b=", "fit", {"a": 1, "b": None}, id="nothing"),
        pytest.param("fit.b=a=b", "fit", {"a": 1, "b": "a=b"}, id="a value with a sign of equality"),
        pytest.param("fit={b: [2]}", "fit", {"b": [2]}, id="a whole section"),
        pytest.param("metrics.top.k=3", "metrics", {"top": {"k": 3}}, id="a new path"),
        pytest.param("expect.a=3", "expect", {"a": 3}, id="below nothing"),
        pytest.param("model.p=2", "model", {"name": "mlp", "p": 2}, id="a parameter"),
        pytest.param("model.name=cnn", "model", {"name": "cnn"}, id="another name drops the parameters"),
        pytest.param("model.name=mlp", "model", {"name": "mlp", "p": 1}, id="the same name keeps them"),
        pytest.param("model=cnn", "model", "cnn", id="another component"),
        pytest.param("loss.beta=2", "loss", {"name": "mse", "beta": 2}, id="a bare name gains a parameter"),
        pytest.param("callbacks.1.after=5", "callbacks", ["ema", {"name": "stop", "after": 5}], id="in a list"),
        pytest.param(
            "callbacks.0.decay=0.9",
            "callbacks",
            [{"name": "ema", "decay": 0.9}, {"name": "stop", "after": 3}],
            id="a bare name in a list gains a parameter",
        ),
        pytest.param("callbacks.0=swa", "callbacks", ["swa", {"name": "stop", "after": 3}], id="an item of a list"),
        pytest.param("~fit.a", "fit", {}, id="drop a key"),
        pytest.param("~loss", "loss", None, id="drop a section"),
        pytest.param("~callbacks.0", "callbacks", [{"name": "stop", "after": 3}], id="drop an item"),
    ],
)
def test_an_override_changes_one_key(override, key, value):
    node = tree(BASE)
    assert apply_override(node, override) == []
    assert plain(node).get(key) == value
    rest = {k: v for k, v in plain(tree(BASE)).items() if k != key}
    assert {k: v for k, v in plain(node).items() if k != key} == rest


def test_overrides_are_applied_in_their_order_and_marked_as_such(check):
    checked = check(GOOD, "fit.max_steps=20", "fit.max_steps=0")
    assert checked.lines == ["command line: fit.max_steps=0: fit.max_steps: must be >= 1, found 0"]


@pytest.fixture
def shelf(workshop, tmp_path, monkeypatch):
    """A catalog with two plugins that ship recipes, and an empty working folder."""

    def ship(name: str, **recipes: str):
        offer = workshop.offer(name, "")
        folder = workshop.folder / offer.module / "recipes"
        folder.mkdir()
        for recipe, text in recipes.items():
            (folder / f"{recipe.replace('_', '-')}.yaml").write_text(text)
        return offer

    monkeypatch.chdir(tmp_path)
    return workshop.catalog(
        ship("alpha", quick=GOOD, slow="extends: quick\nfit: {max_steps: 1000}\n"),
        ship("beta", quick=GOOD, only_here=GOOD, far="extends: alpha/quick\nfit: {seed: 3}\n"),
    )


@pytest.mark.parametrize(
    ("name", "found"),
    [
        pytest.param("alpha/quick", "alpha/quick", id="qualified"),
        pytest.param("only-here", "beta/only-here", id="the only one"),
    ],
)
def test_a_packaged_recipe_is_found_by_name(name, found, shelf):
    file = find_recipe(name, shelf.plugins)
    assert (file.name, file.distribution) == (found, f"rk-{found.split('/')[0]}")


def test_a_name_that_two_plugins_use_is_refused_with_both(shelf):
    with pytest.raises(Exception, match="several plugins have a recipe 'quick'") as caught:
        find_recipe("quick", shelf.plugins)
    assert caught.value.hint == "write alpha/quick or beta/quick"


def test_a_packaged_recipe_given_by_its_path_is_still_its_plugins(shelf):
    file = find_recipe("alpha/quick", shelf.plugins)
    assert find_recipe(str(file.path), shelf.plugins) == file


def test_extends_means_the_own_plugin_first_and_another_by_its_name(shelf, validate):
    assert validate("alpha/slow", shelf).recipe.fit.max_steps == 1000
    assert validate("beta/far", shelf).recipe.fit.max_steps == 10


def test_a_file_of_the_users_extends_packaged_recipes_and_files_beside_it(shelf, validate, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/mine.yaml").write_text("extends: alpha/slow\nfit: {seed: 5}\n")
    (tmp_path / "sub/more.yaml").write_text("extends: mine\nmodel: {dropout: 0.5}\n")
    (tmp_path / "sub/last.yaml").write_text("extends: more.yaml\ndata: {batch_size: 8}\n")
    recipe = validate("sub/last.yaml", shelf).recipe
    assert (recipe.fit.max_steps, recipe.fit.seed) == (1000, 5)
    assert (recipe.model.params, recipe.data.params) == ({"dropout": 0.5}, {"batch_size": 8})


def test_marks_name_a_file_as_the_user_would(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert RecipeFile(tmp_path / "sub/r.yaml").label == "sub/r.yaml"
    assert RecipeFile(Path("/elsewhere/r.yaml")).label == "/elsewhere/r.yaml"


# -- names of components -----------------------------------------------------------------------------------------------

MODEL = """
from rk.fields import LogitsOutputs
from torch import nn
class M(nn.Module):
    def __init__(self, p: int = 1): ...
    def forward(self, *, inputs) -> LogitsOutputs: ...
"""


@pytest.fixture
def two(workshop):
    """Two plugins that offer models of the same names, one of which is a built-in's too."""
    names = {"twin": "M", "mlp": "M"}
    return workshop.catalog(
        workshop.plugin("alpha", MODEL, models=names), workshop.plugin("beta", MODEL, models={**names, "single": "M"})
    )


@pytest.mark.parametrize(
    ("name", "own", "found"),
    [
        pytest.param("mlp", None, "rk/mlp", id="a built-in before others"),
        pytest.param("mlp", "alpha", "alpha/mlp", id="the recipe's own plugin before a built-in"),
        pytest.param("twin", "beta", "beta/twin", id="the recipe's own plugin before others"),
        pytest.param("single", "alpha", "beta/single", id="the only one"),
        pytest.param("alpha/twin", "beta", "alpha/twin", id="qualified"),
        pytest.param("rk/mlp", "alpha", "rk/mlp", id="a qualified built-in"),
    ],
)
def test_a_short_name_means_the_own_plugins_then_a_built_in_then_the_only_one(name, own, found, two):
    assert two.resolve("model", name, own).qualified == found


def test_a_name_that_two_plugins_offer_is_refused_with_both_distributions(two):
    with pytest.raises(Unresolved) as caught:
        two.resolve("model", "twin")
    assert caught.value.message == "the model 'twin' is offered by rk-alpha and rk-beta"
    assert caught.value.hint == "write alpha/twin or beta/twin"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        pytest.param("twn", "did you mean twin? (installed models: mlp, single, twin)", id="short"),
        pytest.param(
            "beta/sngle", "did you mean beta/single? (installed models: alpha/mlp, alpha/twin, ", id="qualified"
        ),
        pytest.param(
            "alpah/twin", "did you mean alpha? (there is no plugin alpah; installed plugins: ", id="its plugin"
        ),
        pytest.param("adam", "adam is an optimizer, of recursion-kit", id="of another kind"),
        pytest.param("rk/adam", "rk/adam is an optimizer, of recursion-kit", id="qualified, of another kind"),
    ],
)
def test_an_unknown_name_brings_the_nearest(name, hint, two):
    with pytest.raises(Unresolved) as caught:
        two.resolve("model", name)
    assert caught.value.message == f"unknown model {name!r}"
    assert caught.value.hint.startswith(hint)
    assert "not loaded" not in caught.value.hint


def test_a_kind_of_which_nothing_is_installed_says_so(two):
    with pytest.raises(Unresolved) as caught:
        two.resolve("callback", "ema")
    assert caught.value.hint == "no callback is installed"


def test_a_stored_recipe_names_components_with_their_plugin(check, two):
    recipe = check(GOOD.replace("mlp", "beta/single"), catalog=two).recipe
    assert recipe.plain()["model"] == {"name": "beta/single", "p": 1}
    assert recipe.plain()["trainer"]["optimizer"]["name"] == "rk/adam"


# -- values of each type -----------------------------------------------------------------------------------------------

KITCHEN = """
from __future__ import annotations
import enum
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
        pytest.param("float_or_int", "3", 3, id="an int stays one where floats may stand too"),
        pytest.param("float_or_int", "3.0", 3.0, id="a float stays one where ints may stand too"),
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
def test_a_value_arrives_as_its_type_says(parameter, text, value, give):
    assert give(parameter, text).recipe.model.params[parameter] == value


def test_an_enum_arrives_as_its_member_not_yet_imported(give):
    found = give("a_size", "LARGE").recipe.model.params["a_size"]
    assert isinstance(found, EnumRef)
    assert (found.member, found.key) == ("LARGE", "LARGE")


@pytest.mark.parametrize(
    ("parameter", "text", "said"),
    [
        pytest.param("a_literal", "c", "expected a, b, 1, true or null, found a string ('c')", id="Literal"),
        pytest.param(
            "a_literal", "1.0", "expected a, b, 1, true or null, found a float ('1.0')", id="Literal is exact"
        ),
        pytest.param(
            "a_size", "LARG", "expected LARGE, found a string ('LARG')\n  hint: did you mean LARGE?", id="enum"
        ),
        pytest.param("a_size", "3", "expected LARGE, found an int ('3')", id="plain enums go by name"),
        pytest.param("a_bounded", "3", "must be multiple of 2, found 3", id="multiple"),
        pytest.param("a_bounded", "x", "expected an int, found a string ('x')", id="option"),
        pytest.param("few", "[]", "must have a length >= 1, found a list", id="too short"),
        pytest.param("few", "[1, 2, 3]", "must have a length <= 2, found a list", id="too long"),
        pytest.param("bounded_or_word", "0", "must be >= 1, found 0", id="bound on an option"),
        pytest.param("one_or_more", "[x]", "a.0: expected an int", id="wrong item in an option"),
        pytest.param("one_or_more", "x", "expected int | list of int, found a string ('x')", id="no option fits"),
        pytest.param(
            "a_dict", "{x: 1}", "a_dict.x: expected a list of int, found an int ('1')", id="wrong value in a dict"
        ),
        pytest.param("a_dict", "[x]", "expected a mapping, found a list", id="a list for a dict"),
        pytest.param("a_path", "3", "expected a path, found an int ('3')\n  hint: put it in quotes: \"3\"", id="path"),
        pytest.param("a_path", '"~no-such-user/x"', "'~no-such-user/x' is no path", id="unknown home"),
        pytest.param("a_path", '"a\\0b"', "is no path: embedded null byte", id="null byte in a path"),
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
        pytest.param("a_run", "3", "expected a run folder, found an int ('3')", id="run"),
        pytest.param(
            "layer_or_word", "{name: cell, dpth: 3}", "layer_or_word.dpth: unknown parameter", id="in an option"
        ),
        pytest.param("layer_or_word", "[cell]", "expected a layer | none, found a list", id="of no option's shape"),
        pytest.param("an_int", "nan", "expected an int, found a string ('nan')", id="a word"),
        pytest.param("a_bounded", "[2]", "expected an int, found a list", id="a list for a bounded int"),
        pytest.param("a_callable", "len", "takes Callable, which a recipe cannot express", id="not expressible"),
    ],
)
def test_a_value_of_another_type_is_refused(parameter, text, said, give):
    checked = give(parameter, text)
    assert len(checked.problems) == 1
    assert said.replace("a.0", f"{parameter}.0") in checked.lines[0]


def test_a_path_is_relative_to_the_file_that_says_it(kitchen, validate, tmp_path, monkeypatch):
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


def test_defaults_are_written_out_where_a_recipe_can_say_them(check, kitchen):
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


# -- a search given on the command line --------------------------------------------------------------------------------

SEARCH = """
from rk import Run
class Prune:
    def __init__(self, run: Run, amount: float, seed: int, tries: int = 3): ...
    def setup(self, *, data, runtime): ...
    def step(self) -> dict | None: ...
"""


@pytest.fixture
def search(workshop):
    catalog = workshop.catalog(workshop.plugin("prune", SEARCH, searches={"prune": "Prune"}))
    return lambda options, *fit: read_search("search", "prune", options, fit, catalog, Path)


def test_options_of_a_search_are_read_like_parameters_of_a_recipe(search):
    recipe, problems = search({"run": "runs/x", "amount": "1e-1"}, "fit.max_steps=5")
    assert problems == []
    assert recipe.search.params == {"run": RunRef(Path("runs/x")), "amount": 0.1}
    assert [p.name for p in recipe.search.missing] == ["seed"]
    assert recipe.fit.max_steps == 5
    assert recipe.algorithm is recipe.search


def test_a_mistake_in_an_option_of_a_search_names_it(search):
    _, problems = search({"amount": "much", "tires": "3"})
    assert [str(p).splitlines()[0] for p in problems] == [
        "command line: search.amount=much: search.amount: expected a float, found a string ('much')",
        "command line: search.tires=3: search.tires: unknown parameter",
    ]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        pytest.param(
            UserError("no such run: x", "there are no runs yet"), "no such run: x\n  hint: there are", id="unknown"
        ),
        pytest.param(OSError(36, "File name too long"), "no such run: File name too long", id="no name for a file"),
    ],
)
def test_a_run_that_is_not_found_is_a_problem_of_its_option(error, said, workshop):
    def finder(text):
        raise error

    catalog = workshop.catalog(workshop.plugin("prune", SEARCH, searches={"prune": "Prune"}))
    recipe, (problem,) = read_search("search", "prune", {"run": "x", "amount": "0.1"}, (), catalog, finder)
    assert str(problem).startswith(f"command line: search.run=x: search.run: {said}")
    assert recipe.search.params == {"amount": 0.1}


def test_composing_reports_the_problems_of_every_file(tmp_path, catalog, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("below.yaml").write_text("fit: {seed: 01}\n")
    Path("above.yaml").write_text("extends: below.yaml\nfit: {max_steps: 010}\n")
    _, problems = compose(RecipeFile(Path("above.yaml")), ("fit.threads=02",), catalog.plugins)
    assert [p.mark.source for p in problems] == ["below.yaml", "above.yaml", "command line: fit.threads=02"]


def test_a_scalar_without_a_place_says_what_it_is():
    node, _ = parse_value("3", "command line: x=3")
    assert isinstance(node, Scalar) and str(node.mark) == "command line: x=3"

"""Recipes: how YAML is read, how files and overrides join, what values mean, and how a recipe is written again."""

from __future__ import annotations

import math
import pickle
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from rk.catalog import Unresolved
from rk.errors import Mark, Problem, RecipeError, UserError
from rk.recipe import Recipe, check_recipe, check_search
from rk.recipe.compose import apply_override, compose, merge
from rk.recipe.find import RecipeFile, find_recipe
from rk.recipe.model import RunRef
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
def test_written_yaml_is_read_back_unchanged(mapping):
    """PyYAML quotes what a YAML 1.1 reader would misread; rk's reader takes all it writes, or reports why not."""
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
def test_a_recipe_is_merged_over_the_one_that_it_extends(below, above, result):
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
    assert checked.lines == ["command line: fit.max_steps=0: fit.max_steps: must be >= 1, got 0"]


@pytest.fixture
def shelf(workshop, tmp_path, monkeypatch):
    """A catalog with two plugins that ship recipes, and an empty working folder."""

    def ship(name: str, **recipes: str):
        entry = workshop.entry(name, "")
        folder = workshop.folder / entry.module / "recipes"
        folder.mkdir()
        for recipe, text in recipes.items():
            (folder / f"{recipe.replace('_', '-')}.yaml").write_text(text)
        return entry

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
            "alpah/twin", "there is no plugin alpah (installed: alpha, beta, rk); did you mean alpha?", id="its plugin"
        ),
        pytest.param("adam", "adam is an optimizer, of recursion-kit", id="of another kind"),
        pytest.param("rk/adam", "rk/adam is an optimizer, of recursion-kit", id="qualified, of another kind"),
    ],
)
def test_an_unknown_name_is_reported_with_the_nearest(name, hint, two):
    with pytest.raises(Unresolved) as caught:
        two.resolve("model", name)
    assert caught.value.message == f"unknown model {name!r}"
    assert caught.value.hint.startswith(hint)
    assert "not loaded" not in caught.value.hint


def test_a_kind_without_installed_components_is_reported(two):
    with pytest.raises(Unresolved) as caught:
        two.resolve("search", "ema")
    assert caught.value.hint == "no search is installed"


def test_a_stored_recipe_names_components_with_their_plugin(check, two):
    recipe = check(GOOD.replace("mlp", "beta/single"), catalog=two).recipe
    assert recipe.plain()["model"] == {"name": "beta/single", "p": 1}
    assert recipe.plain()["trainer"]["optimizer"]["name"] == "rk/adam"


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

    def call(options, *overrides):
        found = check_search("search", "prune", options, overrides, catalog, Path)
        return found.recipe, found.problems

    return call


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
        "command line: search.amount=much: search.amount: expected a float, got a string ('much')",
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
    found = check_search("search", "prune", {"run": "x", "amount": "0.1"}, (), catalog, finder)
    recipe, problem = found.recipe, found.problems[0]
    assert str(problem).startswith(f"command line: search.run=x: search.run: {said}")
    assert recipe.search.params == {"amount": 0.1}


def test_composing_reports_the_problems_of_every_file(tmp_path, catalog, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("below.yaml").write_text("fit: {seed: 01}\n")
    Path("above.yaml").write_text("extends: below.yaml\nfit: {max_steps: 010}\n")
    _, problems = compose(RecipeFile(Path("above.yaml")), ("fit.threads=02",), catalog.plugins)
    assert [p.mark.source for p in problems] == ["below.yaml", "above.yaml", "command line: fit.threads=02"]


def test_a_scalar_without_a_place_has_a_readable_repr():
    node, _ = parse_value("3", "command line: x=3")
    assert isinstance(node, Scalar) and str(node.mark) == "command line: x=3"


def test_all_problems_of_a_recipe_reach_another_process():
    error = RecipeError([Problem(Mark("r.yaml", 2, 1), "data", "missing: the task", "give one")])
    again = pickle.loads(pickle.dumps(error))
    assert (again.problems, again.message, again.render()) == (error.problems, error.message, error.render())


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("trainer.optimizer.words.*.lr=3", {"words.*": {"name": "adam", "lr": 3}, "*": "sgd"}),
        ("trainer.optimizer.*.lr=3", {"words.*": "adam", "*": {"name": "sgd", "lr": 3}}),
        ("trainer.optimizer.words.*=adagrad", {"words.*": "adagrad", "*": "sgd"}),
        ("~trainer.optimizer.words.*", {"*": "sgd"}),
        ("trainer.optimizer.other=adam", {"words.*": "adam", "*": "sgd", "other": "adam"}),
    ],
)
def test_a_key_that_holds_dots_is_one_key_of_an_override(override, value):
    node = tree('trainer: {name: backprop, optimizer: {words.*: adam, "*": sgd}}')
    assert apply_override(node, override) == []
    assert plain(node)["trainer"]["optimizer"] == value


def test_a_name_in_an_extended_recipe_means_its_own_plugins_component(workshop, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    entries = []
    for name in ("alpha", "beta"):
        entry = workshop.plugin(name, MODEL, models={"twin": "M"})
        recipes = workshop.folder / entry.module / "recipes"
        recipes.mkdir()
        (recipes / f"{name}-quick.yaml").write_text(GOOD.replace("mlp", "twin"))
        entries.append(entry)
    catalog = workshop.catalog(*entries)
    (tmp_path / "mine.yaml").write_text("rk: 1\nextends: beta/beta-quick\nfit: {max_steps: 3}\n")
    checked = check_recipe(find_recipe("mine.yaml", catalog.plugins), (), catalog)
    assert [str(p) for p in checked.problems] == []
    assert checked.recipe.model.component.qualified == "beta/twin"
    changed = check_recipe(find_recipe("mine.yaml", catalog.plugins), ("model=twin",), catalog)
    assert "is offered by rk-alpha and rk-beta" in str(changed.problems[0])

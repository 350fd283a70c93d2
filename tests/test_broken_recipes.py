"""Broken recipes: every mistake is reported once, at its place, with a cause and a hint; never with a traceback.

Each file in ``broken/`` begins with the expected output of `rk validate`, problem by problem::

    #! 7:19 model.hiden_sizes: unknown parameter
    #!   did you mean hidden_sizes?

The first line has the place and a part of the problem's text, the second a part of its hint; a problem without a hint
has no second line. All problems are listed: one that follows from another would be one too many.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rk.errors import ExitCode, RecipeError, UserError
from rk.recipe.find import find_recipe
from rk.recipe.tree import MAX_BYTES

BROKEN = Path(__file__).parent / "broken"
FILES = sorted(path.stem for path in BROKEN.glob("*.yaml"))

TOYS = """
    from __future__ import annotations
    from typing import Protocol, TypedDict
    from jaxtyping import Float, Int
    from torch import Tensor, nn
    from rk.fields import ClassificationBatch, LogitsOutputs, RegressionBatch
    from rk.protocols import Data, Model

    class Flat(nn.Module):
        def forward(self, *, inputs: Float[Tensor, "batch *shape"]) -> LogitsOutputs: ...

    class MisspeltFact(nn.Module):
        def __init__(self, num_clases: int) -> None: ...
        def forward(self, *, inputs: Float[Tensor, "batch *shape"]) -> LogitsOutputs: ...

    class Embedding(nn.Module):
        def forward(self, *, inputs: Int[Tensor, "batch time"]) -> LogitsOutputs: ...

    class ConvNet(nn.Module):
        def forward(self, *, inputs: Float[Tensor, "batch channels height width"]) -> LogitsOutputs: ...

    class Wide(nn.Module):
        def forward(self, *, inputs: Float[Tensor, "batch 28 28"]) -> LogitsOutputs: ...

    class ShadowOutputs(LogitsOutputs):
        targets: Int[Tensor, "batch"]

    class Pointer(nn.Module):
        def forward(self, *, input: Float[Tensor, "batch *shape"]) -> LogitsOutputs: ...

    class Shadow(nn.Module):
        def forward(self, *, inputs: Float[Tensor, "batch *shape"]) -> ShadowOutputs: ...

    class PictureBatch(TypedDict):
        inputs: Float[Tensor, "batch 8 8"]
        targets: Int[Tensor, "batch"]

    class Images:
        num_features: int = 64
        num_classes: int = 10
        splits = ("train", "val", "test")
        def batches(self, split: str) -> int: ...
        def batch(self, split: str, i: int, stage: int = 0) -> PictureBatch: ...

    class Reals:
        splits = ("train", "val", "test")
        def batches(self, split: str) -> int: ...
        def batch(self, split: str, i: int, stage: int = 0) -> RegressionBatch: ...

    class NamedClasses(Images):
        num_classes: str = "ten"

    class Undeclared(Images):
        def batch(self, split, i, stage=0): ...

    class CentroidLearner(nn.Module):
        def predict(self, batch) -> LogitsOutputs: ...

    class Centroids:
        def setup(self, *, data: Data) -> CentroidLearner: ...
        def step(self, batch: ClassificationBatch) -> dict[str, Tensor]: ...

    class HasBlocks(Model, Protocol):
        blocks: nn.ModuleList

    class Blockwise:
        def setup(self, *, model: HasBlocks) -> nn.Module: ...
        def step(self, batch) -> dict[str, Tensor]: ...

    class Curious:
        def setup(self, *, data: Data, weather: str) -> CentroidLearner: ...
        def step(self, batch: ClassificationBatch) -> dict[str, Tensor]: ...

    class Grid:
        def setup(self, *, data: Data) -> nn.Module: ...
        def step(self) -> dict[str, Tensor] | None: ...
"""
COMPONENTS = {
    "models": {
        "flat": "Flat",
        "misspelt-fact": "MisspeltFact",
        "embedding": "Embedding",
        "convnet": "ConvNet",
        "wide": "Wide",
        "pointer": "Pointer",
        "shadow": "Shadow",
    },
    "data": {"images": "Images", "reals": "Reals", "named-classes": "NamedClasses", "undeclared": "Undeclared"},
    "trainers": {"centroids": "Centroids", "blockwise": "Blockwise", "curious": "Curious"},
    "searches": {"grid": "Grid"},
}


@pytest.fixture
def toys(workshop):
    """The built-ins and a plugin whose components do not fit everything."""
    return workshop.catalog(workshop.plugin("toys", TOYS, **COMPONENTS))


def expected(name: str) -> list[tuple[str, str, str]]:
    """Returns (place, text, hint) of each problem that the head of a file in ``broken/`` lists."""
    found: list[tuple[str, str, str]] = []
    for line in (BROKEN / f"{name}.yaml").read_text(encoding="utf-8").splitlines():
        if line.startswith("#!   "):
            place, text, _ = found.pop()
            found.append((place, text, line[5:]))
        elif line.startswith("#! "):
            place, _, text = line[3:].partition(" ")
            place = place.rstrip(":")
            in_this_file = re.fullmatch(r"\d+:\d+|-", place)
            found.append((f"{name}.yaml:{place}".removesuffix(":-") if in_this_file else place, text, ""))
    return found


def test_there_are_broken_recipes():
    assert len([name for name in FILES if expected(name)]) > 100


@pytest.mark.parametrize("name", [name for name in FILES if not name.startswith("_")])
def test_a_broken_recipe_is_reported(name, toys, validate, monkeypatch):
    monkeypatch.chdir(BROKEN)
    problems = RecipeError(validate(f"{name}.yaml", toys).problems).problems
    assert [(str(p.mark), bool(p.hint)) for p in problems] == [(place, bool(hint)) for place, _, hint in expected(name)]
    for problem, (place, text, hint) in zip(problems, expected(name), strict=True):
        first, _, second = str(problem).partition("\n  hint: ")
        assert first.startswith(f"{place}: ") and text in first
        assert hint in second


# -- files that are not worth keeping ----------------------------------------------------------------------------------

GENERATED = {
    "empty": (b"", "the file is empty"),
    "blank": (b"\n \n\n", "the file is empty"),
    "the largest": (b"#" * MAX_BYTES, "the file is empty"),
    "10 MB": (b"a: 1\n" * 2_000_000, f"10,000,000 bytes; a recipe has at most {MAX_BYTES:,}"),
    "binary": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8, "not a text file: byte 0 is not UTF-8"),
    "UTF-16": ("rk: 1\n".encode("utf-16"), "not a text file: byte 0 is not UTF-8"),
    "null bytes": (b"rk: 1\n\x00\x00", "g.yaml:2:1: not valid YAML: the character '\\x00' is not allowed"),
    "escape codes": (b"rk: 1\nabout: \x1b[31m", "g.yaml:2:8: not valid YAML: the character '\\x1b' is not allowed"),
    "lone surrogate": (b'about: "\\ud800"', "g.yaml:1:11: not valid YAML: found invalid Unicode character escape code"),
    "nested lists": (b"a: " + b"[" * 10_000, "g.yaml:1:43: nested deeper than 40 levels"),
    "nested mappings": (b"a: " + b"{a: " * 10_000, "g.yaml:1:160: nested deeper than 40 levels"),
    "nested block lists": (b"- " * 10_000, "g.yaml:1:81: nested deeper than 40 levels"),
    "nested block mappings": (
        b"\n".join(b" " * depth + b"a:" for depth in range(600)),
        "g.yaml:41:41: nested deeper than 40 levels",
    ),
    "alias bomb": (
        b"a: &a [x, x]\n" + b"".join(b"%c: &%c [*%c, *%c]\n" % (c, c, c - 1, c - 1) for c in range(98, 123)),
        "g.yaml:2:8: alias *a: aliases are not used in recipes",
    ),
    "an alias and nothing else": (b"*a", "g.yaml:1:1: alias *a: aliases are not used in recipes"),
    "a tag and nothing else": (b"!!set {a}", "g.yaml:1:1: tag !!set: tags are not used in recipes"),
    "5000 digits": (b"fit: {max_steps: " + b"9" * 5000 + b"}", "g.yaml:1:18: a number with too many digits"),
    "15 000 unknown keys": (
        b"".join(b"key%d: 1\n" % i for i in range(15_000)),
        "and more: only 100 problems are shown",
    ),
    "a key of 100 kB": (b"? " + b"k" * 100_000 + b"\n: 1\n", "kkk..."),
}


@pytest.mark.parametrize(("content", "said"), GENERATED.values(), ids=GENERATED)
def test_a_hostile_file_is_refused_at_once(content, said, catalog, validate, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("g.yaml").write_bytes(content)
    begin = time.perf_counter()
    text = RecipeError(validate("g.yaml", catalog).problems).render()
    assert time.perf_counter() - begin < 2
    assert said in text
    assert len(text) < 100_000


def test_problems_come_in_the_order_of_the_file(check):
    checked = check("rk: 1\nmodel: mpl\ndata: digits\nfit: {seed: x}\nmodle: 3\n")
    assert [p.mark.line for p in checked.problems] != [1, 2, 4, 5], "they are found in another order"
    assert [p.mark.line for p in RecipeError(checked.problems).problems] == [1, 2, 4, 5]


def test_an_error_is_one_line_and_its_hint_another():
    assert UserError("what", "how").render() == "error: what\n  hint: how"
    assert UserError("what").render() == "error: what"
    assert str(UserError("what", "how")) == "what"


def test_exit_codes_are_a_public_contract():
    codes = {code.name: code.value for code in ExitCode}
    assert codes == {
        "OK": 0,
        "FAILED": 1,
        "USER_ERROR": 2,
        "CLAIM_NOT_REACHED": 3,
        "HUNG_UP": 129,
        "INTERRUPTED": 130,
        "TERMINATED": 143,
    }


def test_a_message_cannot_change_the_terminal(check):
    checked = check('rk: 1\n"\\e[2Jmodel\\n": 1\n')
    assert "recipe.yaml:2:1: \\x1b[2Jmodel : unknown key" in "\n".join(checked.lines)


def test_a_folder_is_not_a_recipe(catalog, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("recipe.yaml").mkdir()
    Path("recipe.yaml/inner.yaml").touch()
    with pytest.raises(UserError, match=r"recipe\.yaml is a folder, not a recipe file") as caught:
        find_recipe("recipe.yaml", catalog.plugins)
    assert caught.value.hint == "recipes there: inner.yaml"
    assert caught.value.exit_code == ExitCode.USER_ERROR


def test_a_file_that_may_not_be_read_is_named(check, monkeypatch):
    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)  # the tests may run as root, who may read anything
    assert check("rk: 1").lines == ["recipe.yaml: Permission denied"]


@pytest.mark.parametrize(
    ("name", "said", "hint"),
    [
        pytest.param("none.yaml", "no such recipe file: none.yaml", "did you mean one.yaml", id="unknown file"),
        pytest.param("no/none.yaml", "no such recipe file", "there is no folder no", id="unknown folder"),
        pytest.param("one", "unknown recipe 'one'", "did you mean the file one.yaml?", id="file without its ending"),
        pytest.param("digits", "unknown recipe 'digits'", "give a path that ends in .yaml", id="unknown name"),
        pytest.param("a\0b.yaml", "no such recipe file", "recipes there: one.yaml", id="null character"),
        pytest.param("x" * 5000 + ".yaml", "no such recipe file", "recipes there: one.yaml", id="name too long"),
        pytest.param("x" * 5000, "unknown recipe", "name ends in .yaml", id="word too long"),
    ],
)
def test_a_recipe_that_is_not_found_is_reported_with_the_nearest(name, said, hint, catalog, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("one.yaml").touch()
    with pytest.raises(UserError) as caught:
        find_recipe(name, catalog.plugins)
    assert said in caught.value.message
    assert hint in caught.value.hint


def test_a_chain_of_recipes_has_an_end(catalog, validate, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for i in range(30):
        Path(f"r{i}.yaml").write_text(f"extends: r{i + 1}.yaml\n")
    assert validate("r0.yaml", catalog).lines == ["r19.yaml:1:1: extends: more than 20 recipes in a chain"]


# -- overrides ---------------------------------------------------------------------------------------------------------

GOOD = """
rk: 1
model: mlp
data: digits
loss: cross-entropy
trainer: {name: backprop, optimizer: adam}
callbacks: []
fit: {max_steps: 10}
"""


@pytest.mark.parametrize(
    ("override", "said"),
    [
        pytest.param("max_steps", "an override has the form key=value", id="no value"),
        pytest.param("=3", "an override has the form key=value", id="no key"),
        pytest.param("fit..seed=3", "an override has the form key=value", id="a gap in the key"),
        pytest.param("fit.max_stps=3", "fit.max_stps: unknown key\n  hint: did you mean max_steps?", id="unknown key"),
        pytest.param("modle=mlp", "modle: unknown key\n  hint: did you mean model?", id="unknown top-level key"),
        pytest.param("model.hidden=3", "model.hidden: unknown parameter", id="unknown parameter"),
        pytest.param("fit.max_steps=ten", "fit.max_steps: expected an int, got a string ('ten')", id="wrong type"),
        pytest.param("fit.max_steps.x=1", "fit.max_steps is a plain value, so nothing can be set", id="too deep"),
        pytest.param("callbacks.0=ema", "callbacks.0: the list is empty", id="index into an empty list"),
        pytest.param("model.hidden_sizes.5=3", "expected a list of int >= 1, got a mapping", id="no list to index"),
        pytest.param("model=[", "model: not valid YAML: did not find expected node content", id="broken YAML"),
        pytest.param("fit.seed=010", "fit.seed: 010 begins with a zero", id="YAML trap"),
        pytest.param("fit.seed=\udcff", "not valid YAML: the character '\\udcff' is not allowed", id="no text"),
        pytest.param("extends=other", "extends: extends cannot be overridden", id="extends"),
        pytest.param("~fit.max_stepz", "nothing to drop\n  hint: did you mean max_steps?", id="nothing to drop"),
        pytest.param("~", "there is nothing to drop", id="a lone tilde"),
        pytest.param("model" + ".a" * 100_000 + "=1", "nested deeper than 40 levels", id="very deep"),
    ],
)
def test_a_mistake_on_the_command_line_is_reported_as_such(override, said, check):
    checked = check(GOOD, override)
    assert len(checked.problems) == 1
    assert checked.lines[0].startswith(f"command line: {override[:50]}".replace("\udcff", "\\udcff"))
    assert said in checked.lines[0]


def test_a_key_dropped_by_an_override_is_missing(check):
    message = "recipe.yaml:2:1: trainer: missing: the learning algorithm, as in trainer: backprop"
    assert check(GOOD, "~trainer").lines == [message]


def test_an_index_past_the_end_is_reported_with_the_length_of_the_list(check):
    checked = check(GOOD, "model.hidden_sizes=[8, 8]", "model.hidden_sizes.2=3", "model.hidden_sizes.9.x=3")
    assert [p.message for p in checked.problems] == [
        "the list has items 0 to 1",
        "model.hidden_sizes.9 is not an item of a list of 2, so nothing can be set below it",
    ]


# -- all at once, and nothing twice ------------------------------------------------------------------------------------

EIGHT = """\
rk: 1
paper: 1506.03134
model: {name: mlp, activation: rellu}
data:
  name: digits
  batch_size: 0
loss: {name: cross-entropy, label_smoothing: 1}
trainer:
  name: backprop
  optimizer: {name: adam, lr: "1e-3", scheduel: linear}
callbacks: [emma]
fit:
  max_steps: 1000
  monitor: valid/accuracy
"""


def test_eight_mistakes_are_reported_in_one_pass(check):
    checked = check(EIGHT)
    assert [(p.mark.line, p.mark.column, p.key) for p in RecipeError(checked.problems).problems] == [
        (2, 8, "paper"),
        (3, 32, "model.activation"),
        (6, 15, "data.batch_size"),
        (7, 46, "loss.label_smoothing"),
        (10, 31, "trainer.optimizer.lr"),
        (10, 39, "trainer.optimizer.scheduel"),
        (11, 13, "callbacks.0"),
        (14, 12, "fit.monitor"),
    ]


@pytest.mark.parametrize(
    ("was", "now", "key"),
    [
        pytest.param("data: digits", "data: digts", "data", id="unknown data: no facts, fields or splits are missed"),
        pytest.param("data: digits", "dota: digits", "dota", id="misspelt key of the data"),
        pytest.param("data: digits", "data: *d", "", id="an alias for the data"),
        pytest.param("data: digits", "data: {nam: digits}", "data.name", id="misspelt name of the data"),
        pytest.param("model: mlp", "model: mpl", "model", id="unknown model: no outputs are missed"),
        pytest.param("model: mlp", "", "model", id="no model: no outputs are missed"),
        pytest.param("loss: cross-entropy", "loss: 3", "loss", id="no loss to need anything"),
        pytest.param("name: backprop", "name: backdrop", "trainer", id="unknown trainer: nothing is asked for"),
        pytest.param("optimizer: adam", "optimiser: adam", "trainer.optimiser", id="misspelt required parameter"),
        pytest.param("optimizer: adam", "optimizer: {name: sgd, lr: no}", "", id="a YAML trap for what is required"),
        pytest.param("max_steps: 10", "max_step: 10", "fit.max_step", id="misspelt end of the run"),
        pytest.param("max_steps: 10", "max_steps: 1e3", "fit.max_steps", id="broken end of the run"),
        pytest.param("max_steps: 10", "max_steps: 010", "", id="a YAML trap at the end of the run"),
        pytest.param("callbacks: []", "metrics: {f1: g1}\nexpect: [{metric: test/f1}]", "metrics.f1", id="a metric"),
        pytest.param("callbacks: []", "expect: [{metrc: test/loss}]", "expect.0.metrc", id="misspelt key of a claim"),
        pytest.param("rk: 1", "rk: on", "", id="a YAML trap for the version"),
        pytest.param("rk: 1", "RK: 1", "RK", id="misspelt version"),
    ],
)
def test_a_mistake_that_follows_from_another_one_is_not_reported(was, now, key, check):
    assert was in GOOD
    checked = check(GOOD.replace(was, now))
    assert [p.key for p in checked.problems] == [key], checked.lines


def test_mistakes_in_parameters_do_not_hide_those_of_the_contract(check):
    """Which component is meant is known, so what it needs is known."""
    checked = check(GOOD.replace("model: mlp", "model: {name: mlp, dropout: 2}").replace("cross-entropy", "mse"))
    assert {p.key for p in checked.problems} == {"model.dropout", "loss"}


# -- through the installed program -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["typo-in-a-parameter", "python-tag", "unclosed-quote", "extends-itself", "monitor-of-an-unknown-split"]
)
def test_the_program_prints_every_problem_and_ends_with_code_2(name, rk):
    done = rk("validate", BROKEN / f"{name}.yaml")
    assert done.code == ExitCode.USER_ERROR
    assert done.out == ""
    assert "Traceback" not in done.err
    for place, text, hint in expected(name):
        assert f"{BROKEN / place}: {text}" in done.err
        assert not hint or f"\n  hint: {hint}" in done.err
    assert done.err.endswith("error: 1 problem found; nothing was run\n")


def test_a_tag_runs_no_code(rk, tmp_path):
    assert "os.mkdir [rk-was-here]" in (BROKEN / "python-tag.yaml").read_text()
    rk("validate", BROKEN / "python-tag.yaml")
    assert not (tmp_path / "rk-was-here").exists()


def test_a_bad_recipe_is_refused_without_heavy_modules():
    code = (
        "import sys\n"
        "from rk.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: print(end.code, *(m for m in HEAVY if m in sys.modules))\n"
    ).replace("HEAVY", "('torch', 'numpy', 'lightning', 'griffe', 'jaxtyping', 'rich')")
    command = [sys.executable, "-c", code, "validate", BROKEN / "typo-in-a-parameter.yaml"]
    assert subprocess.run(command, capture_output=True, text=True, timeout=60).stdout == "2\n"

"""The code in the guides is code: it compiles, what it imports from rk is there, and whole components work."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

import rk.testing
from rk.errors import UserError
from rk.fit.loaded import LoadedRun
from rk.hookspecs import HOOK_OF_KIND
from rk.recipe.find import RecipeFile
from rk.review import faults, gaps
from rk.testing import PluginContract, Trial

DOCS = Path(__file__).parent.parent / "docs"
_FENCE = re.compile(r"^```(python|yaml)(?: ([^\n]*))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass
class Block:
    """A fenced block: where it stands, what follows the name of its language, and its text."""

    place: str
    language: str
    info: dict[str, str]
    text: str


def blocks() -> list[Block]:
    """Returns the Python and YAML of all pages."""
    found = []
    for path in sorted(DOCS.glob("**/*.md")):
        page = path.read_text(encoding="utf-8")
        for match in _FENCE.finditer(page):
            language, info, text = match.groups()
            place = f"{path.relative_to(DOCS)}:{page.count(chr(10), 0, match.start()) + 1}"
            found.append(Block(place, language, dict(item.split("=") for item in shlex.split(info or "")), text))
    return found


PYTHON = [b for b in blocks() if b.language == "python"]
COMPONENTS = [b for b in PYTHON if "component" in b.info]
WORKING = {
    "Ranked": ("model", "model: guide\nloss: cross-entropy\ntrainer: {name: backprop, optimizer: adam}", 0.05),
    "Ridge": ("trainer", "trainer: guide", 0.85),
    "Hebb": ("trainer", "trainer: guide", 0.6),
    "Subset": ("search", "search: guide", 0.8),
}
"""Class -> its kind, a recipe on digits, and the test accuracy that a few steps must reach."""


@pytest.mark.parametrize("block", PYTHON, ids=lambda b: b.place)
def test_a_block_compiles_and_imports_what_is_there(block):
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.ImportFrom) and node.module.partition(".")[0] == "rk":
            module = importlib.import_module(node.module)
            for alias in node.names:
                assert hasattr(module, alias.name), f"{node.module} has no {alias.name}"


@pytest.mark.parametrize("block", [b for b in blocks() if b.language == "yaml"], ids=lambda b: b.place)
def test_a_block_of_yaml_can_be_read(block):
    assert isinstance(yaml.safe_load(block.text), dict)


@pytest.mark.parametrize("block", COMPONENTS, ids=lambda b: b.place)
def test_a_component_has_all_that_its_kind_must_have(block, workshop):
    catalog = installed(block, workshop)
    component = catalog.resolve(block.info["component"], "guide")
    assert [*faults(component, catalog), *gaps(component, catalog)] == []
    assert catalog.load(component)


@pytest.mark.parametrize("name", WORKING)
def test_a_component_does_what_its_page_describes(name, workshop, tmp_path):
    kind, recipe, at_least = WORKING[name]
    trial = trial_of(name, kind, f"data: digits\n{recipe}", workshop, tmp_path)
    assert trial.run(30).metrics["test/accuracy"] >= at_least


def test_data_from_user_files_are_learned_and_answered(workshop, tmp_path):
    for name, count in (("train", 80), ("test", 20)):
        lines = [f"{i % 2 - 0.5},{i % 7},{'right' if i % 2 else 'left'}" for i in range(count)]
        (tmp_path / f"{name}.csv").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "mine.csv").write_text("-0.5,3\n0.5,3\n", encoding="utf-8")
    recipe = f"data: {{name: guide, folder: {tmp_path}}}\nmodel: mlp\nloss: cross-entropy\n"
    trial = trial_of("Table", "data", f"{recipe}trainer: {{name: backprop, optimizer: adam}}", workshop, tmp_path)
    ended = trial.run(60)
    assert ended.metrics["test/accuracy"] == 1
    run = LoadedRun.open(ended.folder.path, trial.catalog)
    assert [answer["class"] for answer in run.predict(tmp_path / "mine.csv")[2]] == ["left", "right"]


def test_the_exporter_writes_what_it_returns_and_refuses_what_is_too_large(workshop, tmp_path):
    recipe = "data: digits\nmodel: mlp\nloss: cross-entropy\ntrainer: {name: backprop, optimizer: adam}"
    trial = trial_of("Table", "exporter", recipe, workshop, tmp_path)
    run = LoadedRun.open(trial.run(1).folder.path, trial.catalog)
    table = trial.catalog.load(trial.catalog.resolve("exporter", "guide"))
    paths = table().export(run, tmp_path)
    assert {path.name for path in paths} == {f"{name}.csv" for name in run.learner.state_dict()}
    assert all(path.read_text(encoding="utf-8") for path in paths)
    with pytest.raises(UserError, match="too many"):
        table(largest=5).export(run, tmp_path)


def test_a_recorder_and_an_analysis_write_their_tables_and_figures(workshop, tmp_path):
    recipe = "data: digits\nmodel: mlp\nloss: cross-entropy\ntrainer: {name: backprop, optimizer: adam}\n"
    trial = trial_of("WeightNormCurve", "callback", f"{recipe}callbacks: [guide]", workshop, tmp_path)
    folder = trial.run(2).folder
    head, row = (folder.path / "norms.csv").read_text(encoding="utf-8").splitlines()
    assert head.startswith("step,weight 0") and row.startswith("2,") and (folder.figures / "norms.png").exists()

    (block,) = [b for b in COMPONENTS if "class ClassAccuracy" in b.text]
    catalog = installed(block, workshop)
    run = LoadedRun.open(folder.path, trial.catalog)
    analysis = catalog.load(catalog.resolve("analysis", "guide"))([run, run])
    worst = analysis.analyze(tmp_path)
    assert len(worst) == 2 and len(set(worst.values())) == 1
    assert len((tmp_path / "classes.csv").read_text(encoding="utf-8").splitlines()) == 11
    assert (tmp_path / "classes.png").exists()


def trial_of(name: str, kind: str, recipe: str, workshop, folder: Path) -> Trial:
    """Returns a trial of a recipe that may use the component of class `name` as ``guide``."""
    (block,) = [
        b for b in COMPONENTS if b.info["component"] == kind and re.search(rf"^class {name}\b", b.text, re.MULTILINE)
    ]
    (folder / "recipe.yaml").write_text(f"rk: 1\nfit: {{max_steps: 1}}\n{recipe}\n", encoding="utf-8")
    return Trial(RecipeFile(folder / "recipe.yaml"), installed(block, workshop), folder / "runs")


def installed(block: Block, workshop):
    """Returns a catalog in which the last class of the block is called ``guide``."""
    classes = [node.name for node in ast.parse(block.text).body if isinstance(node, ast.ClassDef)]
    hook = HOOK_OF_KIND[block.info["component"]].removeprefix("rk_")
    return workshop.catalog(workshop.plugin("guide", block.text, **{hook: {"guide": classes[-1]}}))


def test_the_page_of_the_kit_has_every_check():
    page = (DOCS / "testing.md").read_text(encoding="utf-8")
    checks = {name.removeprefix("test_").replace("_", "-") for name in dir(PluginContract) if name.startswith("test_")}
    headings = set(re.findall(r"^### `([a-z-]+)`$", page, re.MULTILINE))
    assert checks and headings == checks


@pytest.mark.parametrize("name", rk.testing.__all__)
def test_the_page_of_the_kit_has_every_name(name):
    assert f"`{name}" in (DOCS / "testing.md").read_text(encoding="utf-8")

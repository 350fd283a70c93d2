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
    "Ranked": ("model: guide\nloss: cross-entropy\ntrainer: {name: backprop, optimizer: adam}", 0.05),
    "Ridge": ("trainer: guide", 0.85),
    "Hebb": ("trainer: guide", 0.6),
    "Subset": ("search: guide", 0.8),
}
"""Class -> a recipe on digits, and the test accuracy that a few steps must reach."""


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
def test_a_component_does_what_its_page_says(name, workshop, tmp_path):
    recipe, at_least = WORKING[name]
    (block,) = [b for b in COMPONENTS if re.search(rf"^class {name}\b", b.text, re.MULTILINE)]
    (tmp_path / "recipe.yaml").write_text(f"rk: 1\ndata: digits\nfit: {{max_steps: 1}}\n{recipe}\n", encoding="utf-8")
    trial = Trial(RecipeFile(tmp_path / "recipe.yaml"), installed(block, workshop), tmp_path / "runs")
    assert trial.run(30).metrics["test/accuracy"] >= at_least


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

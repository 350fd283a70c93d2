"""The documents cannot drift from the code unnoticed."""

from __future__ import annotations

import ast
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import pytest

import rk.fields
from rk import hookspecs
from rk.cli import COMMANDS
from rk.kinds import KINDS as TABLE
from rk.protocols import KINDS

ROOT = Path(__file__).parent.parent
CONTRACT = (ROOT / "docs" / "contract.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = ("docs/**/*.md", "plugins/*/README.md", "plugins/*/EQUATIONS.md")
DOCUMENTS = sorted([ROOT / "README.md", *(path for pattern in PAGES for path in ROOT.glob(pattern))])
GENERATE = runpy.run_path(str(ROOT / "docs" / "generate.py"))


def test_every_kind_has_a_protocol_and_a_hook():
    assert KINDS.keys() == TABLE.keys()
    hooks = {name for name in vars(hookspecs) if name.startswith("rk_")}
    assert hooks == {*(kind.hook for kind in TABLE.values()), "rk_recipes"}


@pytest.mark.parametrize("document", GENERATE["TABLES"])
def test_tables_of_kinds_and_of_public_modules_agree_with_the_code(document):
    text = (ROOT / "docs" / document).read_text(encoding="utf-8")
    assert text == GENERATE["with_table"](document), "run: python docs/generate.py"


@pytest.mark.parametrize("kind", TABLE.values(), ids=lambda kind: kind.name)
def test_the_table_names_the_methods_that_a_kind_must_have(kind):
    assert all(f"`{name}" in kind.must for names in kind.methods for name in names)


@pytest.mark.parametrize("kind", KINDS)
def test_each_protocol_and_each_of_its_methods_is_documented(kind):
    protocol = KINDS[kind]
    assert protocol.__doc__
    public = [m for name, m in vars(protocol).items() if callable(m) and not name.startswith("_")]
    named = [m.__name__ for m in public if not m.__doc__ and m.__name__ not in protocol.__doc__]
    inherited = {"forward", "setup", "finish", "state_dict", "load_state_dict", "predict", "batches", "update"}
    assert set(named) <= inherited, "a method without docstring must be one that every trainer has"


def test_every_shared_field_is_in_the_glossary():
    names = {
        field
        for cls in vars(rk.fields).values()
        if isinstance(cls, type) and cls.__module__ == "rk.fields"
        for field in get_type_hints(cls)
    }
    assert names and all(f"| `{name}` |" in CONTRACT for name in names)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_readme_mentions_each_command(command):
    assert f"rk {command}" in README


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document):
    for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([\w-]+))?\)", document.read_text(encoding="utf-8")):
        path = document.parent / target if target else document
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), f"{target}#{anchor}"


def anchors(path: Path) -> set[str]:
    """Returns the names of a page's headings in links, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    pages = {str(p.relative_to(ROOT / "docs")) for p in ROOT.glob("docs/**/*.md")} - {"README.md"}
    pages -= {
        f"results/{p.name}" for p in ROOT.glob("docs/results/*.md") if p.name != "README.md"
    }  # it has an own index
    assert pages == set(re.findall(r"\]\(([\w/-]+\.md)\)", index)) and "docs/README.md" in README


def test_the_reference_agrees_with_the_code():
    page = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    # in a process of its own: click keeps the options of help as it first met them, in whatever test that was
    command = [sys.executable, ROOT / "docs" / "generate.py", "--print"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert page == printed, "run: python docs/generate.py"


def test_the_reference_has_each_environment_variable_that_the_code_reads():
    described = set(GENERATE["VARIABLES"])
    assert variables_read() <= described
    sources = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("rk/**/*.py"))
    assert all(f'"{name}"' in sources for name in described), "a variable that the code no longer knows"


def variables_read() -> set[str]:
    """Returns the names that the host asks the environment for."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in ROOT.glob("rk/**/*.py")]
    constants = {
        target.id: node.value.value
        for tree in trees
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    found = set()
    for node in (node for tree in trees for node in ast.walk(tree)):
        name: ast.AST | None = None
        match node:
            case ast.Subscript(value=ast.Attribute(attr="environ"), slice=name, ctx=ast.Load()):
                pass
            case ast.Call(func=ast.Attribute(value=ast.Attribute(attr="environ"), attr="get"), args=[name, *_]):
                pass
            case ast.Compare(left=name, comparators=[ast.Attribute(attr="environ")]):
                pass
            case ast.Constant(value=str(text)) if re.fullmatch(r"_?RK_[A-Z_]+", text) and text not in (
                "RK_EXEMPT",
                "RK_TRIAL",
            ):
                found.add(text)  # also one that is asked for in a loop over names
        if isinstance(name, ast.Constant):
            found.add(name.value)
        elif isinstance(name, ast.Name) and name.id in constants:
            found.add(constants[name.id])
    return found

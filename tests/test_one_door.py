"""Plugins import what docs/stability.md lists as public, and nothing else of rk."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest

import rk
from rk import protocols
from rk.public import MODULES, private_imports

ROOT = Path(__file__).parent.parent
STABILITY = (ROOT / "docs" / "stability.md").read_text(encoding="utf-8")
LISTED = re.findall(r"^\| `(rk[\w.]*)` \|", STABILITY.partition("<!-- modules -->")[2], re.MULTILINE)
SOURCES = sorted(ROOT.glob("plugins/*/src/**/*.py"))
PLUGINS = sorted(ROOT.glob("plugins/rk-*"))
EXAMPLES = [
    *(path for path in ROOT.glob("rk/scaffold/plugin/src/**/*.py.j2")),
    *ROOT.glob("docs/how-to/*.md"),
    ROOT / "docs" / "tutorial.md",
]


def test_the_document_lists_the_public_modules():
    assert [*MODULES] == LISTED


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.name)
def test_a_plugin_imports_public_modules_and_public_names_alone(plugin):
    sources = [path for path in SOURCES if path.is_relative_to(plugin)]
    assert sources
    found = [f"{path.name}:{wrong}" for path in sources for wrong in back_doors(path.read_text(encoding="utf-8"))]
    assert found == []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_templates_and_pages_import_only_public_modules(path):
    lines = re.findall(r"^(?:from rk|import rk)[ .].*", path.read_text(encoding="utf-8"), re.MULTILINE)
    own = [line for line in lines if "{{" not in line]
    assert list(back_doors("\n".join(own))) == []


@pytest.mark.parametrize("name", MODULES)
def test_a_public_module_documents_what_it_is_and_which_names_are_public(name):
    module = importlib.import_module(name)
    assert module.__doc__ and len(set(module.__all__)) == len(module.__all__)
    for public in module.__all__:
        member = getattr(module, public)
        assert not (inspect.isclass(member) or inspect.isfunction(member)) or member.__doc__, public


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from rk.fit.evaluate import evaluating", [(1, "rk.fit.evaluate")]),
        ("import rk.runs.folder as f, os", [(1, "rk.runs.folder")]),
        ("def f():\n    from rk import runs, files", [(2, "rk.runs")]),
        ("from rk import Runtime, charts\nfrom . import rk\nimport rk_rnn.flow", []),
        ("if TYPE_CHECKING:\n    from rk.cli import cli", [(2, "rk.cli")]),
    ],
)
def test_private_imports_are_found_wherever_they_stand(source, found):
    assert list(private_imports(source)) == found


def test_a_private_name_of_a_public_module_is_found_too():
    assert back_doors("from rk.charts import STYLE, chart") == ["1: rk.charts.STYLE"]
    assert back_doors("from rk.reading import read_rows, tables") == ["1: rk.reading.tables"]


def test_every_protocol_is_exported_by_rk():
    assert set(protocols.__all__) - {"KINDS"} <= set(rk.__all__)


@pytest.mark.parametrize("name", ["FitContext", "LoadedRun", "Runtime"])
def test_classes_given_to_components_are_the_same_at_their_old_place(name):
    old = {"FitContext": "rk.fit.context", "LoadedRun": "rk.fit.loaded", "Runtime": "rk.fit.runtime"}[name]
    assert getattr(rk, name) is getattr(importlib.import_module(old), name)


def test_calling_by_field_name_is_the_same_class_at_its_old_place():
    from rk.binding import Bound
    from rk.fit import bind

    assert bind.Bound is Bound


def back_doors(source: str) -> list[str]:
    """Returns the line and the name of each import that is not public: of a module, or of a name not in ``__all__``."""
    found = [f"{line}: {module}" for line, module in private_imports(source)]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module in MODULES and node.level == 0:
            public = importlib.import_module(node.module).__all__
            names = [a.name for a in node.names if a.name not in public and f"{node.module}.{a.name}" not in MODULES]
            found += [f"{node.lineno}: {node.module}.{name}" for name in names if node.module != "rk"]
    return found

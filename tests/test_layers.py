"""Imports go one way: no circle of files, and no module that imports one of a layer above its own.

Read from the sources. Imports within functions count, and so do those for type checkers alone: a reader of a file
reads what it names.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {"rk": ROOT, **{p.name: p.parent for p in sorted(ROOT.glob("plugins/*/src/*")) if p.is_dir()}}


def files_of(package: str) -> dict[str, Path]:
    """Returns module -> file of a package."""
    found = {}
    for path in sorted((PACKAGES[package] / package).rglob("*.py")):
        parts = path.relative_to(PACKAGES[package]).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(module: str, text: str, known: set[str], is_package: bool = False) -> Iterator[tuple[str, int]]:
    """Yields those of the modules `known` that a source imports, and where."""
    for node in ast.walk(ast.parse(text)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts = module.split(".")
            above = parts[: len(parts) - node.level + is_package] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names = [f"{base}.{alias.name}" for alias in node.names]
        for name in names:
            found = next((m for m in (name, name.rpartition(".")[0]) if m in known), None)
            if found is not None and found != module:
                yield found, node.lineno


@functools.cache
def graph_of(package: str) -> dict[str, dict[str, int]]:
    """Returns module -> modules of the same package that it imports, each with the line."""
    files = files_of(package)
    return {
        module: dict(imports(module, path.read_text(encoding="utf-8"), {*files}, path.name == "__init__.py"))
        for module, path in files.items()
    }


def circle_in(graph: dict[str, dict[str, int]]) -> list[str]:
    """Returns modules of which each imports the next one, and the last one the first; none where there is no circle."""
    done: set[str] = set()

    def visit(module: str, way: list[str]) -> list[str]:
        if module in way:
            return way[way.index(module) :]
        if module in done:
            return []
        found = next((c for other in sorted(graph[module]) if (c := visit(other, [*way, module]))), [])
        done.add(module)
        return found

    return next((c for module in sorted(graph) if (c := visit(module, []))), [])


def layers() -> list[set[str]]:
    """Returns the layers of docs/design.md, the highest first: names of modules at the top level of rk."""
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    block = text.partition("<!-- layers -->")[2].partition("<!-- /layers -->")[0]
    lines = re.split(r"^\d+\. ", block, flags=re.MULTILINE)[1:]
    return [set(re.findall(r"`([\w.]+)`", line)) for line in lines]


def layer_name(module: str) -> str:
    """Returns the name by which docs/design.md places a module."""
    return module.split(".")[1] if "." in module else module


@pytest.mark.parametrize("package", PACKAGES)
def test_no_files_import_each_other_in_a_circle(package):
    assert circle_in(graph_of(package)) == []


def test_every_module_of_the_host_has_one_layer():
    placed = [name for layer in layers() for name in sorted(layer)]
    assert sorted(placed) == sorted({layer_name(module) for module in files_of("rk")})


def test_modules_import_those_of_their_own_layer_and_of_lower_ones():
    place = {name: number for number, layer in enumerate(layers(), 1) for name in layer}
    upwards = [
        f"{module}:{line} imports {other}"
        for module, found in graph_of("rk").items()
        for other, line in found.items()
        if place[layer_name(other)] < place[layer_name(module)]
    ]
    assert upwards == []


@pytest.mark.parametrize(
    "source",
    [
        "from rk.b import x",
        "import rk.b",
        "from rk import b",
        "from .b import x",
        "from . import b",
        "def f():\n    from rk.b import x",
        "if TYPE_CHECKING:\n    from rk.b import x",
    ],
)
def test_an_import_is_seen_however_it_is_written(source):
    assert [m for m, _ in imports("rk.a", source, {"rk", "rk.a", "rk.b"})] == ["rk.b"]


def test_a_circle_is_found_over_several_files():
    graph = {"a": {"b": 1}, "b": {"c": 1, "d": 2}, "c": {}, "d": {"b": 3}}
    assert circle_in(graph) == ["b", "d"]
    assert circle_in({"a": {"b": 1}, "b": {}}) == []

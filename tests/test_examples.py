"""The `Examples:` of components and functions: recipe lines are checked against the schema, Python is run.

Components are found through the catalog: one without an example fails.
"""

from __future__ import annotations

import ast
import doctest
import importlib
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from rk.catalog import Catalog, Component
from rk.cli import cli
from rk.errors import RecipeError, UserError
from rk.recipe.check import check_search, read_component, read_recipe
from rk.recipe.find import find_recipe
from rk.recipe.tree import parse_tree
from rk.static.docstring import examples
from rk.static.source import find_source

ROOT = Path(__file__).parent.parent
CATALOG = Catalog()
IN_PYTHON = ("model", "layer", "loss", "schedule")
"""Kinds whose components are functions of tensors or numbers: they are shown in Python too."""
REST = {"data": "digits", "trainer": "{name: backprop, optimizer: adam}"}
"""What makes a whole recipe of an example that does not say it."""


def is_ours(component: Component) -> bool:
    """Whether the component is in this repository; another plugin may be installed beside it."""
    source = find_source(component.target.partition(":")[0])
    return source is not None and ROOT in source.resolve().parents


COMPONENTS = {f"{c.kind} {c.qualified}": c for c in CATALOG.plugins.components if is_ours(c)}


def mistakes(text: str, component: Component, folder: Path) -> list[str]:
    """Returns what is wrong with an example that is to show how `component` is named."""
    try:
        said, shown = _of_command(text, component) if text.startswith("rk ") else _of_recipe(text, folder)
    except RecipeError as error:
        return [str(problem) for problem in error.problems]
    except (UserError, click.ClickException) as error:
        return [error.message]
    return said or ([] if f"{component.kind} {component.qualified}" in shown else [f"it shows no {component.name}"])


def _of_recipe(text: str, folder: Path) -> tuple[list[str], set[str]]:
    """Returns the mistakes in lines of a recipe, and the components in them."""
    given, _ = parse_tree(text, "example")
    rest = "".join(f"{key}: {value}\n" for key, value in REST.items() if {key, "search"}.isdisjoint(given.items))
    (folder / "example.yaml").write_text(f"rk: 1\n{rest}{text}\n", encoding="utf-8")
    recipe, problems = read_recipe(find_recipe(str(folder / "example.yaml"), CATALOG.plugins), (), CATALOG)
    said = [f"{problem.key}: {problem.message}" for problem in problems]
    return said, {f"{spec.component.kind} {spec.component.qualified}" for spec in recipe.specs()}


def _of_command(text: str, component: Component) -> tuple[list[str], set[str]]:
    """Returns the mistakes in a command line, which is parsed and not run, and the component that it names."""
    root = click.Context(cli, info_name="rk")
    root.obj = CATALOG
    _, name, *arguments = shlex.split(text)
    command = cli.get_command(root, name)
    assert command is not None, f"there is no command {name}"
    if component.kind == "exporter":
        params = command.make_context(name, arguments, parent=root).params
        spec = read_component("exporter", params["format_"], params["overrides"], CATALOG)
        return [], {f"exporter {spec.component.qualified}"}
    context = click.Context(command, parent=root, info_name=name)
    analysis, *options = arguments
    params = command.get_command(context, analysis).make_context(analysis, options, parent=context).params
    given = {k.removeprefix("option_"): v for k, v in params.items() if k.startswith("option_") and v is not None}
    kind = "search" if name == "search" else "analysis"
    checked = check_search(kind, analysis, given, (), CATALOG, Path)
    said = [f"{problem.key}: {problem.message}" for problem in checked.problems]
    return said, {f"{kind} {spec.component.qualified}" for spec in checked.recipe.specs()}


@pytest.mark.parametrize("name", COMPONENTS)
def test_every_component_shows_how_it_is_named(name, tmp_path):
    text, _ = examples(CATALOG.info(COMPONENTS[name]))
    assert text, "its docstring has no Examples: with a line of a recipe, or a command"
    assert mistakes(text, COMPONENTS[name], tmp_path) == []


@pytest.mark.parametrize("name", [name for name, c in COMPONENTS.items() if c.kind in IN_PYTHON])
def test_models_layers_losses_and_schedules_are_shown_in_python(name):
    assert examples(CATALOG.info(COMPONENTS[name]))[1], "its Examples: have no lines that begin with >>>"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("model rk/mlp", "model: {name: mpl}", "model: unknown model 'mpl'"),
        ("model rk/mlp", "model: {name: mlp, hidden_size: 3}", "model.hidden_size: unknown parameter"),
        ("model rk/mlp", "model: {name: mlp, dropout: high}", "model.dropout: expected a float"),
        ("model rk/mlp", "model: {name: mlp, dropout: 2}", "model.dropout: must be < 1"),
        ("model rk/mlp", "data: digits", "it shows no mlp"),
        ("model rk/mlp", "model: [mlp", "while parsing"),
        ("exporter rk/onnx", "rk export last --to onyx", "unknown exporter 'onyx'"),
        ("exporter rk/onnx", "rk export last --to onnx exporter.opset=3", "opset: must be >= 18"),
        ("exporter rk/onnx", "rk export last --to hub", "it shows no onnx"),
        ("exporter rk/onnx", "rk export last --format onnx", "No such option"),
        ("analysis noprop/block-accuracy", "rk analyze block-accuracy", "run: "),
        ("analysis noprop/block-accuracy", "rk analyze block-accuracy --run last --batches none", "batches: "),
    ],
)
def test_a_mistake_in_an_example_is_found(name, text, message, tmp_path):
    said = mistakes(text, COMPONENTS[name], tmp_path)
    assert any(message in line for line in said), said


# -- Python ------------------------------------------------------------------------------------------------------------


def doctests() -> Iterator[tuple[str, str, str]]:
    """Yields (module, name, docstring) of all classes and functions of this repository that show Python."""
    for folder in (ROOT, *ROOT.glob("plugins/*/src")):
        for path in sorted((folder / "rk" if folder == ROOT else folder).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            if ">>> " not in text:
                continue
            module = ".".join(path.relative_to(folder).with_suffix("").parts)
            for node in ast.parse(text).body:
                if isinstance(node, ast.ClassDef | ast.FunctionDef) and ">>> " in (ast.get_docstring(node) or ""):
                    yield module, node.name, ast.get_docstring(node) or ""


@pytest.mark.parametrize(("module", "name", "docstring"), [pytest.param(*d, id=f"{d[0]}:{d[1]}") for d in doctests()])
def test_what_is_shown_in_python_gives_what_it_says(module, name, docstring):
    import torch

    torch.manual_seed(0)
    names = {name: getattr(importlib.import_module(module), name), "torch": torch}  # as `rk show` begins it
    test = doctest.DocTestParser().get_doctest(docstring, names, f"{module}:{name}", None, 0)
    assert test.examples
    said: list[str] = []
    doctest.DocTestRunner(verbose=False).run(test, out=said.append)
    assert not said, "".join(said)


def test_examples_are_checked_without_torch():
    """`rk show` prints them: a listing of what is installed imports nothing heavy."""
    code = (
        "import sys; from rk.catalog import Catalog; from rk.static.docstring import examples\n"
        "catalog = Catalog(); assert all(examples(catalog.info(c))[0] for c in catalog.of_kind('model'))\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0

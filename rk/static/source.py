"""Modules as syntax trees: finding a module's source without importing it, and following names through imports."""

from __future__ import annotations

import ast
import builtins
import contextlib
import functools
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rk.errors import UserError
from rk.reads import note
from rk.record import record
from rk.static.outline import outline

if TYPE_CHECKING:
    from rk.index.answers import Answers
    from rk.index.kept import Index

OPAQUE = sys.stdlib_module_names | {"torch", "numpy", "jaxtyping", "annotated_types", "typing_extensions", "lightning"}
"""Top-level packages that are never looked into: a name in them is known by its dotted path."""

MAX_OUTLINES = 500
"""Outlines that an index keeps."""

MAX_STEPS = 50
"""Names that are followed for one name; more means that they lead in a circle."""


class StaticError(UserError):
    """A component that cannot be read from its source; the message names module and cause."""


@record
class Ref:
    """The target of a name: its canonical dotted path, and its definition where the source was followed."""

    dotted: str
    module: Module | None = None
    node: ast.AST | None = None


class Module:
    """One parsed source file and the names that its top level binds."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.path = path
        try:
            self.tree = _tree(path)
        except (SyntaxError, ValueError, OSError, RecursionError) as error:
            raise StaticError(f"{path}: {error}") from None
        self.is_package = path.name == "__init__.py"
        self.names: dict[str, ast.AST | str] = {}
        self.stars: list[str] = []
        for statement in _top_level(self.tree.body):
            self._bind(statement)

    def _bind(self, statement: ast.stmt) -> None:
        match statement:
            case ast.Import():
                for alias in statement.names:
                    name = alias.asname or alias.name.split(".")[0]
                    self.names[name] = alias.name if alias.asname else name
            case ast.ImportFrom():
                origin = self._origin(statement)
                for alias in statement.names:
                    if alias.name == "*":
                        self.stars.append(origin)
                    else:
                        self.names[alias.asname or alias.name] = f"{origin}.{alias.name}"
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                self.names[statement.name] = statement
            case ast.Assign(targets=[ast.Name(id=name)]):
                self.names[name] = statement
            case ast.AnnAssign(target=ast.Name(id=name)) if statement.value is not None:
                self.names[name] = statement

    def _origin(self, statement: ast.ImportFrom) -> str:
        if not statement.level:
            return statement.module or ""
        parts = self.name.split(".")
        base = parts[: len(parts) - statement.level + self.is_package]
        return ".".join([*base, statement.module] if statement.module else base)

    def resolve(self, dotted: str) -> Ref:
        """Follows `dotted`, as written in this module, to the statement that binds it."""
        return _follow(self, dotted, frozenset())

    def definition(self, dotted: str) -> Ref:
        """Follows `dotted` as `resolve` does, and through assignments of one name to another (``Base = nn.Module``)."""
        ref = self.resolve(dotted)
        for _ in range(MAX_STEPS):
            alias = dotted_name(assigned_value(ref.node))
            if alias is None:
                break
            ref = ref.module.resolve(alias)
        return ref


_outlines: list[Answers] = []


@contextlib.contextmanager
def outlines_in(index: Index | None) -> Iterator[None]:
    """Takes the outlines of unchanged sources from an index in the block, and keeps those of others there."""
    from rk.index.answers import Answers

    with Answers(index, "sources", limit=MAX_OUTLINES) as answers:
        _outlines.append(answers)
        try:
            yield
        finally:
            _outlines.remove(answers)


def _tree(path: Path) -> ast.Module:
    """Parses a source, or what the index has of it."""
    if not _outlines:
        return ast.parse(path.read_bytes(), filename=str(path))
    found: list[ast.Module] = []

    def read() -> str | None:
        note(file=path)
        content = path.read_bytes()
        found.append(ast.parse(content, filename=str(path)))
        return outline(content)

    text = _outlines[-1].answer(os.path.abspath(path), read, good=lambda text: text is not None)
    return found[0] if found else ast.parse(text, filename=str(path))


def _top_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yields a module's statements, those under ``if TYPE_CHECKING`` and ``try`` included."""
    for statement in body:
        match statement:
            case ast.If():
                yield from _top_level(statement.body)
                yield from _top_level(statement.orelse)
            case ast.Try():
                yield from _top_level(statement.body)
                for handler in statement.handlers:
                    yield from _top_level(handler.body)
            case _:
                yield statement


def _follow(module: Module, dotted: str, seen: frozenset[tuple[str, str]]) -> Ref:
    head, _, rest = dotted.partition(".")
    here = Ref(f"{module.name}.{dotted}")
    if (module.name, dotted) in seen or len(seen) > MAX_STEPS:
        return here
    seen |= {(module.name, dotted)}
    bound = module.names.get(head)
    if isinstance(bound, str):
        return _locate(f"{bound}.{rest}" if rest else bound, seen)
    if bound is None:
        starred = (_locate(f"{star}.{dotted}", seen) for star in module.stars)
        found = next((ref for ref in starred if ref.node is not None), None)
        return found or (Ref(f"builtins.{dotted}") if hasattr(builtins, head) else here)
    if rest:
        alias = dotted_name(assigned_value(bound))
        return _follow(module, f"{alias}.{rest}", seen) if alias else here
    return Ref(here.dotted, module, bound)


def _locate(dotted: str, seen: frozenset[tuple[str, str]]) -> Ref:
    """Splits an absolute path into a module that exists and a name in it."""
    parts = dotted.split(".")
    if parts[0] in OPAQUE:
        return Ref(dotted)
    for cut in range(len(parts) - 1, 0, -1):
        path = find_source(".".join(parts[:cut]))
        if path is not None:
            return _follow(load_module(".".join(parts[:cut])), ".".join(parts[cut:]), seen)
    return Ref(dotted)


def find_source(name: str) -> Path | None:
    """Returns the source file of module `name`, importing nothing, or None."""
    found, folders = _searched(name)
    note(file=found, package=name.partition(".")[0])
    for folder in folders:
        note(folder=folder)
    return found


@functools.cache
def _searched(name: str) -> tuple[Path | None, tuple[Path, ...]]:
    """Returns the source file of a module, and the folders whose names decide which it is."""
    top, *rest = name.split(".")
    try:  # find_spec of a submodule would import its parents: only the top package is looked up
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None, ()
    if spec is None:
        return None, ()
    if not rest:
        return (Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None), ()
    folders: list[Path] = []
    for root in spec.submodule_search_locations or ():
        base = Path(root, *rest)
        folders.append(base.parent)
        for candidate in (base / "__init__.py", base.with_suffix(".py")):  # as Python's import: the package first
            if candidate.is_file():
                if candidate.name == "__init__.py":
                    folders.append(base)
                return candidate, tuple(folders)
    return None, tuple(folders)


def load_module(name: str) -> Module:
    """Parses module `name`. Raises `StaticError` when it has no source."""
    path = find_source(name)
    if path is None:
        raise StaticError(f"module {name} has no source file")
    return _parsed(name, path)


@functools.cache
def _parsed(name: str, path: Path) -> Module:
    return Module(name, path)


def assigned_value(node: ast.AST | None) -> ast.expr | None:
    """Returns the right side of an assignment, else None."""
    return node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None


def unquoted(node: ast.AST | None) -> ast.AST | None:
    """Returns the expression in an annotation that is written as a string; any other node as it is."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        try:
            return ast.parse(node.value.strip(), mode="eval").body
        except (SyntaxError, ValueError):
            return node
    return node


def dotted_name(node: ast.AST | None) -> str | None:
    """Returns ``a.b.c`` for a chain of attributes, else None."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attr):
            base = dotted_name(value)
            return f"{base}.{attr}" if base else None
    return None

"""Modules as syntax trees: finding a module's source without importing it, and following names through imports."""

from __future__ import annotations

import ast
import builtins
import contextlib
import functools
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rk.errors import UserError
from rk.reads import note
from rk.record import record
from rk.sources import find_source
from rk.static.outline import outline

if TYPE_CHECKING:  # a command that lists nothing does not need it
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
    """The target of a name: its canonical dotted path. A `Definition` where the source was followed."""

    dotted: str


@record
class Definition(Ref):
    """The statement that binds a name, and the module in which it stands."""

    module: Module
    node: ast.AST


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
            if not isinstance(ref, Definition) or (alias := dotted_name(assigned_value(ref.node))) is None:
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
    if found or text is None:
        return found[0]
    return ast.parse(text, filename=str(path))


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
        found = next((ref for ref in starred if isinstance(ref, Definition)), None)
        return found or (Ref(f"builtins.{dotted}") if hasattr(builtins, head) else here)
    if rest:
        alias = dotted_name(assigned_value(bound))
        return _follow(module, f"{alias}.{rest}", seen) if alias else here
    return Definition(here.dotted, module, bound)


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

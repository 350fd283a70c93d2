"""Sources without what is never read of them, the bodies of methods: an outline is parsed in a third of the time."""

from __future__ import annotations

import ast
from collections.abc import Iterator

_REGISTERING = ("register_buffer", "register_parameter", "register_module", "add_module")


def outline(content: bytes) -> str | None:
    """Returns a source in which the readers in `rk.static` find what they find in `content`; None where it has none."""
    try:
        tree = ast.parse(content)
        tree.body = _shortened(tree.body, in_class=False)
        text = ast.unparse(tree)
        return text if ast.dump(ast.parse(text)) == ast.dump(tree) else None
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # what is nested too deep to be written again
        return None


def _shortened(body: list[ast.stmt], *, in_class: bool) -> list[ast.stmt]:
    kept = []
    for number, statement in enumerate(body):
        match statement:
            case ast.Expr() if number or not in_class:  # the first one in a class may be its docstring
                continue
            case ast.ClassDef():
                statement.body = _shortened(statement.body, in_class=True) or [ast.Pass()]
            case ast.FunctionDef():
                statement.body = _traces(statement, in_class=in_class) or [ast.Pass()]
            case ast.If():
                statement.body = _shortened(statement.body, in_class=False) or [ast.Pass()]
                statement.orelse = _shortened(statement.orelse, in_class=False)
        kept.append(statement)
    return kept


def _traces(function: ast.FunctionDef, *, in_class: bool) -> list[ast.stmt]:
    """Returns the parts of a function's body that are read: assignments to ``self``, and the call of the parent's
    constructor.
    """
    if not in_class:
        return []
    if function.args.kwarg is not None and function.name == "__init__":
        return function.body
    docstring = ast.get_docstring(function, clean=False) if function.name == "__init__" else None
    first = [] if docstring is None else function.body[:1]
    names = dict.fromkeys(self_attributes(function))
    return [*first, *(ast.parse(f"self.{name} = 0").body[0] for name in names if name.isidentifier())]


def self_attributes(function: ast.FunctionDef) -> Iterator[str]:
    """Yields what a method sets on ``self``, buffers and submodules registered by name included."""
    for node in ast.walk(function):
        match node:
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                yield name
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="self"), attr=call), args=[ast.Constant(value=name), *_]
            ) if call in _REGISTERING:
                yield str(name)

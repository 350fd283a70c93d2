"""A docstring's text for each parameter, for `rk show`, help and docs (griffe is loaded for these alone)."""

from __future__ import annotations

import ast
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rk.static.classes import ClassInfo

if TYPE_CHECKING:
    from griffe import DocstringSection


def summary(info: ClassInfo) -> str:
    """Returns the first line of the class docstring."""
    return info.docstring.strip().partition("\n")[0]


def describe(info: ClassInfo) -> tuple[str, dict[str, str]]:
    """Returns the text of the class docstring and the help of each parameter, of inherited ones too."""
    params: dict[str, str] = {}
    for each in info.mro():
        params = arguments(each) | params
        init = _constructor(each)
        if init is not None and init.args.kwarg is None:  # otherwise the next constructor's parameters are its own too
            break
    return "\n\n".join(s.value for s in _sections(info) if s.kind.value == "text"), params


def examples(info: ClassInfo) -> tuple[str, str]:
    """Returns what the ``Examples:`` of the class show: lines of a recipe or a command, and a doctest; "" without."""
    shown = {"text": "", "examples": ""}
    for section in _sections(info):
        if section.kind.value == "examples":
            for kind, text in section.value:
                shown[kind.value] += ("\n\n" if shown[kind.value] else "") + text
    return shown["text"], shown["examples"]


def arguments(info: ClassInfo) -> dict[str, str]:
    """Returns this class's own text for each parameter, from the ``Args:`` of its docstring or its constructor's."""
    return {
        parameter.name: " ".join(parameter.description.split())
        for section in _sections(info)
        if section.kind.value == "parameters"
        for parameter in section.value
    }


def _sections(info: ClassInfo) -> Iterator[DocstringSection]:
    from griffe import Docstring, Parser

    logging.getLogger("griffe").setLevel(logging.CRITICAL)  # its advice is for the plugin's author, not for the user
    init = _constructor(info)
    for source in (info.docstring, (init and ast.get_docstring(init)) or ""):
        yield from Docstring(source).parse(Parser.google)


def _constructor(info: ClassInfo) -> ast.FunctionDef | None:
    return next((s for s in info.node.body if isinstance(s, ast.FunctionDef) and s.name == "__init__"), None)

"""What a docstring says of each parameter, for `rk show`, help and docs (griffe is loaded for these alone)."""

from __future__ import annotations

import ast
import logging

from rk.static.classes import ClassInfo


def summary(info: ClassInfo) -> str:
    """Returns the first line of the class docstring."""
    return info.docstring.strip().partition("\n")[0]


def describe(info: ClassInfo) -> tuple[str, dict[str, str]]:
    """Returns the text of the class docstring and the help of each parameter in its ``Args:`` section.

    A docstring on ``__init__`` adds to the class's.
    """
    from griffe import Docstring, DocstringSectionKind, Parser

    logging.getLogger("griffe").setLevel(logging.CRITICAL)  # its advice is for the plugin's author, not for the user
    text: list[str] = []
    params: dict[str, str] = {}
    for each in info.mro():
        inits = [s for s in each.node.body if isinstance(s, ast.FunctionDef) and s.name == "__init__"]
        for source in (each.docstring, *(ast.get_docstring(i) or "" for i in inits)):
            for section in Docstring(source).parse(Parser.google):
                if section.kind is DocstringSectionKind.parameters:
                    for parameter in section.value:
                        params.setdefault(parameter.name, " ".join(parameter.description.split()))
                elif section.kind is DocstringSectionKind.text and each is info:
                    text.append(section.value)
        if inits:
            break
    return "\n\n".join(text), params

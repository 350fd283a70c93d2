"""Outlines of sources: a class read from its outline is equal to one read from the whole source."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from rk.static.classes import ClassInfo
from rk.static.docstring import describe
from rk.static.fields import facts as facts_of
from rk.static.outline import outline
from rk.static.signature import StaticError, constructor, method
from rk.static.source import Module

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*ROOT.glob("rk/*.py"), *ROOT.glob("rk/builtin/*.py"), *ROOT.glob("plugins/*/src/*/*.py")])
METHODS = ("forward", "predict", "batch", "setup", "step", "__call__", "update", "evaluate", "scan")


def described(info: ClassInfo) -> dict[str, object]:
    """Returns what the readers find of a class itself; its bases are other modules' matter."""
    try:
        signature = constructor(info)
        params: object = [(p.name, str(p.type), repr(p.default), p.decode) for p in signature.params]
    except StaticError as error:
        params = str(error)
    methods = {name: found for name in METHODS if (found := method(info, name)) is not None}
    return {
        "parameters": params,
        "text": describe(info),
        "members": info.members(),
        "facts": {name: str(type_) for name, type_ in facts_of(info).items()},
        "methods": {name: ([(p.name, str(p.type)) for p in f.params], f.hides) for name, f in methods.items()},
        "values": {name: ast.dump(found[1]) for name in info.members() if (found := info.assigned(name))},
    }


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_an_outline_describes_the_same_class(source, tmp_path):
    name = f"{source.parent.name}.{source.stem}"
    short = tmp_path / source.name
    short.write_text(outline(source.read_bytes()), encoding="utf-8")
    whole, outlined = Module(name, source), Module(name, short)
    assert (list(whole.names), whole.stars) == (list(outlined.names), outlined.stars)
    for key, node in whole.names.items():
        if isinstance(node, ast.ClassDef):
            assert described(ClassInfo(whole, node)) == described(ClassInfo(outlined, outlined.names[key])), key


def test_an_outline_keeps_what_a_constructor_passes_on_and_sets():
    source = b"""
class A(B):
    'Text.'
    x: int
    'About x.'
    def __init__(self, y, **common):
        super().__init__(z=1, **common)
        for self.i in range(3):
            self.register_buffer("kept", None)
    def late(self):
        'Never read.'
        self.made = long(computation)
        return [self.made] * 100
"""
    text = outline(source)
    assert "super().__init__(z=1, **common)" in text and "self.made" in text
    assert "computation" not in text and "About x" not in text and "Never read" not in text


@pytest.mark.parametrize("content", [b"def (", b"x = 1\0", b"\xff", b"x = " + b"(" * 5000])
def test_text_that_is_not_python_has_no_outline(content):
    assert outline(content) is None

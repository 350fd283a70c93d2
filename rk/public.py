"""The public modules of rk: what plugins and programs may import. docs/stability.md promises that these stay.

Of each, the names in its ``__all__`` are public. A new public module is one entry here and ``python docs/generate.py``.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

__all__ = ["MODULES", "private_imports"]

MODULES = {
    "rk": "errors, `hookimpl`, the protocols, what components are given, and all of `rk.api`",
    "rk.api": "rk from Python: training, loading, measuring, reproducing",
    "rk.authoring": "answers over a split, titles of runs, recording callbacks",
    "rk.binding": "calling by field name",
    "rk.blocks": "the blocks of a layered model, in any order or left early",
    "rk.builtin.backprop": "the trainer `backprop`, its learner, and one without an objective",
    "rk.builtin.metrics": "the metric `accuracy`, for data that measure it",
    "rk.charts": "the style of charts",
    "rk.drafting": "the draft of a recipe for a user's file",
    "rk.errors": "errors, and hints with the nearest spelling",
    "rk.fields": "fields that several plugins share",
    "rk.files": "where data and caches are kept, and downloads",
    "rk.images": "reading images",
    "rk.jsontext": "JSON that others can read",
    "rk.protocols": "what each kind of component is",
    "rk.reading": "reading users' text files",
    "rk.sampling": "what batches are made of",
    "rk.sheets": "sheets of small images",
    "rk.states": "states of layers that stream",
    "rk.testing": "the contract kit",
    "rk.training": "training a recipe within a search or an analysis",
    "rk.transforms": "whether `torch.func` transforms what runs",
    "rk.wrappers": "components around others of their kind",
    "rk.writing": "files that are replaced whole, tables",
}
"""Public module -> what it is for."""


def private_imports(source: str) -> Iterator[tuple[int, str]]:
    """Yields the line and the module of each import of a module of rk that is not public.

    Args:
        source: Text of a Python file. Imports of names are judged by their module alone.

    Raises:
        SyntaxError: When it is not valid Python.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module is not None:
            found = [_module_of(node.module, alias.name) for alias in node.names]
        else:
            continue
        for module in dict.fromkeys(found):
            if module.partition(".")[0] == "rk" and module not in MODULES:
                yield node.lineno, module


def _module_of(module: str, name: str) -> str:
    """Returns the module that ``from module import name`` reaches: `name` may be a module itself."""
    if module != "rk":
        return f"{module}.{name}" if f"{module}.{name}" in MODULES else module
    import rk

    return module if name in rk.__all__ else f"{module}.{name}"

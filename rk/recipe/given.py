"""A recipe as a dict, and overrides as keywords: what a program writes in place of YAML and ``key=value``."""

from __future__ import annotations

import contextlib
import json
import numbers
import os
import re
from collections.abc import Iterator
from collections.abc import Mapping as MappingABC
from pathlib import Path

from rk.errors import Mark, Problem, RecipeError
from rk.recipe.find import RecipeFile
from rk.recipe.tree import MAX_DEPTH, Mapping, Node, Scalar, Sequence
from rk.values import Plain, Value

SOURCE = "recipe"
"""What marks call a recipe that is a dict: it has no lines."""
_WORD = re.compile(r"[A-Za-z_][\w-]*")
_PLAIN_TEXT = re.compile(r"[A-Za-z_][\w./-]*")
_SPECIAL = {"true", "false", "null", "yes", "no", "on", "off"}
_FLOATS = {float("inf"): ".inf", float("-inf"): "-.inf"}


class GivenRecipe(RecipeFile):
    """A recipe that is a dict. Files that it names are relative to the working folder.

    Args:
        values: What the YAML of a recipe would hold.
        name: What its runs are called after.

    Raises:
        RecipeError: When a value is none that a recipe can hold.
    """

    def __init__(self, values: MappingABC[str, Value], name: str = SOURCE) -> None:
        super().__init__(Path.cwd() / "<a recipe from Python>")  # its folder is what matters
        self.values = values
        self.stem = name
        problems: list[Problem] = []
        _node(values, "", problems, 0)
        if problems:
            raise RecipeError(problems)

    @property
    def label(self) -> str:
        return SOURCE

    def tree(self) -> Mapping:
        """Returns the recipe as a tree; each time a new one, since overrides change it."""
        found = _node(self.values, "", [], 0)
        if not isinstance(found, Mapping):
            raise TypeError(f"a recipe must be a dict, got {type(self.values).__name__}")
        return found


def _node(value: Value, key: str, problems: list[Problem], depth: int) -> Node:
    mark = Mark(SOURCE)
    if depth > MAX_DEPTH:
        raise RecipeError([Problem(mark, key, f"nested deeper than {MAX_DEPTH} levels")])
    if isinstance(value, MappingABC):
        if wrong := [name for name in value if not isinstance(name, str)]:
            problems.append(Problem(mark, key, f"a key must be a string, got {wrong[0]!r}", f'write "{wrong[0]}"'))
        items = {
            name: _node(inner, f"{key}.{name}" if key else name, problems, depth + 1)
            for name, inner in value.items()
            if isinstance(name, str)
        }
        return Mapping(items, mark, dict.fromkeys(items, mark))
    if isinstance(value, list | tuple):
        return Sequence([_node(inner, f"{key}.{i}", problems, depth + 1) for i, inner in enumerate(value)], mark)
    try:
        plain = _scalar(value)
    except TypeError as error:
        problems.append(Problem(mark, key, str(error)))
        plain = None
    return Scalar(plain, mark, _written(plain))


def _scalar(value: Value) -> Plain:
    """Returns a plain value; numbers of NumPy and paths become plain ones. Raises `TypeError` for any other."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(
        f"expected a value that a recipe can hold (None, a bool, a number, a text, a list, a dict), "
        f"got {type(value).__name__}"
    )


def _written(value: Plain) -> str:
    """Returns a plain value as YAML has it."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, float):
        return _FLOATS.get(value) or (repr(value) if value == value else ".nan")
    return str(value)


# -- overrides ---------------------------------------------------------------------------------------------------------


def override_texts(overrides: MappingABC[str, Value]) -> tuple[str, ...]:
    """Returns overrides as the command line has them, ``fit.max_steps=10``.

    Args:
        overrides: Key of the recipe, with dots or without -> value. A dict is laid over what is there, key by key, as
            in a recipe that extends another one; any other value replaces what is there.

    Raises:
        RecipeError: When a value is none that a recipe can hold.
    """
    problems: list[Problem] = []
    for key, value in overrides.items():
        _node(value, key, problems, key.count("."))
    if problems:
        raise RecipeError([Problem(Mark("override"), p.key, p.message, p.hint) for p in problems])
    return tuple(f"{key}={_flow(value)}" for top, inner in overrides.items() for key, value in _leaves(top, inner))


def _leaves(key: str, value: Value) -> Iterator[tuple[str, Value]]:
    if not isinstance(value, MappingABC) or not all(_WORD.fullmatch(name) for name in value):
        yield key, value
        return
    for name in sorted(value, key=lambda name: name != "name"):  # another component drops the parameters of the old one
        yield from _leaves(f"{key}.{name}", value[name])


def _flow(value: Value) -> str:
    """Returns a value in one line of YAML."""
    if isinstance(value, MappingABC):
        return "{" + ", ".join(f"{_flow(name)}: {_flow(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    plain = _scalar(value)
    if isinstance(plain, str) and (not _PLAIN_TEXT.fullmatch(plain) or plain.lower() in _SPECIAL):
        return json.dumps(plain, ensure_ascii=False)
    return _written(plain)


@contextlib.contextmanager
def placed_marks() -> Iterator[None]:
    """Lets the mistakes of overrides name the override: a program has no command line."""
    try:
        yield
    except RecipeError as error:
        raise RecipeError(Problem(_placed(p.mark), p.key, p.message, p.hint) for p in error.problems) from None


def _placed(mark: Mark) -> Mark:
    text = mark.source.removeprefix("command line: ")
    return mark if text == mark.source else Mark(f"override {text}")

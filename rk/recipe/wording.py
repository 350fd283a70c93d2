"""The wording of messages about a recipe's values."""

from __future__ import annotations

from rk.errors import nearest
from rk.recipe.hints import VALUE_WORDS
from rk.recipe.tree import Node, Scalar, describe, is_number
from rk.static.types import BOOL, FLOAT, INT, PATH, STR, TupleType, Type
from rk.values import Value


def with_article(type_: Type) -> str:
    """Returns what is expected: ``an int``, ``a list of 2 values [int, str]``."""
    words: dict[Type, str] = {INT: "an int", STR: "a string", BOOL: "a bool", FLOAT: "a float", PATH: "a path"}
    text = words.get(type_, str(type_))
    if isinstance(type_, TupleType) and not type_.variadic:
        return f"a list of {len(type_.items)} values {text}"
    return f"a {text}" if text.startswith("list") else text


def listed(names: list[str]) -> str:
    """Returns names as code, joined by *and*."""
    return " and ".join(f"`{n}`" for n in names)


def how_to_write(node: Scalar, type_: Type) -> str | None:
    """Returns a hint: how what was probably meant is written."""
    value = node.value
    if type_ in (STR, PATH) and value is not None:
        return f'put it in quotes: "{node.raw}"'
    if type_ is BOOL:
        return "write true or false"
    if type_ is INT and isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return f"write {int(value)}"
    if type_ in (INT, FLOAT) and isinstance(value, str):
        if is_number(value):
            return f"write {value} without quotes"
        if type_ is FLOAT and is_number(f".{value.lower()}"):
            return f"write .{value.lower()}"
    return None


def shown(node: Node) -> str:
    """Returns a plain value as it is written, and what any other value is."""
    return node.raw if isinstance(node, Scalar) else describe(node)


def one_of(words: list[str]) -> str:
    """Returns ``a, b or c``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def near(value: Value, words: list[str]) -> str | None:
    """Returns a hint at the word that was probably meant."""
    if not isinstance(value, str):
        return None
    meant = VALUE_WORDS.get(value.lower().partition(":")[0])
    close = meant if meant in words else nearest(value, words)
    return f"did you mean {close}?" if close else None

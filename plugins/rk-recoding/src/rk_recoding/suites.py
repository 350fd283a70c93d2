"""Test suites with regions, as those of SyntaxGym, and what they predict of the surprisals."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rk import UserError

Values = Mapping[tuple[int, str], float]
"""Region number and condition -> surprisal."""

_REGION = re.compile(r"\(\s*(\d+|\*)\s*;\s*%([^%]+)%\s*\)")
_ALLOWED = re.compile(r"[\d\s.()e+\-<>=&|]*")
_SYMBOLS = (("[", "("), ("]", ")"), ("&", " and "), ("|", " or "), ("=", "=="))
_COMPARES: dict[type, Callable[[float, float], bool]] = {
    ast.Gt: operator.gt,
    ast.Lt: operator.lt,
    ast.Eq: math.isclose,
}


@dataclass
class Suite:
    """Sentences in conditions, cut into regions.

    Attributes:
        name: Its name.
        mean: Whether the surprisal of a region is the mean over its tokens; else it is the sum.
        regions: Region number -> name.
        predictions: Formulas over ``(region;%condition%)``.
        items: For each item, condition -> regions, as number and text.
    """

    name: str
    mean: bool
    regions: dict[int, str]
    predictions: list[str]
    items: list[dict[str, list[tuple[int, str]]]]


def suite_of(value: Any, where: str) -> Suite:
    """Returns a suite from its JSON. Raises `UserError` for JSON of another form."""
    try:
        items = [
            {
                str(condition["condition_name"]): [
                    (int(region["region_number"]), str(region["content"])) for region in condition["regions"]
                ]
                for condition in item["conditions"]
            }
            for item in value["items"]
        ]
        regions = {int(number): str(name) for number, name in value["region_meta"].items()}
        predictions = [str(prediction["formula"]) for prediction in value.get("predictions", ())]
        name, mean = str(value["meta"]["name"]), value["meta"].get("metric", "sum") == "mean"
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{where}: not a suite: {type(error).__name__} at {error}", FORM) from None
    if not items or any(set(item) != set(items[0]) for item in items):
        raise UserError(f"{where}: expected items with the same conditions each", FORM)
    return Suite(name, mean, regions, predictions, items)


FORM = "the form is that of SyntaxGym: meta, region_meta, predictions, items with conditions with regions"


def holds(formula: str, values: Values) -> bool:
    """Returns whether a prediction is true of the surprisals of one item.

    ``[(5;%a%) > (5;%b%)] & [(4;%a%) - (4;%b%) > (*;%c%)]``: a region of a condition, all of them (`*`), sums,
    differences, comparisons, and (``&``), or (``|``).

    Raises:
        UserError: When the formula has another form, or names what the item does not have.
    """

    def value(match: re.Match[str]) -> str:
        number, condition = match.groups()
        if number == "*":
            found = [v for (_, of), v in values.items() if of == condition]
        else:
            found = [v for key, v in values.items() if key == (int(number), condition)]
        if not found:
            raise UserError(f"the prediction {formula!r} names {match[0]}, which the items do not have")
        return repr(sum(found))

    text = _REGION.sub(value, formula)
    for symbol, python in _SYMBOLS:
        text = text.replace(symbol, python)
    try:
        if not _ALLOWED.fullmatch(text.replace(" and ", "").replace(" or ", "")):
            raise SyntaxError
        return bool(_value(ast.parse(text.strip(), mode="eval").body))
    except (SyntaxError, KeyError, TypeError, RecursionError):
        raise UserError(f"the prediction {formula!r} cannot be read", "as in [(5;%a%) > (5;%b%)] & [...]") from None


def _value(node: ast.AST) -> Any:  # Any: a number, or whether a comparison holds
    match node:
        case ast.BoolOp(op=op, values=parts):
            found = [bool(_value(part)) for part in parts]
            return all(found) if isinstance(op, ast.And) else any(found)
        case ast.Compare(left=left, ops=[one], comparators=[right]):
            return _COMPARES[type(one)](_value(left), _value(right))
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _value(left) + _value(right)
        case ast.BinOp(left=left, op=ast.Sub(), right=right):
            return _value(left) - _value(right)
        case ast.Constant(value=float() | int() as number):
            return number
    raise SyntaxError

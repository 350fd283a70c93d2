"""JSON as others read it: numbers that JSON lacks become null, and every text can be written as UTF-8."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

__all__ = ["finite", "to_json"]


def to_json(
    value: object, *, indent: int | None = None, default: Callable[[Any], Any] | None = None, ascii: bool = False
) -> str:
    """Returns a value as JSON.

    Args:
        value: Plain values; NaN and infinities in them become null.
        indent: As in `json.dumps`.
        default: What other values become, as in `json.dumps`.
        ascii: Escapes all characters beyond ASCII.
    """
    text = _dump(value, indent, default, ascii=ascii)
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair: JSON can only escape it
        text = _dump(value, indent, default, ascii=True)
    return text


def finite(value: object) -> Any:
    """Returns a value with null in place of each NaN and infinity, at any depth."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return value


def _dump(value: object, indent: int | None, default: Callable[[Any], Any] | None, *, ascii: bool) -> str:
    return json.dumps(finite(value), indent=indent, ensure_ascii=ascii, default=default, allow_nan=False)

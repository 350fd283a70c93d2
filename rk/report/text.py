"""Numbers as people read them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable


def number(value: float | None) -> str:
    """Returns a metric's value as text; NaN is a failure, FAIL, as papers print it."""
    if value is None or math.isnan(value):
        return "FAIL"
    return f"{value:.4g}"


def duration(seconds: float | None) -> str:
    """Returns a time as text: ``4.6 s``, ``12 min``, ``3.2 h``."""
    if seconds is None:
        return ""
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 7200 else f"{seconds / 3600:.3g} h"


MAX_TITLE = 160
"""Characters of a run's title."""


def titled(name: str, overrides: Iterable[str]) -> str:
    """Returns a recipe's name and what the command line changed of it: ``kernels/yacht with data.batch_size=8``."""
    said = ", ".join(overrides)
    text = f"{name} with {said}" if said else name
    return text if len(text) <= MAX_TITLE else f"{text[: MAX_TITLE - 3]}..."


def plain_text(value: object) -> str:
    """Returns a setting's value as a recipe writes it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


_COMPONENT = re.compile(r"[a-z][a-z0-9-]*/[a-z][a-z0-9-]*")


def without_plugin(text: str) -> str:
    """Returns a component's name without its plugin; other text as it is, paths too."""
    return text.partition("/")[2] if _COMPONENT.fullmatch(text) else text

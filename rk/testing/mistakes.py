"""Planting a mistake in a function, to see that a test notices it: a test that no mistake can fail proves nothing."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from typing import Any


def with_mistake(function: Callable[..., Any], right: str, wrong: str) -> Callable[..., Any]:
    """Returns `function` with a piece of its source replaced.

    Args:
        function: A function or a method. It may not refer to names of an enclosing function, and so not call `super()`.
        right: Text that occurs once in its source.
        wrong: What takes its place.

    Raises:
        ValueError: When the text does not occur exactly once, or the function has a closure.
    """
    function = inspect.unwrap(getattr(function, "__func__", function))
    source = textwrap.dedent(inspect.getsource(function))
    if source.count(right) != 1:
        raise ValueError(f"{function.__qualname__}: {right!r} must occur once, got {source.count(right)} times")
    if function.__closure__:
        raise ValueError(f"{function.__qualname__}: a function with a closure cannot be recompiled")
    flags = function.__code__.co_flags & 0x1FE0000  # `from __future__ import annotations` of its module, above all
    code = compile(source.replace(right, wrong), f"<{function.__qualname__} with a mistake>", "exec", flags, True)
    names: dict[str, Any] = {}
    exec(code, function.__globals__, names)
    mistaken: Callable[..., Any] = names[function.__name__]
    return mistaken

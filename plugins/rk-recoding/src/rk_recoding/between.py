"""The base of models that do something between the tokens that another one reads."""

from __future__ import annotations

from typing import Any

from rk.protocols import Model
from rk.wrappers import ModelWrapper

LAYERED = ("blocks", "keeps_shape", "enter", "leave")
"""Members of a model that is a chain of blocks (`rk.Layered`)."""


class BetweenTokens(ModelWrapper):
    """A language model around one that streams, whose steps between tokens make it no chain of blocks.

    Args:
        base: A model with `initial_state`, `scan` and what else is needed.
        needed: Names of the latter.

    Raises:
        ValueError: When the base lacks one of these.
    """

    def __init__(self, base: Model, *needed: str) -> None:
        super().__init__(base)
        if lacking := [name for name in ("initial_state", "scan", *needed) if not hasattr(base, name)]:
            raise ValueError(f"base must be a language model that streams, got one without {lacking[0]}")

    def __getattr__(self, name: str) -> Any:
        """Returns what the base has, except what makes it a chain of blocks."""
        if name in LAYERED:
            raise AttributeError(name)
        return super().__getattr__(name)

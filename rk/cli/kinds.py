"""Kinds of components as users write them: ``model``, ``models``."""

from __future__ import annotations

from rk.errors import UserError, suggest
from rk.kinds import KINDS


def known_kind(text: str) -> str | None:
    """Returns the kind that `text` names, in the singular or the plural; None where it names none."""
    plurals = {form: kind.name for kind in KINDS.values() for form in (f"{kind.name}s", kind.plural)}
    return text if text in KINDS else plurals.get(text)


def find_kind(text: str) -> str:
    """Returns the kind that `text` names. Raises `UserError`."""
    kind = known_kind(text)
    if kind is None:
        raise UserError(f"there is no kind {text!r}", suggest(text, sorted(KINDS), "kinds"))
    return kind

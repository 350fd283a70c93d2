"""Kinds of components as users write them: ``model``, ``models``."""

from __future__ import annotations

from rk.errors import UserError, suggest
from rk.hookspecs import HOOK_OF_KIND


def known_kind(text: str) -> str | None:
    """Returns the kind that `text` names, in the singular or the plural; None where it names none."""
    plurals = {form: kind for kind, hook in HOOK_OF_KIND.items() for form in (f"{kind}s", hook.removeprefix("rk_"))}
    return text if text in HOOK_OF_KIND else plurals.get(text)


def find_kind(text: str) -> str:
    """Returns the kind that `text` names. Raises `UserError`."""
    kind = known_kind(text)
    if kind is None:
        raise UserError(f"there is no kind {text!r}", suggest(text, sorted(HOOK_OF_KIND), "kinds"))
    return kind

"""The first real batch, checked once against what was declared: shapes, dtypes, and sizes that must agree."""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from torch import Tensor

from rk.errors import RunFailed
from rk.protocols import Batch
from rk.recipe.model import Spec

Hint: TypeAlias = Any
"""An annotation as an object: a class, a TypedDict, or what jaxtyping makes of a shape."""


def check_fields(fields: Batch, declared_by: Callable[..., Any], spec: Spec, what: str) -> None:
    """Checks `fields` against the TypedDict in the return annotation of `declared_by`.

    Raises:
        RunFailed: Naming the plugin whose declaration and values differ.
    """
    hints = declared_fields(declared_by)
    if hints is None:
        return
    owner = f"{spec.component.distribution}: {spec.component.kind} {spec.component.name}: {what}"
    types = typing.get_type_hints(hints)
    missing = sorted(_required(hints) - fields.keys())
    extra = sorted(k for k in fields if k not in types and not k.endswith("_meta"))
    if missing or extra:
        wrong = f"lacks {', '.join(missing)}" if missing else f"has {', '.join(extra)}, which it does not declare"
        raise RunFailed(f"{owner} {wrong}")
    _check_shapes({k: v for k, v in fields.items() if k in types}, types, owner)


def method_of(component: object, name: str) -> Callable[..., Any]:  # Any: a plugin's own signature
    """Returns the method `name` of the component's class, as a function."""
    found: Callable[..., Any] = getattr(type(component), name)
    return found


def declared_fields(function: Callable[..., Any]) -> Hint:
    """Returns the TypedDict class, or None where annotations exist for type checkers only."""
    try:
        hint = typing.get_type_hints(function).get("return")
    except (NameError, TypeError):
        return None
    return hint if typing.is_typeddict(hint) else None


def _required(hints: Hint) -> set[str]:
    """Returns the fields that must be there: ``__required_keys__`` cannot read annotations that are strings."""
    full = typing.get_type_hints(hints, include_extras=True)
    return {name for name in hints.__required_keys__ if typing.get_origin(full[name]) is not typing.NotRequired}


def _check_shapes(fields: Batch, types: Mapping[str, Hint], owner: str) -> None:
    from jaxtyping import jaxtyped

    with jaxtyped("context"):  # sizes of the same name must agree between the fields
        for name, value in fields.items():
            wanted = types[name]
            if not isinstance(value, Tensor) or not hasattr(wanted, "dims"):
                continue
            if not isinstance(value, wanted):
                found = f"{str(value.dtype).removeprefix('torch.')} of shape {tuple(value.shape)}"
                raise RunFailed(f"{owner}: {name} is declared {_shown(wanted)}, got {found}")


def _shown(wanted: Hint) -> str:
    return f"{wanted.__name__.partition('[')[0]}[{wanted.dim_str}]"

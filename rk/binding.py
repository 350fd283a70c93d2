"""Calling by field name: how learners and wrappers hand a batch to a model, a loss or a metric."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["Bound"]


class Bound:
    """A callable that takes the fields which its signature names; one that ends in ``**fields`` takes all.

    Args:
        signature_of: A callable whose keyword parameters are the fields.
        call: What is called, where that is another object (a module instead of its ``forward``, so that hooks run).
    """

    def __init__(self, signature_of: Callable[..., Any], call: Callable[..., Any] | None = None) -> None:
        parameters = inspect.signature(signature_of).parameters.values()
        self.names = tuple(p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY))
        self.takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters)
        self.call = signature_of if call is None else call

    def __call__(self, fields: Mapping[str, Any]) -> Any:
        if self.takes_all:
            return self.call(**fields)
        return self.call(**{name: fields[name] for name in self.names if name in fields})

"""Twins of a module: others that have the same weights, but children, hooks and attributes of their own."""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import nn

M = TypeVar("M", bound=nn.Module)


def twin(module: M) -> M:
    """Returns a module that shares parameters, buffers and children with another, but not the lists of them.

    What is done to the twin, such as a child that is exchanged, an attribute or a hook, does not touch the other.
    """
    found = copy.copy(module)
    found.__dict__ = {name: copy.copy(v) if isinstance(v, dict) else v for name, v in module.__dict__.items()}
    return found


def deep_twin(module: M) -> M:
    """Returns a twin whose children are twins too: of the module, only parameters and buffers are shared.

    Examples:
        >>> from torch import nn
        >>> layer = nn.Sequential(nn.Linear(2, 2))
        >>> other = deep_twin(layer)
        >>> other[0] is layer[0], other[0].weight is layer[0].weight
        (False, True)
    """
    found = twin(module)
    found._modules = {name: None if child is None else deep_twin(child) for name, child in module._modules.items()}
    return found

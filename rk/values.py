"""Names for values of which no checker can know the type: each says why it is `Any`, and where it comes from."""

from __future__ import annotations

from typing import Any, TypeAlias

Plain: TypeAlias = Any
"""What YAML or JSON can say: None, bool, int, float, str, and lists and dicts of them. A union that refers to itself
would be exact, and each use would have to take it apart; what is read is checked key by key instead."""

PlainDict: TypeAlias = dict[str, Plain]
"""Plain values by name."""

Facts: TypeAlias = dict[str, Plain]
"""Name of a fact -> its value."""

Value: TypeAlias = Any
"""A parameter of a component, as a recipe gives it or as its constructor takes it: its type is in the component's
own source, which is read and not imported."""

Part: TypeAlias = Any
"""A live component of a plugin, or a factory of it: its class is found by name at run time. `rk.capabilities` says what
is asked of it, `rk.fit.returns` looks at what it returns."""

Field: TypeAlias = Any
"""A field of a batch, or an output: a tensor, or a plain value where its name ends in ``_meta``."""

Fields: TypeAlias = dict[str, Any]
"""Fields of a batch and outputs by name: tensors, or plain values where the name ends in ``_meta``. As
`rk.protocols.Batch`, but to be changed."""

Module: TypeAlias = Any
"""A module of a library that is imported when it is needed, and need not be installed."""

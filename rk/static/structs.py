"""Classes as a recipe's values, read from source: enums, dataclasses, and components by the protocols of kinds."""

from __future__ import annotations

import ast

from rk.kinds import KINDS
from rk.static.classes import ClassInfo
from rk.static.source import dotted_name
from rk.static.types import EnumType, StructType

_KIND_OF_PROTOCOL = {f"rk.protocols.{kind.protocol}": kind.name for kind in KINDS.values()}


def kind_of(info: ClassInfo) -> str | None:
    """Returns the kind whose protocol the class is or inherits from, or None."""
    return next((_KIND_OF_PROTOCOL[name] for name in info.lineage() if name in _KIND_OF_PROTOCOL), None)


def enum(info: ClassInfo) -> EnumType | None:
    """Reads the class `info` as an enum; None when it is none."""
    if not info.inherits("enum.Enum", "enum.StrEnum", "enum.IntEnum"):
        return None
    members = []
    for statement in info.node.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if not name.startswith("_"):
                members.append((_key(info, name, value), name))
    return EnumType(target=f"{info.module.name}:{info.node.name}", members=tuple(members))


def _key(info: ClassInfo, name: str, value: ast.expr) -> str:
    """Returns what a recipe calls the member: its value where that is a string, else its name."""
    match value:
        case ast.Constant(value=str(text)):
            return text
        case ast.Call(func=func) if info.inherits("enum.StrEnum"):
            if info.module.resolve(dotted_name(func) or "").dotted == "enum.auto":
                return name.lower()
    return name


def struct(info: ClassInfo) -> StructType | None:
    """Reads the class `info` as a dataclass; None when it is none. Types of fields are read when one is given."""
    if not info.is_dataclass():
        return None
    fields = [
        name
        for each in reversed(info.mro())
        for statement in each.node.body
        for name in [getattr(getattr(statement, "target", None), "id", None)]
        if isinstance(statement, ast.AnnAssign) and name is not None
    ]
    return StructType(target=f"{info.module.name}:{info.node.name}", fields=tuple(dict.fromkeys(fields)))

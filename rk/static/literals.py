"""Literals in source, and names that lead to one."""

from __future__ import annotations

import ast

from rk.static.classes import class_of
from rk.static.source import MAX_STEPS, Definition, Module, assigned_value, dotted_name
from rk.static.structs import enum
from rk.static.types import Unreadable
from rk.values import Plain


def literal(module: Module, node: ast.AST, _depth: int = 0) -> Plain:
    """Evaluates a literal, or a name that leads to one; `Unreadable` for anything else."""
    try:
        return ast.literal_eval(node)
    except (ValueError, SyntaxError, TypeError):
        pass
    found = _named_value(module, dotted_name(node)) if _depth < MAX_STEPS else None
    if found is None:
        return Unreadable(ast.unparse(node))
    return found if isinstance(found, str) else literal(*found, _depth + 1)


def _named_value(module: Module, dotted: str | None) -> tuple[Module, ast.expr] | str | None:
    """Returns the expression that a constant stands for, or what a recipe calls the enum member that it is."""
    if dotted is None:
        return None
    owner, _, member = dotted.rpartition(".")
    holder = module.definition(owner) if owner else None
    if holder is not None and (info := class_of(holder)) is not None:
        if found := enum(info):
            return next((key for key, name in found.members if name == member), None)
        assigned = info.assigned(member)
        return (assigned[0].module, assigned[1]) if assigned else None
    ref = module.resolve(dotted)
    if not isinstance(ref, Definition) or (value := assigned_value(ref.node)) is None:
        return None
    return ref.module, value

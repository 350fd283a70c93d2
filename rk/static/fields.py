"""Names with types that a class declares: the fields of a TypedDict, and the facts of data."""

from __future__ import annotations

import ast

from rk.record import record
from rk.static.annotations import parse_type
from rk.static.classes import ClassInfo, class_of
from rk.static.source import Module, dotted_name, unquoted
from rk.static.types import Type


def facts(info: ClassInfo) -> dict[str, Type]:
    """Returns a data class's facts: annotated public attributes and properties, name -> type."""
    found: dict[str, Type] = {}
    for each in info.implementations():
        for statement in each.node.body:
            match statement:
                case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation):
                    found.setdefault(name, parse_type(each.module, annotation))
                case ast.FunctionDef(name=name, returns=ast.AST() as returns) if _is_property(statement):
                    found.setdefault(name, parse_type(each.module, returns))
    return {k: v for k, v in found.items() if not k.startswith("_") and k not in ("splits", "metrics", "writes")}


def _is_property(node: ast.FunctionDef) -> bool:
    return any("property" in ast.unparse(d) for d in node.decorator_list)


@record
class Field:
    """A field of a TypedDict: its type, whether it is always there, and the class that declares it."""

    type: Type
    required: bool = True


def typed_dict(module: Module, annotation: ast.AST | None) -> dict[str, Field] | None:
    """Returns the fields of the TypedDict that `annotation` names (possibly ``X | None``), or None if it is none."""
    match unquoted(annotation):
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            found = typed_dict(module, left)
            return typed_dict(module, right) if found is None else found
        case ast.Subscript(value=wrapper, slice=inner):
            if module.resolve(dotted_name(wrapper) or "").dotted == "typing.Optional":
                return typed_dict(module, inner)
        case ast.Name() | ast.Attribute() as name:
            info = class_of(module.definition(dotted_name(name) or ""))
            if info is not None and info.inherits("typing.TypedDict", "typing_extensions.TypedDict"):
                return _fields(info)
    return None


def _fields(info: ClassInfo) -> dict[str, Field]:
    fields: dict[str, Field] = {}
    for each in reversed(info.mro()):
        total = not any(k.arg == "total" and ast.unparse(k.value) == "False" for k in each.node.keywords)
        for statement in each.node.body:
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                annotation, required = unquoted(statement.annotation), total
                if isinstance(annotation, ast.Subscript):
                    wrapper = (dotted_name(annotation.value) or "").rpartition(".")[2]
                    if wrapper in ("NotRequired", "Required"):
                        annotation, required = annotation.slice, wrapper == "Required"
                fields[statement.target.id] = Field(parse_type(each.module, annotation), required)
    return fields

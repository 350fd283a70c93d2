"""The JSON Schema of recipes, from the same signatures that validate them."""

from __future__ import annotations

from rk.catalog import Catalog
from rk.errors import UserError
from rk.kinds import COMPONENT_KEYS
from rk.plugins import Component
from rk.recipe.components import supplied_parameters
from rk.static import ClassInfo, Signature, constructor, load_class
from rk.static.docstring import describe, summary
from rk.static.types import (
    ANY,
    BOOL,
    FLOAT,
    INT,
    NONE,
    PATH,
    STR,
    BoundedType,
    ComponentType,
    DictType,
    EnumType,
    ListType,
    LiteralType,
    MarkedType,
    Primitive,
    RunType,
    StructType,
    TupleType,
    Type,
    UnionType,
)  # fmt: skip
from rk.values import PlainDict

_PRIMITIVES = {
    BOOL: {"type": "boolean"},
    INT: {"type": "integer"},
    FLOAT: {"type": "number"},
    STR: {"type": "string"},
    NONE: {"type": "null"},
    PATH: {"type": "string"},
    ANY: {},
}
_TEXTS = {"type": "array", "items": {"type": "string"}}
_BOUNDS = {
    ">=": "minimum",
    ">": "exclusiveMinimum",
    "<=": "maximum",
    "<": "exclusiveMaximum",
    "multiple of": "multipleOf",
    "length >=": "minItems",
    "length <=": "maxItems",
}


def recipe_schema(catalog: Catalog) -> PlainDict:
    """Returns a schema (draft 2020-12) that accepts the recipes whose components are all in `catalog`.

    It is a little wider than `rk validate`: facts may fill required parameters, so none is required here.
    """
    builder = _SchemaBuilder(catalog)
    properties: PlainDict = {
        "extends": {"type": "string", "description": "A recipe whose keys this one takes over."},
        **builder.section("rk.recipe.sections:Sections")["properties"],
    }
    for key, kind in COMPONENT_KEYS.items():
        properties[key] = {"anyOf": [builder.kind(kind), {"type": "null"}]}
    properties["callbacks"] = {"type": "array", "items": builder.kind("callback")}
    properties["metrics"] = {"type": "object", "additionalProperties": builder.kind("metric")}
    properties["init_from"] = builder.section("rk.recipe.sections:InitFrom")
    properties["fit"] = builder.section("rk.recipe.sections:Fit")
    properties["expect"] = {"type": "array", "items": builder.section("rk.recipe.sections:Expect")}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "rk recipe",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "$defs": builder.definitions,
    }


class _SchemaBuilder:
    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.definitions: PlainDict = {}

    def section(self, target: str) -> PlainDict:
        """Returns the schema of one of the host's dataclasses."""
        info = load_class(target)
        signature = constructor(info)
        schema = self._object(info, signature)
        required = [p.name for p in signature.params if p.required]
        return {**schema, "required": required} if required and not target.endswith(":Sections") else schema

    def kind(self, kind: str, supplied: tuple[str, ...] = ()) -> PlainDict:
        """Returns a reference to the schema of all components of `kind`, less what a factory's caller supplies."""
        name = "-".join([kind, *supplied])
        if name not in self.definitions:
            self.definitions[name] = {}  # a component may take components of its own kind
            options = [o for c in self.catalog.of_kind(kind) for o in self._component(c, supplied)]
            self.definitions[name] = {"anyOf": options} if options else {"not": {}}
        return {"$ref": f"#/$defs/{name}"}

    def _component(self, component: Component, supplied: tuple[str, ...]) -> list[PlainDict]:
        try:
            info, signature = self.catalog.info(component), self.catalog.signature(component)
        except UserError:
            return []  # `rk plugins` and `rk show` report what is wrong with it
        names = [component.name, component.qualified]
        whole = self._object(info, signature, supplied)
        whole["properties"] = {"name": {"enum": names}, **whole["properties"]}
        return [{"enum": names, "description": summary(info)}, {**whole, "required": ["name"]}]

    def _object(self, info: ClassInfo, signature: Signature, supplied: tuple[str, ...] = ()) -> PlainDict:
        _, help_of = describe(info)
        properties = {}
        for param in signature.params:
            if param.name not in supplied:
                schema = self.type(param.type)
                if param.name in help_of:
                    schema = {**schema, "description": help_of[param.name]}
                if not param.required and isinstance(param.default, bool | int | float | str):
                    schema = {**schema, "default": param.default}
                properties[param.name] = schema
        return {"type": "object", "description": summary(info), "properties": properties, "additionalProperties": False}

    def struct(self, target: str) -> PlainDict:
        """Returns a reference to the schema of a plugin's dataclass, whose fields may be of its own type."""
        name = target.replace(":", ".")
        if name not in self.definitions:
            self.definitions[name] = {}
            info = load_class(target)
            signature = constructor(info)
            required = [p.name for p in signature.params if p.required]
            self.definitions[name] = self._object(info, signature) | ({"required": required} if required else {})
        return {"$ref": f"#/$defs/{name}"}

    def type(self, type_: Type) -> PlainDict:
        """Returns the schema of one type."""
        match type_:
            case MarkedType(base=base):
                return self.type(base)
            case BoundedType(base=base, bounds=bounds):
                return {**self.type(base), **_bounds(bounds)}
            case UnionType(options=options):
                return {"anyOf": [self.type(o) for o in options]}
            case LiteralType(values=values):
                return {"enum": list(values)}
            case EnumType(members=members):
                return {"enum": [key for key, _ in members]}
            case ListType(item=item):
                return {"type": "array", "items": self.type(item)}
            case TupleType(items=items, variadic=True):
                return {"type": "array", "items": self.type(items[0])}
            case TupleType(items=items):
                places = [self.type(i) for i in items]
                return {"type": "array", "prefixItems": places, "minItems": len(items), "maxItems": len(items)}
            case DictType(value=value):
                return {"type": "object", "additionalProperties": self.type(value)}
            case ComponentType():
                return self.kind(type_.kind, supplied_parameters(type_))
            case StructType(target=target):
                return self.struct(target)
            case RunType():
                keys = {"run": {"type": "string"}, "recipe": {"type": "string"}, "overrides": _TEXTS}
                return {
                    "anyOf": [{"type": "string"}, {"type": "object", "properties": keys, "additionalProperties": False}]
                }
        return dict(_PRIMITIVES[type_]) if isinstance(type_, Primitive) and type_ in _PRIMITIVES else {"not": {}}


def _bounds(bounds: tuple[tuple[str, float], ...]) -> PlainDict:
    return {_BOUNDS[operator]: number for operator, number in bounds}

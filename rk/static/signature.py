"""Constructors and methods as parameters with types, defaults and help."""

from __future__ import annotations

import ast

from rk.reads import once
from rk.record import record
from rk.static.annotations import parse_type
from rk.static.classes import ClassInfo
from rk.static.fields import Field, typed_dict
from rk.static.literals import literal
from rk.static.source import Module, StaticError, dotted_name, unquoted
from rk.static.types import NONE, ComponentType, Type, UnionType, unmarked


class _Required:
    def __repr__(self) -> str:
        return "REQUIRED"


REQUIRED: object = _Required()
"""The default of a parameter that has none."""


@record
class Param:
    """One parameter. `default` is a Python value, `REQUIRED`, or an `Unreadable` expression; `mark` as in types."""

    name: str
    type: Type
    default: object = REQUIRED
    mark: str = ""
    annotated: bool = True

    @property
    def decode(self) -> bool:
        """Whether it has no effect on weights."""
        return self.mark == "decode"

    @property
    def training(self) -> bool:
        """Whether it is given only while the run trains."""
        return self.mark == "training"

    @property
    def required(self) -> bool:
        return self.default is REQUIRED

    @property
    def optional(self) -> bool:
        """Whether None is among its values."""
        return self.type is NONE or (isinstance(self.type, UnionType) and NONE in self.type.options)

    def component(self) -> ComponentType | None:
        """Returns the component type in its annotation, ``Loss | None`` included."""
        options = self.type.options if isinstance(self.type, UnionType) else (self.type,)
        return next((o for o in options if isinstance(o, ComponentType)), None)


@record
class Signature:
    """The parameters of a constructor or method and the TypedDict that it returns."""

    params: tuple[Param, ...]
    module: Module
    node: ast.FunctionDef | ast.ClassDef

    @property
    def function(self) -> ast.FunctionDef | None:
        """The function that was read; None for a constructor that no source writes."""
        return self.node if isinstance(self.node, ast.FunctionDef) else None

    def __getitem__(self, name: str) -> Param:
        found = next((p for p in self.params if p.name == name), None)
        if found is None:
            raise KeyError(name)
        return found

    def __contains__(self, name: str) -> bool:
        return any(p.name == name for p in self.params)

    @property
    def names(self) -> list[str]:
        return [p.name for p in self.params]

    @property
    def hides(self) -> bool:
        """Whether it takes more than it names: ``*args`` or ``**kwargs``."""
        found = self.function
        return found is not None and (found.args.vararg or found.args.kwarg) is not None

    @property
    def hands_on(self) -> bool:
        """Whether it ends in ``**fields``: a wrapper's method takes what that of the component inside takes."""
        return self.function is not None and self.function.args.kwarg is not None

    def returns(self) -> dict[str, Field] | None:
        """Returns the fields of the TypedDict in the return annotation, or None."""
        return typed_dict(self.module, self.annotation)

    @property
    def annotation(self) -> ast.expr | None:
        """The return annotation, if there is one."""
        return None if self.function is None else self.function.returns

    def may_return_none(self) -> bool:
        parsed = NONE if self.annotation is None else parse_type(self.module, self.annotation)
        return parsed is NONE or (isinstance(parsed, UnionType) and NONE in parsed.options)


@once
def constructor(info: ClassInfo) -> Signature:
    """Reads the parameters of a component's constructor.

    One that ends in ``**common`` and hands it on whole, ``super().__init__(length=length, **common)``, takes the
    inherited constructor's parameters too, except those that it has itself or gives in that call.

    Raises:
        StaticError: For ``*args``, for ``**kwargs`` that are used in any other way, a positional-only parameter, one
            called ``name``, or a constructor that is inherited from code that is not read (torch's).
    """
    signature = _constructor(info, list(info.implementations()))
    if "name" in signature:
        raise StaticError(f"{info.dotted}.__init__ has a parameter 'name', which recipes use for the component")
    return signature


def _constructor(info: ClassInfo, lineage: list[ClassInfo]) -> Signature:
    """Reads the first constructor among `lineage`, the classes that are left of the order of inheritance of `info`."""
    for place, each in enumerate(lineage, 1):
        found = next((s for s in each.node.body if isinstance(s, ast.FunctionDef) and s.name == "__init__"), None)
        if found is not None:
            own = _function(each.module, found, drop_first=True)
            call = _handing_on(found)
            _refuse_hidden(each, found, call)
            return own if call is None else _extended(own, call, _constructor(info, lineage[place:]))
        if each.is_dataclass():
            return _dataclass(each)
    if opaque := info.opaque_bases():
        raise StaticError(f"{info.dotted} inherits its constructor from {opaque[0]}; write one with annotations")
    return Signature((), info.module, info.node)


def _refuse_hidden(info: ClassInfo, node: ast.FunctionDef, handing_on: ast.Call | None) -> None:
    """Refuses what a recipe could not give by name."""
    if node.args.vararg is not None or (node.args.kwarg is not None and handing_on is None):
        raise StaticError(
            f"{info.dotted}.__init__ takes *args or **kwargs, which hide its parameters; only **kwargs that "
            "super().__init__(..., **kwargs) takes whole are those of the class that it extends"
        )
    if len(node.args.posonlyargs) > 1:
        raise StaticError(f"{info.dotted}.__init__ has positional-only parameters, which a recipe cannot give")


def _handing_on(node: ast.FunctionDef) -> ast.Call | None:
    """Returns the call of ``super().__init__`` that takes the ``**kwargs`` of `node`, if nothing else uses them."""
    if node.args.kwarg is None:
        return None
    name = node.args.kwarg.arg
    if sum(isinstance(each, ast.Name) and each.id == name for each in ast.walk(node)) != 1:
        return None
    for each in ast.walk(node):
        match each:
            case ast.Call(func=ast.Attribute(value=ast.Call(func=ast.Name(id="super")), attr="__init__")):
                if any(k.arg is None and ast.unparse(k.value) == name for k in each.keywords):
                    return each
    return None


def _extended(own: Signature, call: ast.Call, inherited: Signature) -> Signature:
    """Returns `own` with those inherited parameters that it neither names nor gives in the `call` of the parent."""
    settled = {*own.names, *inherited.names[: len(call.args)], *(k.arg for k in call.keywords)}
    return Signature((*own.params, *(p for p in inherited.params if p.name not in settled)), own.module, own.node)


def _dataclass(info: ClassInfo) -> Signature:
    fields: dict[str, Param] = {}
    for each in reversed(info.mro()):
        for statement in each.node.body if each.is_dataclass() else ():
            match statement:
                case ast.AnnAssign(target=ast.Name(id=name)):
                    if (param := _dataclass_field(each.module, name, statement)) is not None:
                        fields[name] = param
    return Signature(tuple(fields.values()), info.module, info.node)


def _dataclass_field(module: Module, name: str, statement: ast.AnnAssign) -> Param | None:
    """Reads one field; None for what is not a parameter: class variables, ``KW_ONLY``, ``field(init=False)``."""
    annotation, default = unquoted(statement.annotation), statement.value
    outer = dotted_name(annotation.value if isinstance(annotation, ast.Subscript) else annotation)
    if outer and module.resolve(outer).dotted in ("typing.ClassVar", "dataclasses.KW_ONLY"):
        return None
    if isinstance(default, ast.Call) and module.resolve(dotted_name(default.func) or "").dotted == "dataclasses.field":
        settings = {k.arg: k.value for k in default.keywords}
        if "init" in settings and literal(module, settings["init"]) is False:
            return None
        default = settings.get("default") or _made_by(settings.get("default_factory"))
    return _param(module, name, annotation, default)


def _made_by(factory: ast.expr | None) -> ast.expr | None:
    """Returns what a ``default_factory`` makes, where its name shows it."""
    empty = {"list": "[]", "dict": "{}", "tuple": "()"}.get(ast.unparse(factory)) if factory is not None else None
    return ast.parse(empty, mode="eval").body if empty else factory


@once
def method(info: ClassInfo, name: str) -> Signature | None:
    """Reads a method, or returns None when neither the class nor a base that can be read defines it."""
    found = info.find(name)
    return _function(found[0].module, found[1], drop_first=True) if found else None


def read_function(module: Module, node: ast.FunctionDef) -> Signature:
    """Reads the parameters of a module-level function."""
    return _function(module, node, drop_first=False)


def _function(module: Module, node: ast.FunctionDef, *, drop_first: bool) -> Signature:
    positional = [*node.args.posonlyargs, *node.args.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(node.args.defaults)) + list(node.args.defaults)
    pairs = [*zip(positional, defaults, strict=True)][1 if drop_first and not _is_static(node) else 0 :]
    pairs += zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
    return Signature(tuple(_param(module, a.arg, a.annotation, d) for a, d in pairs), module, node)


def _is_static(node: ast.FunctionDef) -> bool:
    return any(ast.unparse(d) == "staticmethod" for d in node.decorator_list)


def _param(module: Module, name: str, annotation: ast.AST | None, default: ast.expr | None) -> Param:
    type_, mark = unmarked(parse_type(module, annotation))
    value = REQUIRED if default is None else literal(module, default)
    return Param(name, type_, value, mark, annotation is not None)

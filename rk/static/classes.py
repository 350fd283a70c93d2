"""Classes as syntax: their bases and members."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from rk.reads import once
from rk.record import record
from rk.static.outline import self_attributes
from rk.static.source import Definition, Module, Ref, StaticError, dotted_name, load_module

__all__ = ["ClassInfo", "StaticError", "class_of", "load_class"]

_EMPTY_CONSTRUCTORS = {
    "builtins.object", "torch.nn.Module", "typing.Protocol", "typing_extensions.Protocol", "typing.Generic", "abc.ABC",
}  # fmt: skip
_MODULE_MEMBERS = {
    "apply", "buffers", "children", "eval", "forward", "get_buffer", "get_parameter", "get_submodule",
    "load_state_dict", "modules", "named_buffers", "named_children", "named_modules", "named_parameters",
    "parameters", "requires_grad_", "state_dict", "to", "train", "training", "zero_grad",
}  # fmt: skip
"""Members that every ``torch.nn.Module`` brings, as far as a capability may ask for them."""


@record
class ClassInfo:
    """A class and its module."""

    module: Module
    node: ast.ClassDef

    @property
    def dotted(self) -> str:
        return f"{self.module.name}.{self.node.name}"

    @property
    def docstring(self) -> str:
        return ast.get_docstring(self.node) or ""

    def bases(self) -> Iterator[Ref]:
        for base in self.node.bases:
            node = base.value if isinstance(base, ast.Subscript) else base
            name = dotted_name(node)
            yield self.module.definition(name) if name else Ref(ast.unparse(base))

    @once
    def mro(self) -> tuple[ClassInfo, ...]:
        """Returns the class and those of its bases whose source can be followed, in Python's order."""
        order: list[ClassInfo] = []
        for each in self._ancestors(()):  # depth first; a base shared by several comes after the last of them
            if each in order:
                order.remove(each)
            order.append(each)
        return tuple(order)

    def _ancestors(self, seen: tuple[str, ...]) -> Iterator[ClassInfo]:
        if self.dotted in seen:
            return
        yield self
        for base in self.bases():
            if (info := class_of(base)) is not None:
                yield from info._ancestors((*seen, self.dotted))

    def implementations(self) -> Iterator[ClassInfo]:
        """Yields `mro` without the host's protocols, whose empty bodies implement nothing."""
        for info in self.mro():
            if info.module.name != "rk.protocols" or self.module.name == "rk.protocols":
                yield info

    def lineage(self) -> Iterator[str]:
        """Yields the dotted names of the class and all its bases, opaque ones too."""
        for info in self.mro():
            yield info.dotted
            for base in info.bases():
                if class_of(base) is None:
                    yield base.dotted

    def inherits(self, *dotted: str) -> bool:
        return any(name in dotted for name in self.lineage())

    def opaque_bases(self) -> list[str]:
        """Returns bases that cannot be looked into and may bring members or a constructor."""
        known = {info.dotted for info in self.mro()} | _EMPTY_CONSTRUCTORS
        return [name for name in self.lineage() if name not in known]

    def find(self, name: str) -> tuple[ClassInfo, ast.FunctionDef] | None:
        """Returns the method `name` and the class that defines it."""
        for info in self.implementations():
            for statement in info.node.body:
                if isinstance(statement, ast.FunctionDef) and statement.name == name:
                    return info, statement
        return None

    def is_dataclass(self) -> bool:
        """Whether ``@dataclass`` writes the constructor."""
        for decorator in self.node.decorator_list:
            call = decorator if isinstance(decorator, ast.Call) else None
            name = dotted_name(call.func if call else decorator)
            if name and self.module.resolve(name).dotted == "dataclasses.dataclass":
                settings = call.keywords if call else []
                return not any(k.arg == "init" and ast.unparse(k.value) == "False" for k in settings)
        return False

    @once
    def members(self) -> frozenset[str]:
        """Returns the public names that instances have, as far as the source shows."""
        names: set[str] = set()
        for info in self.implementations():
            for statement in info.node.body:
                match statement:
                    case ast.FunctionDef(name=name) | ast.AnnAssign(target=ast.Name(id=name)):
                        names.add(name)
                    case ast.Assign(targets=targets):
                        names |= {t.id for t in targets if isinstance(t, ast.Name)}
                if isinstance(statement, ast.FunctionDef):
                    names |= set(self_attributes(statement))
        if self.inherits("torch.nn.Module"):
            names |= _MODULE_MEMBERS
        return frozenset(n for n in names if not n.startswith("_"))

    def declared(self) -> set[str]:
        """Returns the public names that the body of this class alone declares."""
        names: set[str] = set()
        for statement in self.node.body:
            match statement:
                case ast.FunctionDef(name=name) | ast.AnnAssign(target=ast.Name(id=name)):
                    names.add(name)
        return {n for n in names if not n.startswith("_")}

    def assigned(self, name: str) -> tuple[ClassInfo, ast.expr] | None:
        """Returns the expression assigned to `name` in the class body, and where."""
        for info in self.mro():
            for statement in info.node.body:
                match statement:
                    case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == name:
                        return info, value
                    case ast.AnnAssign(target=ast.Name(id=target), value=ast.AST() as value) if target == name:
                        return info, value
        return None


def load_class(target: str) -> ClassInfo:
    """Reads the class ``package.module:Class``. Raises `StaticError`."""
    module_name, _, name = target.partition(":")
    module = load_module(module_name)
    found = class_of(module.definition(name))
    if found is None:
        raise StaticError(f"{module.path} defines no class {name}")
    return found


def class_of(ref: Ref) -> ClassInfo | None:
    """Returns the class that a name leads to; None where it leads to anything else, or cannot be followed."""
    if isinstance(ref, Definition) and isinstance(ref.node, ast.ClassDef):
        return ClassInfo(ref.module, ref.node)
    return None

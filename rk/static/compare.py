"""Whether a value of one type is accepted where another is expected; unknown cases pass."""

from __future__ import annotations

from rk.static.types import (
    ANY,
    BOOL,
    FLOAT,
    INT,
    NONE,
    STR,
    BoundedType,
    DictType,
    ListType,
    LiteralType,
    Primitive,
    TensorType,
    TupleType,
    Type,
    UnionType,
)

_DTYPES = {
    "shaped": {"bool", "int", "uint", "float", "complex"},
    "num": {"int", "uint", "float", "complex"},
    "real": {"int", "uint", "float"},
    "inexact": {"float", "complex"},
    "integer": {"int", "uint"},
}


def _kinds(dtype: str) -> set[str]:
    base = dtype.lower().rstrip("0123456789").replace("bfloat", "float")
    return _DTYPES.get(base, {base})


def mismatch(given: Type, wanted: Type) -> str | None:
    """Returns why a field of type `given` cannot be read as `wanted`, or None when it can or it is not known."""
    reasons = [_tensor_mismatch(one, other) for one in _tensors(given) for other in _tensors(wanted)]
    return None if None in reasons else next(iter(reasons), None)


def _tensor_mismatch(given: TensorType, wanted: TensorType) -> str | None:
    if not _kinds(given.dtype) & _kinds(wanted.dtype):
        return f"{given.dtype} is not {wanted.dtype}"
    if given.variadic:
        return None
    has, asked = len(given.fixed), len(wanted.fixed)
    if wanted.variadic:
        return f"{has} dimensions are fewer than {asked}" if has < asked else None
    if has != asked:
        return f"{has} dimensions are not {asked}"
    for one, other in zip(given.fixed, wanted.fixed, strict=True):
        if one.isdigit() and other.isdigit() and one != other:
            return f"a dimension of {one} is not {other}"
    return None


def _tensors(type_: Type) -> list[TensorType]:
    """Returns the tensor types among the options of ``X | Y | None``."""
    return [o for o in (type_.options if isinstance(type_, UnionType) else (type_,)) if isinstance(o, TensorType)]


_OF_VALUE = {bool: BOOL, int: INT, float: FLOAT, str: STR, type(None): NONE}


def assignable(fact: Type, wanted: Type) -> bool:
    """Whether a fact of type `fact` may fill a parameter of type `wanted`; unknown cases pass."""
    fact, wanted = (t.base if isinstance(t, BoundedType) else t for t in (fact, wanted))
    if isinstance(wanted, UnionType):
        return any(assignable(fact, option) for option in wanted.options)
    if isinstance(fact, UnionType):
        return any(assignable(option, wanted) for option in fact.options)
    if isinstance(fact, LiteralType) and isinstance(wanted, LiteralType):
        return bool(set(fact.values) & set(wanted.values))
    if isinstance(fact, LiteralType):
        return any(assignable(_OF_VALUE.get(type(v), ANY), wanted) for v in fact.values)
    if isinstance(wanted, LiteralType):
        return any(assignable(fact, _OF_VALUE.get(type(v), ANY)) for v in wanted.values)
    shapes = [_shape(t) for t in (fact, wanted)]
    if ANY in (fact, wanted) or None in shapes:
        return True
    return fact == wanted or (fact is INT and wanted is FLOAT) or (shapes[0] == shapes[1] != "scalar")


def _shape(type_: Type) -> str | None:
    if isinstance(type_, ListType | TupleType):
        return "list"
    return "mapping" if isinstance(type_, DictType) else "scalar" if isinstance(type_, Primitive) else None

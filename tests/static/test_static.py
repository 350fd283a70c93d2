"""Signatures read from source: what an annotated constructor means to a recipe, without importing it."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys

import pytest

from rk.catalog import Catalog
from rk.plugins import Plugins
from rk.static import ClassInfo, StaticError, constructor, load_class
from rk.static.annotations import parse_type
from rk.static.compare import assignable, mismatch
from rk.static.docstring import describe
from rk.static.signature import REQUIRED
from rk.static.types import ComponentType, EnumType, TensorType, TupleType, Unreadable


def takes(info: ClassInfo) -> dict[str, str]:
    """Returns parameter -> type, as a recipe's user sees it."""
    return {p.name: str(p.type) for p in constructor(info).params}


def defaults(info: ClassInfo) -> dict[str, object]:
    return {p.name: p.default for p in constructor(info).params}


# -- the closed set of types -------------------------------------------------------------------------------------------

ENUMS = """
class Color(enum.StrEnum):
    RED = "red"
    BLUE = enum.auto()

class Size(enum.Enum):
    _ignore_ = ["x"]
    SMALL = 1
    LARGE = (2, 3)

class Level(enum.IntEnum):
    LOW = 0
"""
ALIASES = """
Sizes: TypeAlias = "tuple[Width, ...]"
Width = Annotated[int, Ge(1)]
MIN = 3
Json = dict[str, "Json"] | list["Json"] | int
Alias = Renamed
Renamed = Alias
"""


@pytest.mark.parametrize(
    ("annotation", "said"),
    [
        pytest.param("bool", "bool", id="bool"),
        pytest.param("int", "int", id="int"),
        pytest.param("float", "float", id="float"),
        pytest.param("str", "str", id="str"),
        pytest.param("None", "null", id="None"),
        pytest.param("Any", "any value", id="Any"),
        pytest.param("object", "any value", id="object"),
        pytest.param("Path", "path", id="Path"),
        pytest.param("pathlib.Path", "path", id="Path by its module"),
        pytest.param("Literal['relu', 'gelu']", "relu | gelu", id="Literal"),
        pytest.param("t.Literal[1, True, None]", "1 | true | null", id="Literal of several types"),
        pytest.param("Optional[int]", "int | null", id="Optional"),
        pytest.param("Union[int, str, None]", "int | str | null", id="Union"),
        pytest.param("int | None", "int | null", id="union with a bar"),
        pytest.param("int | (str | int)", "int | str", id="nested union, flattened"),
        pytest.param("list[int]", "list of int", id="list"),
        pytest.param("List[int]", "list of int", id="List"),
        pytest.param("Sequence[float]", "list of float", id="Sequence"),
        pytest.param("list", "list of any value", id="bare list"),
        pytest.param("Sequence", "list of any value", id="bare Sequence"),
        pytest.param("tuple[int, str]", "[int, str]", id="tuple of fixed length"),
        pytest.param("tuple[int, ...]", "list of int", id="tuple of any length"),
        pytest.param("tuple", "list of any value", id="bare tuple"),
        pytest.param("t.Tuple", "list of any value", id="bare Tuple"),
        pytest.param("t.Tuple[int, str]", "[int, str]", id="Tuple"),
        pytest.param("dict[str, float]", "mapping to float", id="dict"),
        pytest.param("Mapping[str, list[int]]", "mapping to list of int", id="Mapping"),
        pytest.param("dict", "mapping to any value", id="bare dict"),
        pytest.param("Annotated[int, Ge(1)]", "int >= 1", id="lower bound"),
        pytest.param("Annotated[float, Gt(0), Lt(1)]", "float > 0 and < 1", id="two bounds"),
        pytest.param("Annotated[int, at.Le(8), MultipleOf(2)]", "int <= 8 and multiple of 2", id="multiple"),
        pytest.param("Annotated[int, Ge(ge=-1)]", "int >= -1", id="bound by keyword"),
        pytest.param("Annotated[int, Ge(MIN)]", "int >= 3", id="bound by a constant's name"),
        pytest.param("Annotated[float, Interval(ge=0, lt=1)]", "float >= 0 and < 1", id="Interval"),
        pytest.param(
            "Annotated[list[int], MinLen(1), MaxLen(3)]", "list of int length >= 1 and length <= 3", id="lengths"
        ),
        pytest.param("Annotated[int, 'a note']", "int", id="Annotated without a bound"),
        pytest.param("Color", "red | blue", id="StrEnum by value"),
        pytest.param("Size", "SMALL | LARGE", id="plain enum by name"),
        pytest.param("Level", "LOW", id="IntEnum by name"),
        pytest.param("Schedule", "a schedule", id="component"),
        pytest.param("Schedule | None", "a schedule | null", id="component or nothing"),
        pytest.param("list[Loss]", "list of a loss", id="list of components"),
        pytest.param("rk.Optimizer", "an optimizer", id="component by its module"),
        pytest.param("Factory[SequenceLayer]", "a layer", id="factory"),
        pytest.param("rk.Run", "a run folder", id="run"),
        pytest.param("'int | None'", "int | null", id="string annotation"),
        pytest.param("list['int']", "list of int", id="string within an annotation"),
        pytest.param("Sizes", "list of int >= 1", id="alias of an alias"),
        pytest.param("Final[int]", "int", id="Final"),
        pytest.param("Float[Tensor, 'batch 3 *rest']", "Float[batch 3 *rest]", id="tensor"),
        pytest.param("Bool[Tensor, '...']", "Bool[...]", id="tensor of any shape"),
        pytest.param("Bool[Tensor]", "Bool[...]", id="tensor without a shape"),
        pytest.param("Bool[Tensor, SHAPE]", "Bool[...]", id="tensor with a shape that is not a literal"),
        pytest.param("Callable[[int], int]", "Callable[[int], int]", id="a callable cannot be expressed"),
        pytest.param("torch.dtype", "torch.dtype", id="torch's types cannot be expressed"),
        pytest.param("Json", "mapping to Json | list of Json | int", id="an alias of itself ends"),
        pytest.param("Alias", "Alias", id="aliases in a circle end"),
        pytest.param("Nowhere", "Nowhere", id="unknown name"),
        pytest.param("'not a type ('", "not a type (", id="no syntax"),
        pytest.param("make().Inner", "make().Inner", id="no name"),
        pytest.param("1 + 1", "1 + 1", id="no type"),
    ],
)
def test_an_annotation_is_one_of_a_closed_set_of_types(annotation, said, read):
    info = read(f"{ENUMS}{ALIASES}\nclass C:\n    def __init__(self, p: {annotation}): ...\n")
    assert takes(info) == {"p": said}


def test_parameters_without_annotation_accept_any_value(read):
    assert takes(read("class C:\n    def __init__(self, p, *, q=3): ...")) == {"p": "any value", "q": "any value"}


def test_an_enum_keeps_the_name_of_each_member(read):
    (param,) = constructor(read(f"{ENUMS}\nclass C:\n    def __init__(self, p: Color): ...")).params
    assert isinstance(param.type, EnumType)
    assert param.type.target.endswith(":Color")
    assert param.type.members == (("red", "RED"), ("blue", "BLUE"))


def test_a_factory_knows_what_its_user_supplies(read):
    (param,) = constructor(read("class C:\n    def __init__(self, p: Factory[SequenceLayer]): ...")).params
    assert isinstance(param.type, ComponentType) and param.type.factory
    assert param.type.protocol.dotted == "rk.protocols.SequenceLayer"


@pytest.mark.parametrize(
    ("annotation", "said"),
    [
        pytest.param("Decode[int]", "int", id="Decode"),
        pytest.param("Decode[Annotated[int, Ge(1)]]", "int >= 1", id="bounds within"),
        pytest.param("Annotated[Decode[int], Ge(1)]", "int >= 1", id="bounds around"),
        pytest.param("Decode[int] | None", "int | null", id="or nothing"),
    ],
)
def test_a_decoding_parameter_is_marked_and_typed_like_any_other(annotation, said, read):
    (param,) = constructor(read(f"class C:\n    def __init__(self, p: {annotation} = 1): ...")).params
    assert (param.decode, str(param.type)) == (True, said)


def test_a_tuple_of_fixed_length_differs_from_one_of_any(read):
    fixed, free = constructor(
        read("class C:\n    def __init__(self, p: tuple[int, int], q: tuple[int, ...]): ...")
    ).params
    assert isinstance(fixed.type, TupleType) and not fixed.type.variadic
    assert isinstance(free.type, TupleType) and free.type.variadic


@pytest.mark.parametrize(
    ("dims", "fixed", "variadic"),
    [
        pytest.param("batch time 3", ["batch", "time", "3"], False, id="fixed"),
        pytest.param("batch *rest", ["batch"], True, id="any number at the end"),
        pytest.param("*#rest #n", ["#n"], True, id="broadcast"),
        pytest.param("... n", ["n"], True, id="anonymous"),
        pytest.param("", [], False, id="scalar"),
    ],
)
def test_the_dimensions_of_a_tensor_are_read(dims, fixed, variadic, read):
    (param,) = constructor(read(f"class C:\n    def __init__(self, p: Int[Tensor, '{dims}']): ...")).params
    assert isinstance(param.type, TensorType)
    assert (param.type.fixed, param.type.variadic) == (fixed, variadic)


# -- defaults ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("default", "value"),
    [
        pytest.param("1e-3", 1e-3, id="number"),
        pytest.param("-1", -1, id="negative number"),
        pytest.param("(0.9, 0.999)", (0.9, 0.999), id="tuple"),
        pytest.param("None", None, id="None"),
        pytest.param("MIN", 3, id="constant of the module"),
        pytest.param("AGAIN", 3, id="constant that names another"),
        pytest.param("Settings.lr", 0.1, id="constant of a class"),
        pytest.param("Color.BLUE", "blue", id="member of a string enum: as recipes write it"),
        pytest.param("Size.SMALL", "SMALL", id="member of a plain enum: as recipes write it"),
        pytest.param("FAVOURITE", "blue", id="constant that names a member"),
    ],
)
def test_a_default_is_read_where_it_is_a_literal_or_leads_to_one(default, value, read):
    constants = "MIN = 3\nAGAIN = MIN\nFAVOURITE = Color.BLUE\nclass Settings:\n    lr: float = 0.1\n"
    assert defaults(read(f"{ENUMS}{constants}\nclass C:\n    def __init__(self, p={default}): ...")) == {"p": value}


@pytest.mark.parametrize(
    "default", ["2 * 3", "float('inf')", "Color.GREEN", "MIN.bit_length", "ROUND", "Settings.momentum", "nowhere"]
)
def test_any_other_default_keeps_its_text(default, read):
    constants = "MIN = 3\nROUND = TRIP\nTRIP = ROUND\nclass Settings:\n    lr = 0.1\n"
    found = defaults(read(f"{ENUMS}{constants}\nclass C:\n    def __init__(self, p={default}): ..."))["p"]
    assert isinstance(found, Unreadable) and str(found) == default


def test_a_parameter_without_default_is_required(read):
    first, second = constructor(read("class C:\n    def __init__(self, p: int, *, q: int = 1): ...")).params
    assert (first.required, second.required) == (True, False)
    assert repr(first.default) == "REQUIRED"


# -- where a constructor is found --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "names"),
    [
        pytest.param("class C: ...", [], id="none at all"),
        pytest.param("class C:\n    def __init__(self): ...", [], id="empty"),
        pytest.param("class B:\n    def __init__(self, p): ...\nclass C(B): ...", ["p"], id="inherited"),
        pytest.param("class B:\n    def __init__(self, p): ...\nA = B\nclass C(A): ...", ["p"], id="by another name"),
        pytest.param(
            "class B(t.Generic[t.T]):\n    def __init__(self, p): ...\nclass C(B[int]): ...", ["p"], id="generic"
        ),
        pytest.param(
            "class A:\n    def __init__(self, a): ...\nclass L(A): ...\n"
            "class R(A):\n    def __init__(self, r): ...\nclass C(L, R): ...",
            ["r"],
            id="diamond: as Python finds it",
        ),
        pytest.param("@dataclass\nclass C:\n    a: int\n    b: int = 2", ["a", "b"], id="dataclass"),
        pytest.param("@dataclasses.dataclass(frozen=True)\nclass C:\n    a: int", ["a"], id="dataclass by its module"),
        pytest.param("@dataclass\nclass B:\n    a: int\n@dataclass\nclass C(B):\n    b: int", ["a", "b"], id="of two"),
        pytest.param(
            "@dataclass\nclass B:\n    a: int\nclass C(B):\n    b: int", ["a"], id="b is not a field: not decorated"
        ),
        pytest.param("@dataclass\nclass C:\n    a: ClassVar[int] = 1\n    b: int = 2", ["b"], id="class variable"),
        pytest.param(
            "@dataclass\nclass C:\n    a: int = field(init=False)\n    b: int = 2", ["b"], id="field(init=False)"
        ),
        pytest.param("@dataclass\nclass C:\n    a: int\n    _: KW_ONLY\n    b: int = 2", ["a", "b"], id="KW_ONLY"),
        pytest.param("@dataclass\nclass C:\n    a: InitVar[int]", ["a"], id="InitVar"),
        pytest.param(
            "@dataclass\nclass C:\n    a: int\n    def __init__(self, b): ...", ["b"], id="dataclass with its own"
        ),
        pytest.param("@dataclass(init=False)\nclass C:\n    a: int", [], id="dataclass without"),
    ],
)
def test_a_constructor_is_found_as_python_finds_it(source, names, read):
    info = read(source)
    assert constructor(info).names == names
    assert list(inspect.signature(importlib.import_module(info.module.name).C).parameters) == names


@pytest.mark.parametrize("base", ["nn.Module", "rk.Data", "t.Protocol"])
def test_a_base_without_parameters_of_its_own_brings_none(base, read):
    assert constructor(read(f"class C({base}): ...")).names == []


def test_bases_in_a_circle_end(read):
    info = read("class C(D): ...\nclass D(C):\n    def __init__(self, p): ...")
    assert [each.node.name for each in info.mro()] == ["C", "D"]
    assert constructor(info).names == ["p"]


BASE = "class B:\n    def __init__(self, *, a: int, b: str = 'x', c: float = 0.5): ...\n"


def test_kwargs_that_super_takes_whole_are_the_inherited_parameters(read):
    info = read(BASE + "class C(B):\n    def __init__(self, *, d: bool = True, **k):\n        super().__init__(**k)")
    assert takes(info) == {"d": "bool", "a": "int", "b": "str", "c": "float"}
    assert defaults(info) == {"d": True, "a": REQUIRED, "b": "x", "c": 0.5}


@pytest.mark.parametrize(
    ("own", "given", "names"),
    [
        pytest.param("b: str = 'y', ", "b=b, ", ["b", "a", "c"], id="an inherited parameter with another default"),
        pytest.param("", "b='y', ", ["a", "c"], id="an inherited parameter that is settled"),
        pytest.param("", "1, ", ["b", "c"], id="settled by its place"),
    ],
)
def test_parameters_that_a_constructor_names_or_gives_are_not_inherited(own, given, names, read):
    init = f"    def __init__(self, {own}**k):\n        super().__init__({given}**k)"
    assert constructor(read(f"{BASE}class C(B):\n{init}")).names == names


def test_kwargs_are_followed_from_class_to_class(read):
    one = "class C(B):\n    def __init__(self, d: int = 1, **k):\n        super().__init__(a=d, **k)\n"
    two = "class D(C):\n    def __init__(self, e: int = 2, **more):\n        super().__init__(**more)"
    assert constructor(read(BASE + one + two, "D")).names == ["e", "d", "b", "c"]


def test_the_help_of_inherited_parameters_comes_with_them(read):
    documented = 'class B:\n    """B.\n\n    Args:\n        a: Of B.\n        b: Of B.\n    """\n'
    init = "    def __init__(self, a: int, b: int = 1): ...\n"
    child = '"""C.\n\n    Args:\n        b: Of C.\n    """\n    def __init__(self, b: int = 2, **k):\n        '
    info = read(documented + init + "class C(B):\n    " + child + "super().__init__(b=b, **k)")
    assert describe(info) == ("C.", {"a": "Of B.", "b": "Of C."})


def test_a_signature_is_looked_up_by_name(read):
    signature = constructor(read("class C:\n    def __init__(self, p: int): ..."))
    assert str(signature["p"].type) == "int"
    assert "p" in signature and "q" not in signature
    with pytest.raises(KeyError):
        signature["q"]


def test_the_fields_of_a_dataclass_have_types_and_defaults(read):
    info = read(
        "@dataclass\nclass C:\n"
        "    a: InitVar[int]\n"
        "    b: list[int] = field(default_factory=list)\n"
        "    c: float = field(default=0.5, repr=False)\n"
        "    d: Schedule = field(default_factory=make)\n"
    )
    assert takes(info) == {"a": "int", "b": "list of int", "c": "float", "d": "a schedule"}
    assert defaults(info) == {"a": REQUIRED, "b": [], "c": 0.5, "d": Unreadable("make")}


@pytest.mark.parametrize(
    ("source", "said"),
    [
        pytest.param("class C(nn.Linear): ...", "inherits its constructor from torch.nn.Linear", id="torch's"),
        pytest.param(
            "Base = nn.GRU\nclass C(Base): ...", "inherits its constructor from torch.nn.GRU", id="torch's, renamed"
        ),
        pytest.param("from nowhere_at_all import B\nclass C(B): ...", "from nowhere_at_all.B", id="not installed"),
        pytest.param("class C(make_base()): ...", "inherits its constructor from make_base()", id="a made base"),
        pytest.param("class C:\n    def __init__(self, **kwargs): ...", "takes *args or **kwargs", id="**kwargs"),
        pytest.param(
            BASE + "class C(B):\n    def __init__(self, **k):\n        super().__init__(a=k.pop('a'), **k)",
            "takes *args or **kwargs",
            id="**kwargs that are used before",
        ),
        pytest.param(
            BASE + "class C(B):\n    def __init__(self, **k):\n        B.__init__(self, **k)",
            "takes *args or **kwargs",
            id="**kwargs that go elsewhere",
        ),
        pytest.param(
            "class C(nn.Linear):\n    def __init__(self, **k):\n        super().__init__(**k)",
            "inherits its constructor from torch.nn.Linear",
            id="**kwargs that go to torch",
        ),
        pytest.param("class C:\n    def __init__(self, *args): ...", "takes *args or **kwargs", id="*args"),
        pytest.param("class C:\n    def __init__(self, a, /): ...", "positional-only parameters", id="positional-only"),
        pytest.param("class C:\n    def __init__(self, name): ...", "has a parameter 'name'", id="name"),
        pytest.param("class C:\n    def __init__(self, *, name): ...", "has a parameter 'name'", id="name by keyword"),
        pytest.param("@dataclass\nclass C:\n    name: str", "has a parameter 'name'", id="name in a dataclass"),
    ],
)
def test_a_constructor_that_no_recipe_could_fill_is_an_error(source, said, read):
    info = read(source)
    with pytest.raises(StaticError, match=re.escape(said)):
        constructor(info)


# -- following names ---------------------------------------------------------------------------------------------------

WIDTH = "Width = int\nclass Base:\n    def __init__(self, p: Width): ...\n"


@pytest.mark.parametrize(
    ("imports", "base"),
    [
        pytest.param("from PACKAGE.base import Base", "Base", id="absolute import"),
        pytest.param("from PACKAGE.base import Base as B", "B", id="import with another name"),
        pytest.param("from .base import Base", "Base", id="relative import"),
        pytest.param("from . import base", "base.Base", id="relative import of a module"),
        pytest.param("import PACKAGE.base", "PACKAGE.base.Base", id="import of a module"),
        pytest.param("import PACKAGE.base as b", "b.Base", id="import of a module with another name"),
        pytest.param("import PACKAGE.base\nmod = PACKAGE.base", "mod.Base", id="a module by another name"),
        pytest.param(
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .base import Base", "Base", id="types only"
        ),
        pytest.param("try:\n    from .base import Base\nexcept ImportError:\n    pass", "Base", id="within try"),
        pytest.param(
            "try:\n    import nowhere\nexcept ImportError:\n    from .base import Base", "Base", id="within except"
        ),
        pytest.param("if never:\n    pass\nelse:\n    from .base import Base", "Base", id="within else"),
        pytest.param("from .again import Base", "Base", id="re-export"),
        pytest.param("from .star import Base", "Base", id="re-export with a star"),
    ],
)
def test_a_name_is_followed_to_its_definition(imports, base, workshop):
    package = workshop.package(
        base=WIDTH,
        again="from .base import Base as Base",
        star="from .base import *",
        part=f"{imports}\nclass C({base}): ...",
    )
    assert takes(load_class(f"{package}.part:C")) == {"p": "int"}
    assert package not in sys.modules, "it was imported"


def test_a_package_comes_before_a_module_of_the_same_name_as_in_python(workshop):
    package = workshop.package(part="class C:\n    def __init__(self, module): ...")
    (workshop.folder / package / "part").mkdir()
    (workshop.folder / package / "part/__init__.py").write_text("class C:\n    def __init__(self, package): ...")
    assert constructor(load_class(f"{package}.part:C")).names == ["package"]


def test_a_module_without_a_package_is_read_too(workshop):
    (workshop.folder / "throwaway_single.py").write_text("class C:\n    def __init__(self, p): ...")
    assert constructor(load_class("throwaway_single:C")).names == ["p"]


@pytest.mark.parametrize("module", ["math", "sys", "yaml._yaml", "nowhere_at_all", "nowhere_at_all.inner", ""])
def test_a_module_without_python_source_is_refused(module):
    with pytest.raises(StaticError, match=f"module {module} has no source file"):
        load_class(f"{module}:C")


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        pytest.param("x = 1", "", "defines no class C", id="no such class"),
        pytest.param("def C(): ...", "", "defines no class C", id="a function"),
        pytest.param("from .nowhere import C", "", "defines no class C", id="imported from nowhere"),
        pytest.param("class C(:", "", "invalid syntax", id="broken syntax"),
        pytest.param("class C: ...", ".inner", "has no source file", id="no such module"),
        pytest.param("x = " + "(" * 3000, "", "too many nested parentheses", id="nested too deep"),
        pytest.param("C = D\nD = C", "", "defines no class C", id="names in a circle"),
        pytest.param("C = C.C", "", "defines no class C", id="a name that grows"),
        pytest.param("from .again import C", "", "defines no class C", id="modules in a circle"),
    ],
)
def test_a_target_that_leads_nowhere_is_refused(source, target, said, workshop):
    package = workshop.package(source, again="from . import C")
    with pytest.raises(StaticError, match=re.escape(said)):
        load_class(f"{package}{target}:C")


# -- comparing types ---------------------------------------------------------------------------------------------------


@pytest.fixture
def type_of(read):
    """Reads an annotation in a module that begins with `HEAD`."""
    module = read(ENUMS + "class C: ...").module
    return lambda text: parse_type(module, ast.parse(text, mode="eval").body)


@pytest.mark.parametrize(
    ("given", "wanted", "why"),
    [
        pytest.param("Float[Tensor, 'b n']", "Float[Tensor, 'b m']", None, id="names of dimensions are free"),
        pytest.param("Float[Tensor, 'b 2']", "Float[Tensor, 'b 3']", "a dimension of 2 is not 3", id="numbers are not"),
        pytest.param("Float[Tensor, 'b 2']", "Float[Tensor, 'b n']", None, id="a number for a name"),
        pytest.param("Float[Tensor, 'b']", "Float[Tensor, 'b n']", "1 dimensions are not 2", id="rank"),
        pytest.param("Float[Tensor, 'b']", "Float[Tensor, 'b *n']", None, id="none of any number"),
        pytest.param("Float[Tensor, 'b']", "Float[Tensor, 'b n *m']", "1 dimensions are fewer than 2", id="too few"),
        pytest.param("Float[Tensor, 'b *n']", "Float[Tensor, 'b h w']", None, id="unknown rank passes"),
        pytest.param("Float[Tensor, '']", "Float[Tensor, 'b']", "0 dimensions are not 1", id="a scalar"),
        pytest.param("Int[Tensor, 'b']", "Float[Tensor, 'b']", "Int is not Float", id="dtype"),
        pytest.param("Int[Tensor, 'b']", "Int[Tensor, 'b'] | None", None, id="optional"),
        pytest.param("Int[Tensor, 'b']", "Float[Tensor, 'b'] | Int[Tensor, 'b']", None, id="one of two"),
        pytest.param(
            "Bool[Tensor, 'b']", "Float[Tensor, 'b'] | Int[Tensor, 'b']", "Bool is not Float", id="none of two"
        ),
        pytest.param("Tensor", "Float[Tensor, 'b']", None, id="a tensor without dtype and shape"),
    ],
)
def test_a_field_fits_where_dtype_and_shape_do(given, wanted, why, type_of):
    assert mismatch(type_of(given), type_of(wanted)) == why


@pytest.mark.parametrize(
    ("fact", "wanted", "fits"),
    [
        pytest.param("int", "int", True, id="the same"),
        pytest.param("int", "Annotated[int, Ge(1)]", True, id="bounds are for run time"),
        pytest.param("int", "float", True, id="an int for a float"),
        pytest.param("float", "int", False, id="a float for an int"),
        pytest.param("bool", "int", False, id="a bool for an int"),
        pytest.param("str", "int", False, id="a string for an int"),
        pytest.param("int", "int | None", True, id="for an option"),
        pytest.param("str", "int | None", False, id="for no option"),
        pytest.param("int | None", "int", True, id="perhaps"),
        pytest.param("tuple[int, ...]", "list[int]", True, id="a tuple for a list"),
        pytest.param("list[int]", "int", False, id="a list for an int"),
        pytest.param("dict[str, int]", "Mapping[str, int]", True, id="mappings"),
        pytest.param("dict[str, int]", "str", False, id="a mapping for a string"),
        pytest.param("Literal['a', 'b']", "str", True, id="a literal for its type"),
        pytest.param("Literal['a']", "int", False, id="a literal for another type"),
        pytest.param("str", "Literal['a']", True, id="perhaps the right word"),
        pytest.param("Literal['a']", "Literal['b']", False, id="another word"),
        pytest.param("Any", "int", True, id="anything"),
        pytest.param("Nowhere", "int", True, id="unknown type"),
        pytest.param("Color", "str", True, id="an enum is not looked into"),
    ],
)
def test_a_fact_fits_where_its_type_does_and_unknown_types_pass(fact, wanted, fits, type_of):
    assert assignable(type_of(fact), type_of(wanted)) is fits


# -- against Python ----------------------------------------------------------------------------------------------------


def builtin_components():
    components = Catalog(Plugins(entries=[])).plugins.components
    return [pytest.param(c, id=f"{c.kind} {c.name}") for c in components]


@pytest.mark.parametrize("component", builtin_components())
def test_the_signature_read_from_source_is_the_one_at_run_time(component, catalog):
    static = [(p.name, p.default) for p in catalog.signature(component).params]
    running = [
        (p.name, REQUIRED if p.default is p.empty else p.default)
        for p in inspect.signature(catalog.load(component)).parameters.values()
    ]
    assert static == running

"""What classes have, by their source: members, facts, fields, and their docstrings."""

from __future__ import annotations

import pytest
import torch

from rk.static import load_class, method
from rk.static.classes import _MODULE_MEMBERS
from rk.static.docstring import describe, summary
from rk.static.fields import facts as facts_of

# -- members, facts, fields --------------------------------------------------------------------------------------------


def test_members_are_the_attributes_that_the_source_gives_instances(read):
    info = read(
        """
        class B:
            inherited: int
        class C(B):
            declared: int
            assigned = 3
            def __init__(self):
                self.set, self.two = 1, 2
                self.typed: int = 3
                self.register_buffer("buffer", None)
                self.add_module("module", None)
                self._private = other.attribute = 3
            def method(self): ...
            @property
            def prop(self): ...
        """
    )
    expected = {"inherited", "declared", "assigned", "set", "two", "typed", "buffer", "module", "method", "prop"}
    assert info.members() == expected


def test_members_of_nn_module_count_as_members_of_each_module(read):
    module = torch.nn.Module()
    assert all(hasattr(module, name) for name in _MODULE_MEMBERS)
    assert read("class C(nn.Module): ...").members() == _MODULE_MEMBERS


def test_facts_are_annotated_attributes_and_properties(read):
    info = read(
        """
        class B:
            inherited: int = 1
            shadowed: str
        class C(B, rk.Data):
            num_classes: ClassVar[int] = 10
            shadowed: int
            not_annotated = 3
            splits: tuple[str, ...] = ("train",)
            metrics: dict[str, Any] = {}
            _private: int
            @property
            def vocab_size(self) -> int: ...
            def method(self) -> int: ...
        """
    )
    facts = {name: str(type_) for name, type_ in facts_of(info).items()}
    assert facts == {"num_classes": "int", "shadowed": "int", "vocab_size": "int", "inherited": "int"}


@pytest.mark.parametrize(
    ("source", "fields"),
    [
        pytest.param(
            "class D(TypedDict):\n    a: int\n    b: NotRequired[int]", {"a": True, "b": False}, id="NotRequired"
        ),
        pytest.param(
            "class D(TypedDict, total=False):\n    a: int\n    b: Required[int]", {"a": False, "b": True}, id="total"
        ),
        pytest.param("class D(typing.TypedDict):\n    a: 'NotRequired[int]'", {"a": False}, id="string"),
        pytest.param("class D(typing_extensions.TypedDict):\n    a: int", {"a": True}, id="typing_extensions"),
        pytest.param(
            "class E(TypedDict):\n    a: int\n    b: int\nclass D(E, total=False):\n    b: float\n    c: int",
            {"a": True, "b": False, "c": False},
            id="inherited",
        ),
        pytest.param("class E(TypedDict):\n    a: int\nD = E", {"a": True}, id="by another name"),
        pytest.param("class D(TypedDict): ...", {}, id="without fields"),
        pytest.param("class D(dict):\n    a: int", None, id="a dict is none"),
        pytest.param("D = dict[str, int]", None, id="an alias of dict is none"),
    ],
)
@pytest.mark.parametrize("returned", ["D", "'D'", "D | None", "Optional[D]"])
def test_the_fields_of_a_typed_dict_are_read_from_a_return_annotation(source, fields, returned, workshop):
    imports = "import typing, typing_extensions\nfrom typing import NotRequired, Optional, Required, TypedDict\n"
    package = workshop.package(f"{imports}{source}\nclass C:\n    def f(self) -> {returned}: ...")
    found = method(load_class(f"{package}:C"), "f").returns()
    assert (None if found is None else {name: field.required for name, field in found.items()}) == fields


def test_fields_have_the_types_of_the_module_that_declares_them(workshop):
    package = workshop.package(
        shared="from typing import TypedDict\nWidth = int\nclass Base(TypedDict):\n    a: Width\n",
        part="from .shared import Base\nWidth = str\nclass D(Base):\n    b: Width\nclass C:\n    def f(self) -> D: ...",
    )
    fields = method(load_class(f"{package}.part:C"), "f").returns()
    assert {name: str(field.type) for name, field in fields.items()} == {"a": "int", "b": "str"}


@pytest.mark.parametrize(
    ("returned", "ends"),
    [
        pytest.param(" -> dict[str, int]", False, id="always something"),
        pytest.param(" -> dict[str, int] | None", True, id="or None"),
        pytest.param(" -> 'Optional[int]'", True, id="Optional, as a string"),
        pytest.param(" -> None", True, id="None"),
        pytest.param("", True, id="not annotated"),
    ],
)
def test_a_step_that_may_return_none_ends_by_itself(returned, ends, read):
    assert method(read(f"class C:\n    def step(self){returned}: ..."), "step").may_return_none() is ends


def test_a_static_method_has_no_self_to_drop(read):
    info = read(
        """
        class C:
            @staticmethod
            def f(a): ...
            @classmethod
            def g(cls, b): ...
            def h(self, c): ...
        """
    )
    assert [method(info, name).names for name in "fgh"] == [["a"], ["b"], ["c"]]
    assert method(info, "nowhere") is None


# -- docstrings --------------------------------------------------------------------------------------------------------


def test_the_help_of_a_parameter_is_its_text_in_the_docstring(read):
    info = read(
        '''
        class B:
            """A base.

            Args:
                inherited: Help of
                    two lines.
                own: Not this.
            """
        class C(B):
            """The first line.

            More text.

            Args:
                own: Help of its own.
            """
            def __init__(self, own, inherited, late):
                """Makes it.

                Args:
                    late: Help at the constructor.
                """
        '''
    )
    assert summary(info) == "The first line."
    text, params = describe(info)
    assert text == "The first line.\n\nMore text.\n\nMakes it."
    assert params == {"own": "Help of its own.", "late": "Help at the constructor."}


def test_a_constructor_that_is_inherited_is_described_where_it_stands(read):
    info = read(
        'class B:\n    """B.\n\n    Args:\n        p: Help.\n    """\n    def __init__(self, p): ...\nclass C(B): ...'
    )
    assert describe(info) == ("", {"p": "Help."})
    assert summary(info) == ""

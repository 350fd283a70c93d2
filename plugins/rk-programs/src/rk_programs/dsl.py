"""What a language of programs is: a layer with typed primitives, and with the functions that were learned for it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol

from torch import nn

from rk.protocols import Layer
from rk_programs.loops import Loop, as_loop
from rk_programs.primitives import Primitive
from rk_programs.terms import Term, parse, subterms
from rk_programs.types import INT, ValueType

MAX_CALLS = 400
"""How often one run of a program may call `rec`; a program that needs more is undefined there."""
MAX_NESTED = 100
"""How deep functions of the library may be within each other, each once: those in a circle would have no end."""
STACK = 20_000
"""Python's recursion limit while a program runs: functions of the library may call themselves within each other."""


class Dsl(Layer, Protocol):
    """A typed language: the slot of a model that learns programs. `Language` has all of it but the primitives.

    It is a layer because what it learns, its library of functions, belongs to the weights: it is saved with them, and a
    model may have several languages in several slots.

    Attributes:
        types: Name -> type.
        primitives: Name -> function, those of the library included.
    """

    types: Mapping[str, ValueType]
    primitives: Mapping[str, Primitive]

    def __init__(self) -> None: ...

    def forward(self, term: Term, inputs: Sequence[Any]) -> Any:
        """Returns the value of `term` where variable ``x<i>`` is ``inputs[i]``; None where it is undefined."""
        ...

    def type_of(self, term: Term, takes: Sequence[str], result: str | None = None) -> str:
        """Returns the type of `term`; raises `ValueError` when it has none."""
        ...

    def define(self, name: str, takes: Sequence[str], body: Term) -> Primitive:
        """Adds a function to the library, which terms may call from then on."""
        ...

    def redefine(self, name: str, body: Term) -> Primitive:
        """Gives a function of the library another body."""
        ...

    def callers(self, name: str) -> set[str]:
        """Returns the functions of the library that call `name`, through others too, and itself."""
        ...


class _Endless(Exception):
    """Functions of the library call each other endlessly."""


class _Call:
    """One run of a program: which of its own calls it has already made, and with what result."""

    def __init__(self, primitives: Mapping[str, Primitive], program: Term) -> None:
        self.primitives, self.program = primitives, program
        self.made: dict[tuple[Any, ...], Any] = {}

    def value(self, term: Term, inputs: tuple[Any, ...]) -> Any:
        if not term.args:
            primitive = self.primitives.get(term.head)
            if primitive is not None:
                return primitive.call()
            number = term.variable
            return term.literal if number is None else inputs[number]
        if term.head == "if0":  # only the branch that is taken: recursion ends there
            test = self.value(term.args[0], inputs)
            return None if test is None else self.value(term.args[1 if test == 0 else 2], inputs)
        values = tuple([self.value(argument, inputs) for argument in term.args])
        if term.head == "rec":
            return self._again(values)
        primitive = self.primitives[term.head]
        if not primitive.lazy and None in values:
            return None
        return primitive.call(*values)

    def _again(self, values: tuple[Any, ...]) -> Any:
        if None in values or (values not in self.made and len(self.made) == MAX_CALLS):
            return None
        if values not in self.made:
            self.made[values] = None  # a call within itself has no end
            self.made[values] = self.value(self.program, values)
        return self.made[values]


class Language(nn.Module):
    """A language given by its types and primitives, ``super().__init__(types, primitives)`` in a class that extends it.

    The functions of the library are texts in `get_extra_state`: a run keeps them beside its weights.

    Args:
        types: Types of its values.
        primitives: Its functions.
    """

    def __init__(self, types: Sequence[ValueType], primitives: Sequence[Primitive]) -> None:
        super().__init__()
        self.types: Mapping[str, ValueType] = {one.name: one for one in types}
        self._primitives: dict[str, Primitive] = {one.name: one for one in primitives}
        self.primitives: Mapping[str, Primitive] = self._primitives
        self._library: dict[str, tuple[tuple[str, ...], Term]] = {}
        self.library: Mapping[str, tuple[tuple[str, ...], Term]] = self._library
        """Name -> types of the arguments, body: the functions that were learned."""
        self._loops: dict[Term, Loop | None] = {}
        self._nested = 0

    def forward(self, term: Term, inputs: Sequence[Any]) -> Any:
        """Returns the value of `term` where variable ``x<i>`` is ``inputs[i]``; None where it is undefined.

        ``(rec a b)`` calls the whole program again with other inputs. Programs of the form of `rk_programs.loops` do it
        in a loop; for others `MAX_CALLS` bounds how often. Functions of the library that call each other more than
        `MAX_NESTED` deep, as those that were redefined in a circle do, are undefined.
        """
        if self._nested == MAX_NESTED:
            raise _Endless
        self._nested += 1
        try:
            return self._value(term, inputs)
        except (_Endless, RecursionError):
            if self._nested > 1:  # the whole term is undefined: parts of it are not tried again
                raise
            return None
        finally:
            self._nested -= 1

    def _value(self, term: Term, inputs: Sequence[Any]) -> Any:
        if term not in self._loops:
            self._loops[term] = as_loop(term, len(inputs), self.primitives)
        loop = self._loops[term]
        if loop is not None:
            return loop(tuple(inputs))
        call = _Call(self.primitives, term)
        limit = sys.getrecursionlimit()
        try:
            sys.setrecursionlimit(max(limit, STACK))
            return call.value(term, tuple(inputs))
        finally:
            sys.setrecursionlimit(limit)

    def type_of(self, term: Term, takes: Sequence[str], result: str | None = None) -> str:
        """Returns the type of `term`, whose variable ``x<i>`` has type ``takes[i]``.

        Args:
            term: Any term.
            takes: Types of the variables.
            result: Type of the whole program, which `rec` needs.

        Raises:
            ValueError: When a function is unknown or gets other arguments; the message says what was expected.
        """
        number = term.variable
        if number is not None:
            if number >= len(takes):
                raise ValueError(f"{term}: the program has {len(takes)} inputs, x0 is the first")
            return takes[number]
        if term.head == "rec" and result is not None:
            wanted, gives = tuple(takes), result
        elif term.head in self.primitives:
            wanted, gives = self.primitives[term.head].takes, self.primitives[term.head].gives
        elif term.literal is not None and INT.name in self.types:
            return INT.name
        else:
            raise ValueError(f"{term.head}: unknown function; there are {', '.join(self.primitives)}")
        got = tuple(self.type_of(argument, takes, result) for argument in term.args)
        if got != wanted:
            raise ValueError(f"{term}: {term.head} must get ({' '.join(wanted)}), got ({' '.join(got)})")
        return gives

    def parse(self, text: str, takes: Sequence[str] = (), result: str | None = None) -> Term:
        """Returns the term of a text. Raises `ValueError` when it is not a term of this language."""
        term = parse(text)
        self.type_of(term, takes, result)
        return term

    def define(self, name: str, takes: Sequence[str], body: Term) -> Primitive:
        """Adds the function ``name`` with `body` to the library, and returns it.

        Args:
            name: A name that nothing has yet.
            takes: Types of its arguments ``x0``, ``x1``, ...
            body: A term of this language; it may call functions of the library, and itself as `rec`.

        Raises:
            ValueError: When the name is taken, or the body has no type.
        """
        if name in self.primitives or parse(name).variable is not None or name == "rec":
            raise ValueError(f"{name}: the name is taken")
        return self._defined(name, tuple(takes), body)

    def redefine(self, name: str, body: Term) -> Primitive:
        """Gives a function of the library another body; what calls it changes too. Raises `ValueError` as `define`."""
        made = self._defined(name, self.library[name][0], body)
        for other in self.callers(name) - {name}:  # they remember what they gave with the former body
            self._defined(other, *self.library[other])
        return made

    def callers(self, name: str) -> set[str]:
        """Returns the functions of the library that call `name`, through others too, and itself."""
        found = {name}
        for other, (_, body) in self.library.items():  # a function calls earlier ones alone
            if any(part.head in found for part in subterms(body)):
                found.add(other)
        return found

    def _defined(self, name: str, takes: tuple[str, ...], body: Term) -> Primitive:
        try:
            gives = self.type_of(body, takes)
        except ValueError:
            gives = self.type_of(body, takes, next(iter(self.types)))
        made = Primitive(name, takes, gives, lru_cache(1 << 16)(lambda *values: self(body, values)))
        self._primitives[name] = made
        self._library[name] = (takes, body)
        self._loops = {}
        return made

    def get_extra_state(self) -> dict[str, Any]:
        return {name: [list(takes), str(body)] for name, (takes, body) in self.library.items()}

    def set_extra_state(self, state: Mapping[str, Any]) -> None:
        for name in self.library:
            del self._primitives[name]
        self._library.clear()
        self._loops = {}
        for name, (takes, body) in state.items():
            self.define(name, takes, parse(body))

"""Languages of chains: programs that change a state, one function after the other.

A function takes the rest of the program as its last argument and hands the state on to it (continuation-passing style):
``(push (add end))`` pushes, then adds. So a program is a word, and a longer word extends what a shorter one has done.
`rk_programs.chain_enumeration` executes each prefix once. The language of arXiv:2303.03340 is of this kind.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rk_programs.dsl import Dsl, Language
from rk_programs.primitives import Primitive
from rk_programs.terms import Term, substitute, subterms
from rk_programs.types import Rows

CHAIN = "chain"
"""The type of a program: a function from state to state."""


class ChainType:
    """The type of chains. They have no rows: they are enumerated by the states that they reach."""

    name = CHAIN

    def width(self, capacity: int) -> int:
        """Raises `TypeError`: a function is not a row of integers."""
        raise TypeError("chains have no rows: rk_programs.chain_enumeration enumerates them")

    def encode(self, values: Sequence[Any], capacity: int) -> Rows:
        """Raises `TypeError`, as `width`."""
        raise TypeError("chains have no rows: rk_programs.chain_enumeration enumerates them")

    def decode(self, row: Rows) -> Any:
        """Raises `TypeError`, as `width`."""
        raise TypeError("chains have no rows: rk_programs.chain_enumeration enumerates them")

    def length(self, value: Any) -> int:
        return 0


@dataclass(frozen=True)
class Step:
    """A function of a chain that changes the state.

    Attributes:
        name: What terms call it; its only argument is the rest of the program.
        apply: Returns the new state; None where the program fails.
    """

    name: str
    apply: Callable[[Any], Any]


SKIPPED = "skipped"
"""What a part of a block reaches that is not executed."""


@dataclass(frozen=True)
class Block:
    """A function of a chain with programs as arguments, its parts, before the rest of the program.

    Each part begins at the state before the block. What parts have reached is folded into one value, which begins with
    None. The less it keeps, the more prefixes are the same.

    Attributes:
        name: What terms call it.
        parts: How many programs it takes.
        fold: Returns the new value from the number of the part, the value so far, and the state that the part has
            reached (`SKIPPED` for one that is not executed).
        leave: Returns the state after the block from the one before and the value; None: the program fails.
        needs: Whether a part is executed, given its number and the value so far.
        inlined: Whether the state after the block is one that a part has reached: a condition. From a state that is
            known, that part alone does the same, so no cheapest program has the block, and the enumeration leaves it
            out. Functions of the library may have it.
    """

    name: str
    parts: int
    fold: Callable[[int, Any, Any], Any]
    leave: Callable[[Any, Any], Any]
    needs: Callable[[int, Any], bool] = lambda part, value: True
    inlined: bool = False


class ChainDsl(Dsl, Protocol):
    """The slot of a search that enumerates chains. `ChainLanguage` has all of it but the states."""

    end: str
    steps: Mapping[str, Step]
    blocks: Mapping[str, Block]
    library: Mapping[str, tuple[tuple[str, ...], Term]]

    def initial(self) -> Hashable:
        """Returns the state at which programs begin."""
        ...

    def made(self, state: Any) -> Any:
        """Returns what a program has made that ends in `state`; None for nothing that is worth keeping."""
        ...

    def alike(self, state: Any) -> Hashable:
        """Returns a key that states share from which the same programs make the same, up to what does not count."""
        ...

    def run(self, term: Term) -> Any:
        """Returns the state at which a program ends; None where it fails."""
        ...


class ChainLanguage(Language, ABC):
    """A language of chains, given by its functions. A class that extends it has `initial` and `made`.

    States must be hashable and are never changed in place: equal states are one state.

    Args:
        end: Name of the function that ends a chain; it has no argument.
        steps: Functions that change the state.
        blocks: Functions with programs as arguments.
    """

    def __init__(self, end: str, steps: Iterable[Step], blocks: Iterable[Block] = ()) -> None:
        self.end = end
        self.steps: Mapping[str, Step] = {one.name: one for one in steps}
        self.blocks: Mapping[str, Block] = {one.name: one for one in blocks}
        primitives = [Primitive(end, (), CHAIN, lambda: _same)]
        primitives += [Primitive(one.name, (CHAIN,), CHAIN, _stepping(one)) for one in self.steps.values()]
        primitives += [
            Primitive(one.name, (CHAIN,) * (one.parts + 1), CHAIN, _branching(one)) for one in self.blocks.values()
        ]
        super().__init__((ChainType(),), primitives)

    @abstractmethod
    def initial(self) -> Hashable:
        """Returns the state at which programs begin."""

    @abstractmethod
    def made(self, state: Any) -> Any:
        """Returns what a program has made that ends in `state`; None for nothing that is worth keeping."""

    def alike(self, state: Any) -> Hashable:
        """Returns a key that states share from which the same programs make the same; here: the state itself."""
        return state

    def run(self, term: Term) -> Any:
        """Returns the state at which a program ends; None where it fails. It is the plain recursion over the term."""
        return self(expanded(term, self.library), ())(self.initial())


def _same(state: Any) -> Any:
    return state


def _stepping(step: Step) -> Callable[..., Any]:
    def call(rest: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def changed(state: Any) -> Any:
            after = step.apply(state)
            return None if after is None else rest(after)

        return changed

    return call


def _branching(block: Block) -> Callable[..., Any]:
    def call(*programs: Callable[[Any], Any]) -> Callable[[Any], Any]:
        *parts, rest = programs

        def changed(state: Any) -> Any:
            value = None
            for number, part in enumerate(parts):
                end = part(state) if block.needs(number, value) else SKIPPED
                if end is None:
                    return None
                value = block.fold(number, value, end)
            after = block.leave(state, value)
            return None if after is None else rest(after)

        return changed

    return call


def expanded(term: Term, library: Mapping[str, tuple[tuple[str, ...], Term]]) -> Term:
    """Returns the term without functions of the library: a program that needs no library to run."""
    args = tuple(expanded(argument, library) for argument in term.args)
    if term.head in library:
        return expanded(substitute(library[term.head][1], args), library)
    return Term(term.head, args) if term.args else term


def word(body: Term, library: Mapping[str, tuple[tuple[str, ...], Term]]) -> tuple[str | None, ...] | None:
    """Returns the functions of a body from left to right, None for each argument, functions of the library written out.

    None where an argument is used twice, or before an earlier one: executing such a function would need what is
    not written yet.
    """
    plain = expanded(body, library)
    order = [part.variable for part in subterms(plain) if part.variable is not None]
    if order != list(range(len(order))):
        return None
    return tuple(None if part.variable is not None else part.head for part in subterms(plain))

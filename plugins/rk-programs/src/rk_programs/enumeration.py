"""Enumeration of terms by size, the values of all terms of one size computed together.

Terms that have the same values on all examples are observationally equivalent: the first, which is the shortest,
stands for all (Albarghouthi, Gulwani and Kincaid, "Recursive Program Synthesis",
CAV 2013; Udupa et al., "TRANSIT", PLDI 2013).
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rk_programs.dsl import Dsl
from rk_programs.primitives import Primitive
from rk_programs.terms import Term, variable
from rk_programs.types import BOUND, INT, UNDEFINED, Rows

CHUNK = 1 << 21
"""Integers that one call of a primitive computes at most: it bounds memory."""

BRANCH = "if0"
"""The function whose branches are searched apart where programs may call themselves."""
CANDIDATES = 8
"""Terms of a size that are run as they are, where programs may call themselves."""


@dataclass
class Level:
    """All terms of one type and size that no earlier term is equivalent to.

    Attributes:
        rows: Their values, (terms, examples, width).
        origins: How each was made: the head, and for each argument its size and its place in that level.
    """

    rows: Rows
    origins: list[tuple[str, tuple[tuple[int, int], ...]]] = field(default_factory=list)


@dataclass(frozen=True)
class Found:
    """A term, and the weighted share of the examples that it reproduces."""

    term: Term
    share: float


class Enumeration:
    """The terms of a language over given examples, level by level.

    Args:
        dsl: The language.
        takes: Types of the inputs.
        examples: The inputs of each example.
        capacity: Longest list that any term may give; None: the longest of the examples.
        literals: Integers that are terms of size 1, besides the language's own constants.
        recursion: Output of each example, for languages whose programs may call themselves. While terms are enumerated
            ``(rec ...)`` is looked up in the examples. It is undefined where they do not have it, and where an argument
            is larger than the input of its place or all are the same: so what is found comes to an end.
            The two branches of an ``(if0 x<i> base step)`` around the program are searched apart: the one by the
            examples in which x<i> is 0, the other by the rest. So a sum of sizes is searched, not a product.
        gives: Type of the outputs; `recursion` needs it.
        without: Functions that terms must not call.
        max_terms: Most terms that are kept.
        time_limit: Seconds after which no further terms are made; None: no limit. A search that this ends depends on
            the machine: give `max_terms` where a result must be the same everywhere.
    """

    def __init__(
        self,
        dsl: Dsl,
        takes: Sequence[str],
        examples: Sequence[Sequence[Any]],
        *,
        capacity: int | None = None,
        literals: Sequence[int] = (),
        recursion: Sequence[Any] | None = None,
        gives: str | None = None,
        without: Collection[str] = (),
        max_terms: int = 200_000,
        time_limit: float | None = None,
    ) -> None:
        self.dsl, self.takes, self.examples = dsl, tuple(takes), [tuple(inputs) for inputs in examples]
        lengths = [
            dsl.types[kind].length(value)
            for inputs in self.examples
            for kind, value in zip(self.takes, inputs, strict=True)
        ]
        self.capacity = max([*lengths, 0]) if capacity is None else capacity
        self.max_terms = max_terms
        self.deadline = None if time_limit is None else time.monotonic() + time_limit
        self.levels: dict[tuple[str, int], Level] = {}
        self.tried = 0
        """Terms whose values were computed."""
        self._seen: dict[str, set[bytes]] = {name: set() for name in dsl.types}
        self._literals = tuple(dict.fromkeys(literals))
        self._primitives = {name: one for name, one in dsl.primitives.items() if name not in without}
        if recursion is not None:
            assert gives is not None
            self._primitives.pop(BRANCH, None)
            self._primitives["rec"] = self._looked_up(recursion, gives)
        self._size = 0

    @property
    def terms(self) -> int:
        """Terms that are kept."""
        return sum(len(seen) for seen in self._seen.values())

    def grow(self) -> dict[str, Level]:
        """Makes all terms that are larger by one than the last ones; returns them by type."""
        self._size += 1
        size = self._size
        made: dict[str, Level] = {}
        if size == 1:
            for head, kind, rows in self._leaves():
                self._keep(made, kind, rows[None], iter([(head, ())]))
        for primitive in self._primitives.values():
            if primitive.takes:
                for sizes in _compositions(size - 1, len(primitive.takes)):
                    self._apply(made, primitive, sizes)
        for kind, level in made.items():
            self.levels[kind, size] = level
        return made

    def search(
        self,
        gives: str,
        outputs: Sequence[Any],
        weights: Sequence[float] | None = None,
        *,
        max_size: int = 9,
        tolerance: float = 0.0,
    ) -> Found | None:
        """Returns the term that reproduces most of the examples; the smallest of several, and the first of these.

        Args:
            gives: Type of the outputs.
            outputs: Output of each example.
            weights: How much each example counts; None: all alike.
            max_size: Largest size of terms.
            tolerance: The search ends with the first size that has a term which misses at most this share.
        """
        wanted = self.dsl.types[gives].encode(outputs, self.capacity)
        defined = wanted[:, 0] != UNDEFINED
        share = np.ones(len(outputs)) if weights is None else np.asarray(weights, dtype=np.float64)
        share = share / share.sum()
        best: Found | None = None
        while self._size < max_size and not self._is_over():
            level = self.grow().get(gives)
            if level is None:
                continue
            right = (level.rows == wanted).all(-1) & defined
            shares = right @ share
            if "rec" in self._primitives:
                wrong = (level.rows[..., 0] != UNDEFINED) & ~right
                split = _Split(self, gives, wanted, defined, share)
                likely = self._likely(wrong @ share, shares, tolerance)
                terms = [self.term(gives, self._size, place) for place in likely] + split.terms(tolerance)
                judged = [Found(term, self._in_truth(term, outputs, share)) for term in terms]
            else:
                place = int(shares.argmax())
                judged = [Found(self.term(gives, self._size, place), float(shares[place]))]
            for one in judged:
                if best is None or one.share > best.share + 1e-9:
                    best = one
            if best is not None and best.share >= 1 - tolerance - 1e-9:
                break
        return best

    def term(self, kind: str, size: int, place: int) -> Term:
        """Returns the term at a place of a level."""
        head, arguments = self.levels[kind, size].origins[place]
        takes = self._primitives[head].takes if arguments else ()
        return Term(head, tuple(self.term(k, *where) for k, where in zip(takes, arguments, strict=True)))

    @staticmethod
    def _likely(wrong: np.ndarray, right: np.ndarray, tolerance: float) -> list[int]:
        """Returns the places of the terms that get most right, of shares of (terms,), and next to nothing wrong.

        A look-up is undefined where the examples have a gap, so terms are judged by what they get wrong. At most
        `CANDIDATES` are run as they are.
        """
        order = np.argsort(-right, kind="stable")
        return [place for place in order.tolist() if wrong[place] <= tolerance + 1e-9 and right[place] > 0][:CANDIDATES]

    def _in_truth(self, term: Term, outputs: Sequence[Any], weights: np.ndarray) -> float:
        """Returns the share of the examples that a term reproduces when it calls itself."""
        made = [self.dsl(term, inputs) == output for inputs, output in zip(self.examples, outputs, strict=True)]
        return float(np.array(made) @ weights)

    # -- how a level is made -------------------------------------------------------------------------------------------

    def _is_over(self) -> bool:
        late = self.deadline is not None and time.monotonic() > self.deadline
        return late or self.terms >= self.max_terms

    def _leaves(self) -> Iterator[tuple[str, str, Rows]]:
        """Yields head, type and rows of (examples, width) of variables, constants and literals."""
        n = len(self.examples)
        for i, kind in enumerate(self.takes):
            yield (
                variable(i).head,
                kind,
                self.dsl.types[kind].encode([inputs[i] for inputs in self.examples], self.capacity),
            )
        for primitive in self._primitives.values():
            if not primitive.takes:
                gives = self.dsl.types[primitive.gives]
                yield primitive.name, gives.name, gives.encode([primitive.call()] * n, self.capacity)
        for literal in self._literals:
            yield str(literal), INT.name, self.dsl.types[INT.name].encode([literal] * n, self.capacity)

    def _apply(self, made: dict[str, Level], primitive: Primitive, sizes: tuple[int, ...]) -> None:
        """Adds `primitive` applied to all terms of these sizes."""
        found = [self.levels.get((kind, size)) for kind, size in zip(primitive.takes, sizes, strict=True)]
        levels = [level for level in found if level is not None]
        if len(levels) < len(found):
            return
        counts = [len(level.origins) for level in levels]
        width = self.dsl.types[primitive.gives].width(self.capacity)
        chunk = max(1, CHUNK // max(1, len(self.examples) * width))
        total = int(np.prod(counts))
        for start in range(0, total, chunk):
            if self._is_over():
                return
            places = np.unravel_index(np.arange(start, min(start + chunk, total)), counts)
            rows = [level.rows[place] for level, place in zip(levels, places, strict=True)]
            values = self._rows(primitive, rows)
            paired = zip(*(place.tolist() for place in places), strict=True)
            origins = ((primitive.name, tuple(zip(sizes, chosen, strict=True))) for chosen in paired)
            self._keep(made, primitive.gives, values, origins)

    def _rows(self, primitive: Primitive, arguments: list[Rows]) -> Rows:
        if primitive.rows is not None:
            return np.asarray(primitive.rows(*arguments, self.capacity), dtype=np.int32)
        gives = self.dsl.types[primitive.gives]
        takes = [self.dsl.types[kind] for kind in primitive.takes]
        shape = arguments[0].shape[:2]
        together = np.ascontiguousarray(np.concatenate(arguments, -1))
        keys = together.reshape(-1, together.shape[-1]).view(f"V{together[0, 0].nbytes}").ravel()
        _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)  # equal inputs are called once
        flat = [rows.reshape(-1, rows.shape[-1])[first] for rows in arguments]
        values = []
        for place in range(len(first)):
            inputs = [kind.decode(rows[place]) for kind, rows in zip(takes, flat, strict=True)]
            undefined = not primitive.lazy and any(value is None for value in inputs)
            values.append(None if undefined else primitive.call(*inputs))
        return gives.encode(values, self.capacity)[inverse.ravel()].reshape(*shape, -1)

    def _keep(
        self,
        made: dict[str, Level],
        kind: str,
        rows: Rows,
        origins: Iterator[tuple[str, tuple[tuple[int, int], ...]]],
    ) -> None:
        """Adds those of `rows`, (terms, examples, width), that are defined somewhere and that nothing had before."""
        self.tried += len(rows)
        rows = np.ascontiguousarray(rows)
        keys = rows.reshape(len(rows), -1).view(f"V{rows[0].nbytes}").ravel().tolist()
        defined = (rows[:, :, 0] != UNDEFINED).any(1).tolist()
        seen, places, kept = self._seen[kind], [], []
        for place, (key, origin, real) in enumerate(zip(keys, origins, defined, strict=True)):
            if real and key not in seen:
                seen.add(key)
                places.append(place)
                kept.append(origin)
        if not kept:
            return
        if kind in made:
            level = made[kind]
            level.rows = np.concatenate([level.rows, rows[places]])
            level.origins += kept
        else:
            made[kind] = Level(rows[places], kept)

    def _looked_up(self, outputs: Sequence[Any], gives: str) -> Primitive:
        """Returns the primitive `rec`: the output of the example with these inputs."""
        assert self.dsl.types[gives].width(self.capacity) == 1, "programs over integers alone call themselves"
        table: Mapping[tuple[Any, ...], Any] = dict(zip(self.examples, outputs, strict=True))
        keys = np.array(sorted(table), dtype=np.int64).reshape(len(table), len(self.takes))
        results = np.array([table[tuple(key)] for key in keys.tolist()], dtype=np.int32)
        packed = _packed(keys)  # in order, as `keys` is
        inputs = np.array(self.examples, dtype=np.int64).reshape(len(self.examples), len(self.takes))

        def rows(*arguments: Any) -> Rows:
            wanted = np.concatenate(arguments[:-1], -1).astype(np.int64)
            smaller = (wanted <= inputs).all(-1) & (wanted < inputs).any(-1)
            numbers = _packed(wanted)
            at = np.searchsorted(packed, numbers).clip(max=len(packed) - 1)
            known = smaller & (wanted >= 0).all(-1) & (packed[at] == numbers)
            return np.where(known, results[at], UNDEFINED)[..., None]

        return Primitive("rec", self.takes, gives, lambda *values: table.get(values), rows)


class _Split:
    """Terms ``(if0 x<i> base step)``, whose branches are terms that an enumeration has made.

    Args:
        made: The enumeration.
        gives: Type of the outputs.
        wanted: Rows of the outputs, (examples, width).
        defined: Which outputs there are, (examples,).
        weights: Shares of the examples, (examples,).
    """

    def __init__(self, made: Enumeration, gives: str, wanted: Rows, defined: np.ndarray, weights: np.ndarray) -> None:
        self.made, self.gives, self.weights = made, gives, weights
        self.places = [
            (size, place)
            for (kind, size), level in made.levels.items()
            if kind == gives
            for place in range(len(level.origins))
        ]
        rows = np.concatenate([level.rows for (kind, _), level in made.levels.items() if kind == gives])
        self.right = (rows == wanted).all(-1) & defined
        self.wrong = (rows[..., 0] != UNDEFINED) & ~self.right

    def terms(self, tolerance: float) -> list[Term]:
        """Returns likely terms, for each input that is 0 in some examples and not in others."""
        found = []
        for i, kind in enumerate(self.made.takes):
            zero = np.array([inputs[i] == 0 for inputs in self.made.examples])
            if kind != INT.name or zero.all() or not zero.any():
                continue
            at_zero, elsewhere = np.where(zero, self.weights, 0), np.where(zero, 0, self.weights)
            base = int((self.right @ at_zero).argmax())
            if self.right[base] @ at_zero < at_zero.sum() - tolerance - 1e-9:
                continue
            for step in self.made._likely(self.wrong @ elsewhere, self.right @ elsewhere, tolerance):
                branches = [self.made.term(self.gives, *self.places[place]) for place in (base, step)]
                found.append(Term(BRANCH, (variable(i), *branches)))
        return found


def _packed(keys: np.ndarray) -> np.ndarray:
    """Returns one int64 for each key of natural numbers, (..., numbers), up to three of them; the order is kept."""
    total = np.zeros(keys.shape[:-1], dtype=np.int64)
    for column in np.moveaxis(keys, -1, 0):
        total = total * (BOUND + 1) + column
    return total


def _compositions(total: int, parts: int) -> Iterator[tuple[int, ...]]:
    """Yields the ways to write `total` as a sum of `parts` numbers from 1, in order."""
    for cuts in itertools.combinations(range(1, total), parts - 1):
        yield tuple(b - a for a, b in zip((0, *cuts), (*cuts, total), strict=True))

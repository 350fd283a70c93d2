"""Enumeration of chains in the order of their description length; each prefix is executed once.

A prefix is a word of functions with places that are still open. What it has done is a configuration: the functions that
are left of what it has called, the blocks that are open, the state. Two prefixes with the same configuration have the
same continuations, so only the cheaper one is extended. The search is A* over configurations: a place that is open
costs at least what the cheapest program does. The plain enumeration executes each program from its beginning
(`rk_programs.naive.all_terms`, `ChainLanguage.run`).
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rk_programs.chains import SKIPPED, ChainDsl, word
from rk_programs.terms import Term, subterms

_HOLE = None
"""The token of a place that is open."""
_SKIPPED = -1
"""The number of the state of a part that is not executed."""
_FAILED = -2

_Control = tuple[str | None, ...]
"""Functions that are left to execute."""
_Frames = tuple[Any, ...]
"""The innermost open block: its name, the state before it, its part, the value so far, what is around."""
_Config = tuple[_Control, _Frames, int]
_Word = tuple[Any, str] | None
"""The functions of a prefix, the last one first."""


@dataclass(frozen=True)
class FoundChain:
    """A program that was enumerated.

    Attributes:
        term: The program.
        state: Where it ends.
        cost: Its description length.
        tried: How many prefixes had been executed by then.
    """

    term: Term
    state: Any
    cost: float
    tried: int


class ChainEnumeration:
    """The programs of a language of chains, cheapest first, one for each state that programs end in.

    Args:
        dsl: The language. Functions of its library whose arguments cannot be executed in order are left out.
        weights: Function -> its logarithmic probability; None: all functions are equally likely.
        max_size: Most functions of a program, those of the library written out.
        shared: Whether prefixes with the same configuration share their continuations; without it every word is
            executed, for comparison.

    Attributes:
        tried: Prefixes that were executed: what an evaluation is.
        executed: Functions of the language that this took; a function of the library is as many as its body has.
    """

    def __init__(
        self,
        dsl: ChainDsl,
        *,
        weights: Mapping[str, float] | None = None,
        max_size: int = 150,
        shared: bool = True,
    ) -> None:
        self.dsl = dsl
        self.max_size = max_size
        self.shared = shared
        self.tried = 0
        self.executed = 0
        self._tokens: dict[str, tuple[str | None, ...]] = {}
        self._arity: dict[str, int] = {}
        for name, primitive in dsl.primitives.items():
            if name in dsl.library:
                tokens = word(dsl.library[name][1], dsl.library)
                if tokens is None or tokens.count(_HOLE) != len(primitive.takes):
                    continue
            elif shared and name in dsl.blocks and dsl.blocks[name].inlined:
                continue
            else:
                tokens = (name, *(_HOLE for _ in primitive.takes))
            self._tokens[name], self._arity[name] = tokens, len(primitive.takes)
        given = uniform(dsl) if weights is None else weights
        self._cost = {name: -given[name] for name in self._tokens}
        self._least = min(cost for name, cost in self._cost.items() if not self._arity[name])
        self._states: list[Any] = []
        self._numbers: dict[Any, int] = {}
        self._classes: dict[int, int] = {}
        self._class_numbers: dict[Any, int] = {}
        self._changes: dict[str, dict[int, int]] = {name: {} for name in dsl.steps}

    def programs(self, evaluations: int | None = None) -> Iterator[FoundChain]:
        """Yields programs in the order of their cost; ties in the order of the language's functions.

        Args:
            evaluations: Prefixes that are executed at most; None: no limit.
        """
        pushed = 0
        begin: _Config = ((_HOLE,), (), self._number(self.dsl.initial()))
        best: dict[Any, float] = {}
        heap: list[tuple[float, int, int, _Word, _Config, float, Any]] = [(0.0, 0, 0, None, begin, 0.0, None)]
        functions = [
            (name, tokens, self._cost[name], len(tokens) - tokens.count(_HOLE), name in self._changes)
            for name, tokens in self._tokens.items()
        ]
        ending = [one for one in functions if one[0] == self.dsl.end]
        while heap:
            _, _, size, prefix, (control, frames, state), cost, alike = heapq.heappop(heap)
            if alike is not None and best[alike] < cost:
                continue
            if not control:
                yield FoundChain(self._term(prefix), self._states[state], cost, self.tried)
                continue
            open_places = control.count(_HOLE)
            if size + open_places > self.max_size:
                continue
            for name, tokens, own_cost, length, is_step in ending if state == _SKIPPED else functions:
                if evaluations is not None and self.tried >= evaluations:
                    return
                self.tried += 1
                if is_step:  # the rest of the program takes the place of the step
                    self.executed += 1
                    to = self._changed(name, state)
                    if to == _FAILED:
                        continue
                    after, total, places = (control, frames, to), cost + own_cost, open_places
                else:
                    found = self._execute(tokens + control[1:], frames, state)
                    if found is None:
                        continue
                    after, total, places = found, cost + own_cost, found[0].count(_HOLE)
                key = None
                if self.shared:
                    key = after if after[1] or after[2] < 0 else (after[0], self._class(after[2]))
                    if best.get(key, math.inf) <= total:
                        continue
                    best[key] = total
                pushed += 1
                bound = total + self._least * places
                heapq.heappush(heap, (bound, pushed, size + length, (prefix, name), after, total, key))

    # -- states are numbers: each is executed, compared and stored once ----------------------------------------------

    def _number(self, state: Any) -> int:
        if state is None:
            return _FAILED
        found = self._numbers.get(state)
        if found is None:
            found = self._numbers[state] = len(self._states)
            self._states.append(state)
        return found

    def _class(self, state: int) -> int:
        """Returns the number of the class of states that are alike."""
        found = self._classes.get(state)
        if found is None:
            alike = self.dsl.alike(self._states[state])
            found = self._classes[state] = self._class_numbers.setdefault(alike, len(self._class_numbers))
        return found

    def _changed(self, name: str, state: int) -> int:
        known = self._changes[name]
        found = known.get(state)
        if found is None:
            found = known[state] = self._number(self.dsl.steps[name].apply(self._states[state]))
        return found

    def _execute(self, control: _Control, frames: _Frames, state: int) -> _Config | None:
        """Returns the configuration at the next open place or at the end; None where the program fails."""
        for at, token in enumerate(control):
            if token is _HOLE:
                return control[at:], frames, state
            self.executed += 1
            if token in self._changes:
                if state != _SKIPPED:
                    state = self._changed(token, state)
            elif token != self.dsl.end:
                block = self.dsl.blocks[token]
                frames = (token, state, 0, None, frames)
                if state != _SKIPPED and not block.needs(0, None):
                    state = _SKIPPED
            elif frames:
                frames, state = self._left(frames, state)
            if state == _FAILED:
                return None
        return (), frames, state

    def _left(self, frames: _Frames, state: int) -> tuple[_Frames, int]:
        """Returns frames and state after a part of the innermost block."""
        name, start, part, value, outer = frames
        block = self.dsl.blocks[name]
        if start != _SKIPPED:
            value = block.fold(part, value, SKIPPED if state == _SKIPPED else self._states[state])
        part += 1
        if part < block.parts:
            needed = start != _SKIPPED and block.needs(part, value)
            return (name, start, part, value, outer), start if needed else _SKIPPED
        return outer, _SKIPPED if start == _SKIPPED else self._number(block.leave(self._states[start], value))

    def _term(self, prefix: _Word) -> Term:
        names = []
        while prefix is not None:
            prefix, name = prefix
            names.append(name)
        stack: list[Term] = []  # from the end of the word: arguments come before their function
        for name in names:
            stack.append(Term(name, tuple(stack.pop() for _ in range(self._arity[name]))))
        (term,) = stack
        return term


def uniform(dsl: ChainDsl) -> dict[str, float]:
    """Returns the same logarithmic probability for each function of a language."""
    return dict.fromkeys(dsl.primitives, -math.log(len(dsl.primitives)))


def fitted(dsl: ChainDsl, programs: Sequence[Term], max_difference: float) -> dict[str, float]:
    """Returns logarithmic probabilities of functions, fitted to programs, as equal as is asked for.

    With one type of programs, what the inside-outside algorithm counts are the functions of the programs; each is
    counted once more, so that none is impossible. Differences are scaled down until the largest is `max_difference`.

    Args:
        dsl: The language.
        programs: Its programs.
        max_difference: Largest difference of two logarithmic probabilities.
    """
    counts = Counter(part.head for term in programs for part in subterms(term))
    logs = {name: math.log(counts[name] + 1) for name in dsl.primitives}
    low, high = min(logs.values()), max(logs.values())
    scale = min(1.0, max_difference / (high - low)) if high > low else 1.0
    logs = {name: scale * value for name, value in logs.items()}
    total = math.log(sum(math.exp(value) for value in logs.values()))
    return {name: value - total for name, value in logs.items()}

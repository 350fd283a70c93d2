"""Semantics: a program for each symbol, from examples some of which are wrong (arXiv:2210.01603, Sec. 3.2, App. A).

A value is a tuple of integers or an integer. None is a value that is not known: the paper's MISSING. `NOTHING` is the
value of a symbol that says nothing, such as a bracket, which the symbol above it does not get: the paper's EMPTY.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rk_programs.dsl import Dsl
from rk_programs.enumeration import Enumeration
from rk_programs.learned import LearnedProgram
from rk_programs.terms import Term, parse, subterms
from rk_programs.types import LIST

Value = Any
Inputs = tuple[Value, ...]

NOTHING = "nothing"
TRUSTED = 0.5
"""A program with a larger likelihood is run, unless `Meanings.trusted` says otherwise; else, what is remembered."""
FIRST_TERMS = 4000
"""Most terms of a symbol's first search; each search that fails doubles it, up to `Meanings.max_terms`."""
SHORT = 6
"""Examples without a longer list are searched with first."""
NUMBERS = 100
"""Most examples of a search for a function of numbers: gaps in them hide what a program that calls itself needs."""
FORGOTTEN = 0.1
"""Examples of less weight are dropped."""


class Meaning:
    """What is known of one symbol: its program, how far it is trusted, and the examples.

    Args:
        takes: Types of its arguments.
        gives: Type of its value.
    """

    def __init__(self, takes: Sequence[str], gives: str) -> None:
        self.takes, self.gives = tuple(takes), gives
        self.term: Term | None = None
        self.likelihood = 0.0
        self.num_examples = 0
        self.failed = 0
        """Searches that found no program that could be kept: later ones get more terms."""
        self.examples: dict[Inputs, dict[Value, float]] = {}
        self.results: dict[Inputs, Value] = {}
        """What the program gave: it is run once for the same inputs."""
        self.by_others: dict[tuple[int, Inputs], list[tuple[Value, Value]]] = {}
        """Place and the inputs at other places -> (input at the place, likeliest output), for `Meanings.solve`."""
        self.function: str | None = None
        """What the language calls its program, where others may call it."""

    def refresh(self) -> None:
        """Makes again what follows from the examples."""
        self.by_others = {}
        for inputs, outputs in self.examples.items():
            best = heaviest(outputs)
            for place, value in enumerate(inputs):
                others = inputs[:place] + inputs[place + 1 :]
                self.by_others.setdefault((place, others), []).append((value, best))

    def confident(self) -> list[tuple[Inputs, Value, float]]:
        """Returns the examples that count: per inputs the heaviest output, of weight 1 and more than half of all.

        Each counts by the square root of its weight. By the weight itself, the few inputs of the shortest sentences
        outweigh all others, and a program that holds for these alone is trusted.
        """
        found = []
        for inputs, outputs in self.examples.items():
            best = heaviest(outputs)
            if outputs[best] >= 1 and outputs[best] > 0.5 * sum(outputs.values()):
                found.append((inputs, best, math.sqrt(outputs[best])))
        return found


def heaviest(outputs: dict[Value, float]) -> Value:
    """Returns the output of most weight; the first of several."""
    return max(outputs, key=lambda output: outputs[output])


class Meanings:
    """The programs of all symbols.

    Args:
        dsl: The language of programs.
        arities: Arguments of each symbol.
        kind: Type of all values, ``list`` or ``int``. Functions of integers may call themselves, and those that are
            solved become functions of the language, which others may call.
        prior: A symbol with few examples is trusted less: likelihood is divided by ``prior * arity / examples``.
        max_size: Largest size of programs.
        max_terms: Most terms of one search, once a symbol's earlier ones have failed.
        max_examples: Most examples of one search.
        solved: Likelihood from which a symbol counts as solved; a search ends with a share of the examples as large.
        names: What the functions of the language are called, for each symbol.
        trusted: A program with a larger likelihood is run; below, remembered examples answer.
        parts: Lists: whether every part of a wanted value is tried as the value of a child.
    """

    def __init__(
        self,
        dsl: Dsl,
        arities: Sequence[int],
        kind: str,
        prior: float = 3.0,
        max_size: int = 9,
        max_terms: int = 4000,
        max_examples: int = 24,
        solved: float = 0.95,
        names: Sequence[str] = (),
        trusted: float = TRUSTED,
        parts: bool = False,
    ) -> None:
        self.trusted, self.parts = trusted, parts
        self.dsl, self.kind, self.prior, self.solved = dsl, kind, prior, solved
        self.max_size, self.max_terms, self.max_examples = max_size, max_terms, max_examples
        self.of = [Meaning([kind] * arity, kind) for arity in arities]
        self.names = names or [f"symbol{i}" for i in range(len(arities))]
        self.leaves: list[Value] = []
        """What an argument may be where examples do not say: values of symbols without arguments."""

    # -- running -------------------------------------------------------------------------------------------------------

    def call(self, symbol: int, inputs: Inputs, draw: float | None = None) -> Value:
        """Returns the value of a symbol for the values of its children; None where it is not known.

        Args:
            symbol: Its number.
            inputs: Values of the children.
            draw: From 0 to 1: draws one of the remembered outputs by weight. None: the heaviest.
        """
        meaning = self.of[symbol]
        if len(inputs) != len(meaning.takes) or None in inputs:
            return None
        if meaning.term is not None and meaning.likelihood > self.trusted:
            if inputs not in meaning.results:
                meaning.results[inputs] = self._run(meaning.term, inputs)
            return meaning.results[inputs]
        outputs = meaning.examples.get(inputs)
        if not outputs:
            return None
        if draw is None:
            return heaviest(outputs)
        left = draw * sum(outputs.values())
        for output, weight in outputs.items():
            left -= weight
            if left <= 0:
                return output
        return output

    def used(self, symbol: int) -> frozenset[int] | None:
        """Returns which arguments the symbol's program uses; None where no program is trusted."""
        term = self.program(symbol)
        if term is None:
            return None
        return frozenset(part.variable for part in subterms(term) if part.variable is not None)

    def program(self, symbol: int) -> Term | None:
        """Returns the program that `call` runs for a symbol; None where remembered examples answer."""
        meaning = self.of[symbol]
        return meaning.term if meaning.likelihood > self.trusted else None

    def solve(
        self, symbol: int, place: int, others: Inputs, targets: Sequence[Value], tries: Iterable[Value] = ()
    ) -> list[Value]:
        """Returns values for the child at `place` that may make the symbol's value one of `targets` (App. A, Alg. 1).

        Remembered examples with the same other inputs are looked up, and values are tried: for lists the empty one, for
        integers those of symbols without arguments, and `tries`. With `parts`, each part of a wanted list is tried too:
        a word that adds to its argument then has an inverse, also where no example has the result.

        Args:
            symbol: Its number.
            place: Place of the child among the inputs.
            others: Inputs at the other places.
            targets: Values of the symbol that are wanted.
            tries: Further values that are tried.
        """
        meaning = self.of[symbol]
        if len(others) + 1 != len(meaning.takes):
            return []
        found = dict.fromkeys(v for v, best in meaning.by_others.get((place, others), ()) if best in targets)
        usual = self.leaves
        if self.kind == LIST.name:
            usual = [(), *(_parts(targets) if self.parts else ())]
        for value in itertools.chain(usual, tries):
            if value not in found and self.call(symbol, (*others[:place], value, *others[place:])) in targets:
                found[value] = None
        return list(found)

    def _run(self, term: Term, inputs: Inputs) -> Value:
        return NOTHING if term.head == NOTHING else self.dsl(term, inputs)

    # -- learning ------------------------------------------------------------------------------------------------------

    def remember(self, examples: Iterable[tuple[int, Inputs, Value, float]], decay: float) -> None:
        """Takes examples of (symbol, inputs, output, count); the weight of what was there is multiplied by `decay`."""
        for meaning in self.of:
            kept = {}
            for inputs, outputs in meaning.examples.items():
                left = {output: w * decay for output, w in outputs.items() if w * decay >= FORGOTTEN}
                if left:
                    kept[inputs] = left
            meaning.examples = kept
        for symbol, inputs, output, count in examples:
            outputs = self.of[symbol].examples.setdefault(inputs, {})
            outputs[output] = outputs.get(output, 0.0) + count
        for meaning in self.of:
            meaning.refresh()
            self._judge(meaning)
        self._settle()

    def _settle(self) -> None:
        """Makes again what follows from all programs together."""
        found = [self.call(symbol, ()) for symbol, meaning in enumerate(self.of) if not meaning.takes]
        self.leaves = [value for value in dict.fromkeys(found) if value is not None and value != NOTHING]

    def likelihood(self, meaning: Meaning, term: Term, examples: Sequence[tuple[Inputs, Value, float]]) -> float:
        """Returns how far a program is trusted: the weighted share of examples it reproduces, less where they are few.

        The paper counts each input once. Weights keep a right program above `TRUSTED` while many inputs have been seen
        in wrong trees alone.
        """
        total = sum(weight for _, _, weight in examples)
        known = meaning.results if term == meaning.term else {}
        for inputs, _, _ in examples:
            if inputs not in known:
                known[inputs] = self._run(term, inputs)
        right = sum(weight for inputs, output, weight in examples if known[inputs] == output)
        few = max(1.0, self.prior * len(meaning.takes) / max(1, len(examples)))
        return right / total / few if total else 0.0

    def induce(self) -> int:
        """Searches a program for every symbol that has examples against its own; returns how many got another one."""
        changed = 0
        for symbol, meaning in enumerate(self.of):
            examples = meaning.confident()
            if not examples or meaning.likelihood >= 1.0:
                continue
            term = self._search(meaning, examples)
            likelihood = 0.0 if term is None else self.likelihood(meaning, term, examples)
            meaning.failed += max(likelihood, meaning.likelihood) < self.solved
            if term is None or term == meaning.term:
                continue
            shorter = meaning.term is None or len(str(term)) < len(str(meaning.term))
            if likelihood > meaning.likelihood or (likelihood == meaning.likelihood and shorter):
                meaning.term, meaning.likelihood = term, likelihood
                self._publish(symbol)
                changed += 1
        if changed:
            for meaning in self.of:
                meaning.results = {}
            self._settle()
        return changed

    def _publish(self, symbol: int) -> None:
        """Makes a solved program a function of the language (App. B); one that is there already gets the new body."""
        meaning = self.of[symbol]
        if self.kind == LIST.name or not meaning.takes or meaning.term is None:
            return
        if meaning.function is not None:
            self.dsl.redefine(meaning.function, meaning.term)
        elif meaning.likelihood >= self.solved:
            meaning.function = self.names[symbol]
            self.dsl.define(meaning.function, meaning.takes, meaning.term)

    def _judge(self, meaning: Meaning) -> None:
        examples = meaning.confident()
        meaning.num_examples = len(examples)
        if meaning.term is not None and examples:
            meaning.likelihood = self.likelihood(meaning, meaning.term, examples)
            if meaning.function is None:
                self._publish(self.of.index(meaning))

    def _search(self, meaning: Meaning, examples: Sequence[tuple[Inputs, Value, float]]) -> Term | None:
        """Returns the best program for the heaviest examples."""
        if not meaning.takes and examples[0][1] == NOTHING:
            return Term(NOTHING)
        # what the present program gets wrong says most; long lists and large numbers make every term costly
        known = {} if meaning.term is None else {inputs: self._run(meaning.term, inputs) for inputs, _, _ in examples}
        numbers = self.kind != LIST.name
        if numbers:
            order = sorted(examples, key=lambda one: (sum(one[0]), -one[2]))
        else:
            order = sorted(examples, key=lambda one: (known.get(one[0]) == one[1], _length(one) > SHORT, -one[2]))
        some = order[: NUMBERS if numbers else self.max_examples]
        outputs = [output for _, output, _ in some]
        capacity = 0 if numbers else max(len(v) for inputs, output, _ in some for v in (*inputs, output))
        enumeration = Enumeration(
            self.dsl,
            meaning.takes,
            [inputs for inputs, _, _ in some],
            capacity=capacity,
            literals=_literals(some),
            recursion=outputs if numbers and meaning.takes else None,
            gives=meaning.gives,
            without=() if meaning.function is None else self.dsl.callers(meaning.function),
            max_terms=min(self.max_terms, FIRST_TERMS << min(meaning.failed, 20)),
        )
        found = enumeration.search(
            meaning.gives, outputs, [w for _, _, w in some], max_size=self.max_size, tolerance=1 - self.solved
        )
        return None if found is None or found.share == 0 else found.term

    # -- what is shown and kept ----------------------------------------------------------------------------------------

    def learned(self, names: Sequence[str]) -> list[LearnedProgram]:
        """Returns the programs of all symbols."""
        return [
            LearnedProgram(name, one.takes, one.term, one.likelihood, one.num_examples)
            for name, one in zip(names, self.of, strict=True)
        ]

    def state(self) -> list[dict[str, Any]]:
        """Returns programs as text and examples, as what JSON holds."""
        return [
            {
                "program": None if one.term is None else str(one.term),
                "likelihood": one.likelihood,
                "num_examples": one.num_examples,
                "failed": one.failed,
                "function": one.function,
                "examples": [[inputs, list(outputs.items())] for inputs, outputs in one.examples.items()],
            }
            for one in self.of
        ]

    def load(self, state: Sequence[dict[str, Any]]) -> None:
        """Takes `state` back."""
        for one, kept in zip(self.of, state, strict=True):
            one.term = None if kept["program"] is None else parse(kept["program"])
            one.likelihood, one.num_examples, one.failed = kept["likelihood"], kept["num_examples"], kept["failed"]
            one.function = kept.get("function")  # runs of 0.1 have none
            one.examples = {
                tuple(_value(v) for v in inputs): {_value(output): weight for output, weight in outputs}
                for inputs, outputs in kept["examples"]
            }
            one.refresh()
        self._settle()


def _literals(examples: Sequence[tuple[Inputs, Value, float]]) -> list[int]:
    """Returns the integers that most outputs have and their inputs lack: a program can only have them as constants."""
    weights: dict[int, float] = {}
    for inputs, output, weight in examples:
        given = {number for value in inputs for number in _numbers(value)}
        for number in dict.fromkeys(_numbers(output)):
            if number not in given:
                weights[number] = weights.get(number, 0.0) + weight
    enough = 0.5 * sum(weight for _, _, weight in examples)
    return [number for number, weight in weights.items() if weight >= enough]


def _parts(targets: Sequence[Value]) -> Iterator[Value]:
    """Yields the parts of lists that follow each other, the longest first."""
    for target in targets:
        for length in range(len(target) - 1, 0, -1):
            for start in range(len(target) - length + 1):
                yield target[start : start + length]


def _length(example: tuple[Inputs, Value, float]) -> int:
    """Returns the length of the longest list of an example."""
    return max(len(_numbers(value)) for value in (*example[0], example[1]))


def _numbers(value: Value) -> Sequence[int]:
    return value if isinstance(value, tuple) else (value,)


def _value(stored: Any) -> Value:
    """Returns a value from JSON, which has lists for tuples."""
    return tuple(stored) if isinstance(stored, list) else stored


def log(probability: float) -> float:
    """Returns the logarithm of a probability that is kept off 0 and 1."""
    return math.log(min(max(probability, 1e-6), 1 - 1e-6))

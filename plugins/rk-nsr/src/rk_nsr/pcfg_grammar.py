"""PCFG SET: string edits applied to each other, as sentences in prefix notation.

Hupkes, Dankers, Mul and Bruni, "Compositionality Decomposed: How Do Neural Networks Generalise?", JAIR 67, 2020,
arXiv:1908.08351.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import pairwise

Words = tuple[str, ...]

UNARY: dict[str, Callable[[Words], Words]] = {
    "copy": lambda x: x,
    "reverse": lambda x: x[::-1],
    "shift": lambda x: x[1:] + x[:1],
    "echo": lambda x: x + x[-1:],
    "swap_first_last": lambda x: x[-1:] + x[1:-1] + x[:1],
    "repeat": lambda x: x + x,
}
BINARY: dict[str, Callable[[Words, Words], Words]] = {
    "append": lambda x, y: x + y,
    "prepend": lambda x, y: y + x,
    "remove_first": lambda x, y: y,
    "remove_second": lambda x, y: x,
}
ALPHABET = [f"{letter}{number}" for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" for number in range(1, 21)]
NEW_PAIRS = (
    ("swap_first_last", "repeat"),
    ("append", "remove_second"),
    ("repeat", "remove_second"),
    ("append", "swap_first_last"),
)
"""Functions directly within one another that the split `systematicity` trains on never (Sec. 4.2.1)."""


def interpret(words: Words) -> Words:
    """Returns the answer of a sentence. Raises `ValueError` when it is none."""
    value, rest = _value(words)
    if rest:
        raise ValueError(f"expected the end, got {rest[0]!r}")
    return value


def _value(words: Words) -> tuple[Words, Words]:
    if not words:
        raise ValueError("expected a function or a string, got the end")
    head, rest = words[0], words[1:]
    if head in UNARY:
        value, rest = _value(rest)
        return UNARY[head](value), rest
    if head in BINARY:
        first, rest = _value(rest)
        if not rest or rest[0] != ",":
            raise ValueError(f"expected ',' between the arguments of {head}")
        second, rest = _value(rest[1:])
        return BINARY[head](first, second), rest
    end = next((i for i, word in enumerate(words) if word == "," or word in UNARY or word in BINARY), len(words))
    if end == 0:
        raise ValueError(f"expected a function or a string, got {head!r}")
    return words[:end], words[end:]


def functions(words: Words) -> int:
    """Returns how many functions a sentence has."""
    return sum(word in UNARY or word in BINARY for word in words)


def has_new_pair(words: Words) -> bool:
    """Whether a function is directly followed by one that `NEW_PAIRS` puts within it."""
    return any(pair in NEW_PAIRS for pair in pairwise(words))


def sentences(draws: random.Random, max_functions: int, longest: int = 5) -> Iterator[Words]:
    """Yields sentences, endlessly: the grammar of Sec. 3.2, with probabilities that are drawn for each sentence.

    Args:
        draws: The source of chance.
        max_functions: Most functions. Each sentence has its own limit, from 1 to this one: short ones are not rare.
        longest: Most words of a string.
    """
    while True:
        unary, nested = draws.random(), draws.random()
        words = _function(draws, unary, nested, draws.randint(1, max_functions), longest)
        if words is not None:
            yield words


def _function(draws: random.Random, unary: float, nested: float, budget: int, longest: int) -> Words | None:
    """Returns a function with its arguments; None when it would have more functions than `budget`."""
    if budget < 1:
        return None
    names = UNARY if draws.random() < unary else BINARY
    head, left = draws.choice(list(names)), budget - 1
    arguments: list[Words] = []
    for _ in range(1 if names is UNARY else 2):
        if draws.random() < nested:
            made = _function(draws, unary, nested, left, longest)
        else:
            made = tuple(draws.sample(ALPHABET, draws.randint(2, longest)))
        if made is None:
            return None
        left -= functions(made)
        arguments.append(made)
    joined = arguments[0] if len(arguments) == 1 else (*arguments[0], ",", *arguments[1])
    return (head, *joined)


def prepared(words: Words, answer: Words, num_names: int) -> tuple[Words, Words] | None:
    """Returns sentence and answer as the paper gives them to the machine; None where there are too few names.

    The words of strings get names by their first appearance, ``a0``, ``a1``, ... A word of a string is a function of
    the rest of it, and ``,`` is the empty string that ends it: so each string gets one behind it (App. B).
    """
    names: dict[str, str] = {}
    for word in words:
        if word != "," and word not in UNARY and word not in BINARY:
            names.setdefault(word, f"a{len(names)}")
    if len(names) > num_names:
        return None
    return (*(names.get(word, word) for word in words), ","), tuple(names[word] for word in answer)

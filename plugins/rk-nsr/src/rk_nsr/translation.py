"""Data `translation`: English sentences of one form and their French, with a word that is seen in one sentence."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Le

from rk import UserError
from rk.errors import suggest
from rk.sampling import generator
from rk_nsr.sentences import Pair, SentenceData
from rk_nsr.translation_files import read_part
from rk_nsr.translation_grammar import (
    ADJECTIVES,
    FUNCTION_WORDS,
    NEW,
    NEW_FRENCH,
    PRONOUNS,
    Frame,
    beginnings,
    frames,
    parsed,
    plain,
)

FIRST = Frame("i", adjective=NEW)
"""The one sentence of training with the new word."""
SHORT = 3
"""Generated sentences of so many words come first in training."""
FORM = f"a pronoun ({', '.join(PRONOUNS)}), its form of 'to be', and after it not, very and an adjective"


class Translation(SentenceData):
    """Translation to French with a new word (Lake and Baroni, arXiv:1711.00350, Sec. 4): "you are not very daxy".

    A sentence is a pronoun, its form of "to be", "not" or "very" or both, and an adjective. "daxy" is seen in "i am
    daxy" alone, and tested in all other sentences. In training, pronouns are sentences of their own too ("i", "i am"),
    which the published files do not have: a word's meaning begins there. "you" is "tu".

    Args:
        source: Generated sentences about colours; or the published files: the sentences there that have this form, and
            their eight tests of the new word.
        adjectives: Adjectives of the generated sentences, besides the new one.
        repeats: How often "i am daxy" is in the training sentences. It is one in six of the published lines.

    Examples:
        data: {name: translation, source: generated}

        >>> data = Translation(seed=0)
        >>> data.prepare()
        >>> " ".join(data._pairs["test"][0][0]), " ".join(data._pairs["test"][0][1])
        ('you are daxy', 'tu es daxiste')
    """

    def __init__(
        self,
        source: Literal["generated", "files"] = "generated",
        adjectives: Annotated[int, Ge(2), Le(len(ADJECTIVES))] = len(ADJECTIVES),
        repeats: Annotated[int, Ge(1)] = 60,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self.source = source
        self.repeats = repeats
        self.adjectives = adjectives
        self._known: list[str] = []
        self._french: list[str] = []

    @property
    def symbols(self) -> list[str]:
        """The English words."""
        return [*FUNCTION_WORDS, NEW, *self._known]

    @property
    def arities(self) -> list[int]:
        """Arguments of each word: a pronoun has none, all others have one, what is in front of them."""
        return [int(word not in PRONOUNS) for word in self.symbols]

    @property
    def answer_words(self) -> list[str]:
        """The French words."""
        return ["END", *self._french]

    def _load(self) -> dict[str, list[Pair]]:
        train, held_out, test = self._generated() if self.source == "generated" else self._published()
        train = [*beginnings(), *[(FIRST.english, FIRST.french(NEW_FRENCH))] * self.repeats, *train]
        self._known = sorted({word for words, _ in train for word in words} - {*FUNCTION_WORDS, NEW})
        self._french = sorted({word for _, words in [*train, *held_out, *test] for word in words})
        known = {*self.symbols}
        held_out = [(words, answer) for words, answer in held_out if known.issuperset(words)]
        return {"train": train, "val": held_out, "test": test[: self.limit]}

    def _generated(self) -> tuple[list[Pair], list[Pair], list[Pair]]:
        known = list(ADJECTIVES.items())[: self.adjectives]
        pairs = [(frame.english, frame.french(french)) for word, french in known for frame in frames(word)]
        order = torch.randperm(len(pairs), generator=generator(self.seed, "order")).tolist()
        order.sort(key=lambda i: len(pairs[i][0]) > SHORT)  # stable: short sentences first, the rest at random
        order = order[: self.num_examples + self.num_val]
        trained = len(order) - min(self.num_val, len(order) // 3)
        test = [(frame.english, frame.french(NEW_FRENCH)) for frame in frames(NEW) if frame != FIRST]
        return [pairs[i] for i in order[:trained]], [pairs[i] for i in order[trained:]], test

    def _published(self) -> tuple[list[Pair], list[Pair], list[Pair]]:
        train, held_out, test = (
            list(dict.fromkeys((frame.english, frame.french(french)) for frame, french in read_part(name)))
            for name in ("train", "dev", "test-daxy")
        )
        train = [pair for pair in train if NEW not in pair[0]]
        return train[: self.num_examples], held_out[: self.num_val], test

    def _words(self, line: str, place: str) -> tuple[str, ...]:
        words = plain(line)
        for word in words:
            if word not in self.symbols:
                raise UserError(
                    f"{place}: {word!r} is not a word of the training", suggest(word, self.symbols, "words")
                )
        if parsed(words) is None and not (len(words) == 1 and words[0] in PRONOUNS):
            raise UserError(f"{place}: expected {FORM}; got {' '.join(words)!r}")
        return words

    def state_dict(self) -> dict[str, Any]:
        """Returns the words: a run translates without its training sentences."""
        return {"adjectives": list(self._known), "french": list(self._french)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._known, self._french = list(state["adjectives"]), list(state["french"])
        super().load_state_dict(state)

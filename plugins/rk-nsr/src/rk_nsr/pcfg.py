"""Data `pcfg-set`: nested edits of strings."""

from __future__ import annotations

import random
from typing import Annotated, Any, Literal

from annotated_types import Ge

from rk import UserError
from rk_nsr.pcfg_files import read_test
from rk_nsr.pcfg_grammar import BINARY, UNARY, Words, functions, has_new_pair, interpret, prepared, sentences
from rk_nsr.sentences import Pair, SentenceData


class PcfgSet(SentenceData):
    """PCFG SET (Hupkes et al., arXiv:1908.08351): "repeat append A1 B2 , C3 D4" and the string that it makes.

    Training sentences are generated; the published ones have no seed. Tests are generated too, or the published files.
    The words of strings are renamed in each sentence by their first appearance, as the paper does.

    Args:
        split: `iid`: tests are like training. `productivity`: tests have more functions. `systematicity`: four pairs of
            functions are directly within one another in tests alone.
        max_functions: Most functions of a training sentence.
        test_functions: Most functions of a generated test sentence of `productivity`.
        max_names: Most different words of strings in a sentence; sentences with more are left out.
        longest: Most words of one string.
        strings: Share of the training sentences that are strings without a function, of up to four words.
        shuffle_names: Names the words of training sentences at random instead, so that each name is seen as often. With
            many names, those that appear late are else rare in sentences as short as those of training.
        files: Tests the published sentences, where they have at most `max_names` words.

    Examples:
        data: {name: pcfg-set, split: productivity}
    """

    def __init__(
        self,
        split: Literal["iid", "productivity", "systematicity"] = "productivity",
        max_functions: Annotated[int, Ge(1)] = 4,
        test_functions: Annotated[int, Ge(2)] = 8,
        max_names: Annotated[int, Ge(2)] = 12,
        longest: Annotated[int, Ge(2)] = 4,
        strings: Annotated[float, Ge(0)] = 0.2,
        shuffle_names: bool = False,
        files: bool = False,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        if split == "productivity" and test_functions <= max_functions:
            raise ValueError(f"test_functions must be > max_functions {max_functions}, got {test_functions}")
        self.split = split
        self.max_functions, self.test_functions = max_functions, test_functions
        self.max_names, self.longest = max_names, longest
        self.strings = strings
        self.shuffle_names = shuffle_names
        self.files = files

    @property
    def symbols(self) -> list[str]:
        """Functions, the end of a string, and the names of the words of strings."""
        return [*UNARY, *BINARY, ",", *self._names]

    @property
    def arities(self) -> list[int]:
        """Arguments of each symbol; a word of a string is a function of the rest of it."""
        return [1] * len(UNARY) + [2] * len(BINARY) + [0] + [1] * self.max_names

    @property
    def answer_words(self) -> list[str]:
        """The names of the words of strings."""
        return ["END", *self._names]

    @property
    def _names(self) -> list[str]:
        return [f"a{i}" for i in range(self.max_names)]

    def _load(self) -> dict[str, list[Pair]]:
        train = self._trained(self.num_examples + self.num_val)
        count = 1000 if self.limit is None else self.limit
        test = self._published() if self.files else self._tested(count, {words for words, _ in train})
        # short sentences are all trained on; what is held out is of the kind that tests ask for most
        held_out = [pair for pair in train if functions(pair[0])][-self.num_val :]
        apart = set(held_out)
        return {"train": [pair for pair in train if pair not in apart], "val": held_out, "test": test[: self.limit]}

    def _trained(self, count: int) -> list[Pair]:
        draws = random.Random(f"{self.seed} train")
        found: dict[Pair, None] = {}
        for _ in range(int(self.strings * count)):
            words = tuple(draws.sample(self._names, draws.randint(0, min(4, self.max_names))))
            found[(*words, ","), words] = None
        for words in sentences(draws, self.max_functions, self.longest):
            pair = prepared(words, interpret(words), self.max_names)
            if pair is not None and not (self.split == "systematicity" and has_new_pair(words)):
                found[self._renamed(pair, draws)] = None
            if len(found) >= count:
                return list(found)
        raise AssertionError("sentences never end")

    def _renamed(self, pair: Pair, draws: random.Random) -> Pair:
        """Returns a pair with other names, each as likely, if `shuffle_names` is on."""
        if not self.shuffle_names:
            return pair
        others = dict(zip(self._names, draws.sample(self._names, self.max_names), strict=True))
        return tuple(others.get(word, word) for word in pair[0]), tuple(others[word] for word in pair[1])

    def _tested(self, count: int, trained: set[Words]) -> list[Pair]:
        draws = random.Random(f"{self.seed} test")
        most = self.test_functions if self.split == "productivity" else self.max_functions
        found: dict[Pair, None] = {}
        for words in sentences(draws, most, self.longest):
            if self.split == "productivity" and functions(words) <= self.max_functions:
                continue
            pair = prepared(words, interpret(words), self.max_names)
            new = self.split != "systematicity" or has_new_pair(words)
            if pair is not None and new and pair[0] not in trained:
                found[pair] = None
            if len(found) == count:
                return list(found)
        raise AssertionError("sentences never end")

    def _published(self) -> list[Pair]:
        pairs = [prepared(words, answer, self.max_names) for words, answer in read_test(self.split)]
        return [pair for pair in pairs if pair is not None]

    def _words(self, line: str, place: str) -> tuple[str, ...]:
        words = tuple(line.split())
        try:
            pair = prepared(words, interpret(words), self.max_names)
        except ValueError as error:
            raise UserError(f"{place}: {error}") from None
        if pair is None:
            raise UserError(f"{place}: expected at most {self.max_names} different words in strings")
        return pair[0]

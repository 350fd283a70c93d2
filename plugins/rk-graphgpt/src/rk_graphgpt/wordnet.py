"""The data `wordnet-graph`: synsets of WordNet 3.0 with their glosses; nouns are trained on, verbs are not."""

from __future__ import annotations

import gzip
import io
import re
from collections.abc import Iterable
from typing import Annotated, Any, NamedTuple

import torch
from annotated_types import Ge
from rk_graphs.graph import both_ways

from rk import UserError
from rk.files import content, damaged, data_folder, is_intact
from rk_graphgpt.text_nodes import TextGraph, TextNodes

HOME = "https://wordnet.princeton.edu/download/current-version"
CHECKSUMS = {
    "noun": "9134a00baeff61feb57f34a71a1e12ec060f2f55c9d2d5d0625c0bcee8fb8ec0",
    "verb": "8d2ae2773f2efd2115b09ad67410ceddf293c8468e5be140bb985df20e8a080f",
}
"""Part of speech -> SHA-256 of ``data.noun.gz`` and ``data.verb.gz``."""

NOUNS = (
    "tops", "act", "animal", "artifact", "attribute", "body", "cognition", "communication", "event", "feeling", "food",
    "group", "location", "motive", "object", "person", "phenomenon", "plant", "possession", "process", "quantity",
    "relation", "shape", "state", "substance", "time",
)  # fmt: skip
VERBS = (
    "body", "change", "cognition", "communication", "competition", "consumption", "contact", "creation", "emotion",
    "motion", "perception", "possession", "social", "stative", "weather",
)  # fmt: skip
"""Names of the lexicographer files, from number 3 (nouns) and 29 (verbs)."""
FIRST = {"noun": (3, NOUNS), "verb": (29, VERBS)}
HYPERNYMS = ("@", "@i")


class Synset(NamedTuple):
    """A synset of one part of speech.

    Attributes:
        offset: Its number.
        file: The number of its lexicographer file.
        text: Its first words, and its gloss.
        hypernyms: Numbers of the synsets above it.
    """

    offset: int
    file: int
    text: str
    hypernyms: tuple[int, ...]


class WordNet(TextNodes):
    """Synsets with words and gloss, linked to their hypernyms; the class is the lexicographer file.

    The nouns of some classes are trained on; the verbs of others are the unseen classes. Of each class there are the
    first synsets of the file, which are close together in the hierarchy. The files are looked for in `RK_DATA`; they
    are in Debian's package wordnet-base 1:3.0, and their checksums are compared.

    Args:
        nouns: The seen classes.
        verbs: The unseen classes.
        limit: Synsets of each class.
        text_words: Words of the longest texts.

    Raises:
        ValueError: When there is no such class.

    Examples:
        data: {name: wordnet-graph, limit: 300}
    """

    def __init__(
        self,
        nouns: tuple[str, ...] = ("act", "animal", "communication", "food", "person", "plant"),
        verbs: tuple[str, ...] = ("change", "consumption", "contact", "creation", "motion", "social"),
        limit: Annotated[int, Ge(20)] = 300,
        text_words: Annotated[int, Ge(1)] = 12,
        **nodes: Any,
    ) -> None:
        super().__init__(**nodes)
        for names, known, what in ((nouns, NOUNS, "nouns"), (verbs, VERBS, "verbs")):
            if len(set(names)) != len(names) or len(names) < 2:
                raise ValueError(f"{what} must be at least two different classes")
            for name in names:
                if name not in known:
                    raise ValueError(f"{what}: there is no class {name!r}; there are: {', '.join(known)}")
        self.chosen = {"noun": nouns, "verb": verbs}
        self.limit = limit
        self.text_words = text_words

    def _load(self) -> TextGraph:
        texts: list[str] = []
        targets: list[int] = []
        edges: list[tuple[int, int]] = []
        labels: list[str] = []
        for part, names in self.chosen.items():
            first, known = FIRST[part]
            numbers = {first + known.index(name): len(labels) + place for place, name in enumerate(names)}
            places: dict[int, int] = {}
            above: list[tuple[int, tuple[int, ...]]] = []
            for synset in read_synsets(part, numbers, self.limit):
                places[synset.offset] = len(texts)
                above.append((len(texts), synset.hypernyms))
                texts.append(" ".join(synset.text.split()[: self.text_words]))
                targets.append(numbers[synset.file])
            edges += [(place, places[other]) for place, others in above for other in others if other in places]
            labels += [f"{part}.{name}" for name in names]
        edge_index = both_ways(torch.tensor(edges).T, len(texts))
        return TextGraph(tuple(texts), edge_index, torch.tensor(targets), tuple(labels), len(self.chosen["noun"]))


def read_synsets(part: str, files: Iterable[int], limit: int) -> list[Synset]:
    """Returns the first `limit` synsets of each of some lexicographer files, in the order of the data file.

    Args:
        part: `noun` or `verb`.
        files: Numbers of lexicographer files.
        limit: Most synsets of each.

    Raises:
        UserError: When the data file is not there, or is another one.
    """
    path = data_folder() / f"wordnet/data.{part}.gz"
    if not path.is_file():
        raise UserError(
            f"{path} is not there", f"gzip -n9 data.{part} of WordNet 3.0 ({HOME}, or the package wordnet-base) to it"
        )
    if not is_intact(path, f"sha256:{CHECKSUMS[part]}"):
        raise damaged(path)
    left = dict.fromkeys((f"{number:02d}" for number in files), limit)
    found: list[Synset] = []
    with gzip.open(io.BytesIO(content(path)), "rt", encoding="utf-8") as lines:
        for line in lines:
            number = line[9:11]  # a line of the licence begins with spaces
            if line[0] != " " and left.get(number, 0):
                left[number] -= 1
                found.append(_synset(line))
    return found


def _synset(line: str) -> Synset:
    """Returns what a line of a data file says, as wndb(5) of WordNet describes it."""
    entry, _, gloss = line.partition("|")
    fields = entry.split()
    count = int(fields[3], 16)
    words = [fields[4 + 2 * i].replace("_", " ") for i in range(count)]
    after = 4 + 2 * count
    pointers = [fields[after + 1 + 4 * i : after + 5 + 4 * i] for i in range(int(fields[after]))]
    above = tuple(int(offset) for symbol, offset, _, _ in pointers if symbol in HYPERNYMS)
    definition = gloss.partition('"')[0]  # behind it are examples
    text = " ".join(re.findall(r"[a-z0-9]+", f"{words[0]} {definition}".lower()))
    return Synset(int(fields[0]), int(fields[1]), text, above)

"""English sentences of one form, "you are not very brown", and their French.

Lake and Baroni, "Generalization without Systematicity", ICML 2018, arXiv:1711.00350, Sec. 4: a new word is seen in
"i am daxy" alone. Words are written without capitals, accents and apostrophes, as in their files: "tu n es pas tres
marron".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

Words = tuple[str, ...]

PRONOUNS = {
    "i": ("je", "am", "suis"),
    "you": ("tu", "are", "es"),
    "he": ("il", "is", "est"),
    "she": ("elle", "is", "est"),
    "we": ("nous", "are", "sommes"),
    "they": ("ils", "are", "sont"),
}
"""Pronoun -> its French, its form of "to be", and the French of that."""
VERBS = ("am", "are", "is")
ADVERBS = ("not", "very")
FUNCTION_WORDS = (*PRONOUNS, *VERBS, *ADVERBS)
NEW, NEW_FRENCH = "daxy", "daxiste"
CONTRACTED = {"m": "am", "re": "are", "s": "is", "t": "not", "isn": "is", "aren": "are"}
VOWELS = "aeiouy"
ADJECTIVES = {
    "amber": "ambre",
    "azure": "azur",
    "brown": "marron",
    "burgundy": "bordeaux",
    "chocolate": "chocolat",
    "copper": "cuivre",
    "coral": "corail",
    "emerald": "emeraude",
    "garnet": "grenat",
    "gold": "or",
    "hazel": "noisette",
    "indigo": "indigo",
    "ivory": "ivoire",
    "khaki": "kaki",
    "lemon": "citron",
    "mustard": "moutarde",
    "ochre": "ocre",
    "olive": "olive",
    "orange": "orange",
    "pistachio": "pistache",
    "plum": "prune",
    "salmon": "saumon",
    "silver": "argent",
    "turquoise": "turquoise",
}
"""Colours that are called after what has them: in French these have one form for all pronouns."""


@dataclass(frozen=True)
class Frame:
    """What a sentence says: of whom, whether "not" and "very", and which adjective; None for none, as in "you are".

    Examples:
        >>> Frame("you", negated=True, adjective="brown").french("marron")
        ('tu', 'n', 'es', 'pas', 'marron')
    """

    pronoun: str
    negated: bool = False
    intense: bool = False
    adjective: str | None = None

    @property
    def english(self) -> Words:
        """The English words."""
        adverbs = [word for word, there in zip(ADVERBS, (self.negated, self.intense), strict=True) if there]
        return (self.pronoun, PRONOUNS[self.pronoun][1], *adverbs, *([self.adjective] if self.adjective else []))

    def french(self, adjective: str | None = None) -> Words:
        """Returns the French words: "ne" is "n" in front of a vowel."""
        pronoun, _, verb = PRONOUNS[self.pronoun]
        inner = ("n" if verb[0] in VOWELS else "ne", verb, "pas") if self.negated else (verb,)
        return (pronoun, *inner, *(["tres"] if self.intense else []), *([adjective] if adjective else []))


def frames(adjective: str) -> Iterator[Frame]:
    """Yields all that can be said with an adjective, the shortest first."""
    for negated, intense in ((False, False), (True, False), (False, True), (True, True)):
        for pronoun in PRONOUNS:
            yield Frame(pronoun, negated, intense, adjective)


def beginnings() -> Iterator[tuple[Words, Words]]:
    """Yields each pronoun, and each with its verb, and their French: what these words mean is found from them."""
    for pronoun, (french, _, _) in PRONOUNS.items():
        yield (pronoun,), (french,)
    for pronoun in PRONOUNS:
        frame = Frame(pronoun)
        yield frame.english, frame.french()


def plain(line: str) -> Words:
    """Returns the words of a line: without capitals, full stop and apostrophes, and "i m" written out as "i am"."""
    for sign in "'’.":
        line = line.replace(sign, " ")
    return tuple(CONTRACTED.get(word, word) for word in line.lower().split())


def parsed(words: Words) -> Frame | None:
    """Returns the frame of an English sentence, from "you are" on; None where it has another form."""
    if len(words) < 2 or words[0] not in PRONOUNS or words[1] != PRONOUNS[words[0]][1]:
        return None
    rest = words[2:]
    negated = rest[:1] == ("not",)
    rest = rest[negated:]
    intense = rest[:1] == ("very",)
    rest = rest[intense:]
    if len(rest) != 1:
        return None if rest or negated or intense else Frame(words[0])
    return None if rest[0] in FUNCTION_WORDS else Frame(words[0], negated, intense, rest[0])


def translated(english: str, french: str) -> tuple[Frame, str] | None:
    """Returns the frame of a line and the French of its adjective; None where one of the two lines has another form.

    Examples:
        >>> translated("you re not fat .", "tu n es pas gros .")
        (Frame(pronoun='you', negated=True, intense=False, adjective='fat'), 'gros')
        >>> translated("i m cold .", "j ai froid .")
    """
    frame, words = parsed(plain(english)), plain_french(french)
    if frame is None or frame.adjective is None or not words or frame.french(words[-1]) != words:
        return None
    return frame, words[-1]


def plain_french(line: str) -> Words:
    """Returns the words of a French line, without a full stop."""
    return tuple(line.replace(".", " ").split())

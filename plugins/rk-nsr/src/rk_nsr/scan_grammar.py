"""SCAN exactly: all 20,910 commands, what they mean, and the published splits as rules.

Lake and Baroni, "Generalization without Systematicity", ICML 2018, arXiv:1711.00350; Loula, Baroni and Lake,
"Rearranging the Familiar", 2018, arXiv:1807.07545.
"""

from __future__ import annotations

from collections.abc import Callable

from rk.sampling import generator

Words = tuple[str, ...]
Pair = tuple[Words, Words]

VERBS = {"walk": ("I_WALK",), "look": ("I_LOOK",), "run": ("I_RUN",), "jump": ("I_JUMP",)}
SIDES = {"left": "I_TURN_LEFT", "right": "I_TURN_RIGHT"}
ACTIONS = ["I_WALK", "I_LOOK", "I_RUN", "I_JUMP", "I_TURN_LEFT", "I_TURN_RIGHT"]


def commands() -> list[Pair]:
    """Returns all commands with their actions (arXiv:1711.00350, Fig. 6 and 7)."""
    verbs: list[Pair] = [((verb,), actions) for verb, actions in VERBS.items()]
    phrases = list(verbs)
    for words, actions in [*verbs, (("turn",), ())]:
        for side, turn in SIDES.items():
            phrases.append(((*words, side), (turn, *actions)))
            phrases.append(((*words, "opposite", side), (turn, turn, *actions)))
            phrases.append(((*words, "around", side), (turn, *actions) * 4))
    repeated = [
        ((*words, *more), actions * times)
        for words, actions in phrases
        for more, times in (((), 1), (("twice",), 2), (("thrice",), 3))
    ]
    found = list(repeated)
    for words, actions in repeated:
        for other, others in repeated:
            found.append(((*words, "and", *other), actions + others))
            found.append(((*words, "after", *other), others + actions))
    return found


def contains(words: Words, part: str) -> bool:
    """Whether the words of `part` follow each other in `words`."""
    return f" {part} " in f" {' '.join(words)} "


def _any(words: Words, *parts: str) -> bool:
    return any(contains(words, part) for part in parts)


_RIGHTS = tuple(f"{verb} right" for verb in VERBS)
RULES: dict[str, tuple[Callable[[Pair], bool], Callable[[Pair], bool]]] = {
    "length": (lambda pair: len(pair[1]) <= 22, lambda pair: len(pair[1]) >= 24),
    "addprim-jump": (
        lambda pair: not contains(pair[0], "jump") or pair[0] == ("jump",),
        lambda pair: contains(pair[0], "jump") and pair[0] != ("jump",),
    ),
    "addprim-turn-left": (
        lambda pair: not contains(pair[0], "turn left") or pair[0] == ("turn", "left"),
        lambda pair: contains(pair[0], "turn left") and pair[0] != ("turn", "left"),
    ),
    "around-right": (
        lambda pair: not contains(pair[0], "around right"),
        lambda pair: contains(pair[0], "around right") and not contains(pair[0], "turn around right"),
    ),
    "jump-around-right": (
        lambda pair: not _any(pair[0], "jump around right", "turn around right"),
        lambda pair: contains(pair[0], "jump around right") and not contains(pair[0], "turn around right"),
    ),
    "opposite-right": (
        lambda pair: not contains(pair[0], "opposite right"),
        lambda pair: contains(pair[0], "opposite right") and not contains(pair[0], "turn opposite right"),
    ),
    "right": (
        lambda pair: not _any(pair[0], *_RIGHTS, "turn right"),
        lambda pair: _any(pair[0], *_RIGHTS) and not contains(pair[0], "turn right"),
    ),
}
"""Split -> whether a command is trained on, whether it is tested. Commands with neither are left out."""


def split(name: str, seed: int) -> tuple[list[Pair], list[Pair]]:
    """Returns the commands of a split that are trained on, each once, and those that are tested.

    Args:
        name: One of `RULES`, or ``simple``: a random 80 % and the rest.
        seed: Of ``simple``.
    """
    import torch

    pairs = commands()
    if name == "simple":
        order = torch.randperm(len(pairs), generator=generator(seed, "scan")).tolist()
        return [pairs[i] for i in order[:16728]], [pairs[i] for i in order[16728:]]
    trained, tested = RULES[name]
    return [pair for pair in pairs if trained(pair)], [pair for pair in pairs if tested(pair)]


def reordered(words: Words) -> Words:
    """Returns a command with `opposite` and `around` behind the side that they change: then trees are projective."""
    found: list[str] = []
    for word in words:
        if word in SIDES and found and found[-1] in ("opposite", "around"):
            found.insert(-1, word)
        else:
            found.append(word)
    return tuple(found)

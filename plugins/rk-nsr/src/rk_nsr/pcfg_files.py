"""The published tests of PCFG SET (MIT licence)."""

from __future__ import annotations

from rk_nsr.pcfg_grammar import Words
from rk_nsr.published import read_published

HOME = "https://raw.githubusercontent.com/i-machine-think/am-i-compositional/master/data/pcfgset"
FOLDERS = {"iid": "pcfgset", "productivity": "productivity", "systematicity": "systematicity"}
SHA256 = {
    "pcfgset/test.src": "65af9357dc169a22629456be7cf43e97e275e076db10d72202d5389be7d8c0b2",
    "pcfgset/test.tgt": "7d23524995eb28a4726b3f1ffc11daec8f13692f7f804f4be20ca1a25c941517",
    "productivity/test.src": "ba03bc5c468e955d537c06ca02c900c431a16f37b8b3f02e5eaa8a93434a3f73",
    "productivity/test.tgt": "55704b1e887ffeffb104fc1ba4bc44dd6b0e95e34a355bd07d86881fd226a254",
    "systematicity/test.src": "9c47ccf869899e65c2c2cf530403c8fefdcb5de57787c9ff029dc7d9b8018941",
    "systematicity/test.tgt": "2896474cdeb151929bd85ed10aeeca37866e11dafa00f62e1660804f0dfc5a8a",
}
"""File -> checksum of its text."""


def read_test(split: str) -> list[tuple[Words, Words]]:
    """Returns the sentences of a test and their answers. Raises `rk.UserError`."""
    sides = []
    for ending in ("src", "tgt"):
        name = f"{FOLDERS[split]}/test.{ending}"
        sides.append(read_published(f"pcfg_set/{name}", f"{HOME}/{name}", SHA256[name]))
    return [(tuple(words.split()), tuple(answer.split())) for words, answer in zip(*sides, strict=True)]

"""Sources of published texts."""

from __future__ import annotations

import bz2
import hashlib
from pathlib import Path
from typing import NamedTuple

from rk.files import damaged, data_folder, fetch, is_intact
from rk.reading import read_bytes, read_text, text_of

_EXAMPLES = "https://raw.githubusercontent.com/pytorch/examples/main"


class Source(NamedTuple):
    """A published file.

    Attributes:
        name: Path in the data folder.
        url: Its public home.
        checksum: Of its content.
    """

    name: str
    url: str
    checksum: str

    def read(self) -> str:
        """Returns the text, unpacked, downloaded if missing. Raises `rk.UserError`."""
        path = self.path()
        if path.suffix != ".bz2":
            return read_text(path)
        return text_of(bz2.decompress(read_bytes(path)), path)

    def path(self) -> Path:
        """Returns the file, downloaded if missing; a copy that was packed with gzip will do. Raises `rk.UserError`."""
        packed = data_folder() / f"{self.name}.gz"
        if packed.is_file():
            algorithm, _, expected = self.checksum.partition(":")
            if hashlib.new(algorithm, read_bytes(packed)).hexdigest() != expected:
                raise damaged(packed)
            return packed
        path = fetch(self.name, self.url, self.checksum)
        if not is_intact(path, self.checksum):
            raise damaged(path)
        return path


TINY_SHAKESPEARE = Source(
    "tinyshakespeare/input.txt",
    f"{_EXAMPLES}/distributed/minGPT-ddp/mingpt/data/input.txt",
    "sha256:86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
)
WIKITEXT_2_VALID = Source(
    "wikitext-2/valid.txt",
    f"{_EXAMPLES}/word_language_model/data/wikitext-2/valid.txt",
    "sha256:f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8",
)
WIKITEXT_2_TEST = Source(
    "wikitext-2/test.txt",
    f"{_EXAMPLES}/word_language_model/data/wikitext-2/test.txt",
    "sha256:d790b833ef8cf03a90db7bf1271b7520b83c45ce07ba3c1a9699df81e239eca0",
)
_ENWIKI = "enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.xml.bz2"
ENWIKI_PIECE = Source(
    f"enwiki-piece/{_ENWIKI}",
    f"https://raw.githubusercontent.com/piskvorky/gensim/4.4.0/gensim/test/test_data/{_ENWIKI}",
    "sha256:a53f4648dec40467ebdcbc7a1307eddb51fe6e28e9309f6ebde81ba0d04bea2d",
)

CORPORA: dict[str, tuple[Source, Source | None]] = {
    "tiny-shakespeare": (TINY_SHAKESPEARE, None),
    "wikitext-2": (WIKITEXT_2_TEST, WIKITEXT_2_VALID),
    "enwiki-piece": (ENWIKI_PIECE, None),
}
"""Name -> what is trained on, and what is held out; None: a share of the former."""

_BANKING = (
    "https://raw.githubusercontent.com/PolyAI-LDN/task-specific-datasets/57ec275d8078af65b7731c2a98be812d844a6d6b"
)
LABELLED: dict[str, dict[str, Source]] = {
    "banking77": {
        "train": Source(
            "banking77/train.csv",
            f"{_BANKING}/banking_data/train.csv",
            "sha256:b06e26ac675513959a63135f11b94ea7786ed02da65db93a5650d8838cbc664b",
        ),
        "test": Source(
            "banking77/test.csv",
            f"{_BANKING}/banking_data/test.csv",
            "sha256:d12d6e3bc4c3103966ae786dc435913c0c563dfa328f5a3646d0e62cfeeb474d",
        ),
    }
}
"""Name -> the published files of its splits."""

_AEON = (
    "https://raw.githubusercontent.com/aeon-toolkit/aeon/a101ddc8b35a65441609b45c9bcce5aeafa0c131/aeon/datasets/data"
)


def _series(name: str, train: str, test: str) -> dict[str, Source]:
    return {
        split: Source(f"ucr-uea/{name}_{what}.ts", f"{_AEON}/{name}/{name}_{what}.ts", f"sha256:{checksum}")
        for split, what, checksum in (("train", "TRAIN", train), ("test", "TEST", test))
    }


SERIES: dict[str, dict[str, Source]] = {
    "japanese-vowels": _series(
        "JapaneseVowels",
        "68a430eabd919cc77f40b1f5f3bc0dcafacc1486bca9260785aeb7d262cc78cd",
        "b3d41d6a0ca3bcad3afb9ca7d4365382aa51341e2e58bae2a574babdda5b9462",
    ),
    "gunpoint": _series(
        "GunPoint",
        "f842401779fd9800d247d8b33121a1a4643710a19b24917dbdd9a060ca8630d5",
        "79332750788a6227b325b96bd0d70130c8eb707b9731f8d7dec62b7a7d36017e",
    ),
}
"""Name -> the published files of its splits, which the UCR and UEA archives share."""

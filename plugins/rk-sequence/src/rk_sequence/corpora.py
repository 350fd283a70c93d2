"""Sources of published texts."""

from __future__ import annotations

from typing import NamedTuple

from rk.files import damaged, fetch, is_intact
from rk.reading import read_text

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
        """Returns the text, downloaded if missing. Raises `rk.UserError`."""
        path = fetch(self.name, self.url, self.checksum)
        if not is_intact(path, self.checksum):
            raise damaged(path)
        return read_text(path)


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

CORPORA: dict[str, tuple[Source, Source | None]] = {
    "tiny-shakespeare": (TINY_SHAKESPEARE, None),
    "wikitext-2": (WIKITEXT_2_TEST, WIKITEXT_2_VALID),
}
"""Name -> what is trained on, and what is held out; None: a share of the former."""

"""Data `nltk-text`: corpora of NLTK as training text for language models."""

from __future__ import annotations

import io
import zipfile
from pathlib import PurePosixPath
from typing import Any, Literal

from rk_sequence.text import Text

from rk.files import content, damaged, fetch
from rk.reading import text_of

_NLTK = "https://raw.githubusercontent.com/nltk/nltk_data/gh-pages/packages/corpora"
CORPORA = {
    "movie-reviews": ("movie_reviews", "md5:155de2b77c6834dd8eea7cbe88e93acb"),
    "sentence-polarity": ("sentence_polarity", "md5:5cdc0cae7f558040d050c90eb2b72e97"),
    "subjectivity": ("subjectivity", "md5:a81a44513903ba6bb86f85aeff149561"),
}
"""Name -> the name of the archive and its checksum (CC BY 4.0, Pang and Lee)."""


class NltkText(Text):
    """English by words from a corpus of NLTK: 1.5 million words of film reviews, or 0.2 million of sentences.

    Files are joined in the order of their names, so that classes alternate; all is in small letters. Streams, windows
    and vocabulary are those of data `text`.

    Args:
        corpus: Reviews of films (Pang and Lee, 2004), sentences from such, or sentences of reviews and of plots.

    Examples:
        data: {name: nltk-text, vocab_limit: 4000, train_limit: 300000}
    """

    def __init__(
        self,
        *,
        corpus: Literal["movie-reviews", "sentence-polarity", "subjectivity"] = "movie-reviews",
        **common: Any,
    ) -> None:
        super().__init__(unit="word", path=None, corpus="tiny-shakespeare", **common)
        self.nltk_corpus = corpus

    def _parts(self) -> tuple[list[str], list[str], list[str]]:
        tokens = self._split(corpus_text(self.nltk_corpus))
        size = round(self.held_out * len(tokens))
        return tokens[: len(tokens) - 2 * size], tokens[-2 * size : -size], tokens[-size:]


def corpus_text(name: str) -> str:
    """Returns the text of a corpus, downloaded if missing. Raises `rk.UserError`."""
    archive, checksum = CORPORA[name]
    path = fetch(f"nltk-corpora/{archive}.zip", f"{_NLTK}/{archive}.zip", checksum, verify=True)
    try:
        with zipfile.ZipFile(io.BytesIO(content(path))) as file:
            members = [
                PurePosixPath(member)
                for member in file.namelist()
                if not member.endswith(("/", "README.txt", "README"))
            ]
            texts = [
                text_of(file.read(str(member)), path)
                if name == "movie-reviews"
                else file.read(str(member)).decode("latin-1")
                for member in sorted(members, key=lambda member: (member.name, member.parent.name))
            ]
    except (zipfile.BadZipFile, KeyError):
        raise damaged(path, "it cannot be unpacked") from None
    if name != "movie-reviews":  # two files of one sentence a line, one for each class
        lines = [text.splitlines() for text in texts]
        texts = ["\n".join(pair) for pair in zip(*lines, strict=False)]
    return "\n".join(text.strip("\n") for text in texts) + "\n"

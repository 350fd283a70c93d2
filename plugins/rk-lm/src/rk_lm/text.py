"""Data `lm-text`: a text in the tokens of a pretrained language model."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypedDict, cast

import torch
from jaxtyping import Int
from rk_sequence.text import ACCEPTED, Text
from rk_sequence.vocabulary import Vocabulary
from torch import Tensor

from rk import UserError
from rk.protocols import Batch
from rk.reading import read_text
from rk_lm.load import quiet, tokenizer
from rk_lm.tiny import byte_tokenizer


class LMBatch(TypedDict):
    """Pieces of a text, and each token's next."""

    tokens: Int[Tensor, "batch time"]
    targets: Int[Tensor, "batch time"]


class TokenizerVocabulary(Vocabulary):
    """The tokens of a tokenizer, which are texts of their numbers here.

    Args:
        tokenizer: Of the transformers library.
    """

    def __init__(self, tokenizer: Any) -> None:
        super().__init__((), "char")
        self.tokenizer = tokenizer
        self.tokens = [str(token) for token in tokenizer.convert_ids_to_tokens(range(len(tokenizer)))]

    def split(self, text: str) -> list[str]:
        """Returns the numbers of a text's tokens, as texts."""
        with quiet():
            return [str(number) for number in self.tokenizer(text, add_special_tokens=False).input_ids]

    def encode(self, tokens: Iterable[str]) -> Int[Tensor, "time"]:
        """Returns the numbers of tokens that `split` gave."""
        return torch.tensor([int(token) for token in tokens], dtype=torch.int64)

    def decode(self, numbers: Iterable[int]) -> str:
        """Returns the text of token numbers."""
        found: str = self.tokenizer.decode(list(numbers))
        return found


class LMText(Text):
    """A text as contiguous streams of the tokens of a pretrained model: what `causal-lm` is trained on.

    It is cut into streams and windows as `text` is. Nothing is put before a window, as `rk analyze text-loss` measures.

    Args:
        model: Whose tokenizer it is: as of `causal-lm`.
        random_init: Takes bytes for tokens, as the tiny model of `causal-lm` does.

    Examples:
        data: {name: lm-text, model: smollm2, corpus: wikitext-2, length: 256, batch_size: 4}
    """

    def __init__(self, *, model: str = "smollm2", random_init: bool = False, **common: Any) -> None:
        super().__init__(unit="char", vocab_limit=None, **common)
        self.model = model
        self.random_init = random_init

    def prepare(self) -> None:
        self._vocabulary = self._tokenizer()
        super().prepare()

    def _tokenizer(self) -> TokenizerVocabulary:
        return TokenizerVocabulary(byte_tokenizer() if self.random_init else tokenizer(self.model))

    def _known(self, train: list[str]) -> Vocabulary:
        return self._vocabulary

    def _split(self, text: str) -> list[str]:
        vocabulary = self._vocabulary
        assert isinstance(vocabulary, TokenizerVocabulary)
        return vocabulary.split(text)

    def batch(self, split: str, i: int, stage: int = 0) -> LMBatch:  # type: ignore[override]  # it has no mask
        return cast(LMBatch, super().batch(split, i, stage))

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._vocabulary = self._tokenizer()

    def preprocessing(self) -> dict[str, Any]:
        """Returns how a text becomes ``tokens``."""
        return {"field": "tokens", "from": "text", "encoding": "utf-8", "tokenizer": self.model}

    def read(self, path: Path) -> Batch:
        """Reads a text file; the answer is the likely next tokens."""
        tokens = self._vocabulary.encode(self._split(read_text(path, ACCEPTED)))
        if not len(tokens):
            raise UserError(f"{path}: the file is empty", "give the beginning of a text")
        return {"tokens": tokens.unsqueeze(0)}

"""Frozen language models behind one interface: a run of the toolkit's own, or a pretrained one."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from jaxtyping import Float, Int
from rk_sequence.language_model import LanguageModel
from rk_sequence.vocabulary import LINE, Vocabulary
from torch import Tensor, nn

from rk import Run, UserError


class FrozenLM(Protocol):
    """A causal language model that takes embeddings.

    Attributes:
        module: The model, for moving it to a device.
        d_model: Width of an embedding.
        label: What it is, for files.
        end: Numbers of the tokens that end an answer.
    """

    module: nn.Module
    d_model: int
    label: str
    end: tuple[int, ...]

    def encode(self, text: str) -> Sequence[int]:
        """Returns the numbers of a piece of text, without tokens for its beginning or end."""
        ...

    def embed(self, tokens: Int[Tensor, "*rows"]) -> Float[Tensor, "*rows d"]:
        """Returns the embeddings of tokens."""
        ...

    def hidden(self, embedded: Float[Tensor, "batch time d"]) -> Float[Tensor, "batch time d"]:
        """Returns what the last block gives; attention is causal, so that padding behind a text changes nothing."""
        ...

    def head(self, hidden: Float[Tensor, "rows d"]) -> Float[Tensor, "rows vocab"]:
        """Returns scores of the next token."""
        ...

    def mean_embedding(self) -> Float[Tensor, "d"]:
        """Returns the mean embedding of all tokens."""
        ...


class RunLM:
    """A run of the model `language-model`, whose data reads words.

    Args:
        run: The run.

    Raises:
        UserError: When the run has another model, or data of other tokens.
    """

    def __init__(self, run: Run) -> None:
        model: Any = getattr(run.learner, "model", None)
        if not isinstance(model, LanguageModel):
            raise UserError(f"llm must be a run of the model language-model, got one of {type(model).__name__}")
        how: dict[str, Any] = getattr(run.data, "preprocessing", dict)()
        if how.get("unit") != "word":
            raise UserError("llm must be a run whose data has words for tokens", "data.unit: word")
        self.module: nn.Module = frozen(model)
        self.model = model
        self.d_model: int = model.d_model
        self.label = run.folder.label
        self._vocabulary = Vocabulary(how["vocabulary"][1:], "word")
        self.end = tuple(self._vocabulary.encode([LINE]).tolist())

    def encode(self, text: str) -> Sequence[int]:
        found: list[int] = self._vocabulary.encode(text.split()).tolist()
        return found

    def embed(self, tokens: Int[Tensor, "*rows"]) -> Float[Tensor, "*rows d"]:
        embedded: Tensor = self.model.embedding(tokens)
        return embedded

    def hidden(self, embedded: Float[Tensor, "batch time d"]) -> Float[Tensor, "batch time d"]:
        for block in self.model.blocks:
            embedded = block(embedded)
        return embedded

    def head(self, hidden: Float[Tensor, "rows d"]) -> Float[Tensor, "rows vocab"]:
        return self.model.decode(hidden)

    def mean_embedding(self) -> Float[Tensor, "d"]:
        return self.model.embedding.weight.detach().mean(0)


class PretrainedLM:
    """A pretrained causal language model, by the names that rk-lm knows: an alias, an id on the hub, or a folder.

    Args:
        name: Of the model.
        random_init: Takes a tiny random model of the same family: the mechanics without the weights.

    Raises:
        UserError: When rk-lm is not installed, or the model cannot be had.
    """

    def __init__(self, name: str, random_init: bool = False) -> None:
        try:
            from rk_lm.load import load
        except ImportError:
            raise UserError("a pretrained language model needs rk-lm", 'pip install "rk-graphgpt[lm]"') from None
        loaded = load(name, random_init=random_init)
        self.layered = loaded.layered
        self.module: nn.Module = frozen(loaded.layered)
        self.d_model = loaded.layered.d_model
        self.label = name
        self.digest = loaded.reference.digest
        self._tokenizer = loaded.tokenizer
        end = loaded.tokenizer.eos_token_id
        self.end: tuple[int, ...] = () if end is None else (int(end),)

    def encode(self, text: str) -> Sequence[int]:
        found: list[int] = self._tokenizer(text, add_special_tokens=False).input_ids
        return found

    def embed(self, tokens: Int[Tensor, "*rows"]) -> Float[Tensor, "*rows d"]:
        return self.layered.embed(tokens)

    def hidden(self, embedded: Float[Tensor, "batch time d"]) -> Float[Tensor, "batch time d"]:
        places = torch.zeros(embedded.shape[:2], dtype=torch.int64, device=embedded.device)
        context = self.layered.context(places)  # of tokens, only how many there are is looked at
        for i in range(self.layered.depth):
            embedded = self.layered.layer(i, embedded, context)
        return embedded

    def head(self, hidden: Float[Tensor, "rows d"]) -> Float[Tensor, "rows vocab"]:
        return self.layered.head(hidden)

    def mean_embedding(self) -> Float[Tensor, "d"]:
        rows = torch.arange(self.layered.n_tokens, device=self.layered.device)
        parts = [self.layered.embed(part.unsqueeze(0)).sum((0, 1)) for part in rows.split(4096)]
        return torch.stack(parts).sum(0) / len(rows)


def frozen(module: nn.Module) -> nn.Module:
    """Returns the module in eval mode, without gradients of its weights."""
    module.requires_grad_(False)
    return module.eval()


def cached(encode: Callable[[str], Sequence[int]]) -> Callable[[str], tuple[int, ...]]:
    """Returns a function that remembers the tokens of pieces of text: most occur in many prompts."""
    return functools.lru_cache(maxsize=65536)(lambda text: tuple(encode(text)))

"""The model `language-model`: `sequence` over the tokens of a text, which also continues it."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired, TypedDict

import torch
from annotated_types import Ge
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rk.protocols import Decode
from rk_sequence.model import SequenceModel

PIECE = 512
"""Steps of a prompt that are read at once."""


class LanguageOutputs(TypedDict):
    """The next token after each token, and the continuation of the text."""

    logits: Float[Tensor, "batch time outputs"]
    values: Float[Tensor, "batch time outputs"]
    continuation: NotRequired[Int[Tensor, "batch new"]]
    """Present only if requested."""


class LanguageModel(SequenceModel):
    """A `sequence` model of the next token, which continues a text token by token, from state to state.

    Args:
        layer: What mixes the steps; one is built for each block. To continue a text it must stream.
        vocab_size: Tokens.
        d_model: Width of the residual stream.
        tie: Uses the embedding as the weights of the head (arXiv:1608.05859).
        max_new_tokens: Length of a continuation.
        temperature: Divides the logits before a token is drawn: below 1 for the likely, 0 for the likeliest alone.
        top_k: Draws among so many of the likeliest tokens; null: among all.

    Examples:
        model: {name: language-model, layer: attention, num_layers: 2, mlp_ratio: 4}

        >>> from rk_sequence.attention import Attention
        >>> model = LanguageModel(vocab_size=5, layer=Attention)
        >>> model(tokens=torch.tensor([[0, 1, 2, 3]]))["logits"].shape
        torch.Size([1, 4, 5])
    """

    renamed = {"n_layers": "num_layers"}

    def __init__(
        self,
        *,
        vocab_size: int,
        d_model: Annotated[int, Ge(1)] = 128,
        tie: bool = True,
        max_new_tokens: Decode[Annotated[int, Ge(1)]] = 200,
        temperature: Decode[Annotated[float, Ge(0)]] = 1.0,
        top_k: Decode[Annotated[int, Ge(1)] | None] = None,
        **stack: Any,
    ) -> None:
        super().__init__(
            vocab_size=vocab_size,
            num_features=None,
            num_outputs=vocab_size,
            readout="step",
            d_model=d_model,
            tie=tie,
            **stack,
        )
        self.max_new_tokens = max_new_tokens
        self.temperature = temperature
        self.top_k = top_k

    def predict(
        self,
        *,
        tokens: Int[Tensor, "batch time"],
        mask: Bool[Tensor, "batch time"] | None = None,
        continue_meta: bool = False,
    ) -> LanguageOutputs:
        """Returns the scores of what comes next after each token.

        With `continue_meta`, it returns a continuation, and the scores behind the last token alone.
        """
        if not continue_meta:
            outputs = self.forward(tokens=tokens, mask=mask)
            return {"logits": outputs["logits"], "values": outputs["values"]}
        logits, state = self._read_prompt(tokens, mask)
        last = logits.unsqueeze(1)
        drawn: list[Tensor] = []
        for _ in range(self.max_new_tokens):
            drawn.append(self._draw(logits))
            following, state = self.scan(state=state, tokens=drawn[-1])
            logits = following["logits"][:, -1]
        return {"logits": last, "values": last, "continuation": torch.cat(drawn, 1)}

    def _read_prompt(
        self, tokens: Int[Tensor, "batch time"], mask: Bool[Tensor, "batch time"] | None
    ) -> tuple[Float[Tensor, "batch tokens"], Any]:
        """Returns the scores behind the last step that exists of each prompt, and the state there.

        Prompts are read in pieces, of which only the last step's scores are kept: a long prompt needs no more memory
        than the layers' own state.
        """
        state = self.initial_state(tokens.shape[0])
        logits: Tensor | None = None
        for start in range(0, tokens.shape[1], PIECE):
            span = slice(start, start + PIECE)
            part = None if mask is None else mask[:, span]
            outputs, state = self.scan(state=state, tokens=tokens[:, span], mask=part)
            found = outputs["logits"][:, -1]
            if part is not None:
                last = part.cumsum(1).argmax(1)  # of equal numbers the first: the last step that exists
                found = outputs["logits"][torch.arange(len(last), device=last.device), last]
                if logits is not None:
                    found = torch.where(part.any(1, keepdim=True), found, logits)
            logits = found
        if logits is None:
            raise ValueError("a prompt must have at least one token")
        return logits, state

    def _draw(self, logits: Float[Tensor, "batch tokens"]) -> Int[Tensor, "batch 1"]:
        if self.temperature == 0:
            return logits.argmax(-1, keepdim=True)
        if self.top_k is not None and self.top_k < logits.shape[-1]:
            least = logits.topk(self.top_k, dim=-1).values[:, -1:]
            logits = logits.masked_fill(logits < least, -torch.inf)
        return (logits / self.temperature).softmax(-1).multinomial(1)

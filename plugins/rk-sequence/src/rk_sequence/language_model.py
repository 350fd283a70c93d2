"""The model `language-model`: `sequence` over the tokens of a text, which also continues it."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired, TypedDict

from annotated_types import Ge
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rk.protocols import Decode
from rk_sequence.generation import continued
from rk_sequence.model import SequenceModel


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
        last, drawn = continued(self, tokens, mask, self.max_new_tokens, self.temperature, self.top_k)
        return {"logits": last, "values": last, "continuation": drawn}

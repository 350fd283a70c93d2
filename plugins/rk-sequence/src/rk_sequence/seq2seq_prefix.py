"""Model `seq2seq-prefix`: one causal stack of any layer reads the input and writes on: a prefix language model."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from annotated_types import Ge
from jaxtyping import Float, Int
from torch import Tensor

from rk.fields import SequencePairOutputs
from rk_sequence.fields import DecodedAnswers
from rk_sequence.model import SequenceModel
from rk_sequence.seq2seq import before, greedy, present


class Seq2SeqPrefix(SequenceModel):
    """A `sequence` model over the input, a separator and the answer, which is scored and decoded alone.

    So any sequence layer answers what `seq2seq-transformer` does. Tokens of inputs and of answers have embeddings
    apart; the separator is the token that ends an answer. Layers must be causal, and stream: the answer is decoded from
    state to state.

    Args:
        layer: What mixes the steps; one is built for each block.
        vocab_size: Tokens of inputs; a fact of the data.
        num_outputs: Tokens of answers, the one that ends them included; a fact of the data.
        max_answer: Most tokens that are decoded.

    Examples:
        model: {name: seq2seq-prefix, layer: attention, num_layers: 2, mlp_ratio: 4}

        >>> from rk_sequence.attention import Attention
        >>> model = Seq2SeqPrefix(layer=Attention, vocab_size=5, num_outputs=3)
        >>> tokens, lengths = torch.zeros(2, 4, dtype=torch.long), torch.tensor([4, 2])
        >>> model(tokens=tokens, lengths=lengths, targets=torch.tensor([[1, 2, 0], [1, 0, -100]]))["logits"].shape
        torch.Size([2, 3, 3])
    """

    def __init__(
        self, *, vocab_size: int, num_outputs: int, max_answer: Annotated[int, Ge(1)] = 64, **stack: Any
    ) -> None:
        super().__init__(
            vocab_size=vocab_size + num_outputs,
            num_features=None,
            num_outputs=num_outputs,
            readout="step",
            tie=False,
            **stack,
        )
        self.max_answer = max_answer
        self.inputs = vocab_size

    def forward(  # type: ignore[override]  # it takes pairs of sequences
        self,
        *,
        tokens: Int[Tensor, "batch time"],
        targets: Int[Tensor, "batch target_time"],
        lengths: Int[Tensor, "batch"] | None = None,
    ) -> SequencePairOutputs:
        """Returns logits of (batch, target_time, num_outputs), each token given the input and the answer before it."""
        hidden, context = self.enter(tokens=tokens, targets=targets, lengths=lengths)
        for block in self.blocks:
            hidden = block(hidden, *context)
        return self.leave(hidden, tokens=tokens)

    def enter(  # type: ignore[override]  # it takes pairs of sequences
        self,
        *,
        tokens: Int[Tensor, "batch time"],
        targets: Int[Tensor, "batch target_time"],
        lengths: Int[Tensor, "batch"] | None = None,
    ) -> tuple[Float[Tensor, "batch steps d_model"], tuple[Tensor | None]]:
        """Returns the embedded input and answer, and the mask of their steps; None where all exist."""
        steps = torch.cat([tokens, before(targets) + self.inputs], 1)
        if lengths is None:
            return self.embed(steps), (None,)
        # padding of answers is behind all that is asked for: only that of inputs is between steps that exist
        mask = torch.cat([present(tokens, lengths), torch.ones_like(targets, dtype=torch.bool)], 1)
        return self.embed(steps), (mask,)

    def leave(  # type: ignore[override]  # it takes pairs of sequences
        self, hidden: Float[Tensor, "batch steps d_model"], *, tokens: Int[Tensor, "batch time"]
    ) -> SequencePairOutputs:
        """Returns the scores of the answer's tokens."""
        return {"logits": self.decode(hidden[:, tokens.shape[1] :])}

    def predict(
        self, *, tokens: Int[Tensor, "batch time"], lengths: Int[Tensor, "batch"] | None = None
    ) -> DecodedAnswers:
        """Returns the answers, the likeliest token at each step.

        Raises:
            UserError: When a layer does not stream.
        """
        start = self.initial_state(len(tokens))
        _, state = self.scan(state=start, tokens=tokens, mask=None if lengths is None else present(tokens, lengths))

        def step(last: Tensor, state: dict[str, Any]) -> tuple[Tensor, dict[str, Any]]:
            outputs, state = self.scan(state=state, tokens=last + self.inputs)
            return outputs["logits"], state

        return {"decoded": greedy(step, state, len(tokens), self.max_answer, tokens.device)}

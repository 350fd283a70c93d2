"""Model `seq2seq-lstm`: an LSTM reads, another writes."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge, Lt
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from rk import UserError
from rk.fields import SequencePairOutputs
from rk_sequence.fields import DecodedAnswers
from rk_sequence.seq2seq import before, greedy, present

LSTMState = tuple[Float[Tensor, "layers batch hidden"], Float[Tensor, "layers batch hidden"]]


class Seq2SeqLSTM(nn.Module):
    """An LSTM reads the input, another writes the answer and attends to it (Luong et al., arXiv:1508.04025).

    Args:
        vocab_size: Tokens of inputs; a fact of the data.
        num_outputs: Tokens of answers, the one that ends them included; a fact of the data.
        hidden_size: Width of embeddings and of both LSTMs.
        num_layers: Layers of both.
        dropout: Of embeddings, and between layers.
        attention: Whether the decoder attends to the encoder's states; else it has the last ones alone.
        max_answer: Most tokens that are decoded.

    Examples:
        model: {name: seq2seq-lstm, hidden_size: 128}

        >>> model = Seq2SeqLSTM(vocab_size=5, num_outputs=3)
        >>> tokens, lengths = torch.zeros(2, 4, dtype=torch.long), torch.tensor([4, 2])
        >>> model(tokens=tokens, lengths=lengths, targets=torch.tensor([[1, 2, 0], [1, 0, -100]]))["logits"].shape
        torch.Size([2, 3, 3])
    """

    def __init__(
        self,
        vocab_size: int,
        num_outputs: int,
        hidden_size: Annotated[int, Ge(1)] = 128,
        num_layers: Annotated[int, Ge(1)] = 1,
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.1,
        attention: bool = True,
        max_answer: Annotated[int, Ge(1)] = 64,
    ) -> None:
        super().__init__()
        self.max_answer = max_answer
        self.attention = attention
        between = dropout if num_layers > 1 else 0.0
        self.source = nn.Embedding(vocab_size, hidden_size)
        self.target = nn.Embedding(num_outputs, hidden_size)
        self.encoder = nn.LSTM(hidden_size, hidden_size, num_layers, batch_first=True, dropout=between)
        self.decoder = nn.LSTM(hidden_size, hidden_size, num_layers, batch_first=True, dropout=between)
        self.mix = nn.Linear(2 * hidden_size, hidden_size) if attention else None
        self.head = nn.Linear(hidden_size, num_outputs)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        *,
        tokens: Int[Tensor, "batch time"],
        targets: Int[Tensor, "batch target_time"],
        lengths: Int[Tensor, "batch"] | None = None,
    ) -> SequencePairOutputs:
        """Returns logits of (batch, target_time, num_outputs), each token given those of the answer before it."""
        read, state = self._encode(tokens, lengths)
        logits, _ = self._decode(before(targets), read, tokens, lengths, state)
        return {"logits": logits}

    def predict(
        self, *, tokens: Int[Tensor, "batch time"], lengths: Int[Tensor, "batch"] | None = None
    ) -> DecodedAnswers:
        """Returns the answers, the likeliest token at each step."""
        read, state = self._encode(tokens, lengths)

        def step(last: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
            return self._decode(last, read, tokens, lengths, state)

        return {"decoded": greedy(step, state, len(tokens), self.max_answer, tokens.device)}

    def cross_attention(
        self,
        *,
        tokens: Int[Tensor, "batch time"],
        targets: Int[Tensor, "batch target_time"],
        lengths: Int[Tensor, "batch"] | None = None,
    ) -> Float[Tensor, "batch 1 1 target_time time"]:
        """Returns where each token of the answers looks; see `rk_sequence.seq2seq.CrossAttends`.

        Raises:
            UserError: Without `attention`.
        """
        if self.mix is None:
            raise UserError("this model has no attention", "train one with model.attention=true")
        read, state = self._encode(tokens, lengths)
        written, _ = self.decoder(self.target(before(targets)), state)
        return self._weights(written, read, tokens, lengths)[:, None, None]

    def _encode(self, tokens: Tensor, lengths: Tensor | None) -> tuple[Tensor, LSTMState]:
        if lengths is None:
            read, state = self.encoder(self.dropout(self.source(tokens)))
            return read, state
        packed = pack_padded_sequence(
            self.dropout(self.source(tokens)), lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        read, state = self.encoder(packed)
        padded, _ = pad_packed_sequence(read, batch_first=True, total_length=tokens.shape[1])
        return padded, state

    def _decode(
        self, last: Tensor, read: Tensor, tokens: Tensor, lengths: Tensor | None, state: LSTMState
    ) -> tuple[Tensor, LSTMState]:
        written, state = self.decoder(self.dropout(self.target(last)), state)
        if self.mix is not None:
            weights = self._weights(written, read, tokens, lengths)
            written = self.mix(torch.cat([written, weights @ read], -1)).tanh()
        return self.head(written), state

    def _weights(self, written: Tensor, read: Tensor, tokens: Tensor, lengths: Tensor | None) -> Tensor:
        scores = written @ read.mT
        return scores.masked_fill(~present(tokens, lengths)[:, None], -torch.inf).softmax(-1)

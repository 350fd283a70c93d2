"""Model `lstm-seq2seq`: an encoder and a decoder, the baseline of sequence-to-sequence tasks."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge, Lt
from jaxtyping import Int
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence

from rk.fields import IGNORED, SequencePairOutputs
from rk_nsr.fields import END, Decoded


class LstmSeq2Seq(nn.Module):
    """An LSTM reads the sentence, another writes the answer and attends to it (Luong et al., arXiv:1508.04025).

    Args:
        vocab_size: Symbols of sentences; a fact of the data.
        num_outputs: Tokens of answers, the one that ends them included; a fact of the data.
        hidden_size: Width of embeddings and of both LSTMs.
        num_layers: Layers of both.
        dropout: Of embeddings, and between layers.
        attention: Whether the decoder attends to the encoder's states; else it has the last ones alone.
        max_answer: Most tokens that are decoded.

    Examples:
        model: {name: lstm-seq2seq, hidden_size: 128}

        >>> model = LstmSeq2Seq(vocab_size=5, num_outputs=3)
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
        lengths: Int[Tensor, "batch"],
        targets: Int[Tensor, "batch target_time"],
    ) -> SequencePairOutputs:
        """Returns logits of (batch, target_time, num_outputs), each token given those of the answer before it."""
        read, state = self._encode(tokens, lengths)
        before = functional.pad(targets, (1, -1), value=END).clamp(min=END)
        logits, _ = self._decode(before, read, lengths, state)
        return {"logits": logits}

    def predict(self, *, tokens: Int[Tensor, "batch time"], lengths: Int[Tensor, "batch"]) -> Decoded:
        """Returns the answers, the likeliest token at each step."""
        read, state = self._encode(tokens, lengths)
        last = torch.full((len(tokens), 1), END, device=tokens.device)
        ended = torch.zeros(len(tokens), dtype=torch.bool, device=tokens.device)
        found = []
        for _ in range(self.max_answer):
            logits, state = self._decode(last, read, lengths, state)
            last = logits.argmax(-1)
            found.append(last.masked_fill(ended[:, None], IGNORED))
            ended |= last[:, 0] == END
            if ended.all():
                break
        return {"decoded": torch.cat(found, 1)}

    def _encode(self, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        packed = pack_padded_sequence(
            self.dropout(self.source(tokens)), lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        read, state = self.encoder(packed)
        padded, _ = nn.utils.rnn.pad_packed_sequence(read, batch_first=True, total_length=tokens.shape[1])
        return padded, state

    def _decode(
        self, before: Tensor, read: Tensor, lengths: Tensor, state: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        written, state = self.decoder(self.dropout(self.target(before)), state)
        if self.mix is not None:
            scores = written @ read.mT
            absent = torch.arange(read.shape[1], device=read.device) >= lengths[:, None]
            weights = scores.masked_fill(absent[:, None], -torch.inf).softmax(-1)
            written = self.mix(torch.cat([written, weights @ read], -1)).tanh()
        return self.head(written), state

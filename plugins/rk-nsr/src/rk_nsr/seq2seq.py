"""Model `lstm-seq2seq`: the earlier name of `seq2seq-lstm`, which rk-sequence has."""

from __future__ import annotations

from rk_sequence.seq2seq_lstm import Seq2SeqLSTM


class LstmSeq2Seq(Seq2SeqLSTM):
    """The model `seq2seq-lstm` of rk-sequence under its earlier name, by which recipes and stored runs know it.

    Examples:
        model: {name: lstm-seq2seq, hidden_size: 128}

        >>> model = LstmSeq2Seq(vocab_size=5, num_outputs=3)
        >>> tokens, lengths = torch.zeros(2, 4, dtype=torch.long), torch.tensor([4, 2])
        >>> model(tokens=tokens, lengths=lengths, targets=torch.tensor([[1, 2, 0], [1, 0, -100]]))["logits"].shape
        torch.Size([2, 3, 3])
    """

"""The paper's decoder and its two baselines: where the scores of the next choice come from.

All three have one interface. ``memory = decoder.memory(encoded, exists)`` is computed once per sequence;
``decoder(inputs, state, memory)`` scores every step of known answers (teacher forcing); ``decoder.step(...)`` scores
one step of several beams, for `rk_pointer_net.decode`. Choice 0 is END, choice j is point j.
"""

# b batch, n points, m steps, k beams, w input width, h hidden, c choices

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from rk_pointer_net.attention import AdditivePointer, DotPointer

State = tuple[Tensor, ...]
"""Tensors (b, k, h): hidden and cell state, and the context d' where a decoder feeds it back."""


Pointer = AdditivePointer | DotPointer
"""A head that scores encoder states."""


class PointerDecoder(nn.Module):
    """Ptr-Net: the attention over the input is the output distribution, so there is no dictionary (Sec. 2.3).

    Args:
        input_size: Width of the decoder's inputs.
        hidden_size: Width of the encoder and the decoder.
        pointer: The head that scores encoder states, of `rk_pointer_net.attention`.
    """

    def __init__(self, input_size: int, hidden_size: int, pointer: Pointer) -> None:
        super().__init__()
        self.lstm = nn.LSTM(input_size, hidden_size, batch_first=True)
        self.pointer = pointer
        self.end = nn.Parameter(torch.zeros(hidden_size))  # e_0: END needs its own key to be pointed at

    def memory(self, encoded: Float[Tensor, "b n h"], exists: Bool[Tensor, "b n"] | None) -> Float[Tensor, "b c h"]:
        """Returns the keys ``W_1 e_j``, END first."""
        end = self.end.expand(encoded.shape[0], 1, -1)
        return self.pointer.keys(torch.cat([end, encoded], 1))

    def forward(self, inputs: Float[Tensor, "b m w"], state: State, memory: Tensor) -> Float[Tensor, "b m c"]:
        """Scores all steps: the inputs are known, so all of ``W_2 d_i`` is one product."""
        return self.pointer(memory, _lstm_all(self.lstm, inputs, state))  # u^i, of which p(C_i) is the softmax

    def step(self, inputs: Float[Tensor, "b k w"], state: State, memory: Tensor) -> tuple[Tensor, State]:
        """Scores one step."""
        state = _lstm_step(self.lstm, inputs, state)
        return self.pointer(memory, state[0]), state


class AttentionDecoder(nn.Module):
    """Baseline: content attention over the input, then a fixed dictionary (Bahdanau et al.; the paper's Sec. 2.2).

    Args:
        input_size: Width of the decoder's inputs.
        hidden_size: Width of the encoder and the decoder.
        pointer: The head that scores encoder states, of `rk_pointer_net.attention`.
        choices: Size of the dictionary, END included.
    """

    class Memory(NamedTuple):
        """The keys and values of the attention."""

        keys: Float[Tensor, "b n h"]
        values: Float[Tensor, "b n h"]
        exists: Bool[Tensor, "b n"] | None

    def __init__(self, input_size: int, hidden_size: int, pointer: Pointer, choices: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(input_size + hidden_size, hidden_size, batch_first=True)
        self.pointer = pointer
        self.dictionary = nn.Linear(2 * hidden_size, choices)

    def memory(self, encoded: Float[Tensor, "b n h"], exists: Bool[Tensor, "b n"] | None) -> Memory:
        """Returns the keys ``W_1 e_j``, the encoder states and which of them exist."""
        return self.Memory(self.pointer.keys(encoded), encoded, exists)

    def forward(self, inputs: Float[Tensor, "b m w"], state: State, memory: Memory) -> Float[Tensor, "b m c"]:
        """Scores all steps, one after the other: the context of a step is an input of the next."""
        decoded = []
        for x in inputs.split(1, dim=1):
            both, state = self._attend(x, state, memory)
            decoded.append(both)
        return self.dictionary(torch.cat(decoded, 1))

    def step(self, inputs: Float[Tensor, "b k w"], state: State, memory: Memory) -> tuple[Tensor, State]:
        """Scores one step."""
        both, state = self._attend(inputs, state, memory)
        return self.dictionary(both), state

    def _attend(self, x: Float[Tensor, "b k w"], state: State, memory: Memory) -> tuple[Tensor, State]:
        hidden, cell, *context = state
        # The paper feeds [d; d'] to the next step; d gets there as the LSTM's own state, so d' is what to add
        fed_back = context[0] if context else torch.zeros_like(hidden)
        hidden, cell = _lstm_step(self.lstm, torch.cat([x, fed_back], -1), (hidden, cell))
        scores = self.pointer(memory.keys, hidden)
        if memory.exists is not None:
            scores = scores.masked_fill(~memory.exists.unsqueeze(1), -torch.inf)
        fed_back = scores.softmax(-1) @ memory.values  # a^i = softmax(u^i), d'_i = sum_j a_j^i e_j
        return torch.cat([hidden, fed_back], -1), (hidden, cell, fed_back)


class Seq2SeqDecoder(nn.Module):
    """Baseline: the decoder's state alone, then a fixed dictionary (Sutskever et al.; the paper's Sec. 2.1).

    Args:
        input_size: Width of the decoder's inputs.
        hidden_size: Width of the encoder and the decoder.
        choices: Size of the dictionary, END included.
    """

    def __init__(self, input_size: int, hidden_size: int, choices: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(input_size, hidden_size, batch_first=True)
        self.dictionary = nn.Linear(hidden_size, choices)

    def memory(self, encoded: Float[Tensor, "b n h"], exists: Bool[Tensor, "b n"] | None) -> None:
        """Returns nothing: all that is known of the input is the first state."""

    def forward(self, inputs: Float[Tensor, "b m w"], state: State, memory: None) -> Float[Tensor, "b m c"]:
        """Scores all steps."""
        return self.dictionary(_lstm_all(self.lstm, inputs, state))

    def step(self, inputs: Float[Tensor, "b k w"], state: State, memory: None) -> tuple[Tensor, State]:
        """Scores one step."""
        state = _lstm_step(self.lstm, inputs, state)
        return self.dictionary(state[0]), state


def _lstm_all(lstm: nn.LSTM, inputs: Float[Tensor, "b m w"], state: State) -> Float[Tensor, "b m h"]:
    hidden, cell = (tensor.transpose(0, 1) for tensor in state)  # (b, 1, h) -> (layers, b, h)
    return lstm(inputs, (hidden, cell))[0]


def _lstm_step(lstm: nn.LSTM, inputs: Float[Tensor, "b k w"], state: State) -> State:
    """One step of a one-layer LSTM, beams as rows: a third of the time of a sequence of length one."""
    hidden, cell = (tensor.flatten(end_dim=1) for tensor in state)
    hidden, cell = torch.lstm_cell(inputs.flatten(end_dim=1), (hidden, cell), *lstm_weights(lstm))
    return hidden.view_as(state[0]), cell.view_as(state[1])


def lstm_weights(lstm: nn.LSTM) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns the weights of the first layer, as `torch.lstm_cell` takes them."""
    read = lstm.get_parameter
    return read("weight_ih_l0"), read("weight_hh_l0"), read("bias_ih_l0"), read("bias_hh_l0")

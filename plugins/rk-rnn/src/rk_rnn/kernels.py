"""torch's fused kernels (oneDNN, cuDNN, or its own C++ loop), as functions of a layer's own weights.

`torch.nn.LSTM` keeps a list of its weights beside its parameters, which goes stale when a mask or any other
parametrization takes their place. Functions read the parameters as they are at the call. cuDNN then copies them into
one piece of memory at each call; they are small beside the steps.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

# cuDNN's warning of that copy asks for a method that only torch's own modules have
warnings.filterwarnings("ignore", message="RNN module weights are not part of single contiguous chunk of memory")


def unrolled(kernel: Callable[..., tuple[Tensor, ...]], x: Tensor, state: Any, weights: tuple[Tensor, ...]) -> Any:
    """Runs one of torch's recurrent functions: one layer, one direction, batch first.

    Args:
        kernel: `torch.rnn_tanh`, `torch.rnn_relu`, `torch.gru` or `torch.lstm`.
        x: (batch, time, features).
        state: (1, batch, hidden), or for `torch.lstm` two of them.
        weights: Input to gates, state to gates, and both biases, in torch's shapes.

    Returns:
        The hidden vectors, (batch, time, hidden), and the last state or states.
    """
    # cuDNN goes backward only through what it has computed for training, whichever mode the module is in
    training = torch.is_grad_enabled()
    state = tuple(s.contiguous() for s in state) if isinstance(state, tuple) else state.contiguous()  # or refuses it
    return kernel(x, state, weights, True, 1, 0.0, training, False, True)

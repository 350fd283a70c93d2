"""The starting weights of the paper's Table 1, as standard deviations of a normal distribution."""

from __future__ import annotations

import math
from typing import Literal

Init = Literal["simple", "sussillo", "he", "xavier", "zero"]


def weight_std(init: Init, fan_in: int, fan_out: int, init_std: float) -> float:
    """Returns the standard deviation of a layer's starting weights, whose mean is 0.

    Args:
        init: `simple`, a fixed one; `sussillo`, the random-walk initialisation (Sussillo and Abbott, arXiv:1412.6558);
            `he` (He et al., arXiv:1502.01852, Eq. 10); `xavier` (Glorot and Bengio, AISTATS 2010, Eq. 12); or `zero`.
        fan_in: Inputs of the layer.
        fan_out: Outputs of the layer.
        init_std: That of `simple`.
    """
    match init:
        case "zero":
            return 0.0
        case "simple":
            return init_std
        case "he":
            return math.sqrt(2 / fan_in)
        case "xavier":
            return math.sqrt(2 / (fan_in + fan_out))
        case "sussillo":  # weights of g / sqrt(N), with their g for ReLU
            return math.sqrt(2) * math.exp(1.2 / (max(fan_in, 6) - 2.4)) / math.sqrt(fan_in)

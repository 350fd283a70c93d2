"""What an ensemble of infinitely wide networks answers to a vector of bits, in closed form.

Two-layer relu networks without biases, trained on the k basis vectors until the loss is zero; Giapitzakis et al. 2025,
arXiv:2502.16763, whose permutation only renames the outputs. An input has unit length and `ones` ones. All follows from
the angle between it and a basis vector: cos = 1 / sqrt(ones) where it has a one, and 0 elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Parametrization = Literal["ntk", "standard"]
"""``ntk``: all layers learn. ``standard``: at one rate and infinite width, the last layer learns alone."""

ORTHOGONAL = 1 / (2 * math.pi)
"""Both kernels of two orthogonal unit vectors, times k."""


@dataclass(frozen=True)
class Limit:
    """The distribution of one network's answer, over its first weights.

    Attributes:
        mean_1: Of an output that should be one.
        mean_0: Of an output that should be zero.
        variance: Of any output; outputs are independent.
    """

    mean_1: float
    mean_0: float
    variance: float


def nngp(cosine: float) -> float:
    """Returns k times the covariance of two unit vectors' outputs before training, relu."""
    angle = math.acos(cosine)
    return (math.sin(angle) + (math.pi - angle) * cosine) / (2 * math.pi)


def ntk(cosine: float) -> float:
    """Returns k times the tangent kernel of two unit vectors, relu."""
    angle = math.acos(cosine)
    return (math.sin(angle) + 2 * (math.pi - angle) * cosine) / (2 * math.pi)


def limit(bits: int, ones: int, parametrization: Parametrization = "ntk") -> Limit:
    """Returns the limit for inputs of `bits` bits of which `ones` are one: arXiv:2502.16763.

    The training kernel is a I + b 11', so that its inverse is (I - b / (a + k b) 11') / a (Sherman and Morrison). With
    one one, the input is a training vector, and the answer is exact.

    Raises:
        ValueError: When `ones` is not between 1 and `bits`.

    Examples:
        >>> found = limit(5, 2)
        >>> f"{found.mean_1:.5f} {found.mean_0:.5f} {found.variance ** 0.5:.5f}"
        '0.56063 -0.01464 0.11504'
    """
    if not 1 <= ones <= bits:
        raise ValueError(f"ones must be between 1 and bits, which is {bits}, got {ones}")
    learning: Callable[[float], float] = ntk if parametrization == "ntk" else nngp
    cosine, b, zeros = 1 / math.sqrt(ones), ORTHOGONAL, bits - ones
    a, inside = learning(1.0) - b, learning(cosine)
    correction = b * (ones * inside + zeros * b) / (a + bits * b)
    w1, w0 = (inside - correction) / a, (b - correction) / a  # the input's row of N_xX N^-1
    spread, total = ones * w1**2 + zeros * w0**2, ones * w1 + zeros * w0
    trained = (nngp(1.0) - b) * spread + b * total**2
    crossed = ones * w1 * nngp(cosine) + zeros * w0 * b
    return Limit(w1, w0, (nngp(1.0) + trained - 2 * crossed) / bits)


def exact_match(bits: int, ones: int, members: float, parametrization: Parametrization = "ntk") -> float:
    """Returns the probability that all signs of the mean over so many members are right: arXiv:2502.16763.

    Examples:
        >>> f"{exact_match(5, 2, 205):.3f}"
        '0.901'
    """
    found = limit(bits, ones, parametrization)
    scale = math.sqrt(members / found.variance) if found.variance > 1e-12 else math.inf
    zeros = bits - ones
    right_1 = normal_cdf(found.mean_1 * scale) ** ones
    return right_1 * normal_cdf(-found.mean_0 * scale) ** zeros if zeros and ones > 1 else right_1


def members_needed(bits: int, ones: int, accuracy: float = 0.9, parametrization: Parametrization = "ntk") -> int:
    """Returns the fewest members with which an input of so many ones is answered exactly with that probability.

    Examples:
        >>> members_needed(30, 2), members_needed(30, 2, parametrization="standard")
        (840, 190)
    """
    return fewest(lambda members: exact_match(bits, ones, members, parametrization) >= accuracy)


def members_for_all(bits: int, accuracy: float = 0.9, parametrization: Parametrization = "ntk") -> int:
    """Returns members with which all 2^bits - 1 inputs are exact at once with that probability, by the union bound."""

    def enough(members: int) -> bool:
        wrong = (
            math.comb(bits, ones) * (1 - exact_match(bits, ones, members, parametrization))
            for ones in range(2, bits + 1)
        )
        return sum(wrong) <= 1 - accuracy

    return fewest(enough)


def fewest(enough: Callable[[int], bool]) -> int:
    """Returns the smallest number from 1 that is enough; `enough` stays true once it is."""
    high = 1
    while not enough(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def normal_cdf(x: float) -> float:
    """Returns the standard normal distribution function."""
    return 0.5 * math.erfc(-x / math.sqrt(2))

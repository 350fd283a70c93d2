"""A stack of dilated causal convolutions, channel by channel: as it is written, and as one long filter."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

# b batch, t time, c channels, n depth of the stack, k taps of a convolution, r receptive field

History = tuple[Tensor, ...]
"""Of each convolution the inputs that it still sees, (b, (k - 1) dilation^i, c)."""


def receptive_field(taps: int, dilation: int, depth: int) -> int:
    """Returns how many steps an output of the stack sees: ``1 + (k - 1) (f^n - 1) / (f - 1)``.

    Examples:
        >>> receptive_field(4, 4, 3)
        64
    """
    return 1 + (taps - 1) * sum(dilation**i for i in range(depth))


def histories(weight: Float[Tensor, "n c k"], dilation: int, batch_size: int) -> History:
    """Returns what the convolutions see before the first step: zeros."""
    depth, channels, taps = weight.shape
    return tuple(weight.new_zeros(batch_size, (taps - 1) * dilation**i, channels) for i in range(depth))


def dilated_stack(
    x: Float[Tensor, "b t c"],
    weight: Float[Tensor, "n c k"],
    dilation: int,
    history: History | None = None,
    count: Int[Tensor, "b"] | None = None,
) -> tuple[Float[Tensor, "b t c"], History]:
    """Returns the outputs of the stack, and what it still sees after the last step.

    The i-th convolution has the dilation ``f^i``. Tap j of it is multiplied by the input of ``j f^i`` steps ago.

    Args:
        x: The inputs.
        weight: Of each convolution.
        dilation: f.
        history: What it sees before the first step; None: zeros.
        count: How many steps of each row exist, those that do first; None: all.
    """
    history = histories(weight, dilation, len(x)) if history is None else history
    ends = torch.full((len(x),), x.shape[1], device=x.device) if count is None else count
    after = []
    for i, (taps, before) in enumerate(zip(weight.flip(-1), history, strict=True)):  # the oldest input comes first
        seen = torch.cat([before, x], 1)
        place = ends.unsqueeze(1) + torch.arange(before.shape[1], device=x.device)
        after.append(seen.gather(1, place.unsqueeze(-1).expand(-1, -1, x.shape[2])))
        x = F.conv1d(seen.mT, taps.unsqueeze(1), dilation=dilation**i, groups=len(taps)).mT
    return x, tuple(after)


def shifted_stack(x: Float[Tensor, "b t c"], weight: Float[Tensor, "n c k"], dilation: int) -> Float[Tensor, "b t c"]:
    """Returns the outputs of `dilated_stack` for a whole sequence, as sums of shifted inputs.

    Taps that see nothing but the zeros before a short sequence cost nothing.

    Args:
        x: The inputs.
        weight: Of each convolution.
        dilation: f.
    """
    for i, taps in enumerate(weight):
        y = x * taps[:, 0]
        for j in range(1, taps.shape[1]):
            ago = j * dilation**i
            if ago < x.shape[1]:
                y = y + F.pad(x[:, :-ago] * taps[:, j], (0, 0, ago, 0))
        x = y
    return x


def long_filter(weight: Float[Tensor, "n c k"], dilation: int) -> Float[Tensor, "c r"]:
    """Returns the one filter that the stack is: entry s is multiplied by the input of s steps ago."""
    found = weight.new_ones(weight.shape[1], 1)
    for i, taps in enumerate(weight):
        spread = weight.new_zeros(len(taps), (taps.shape[1] - 1) * dilation**i + 1)
        spread[:, :: dilation**i] = taps
        # the convolution of two filters, channel by channel
        padded = F.pad(found, (spread.shape[1] - 1, spread.shape[1] - 1)).unsqueeze(0)
        found = F.conv1d(padded, spread.flip(-1).unsqueeze(1), groups=len(taps)).squeeze(0)
    return found


def causal_filter(x: Float[Tensor, "b t c"], kernel: Float[Tensor, "c r"]) -> Float[Tensor, "b t c"]:
    """Returns ``y_t = sum_s kernel_s x_{t-s}`` of each channel, by FFT."""
    t = x.shape[1]
    size = 1 << (t + min(t, kernel.shape[1]) - 2).bit_length() if t > 1 else 1
    spectrum = torch.fft.rfft(x, n=size, dim=1) * torch.fft.rfft(kernel[:, :t], n=size, dim=1).mT
    return torch.fft.irfft(spectrum, n=size, dim=1)[:, :t]

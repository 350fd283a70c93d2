"""A short causal convolution over time, for each channel alone, that can stop at any step and continue from there."""

# b batch, t time, c channels, w width

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


class ShortConv(nn.Conv1d):
    """Each output is a weighted sum of the channel's last `width` inputs; weights have the shape (c, 1, w).

    Args:
        channels: Channels.
        width: Inputs that an output sees, its own included.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__(channels, channels, width, groups=channels, bias=False)

    def initial_state(self, batch_size: int) -> Float[Tensor, "b w-1 c"]:
        """Returns the inputs before the first step: zeros."""
        return self.weight.new_zeros(batch_size, self.kernel_size[0] - 1, self.in_channels)

    def forward(  # type: ignore[override]  # a convolution that carries what came before
        self, x: Float[Tensor, "b t c"], past: Float[Tensor, "b w-1 c"], mask: Bool[Tensor, "b t"] | None = None
    ) -> tuple[Float[Tensor, "b t c"], Float[Tensor, "b w-1 c"]]:
        """Returns the outputs and the last inputs. Steps that `mask` leaves out are not seen by those that exist."""
        if mask is None:
            seen = torch.cat([past.to(x), x], 1)
            return self._convolve(seen), seen[:, x.shape[1] :]
        order = (~mask).to(torch.uint8).argsort(dim=1, stable=True)  # steps that exist come first, in their order
        place = order.argsort(1)
        seen = torch.cat([past.to(x), _rows(x, order)], 1)
        last = mask.sum(1, keepdim=True) + torch.arange(past.shape[1], device=x.device)
        return _rows(self._convolve(seen), place), _rows(seen, last)

    def _convolve(self, seen: Float[Tensor, "b w-1+t c"]) -> Float[Tensor, "b t c"]:
        return super().forward(seen.mT).mT


def _rows(x: Float[Tensor, "b s c"], index: Tensor) -> Tensor:
    """Returns rows of each example by their numbers, of (b, rows)."""
    return x.gather(1, index.unsqueeze(-1).expand(-1, -1, x.shape[-1]))

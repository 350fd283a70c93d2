"""A ReLU network that begins by remembering all (Le, Jaitly and Hinton 2015, arXiv:1504.00941)."""

from __future__ import annotations

from typing import Annotated, Any

from annotated_types import Gt
from torch import nn

from rk_rnn.elman import Elman


class IRNN(Elman):
    """Elman's network with ReLU, whose weights from state to state begin as the identity, and biases as zero.

    Without input its state then stays as it is, and so does a gradient on its way back, whatever the lag.

    Args:
        scale: The multiple of the identity; the paper takes less than 1 for tasks with shorter memory.
        input_std: Standard deviation of the input's weights at the start; the paper's is 0.001.

    Examples:
        model: {name: sequence, layer: {name: irnn, scale: 1.0}, d_model: 64}

        >>> IRNN(d_model=8)(torch.randn(2, 5, 8)).shape
        torch.Size([2, 5, 8])
    """

    def __init__(
        self,
        *,
        scale: Annotated[float, Gt(0)] = 1.0,
        input_std: Annotated[float, Gt(0)] = 0.001,
        **sizes: Any,
    ) -> None:
        super().__init__(activation="relu", init="uniform", truncated=False, **sizes)
        nn.init.normal_(self.weight_ih, std=input_std)
        nn.init.eye_(self.weight_hh)
        self.weight_hh.data.mul_(scale)
        nn.init.zeros_(self.bias_ih)
        nn.init.zeros_(self.bias_hh)

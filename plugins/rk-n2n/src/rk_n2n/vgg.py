"""A plain convolutional network, whose layers can be removed and narrowed one by one."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from rk.fields import LogitsOutputs


class VGG(nn.Module):
    """Stages of convolutions 3 x 3 and ReLU, after each but the last of which the image is halved (arXiv:1409.1556).

    The head takes the mean over the image, so the number of layers and of channels may be any. There is no
    normalisation: weights begin at He's scale (arXiv:1502.01852).

    Args:
        input_shape: Shape of one input: (channels, height, width), or (height, width) of grey ones.
        num_classes: Classes.
        stages: Channels of each convolution of each stage.

    Raises:
        ValueError: When a stage has no convolution.

    Examples:
        model: {name: vgg, stages: [[16, 16], [32, 32, 32]]}

        >>> VGG(input_shape=(8, 8), num_classes=10)(inputs=torch.rand(2, 8, 8))["logits"].shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        input_shape: tuple[Annotated[int, Ge(1)], ...],
        num_classes: int,
        stages: tuple[tuple[Annotated[int, Ge(1)], ...], ...] = ((16, 16), (32, 32)),
    ) -> None:
        super().__init__()
        if not stages or not all(stages):
            raise ValueError("stages must have a convolution each")
        before = input_shape[0] if len(input_shape) == 3 else 1
        self.stages = nn.ModuleList()
        for channels in stages:
            stage = nn.ModuleList()
            for after in channels:
                convolution = nn.Conv2d(before, after, 3, padding=1)
                nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
                nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]  # it has one
                stage.append(convolution)
                before = after
            self.stages.append(stage)
        self.head = nn.Linear(before, num_classes)

    def forward(self, *, inputs: Float[Tensor, "batch *shape"]) -> LogitsOutputs:
        """Returns logits of (batch, classes)."""
        hidden = inputs.unsqueeze(1) if inputs.dim() == 3 else inputs
        for number, stage in enumerate(self.stages):
            if number:
                hidden = functional.max_pool2d(hidden, 2, ceil_mode=True)
            for convolution in stage.children():
                hidden = convolution(hidden).relu()
        return {"logits": self.head(hidden.mean((2, 3)))}

"""A small convolutional network whose stages are `blocks`."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

from annotated_types import Ge, Lt
from jaxtyping import Float
from torch import Tensor, nn

from rk.fields import LogitsOutputs
from rk_vision.shapes import as_picture, picture_shape


class ConvNet(nn.Module):
    """Stages of convolution 3 x 3, batch normalisation, ReLU and max-pooling, then linear layers.

    Args:
        input_shape: Shape of one input: (channels, height, width), or (height, width) of grey ones.
        num_classes: Classes.
        channels: Channels of each stage; each halves height and width, unless they are 1.
        hidden_sizes: Width of each hidden linear layer behind the stages.
        batch_norm: Whether stages normalise.
        dropout: Share of the units before each linear layer that is set to zero in training.

    Attributes:
        blocks: The stages, each a module.
        head: Everything behind them.
        keeps_shape: False: each stage changes the shape.

    Examples:
        model: {name: conv-net, channels: [16, 32], hidden_sizes: [128]}

        >>> ConvNet(input_shape=(1, 28, 28), num_classes=10)(inputs=torch.rand(2, 1, 28, 28))["logits"].shape
        torch.Size([2, 10])
    """

    keeps_shape = False

    def __init__(
        self,
        input_shape: tuple[Annotated[int, Ge(1)], ...],
        num_classes: int,
        channels: tuple[Annotated[int, Ge(1)], ...] = (32, 64),
        hidden_sizes: tuple[Annotated[int, Ge(1)], ...] = (128,),
        batch_norm: bool = True,
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.0,
    ) -> None:
        super().__init__()
        before, height, width = picture_shape(input_shape)
        self.blocks = nn.ModuleList()
        for after in channels:
            pool = (min(2, height), min(2, width))
            self.blocks.append(
                nn.Sequential(
                    nn.Conv2d(before, after, 3, padding=1, bias=not batch_norm),
                    *([nn.BatchNorm2d(after)] if batch_norm else []),
                    nn.ReLU(),
                    nn.MaxPool2d(pool),
                )
            )
            before, height, width = after, height // pool[0], width // pool[1]
        sizes = [before * height * width, *hidden_sizes]
        layers: list[nn.Module] = [nn.Flatten()]
        for wide, narrow in pairwise(sizes):
            layers += [nn.Dropout(dropout)] * bool(dropout) + [nn.Linear(wide, narrow), nn.ReLU()]
        layers += [nn.Dropout(dropout)] * bool(dropout) + [nn.Linear(sizes[-1], num_classes)]
        self.head = nn.Sequential(*layers)

    def forward(self, *, inputs: Float[Tensor, "batch *shape"]) -> LogitsOutputs:
        """Returns logits of (batch, classes)."""
        hidden = as_picture(inputs)
        for block in self.blocks:
            hidden = block(hidden)
        return {"logits": self.head(hidden)}

    def enter(self, *, inputs: Float[Tensor, "batch *shape"]) -> tuple[Tensor, tuple[()]]:
        """Returns what the first stage takes, of (batch, channels, height, width)."""
        return as_picture(inputs), ()

    def leave(self, hidden: Float[Tensor, "batch channels height width"]) -> LogitsOutputs:
        """Returns logits of (batch, classes) from what the last stage gave."""
        return {"logits": self.head(hidden)}

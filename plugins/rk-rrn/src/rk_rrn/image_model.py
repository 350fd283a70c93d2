"""The model `rrn-images`: the cells of a convolutional network's output are the nodes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor, nn

from rk_rrn.fields import StepOutputs
from rk_rrn.graph import Edges
from rk_rrn.network import RelationalNetwork


class ImageRRN(RelationalNetwork):
    """A recurrent relational network over an image (arXiv:1711.08028, Pretty-CLEVR from pixels).

    A convolutional network makes a grid of cells of the image. A cell, its place and the question are a node, and all
    cells send messages to all.

    Args:
        image_channels: Channels of the image.
        question_size: Numbers of the question.
        num_classes: Classes of the answer.
        level: What is answered: the `graph`, that is, the image.
        channels: Channels of each convolution; each halves the height and the width.

    Examples:
        model: {name: rrn-images, num_steps: 4, hidden_size: 128}

        >>> net = ImageRRN(image_channels=3, question_size=2, num_classes=5, hidden_size=8, num_steps=2)
        >>> net(images=torch.rand(3, 3, 64, 64), question=torch.rand(3, 2))["step_logits"].shape
        torch.Size([3, 2, 5])
    """

    def __init__(
        self,
        *,
        image_channels: Annotated[int, Ge(1)],
        question_size: Annotated[int, Ge(0)],
        num_classes: int,
        level: Literal["graph"] = "graph",
        channels: tuple[Annotated[int, Ge(1)], ...] = (32, 32, 32, 32),
        **common: Any,
    ) -> None:
        width = channels[-1] + 2 + question_size
        super().__init__(input_size=width, edge_size=0, num_classes=num_classes, level=level, **common)
        layers: list[nn.Module] = []
        for before, after in zip((image_channels, *channels), channels, strict=False):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.ReLU(), nn.GroupNorm(1, after)]
        self.convolutions = nn.Sequential(*layers)

    def forward(
        self,
        *,
        images: Float[Tensor, "batch channels height width"],
        question: Float[Tensor, "batch question_features"],
    ) -> StepOutputs:
        """Returns the answers after each step.

        Args:
            images: (batch, image_channels, height, width).
            question: (batch, question_size).
        """
        cells = self.convolutions(images)
        batch, _, height, width = cells.shape
        axes = (torch.linspace(-1, 1, size, device=cells.device) for size in (height, width))
        places = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).flatten(0, 1)
        nodes = torch.cat(
            [
                cells.flatten(2).permute(2, 0, 1),
                places.unsqueeze(1).expand(-1, batch, -1),
                question.expand(height * width, -1, -1),
            ],
            -1,
        )
        return self.answer(nodes, Edges(None, None))

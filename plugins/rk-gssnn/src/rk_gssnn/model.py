"""The model `gssnn`: an encoder, and a head with the graph of a program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from annotated_types import Ge, Lt
from jaxtyping import Float
from rk_programs.learned import LearnedProgram
from torch import Tensor, nn

from rk import Factory
from rk_gssnn.dsl import GraphDsl
from rk_gssnn.encoder import AnswerOutputs, ImageEncoder
from rk_gssnn.structured import GraphStructured


class GSSNN(nn.Module):
    """A graph-structured neural network (arXiv:2303.03340): what an encoder makes of an image is divided among a graph.

    The graph is what `program` makes, a text in the language `graph-dsl`. The search `gssnn` looks for programs.

    Args:
        num_classes: Classes.
        program: The program. It must make a connected graph of two nodes or more.
        encoder: Any model that classifies images; its `num_classes` is `dim` here.
        dim: Size of the vector that the encoder gives, and width of the head.
        num_layers: Layers of the head.
        dropout: Share of what enters each layer of the head that is set to zero in training.
        num_answers: Answers of `num_classes` each; 1: a single one.
        max_ports: Ports of a node in the language.

    Attributes:
        graph: The graph.

    Raises:
        ValueError: When the program is not one, or its graph does not fit.

    Examples:
        model: {name: gssnn, encoder: {name: pixel-vit}, program: (push (add (connect identity)))}

        >>> from rk_gssnn.encoder import PixelViT
        >>> import torch
        >>> text = "(push (add (connect (next_port (add (connect identity))))))"
        >>> encoder = lambda num_classes: PixelViT((1, 32, 32), num_classes, patch_size=8, d_model=16)
        >>> net = GSSNN(num_classes=2, program=text, encoder=encoder, dim=32)
        >>> print(net.graph, net(inputs=torch.rand(3, 1, 32, 32))["logits"].shape)
        1-0 3-0 torch.Size([3, 2])
    """

    def __init__(
        self,
        num_classes: int,
        program: str,
        encoder: Factory[ImageEncoder],
        dim: Annotated[int, Ge(8)] = 512,
        num_layers: Annotated[int, Ge(1)] = 3,
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.3,
        num_answers: Annotated[int, Ge(1)] = 1,
        max_ports: Annotated[int, Ge(1)] = 10,
    ) -> None:
        super().__init__()
        self.dsl = GraphDsl(max_ports)
        try:
            self.graph = self.dsl.graph(program)
        except ValueError as error:
            raise ValueError(f"program: {error}") from None
        except RecursionError:
            raise ValueError("program: it is too long") from None
        self.term = self.dsl.parse(program)
        self.num_answers = num_answers
        self.encoder = encoder(num_classes=dim)
        self.head = GraphStructured(self.graph, dim, num_answers * num_classes, num_layers, dropout)

    def forward(self, *, inputs: Float[Tensor, "batch *shape"]) -> AnswerOutputs:
        """Returns logits of (batch, classes), or of (batch, answers, classes)."""
        logits = self.head(self.encoder(inputs=inputs)["logits"])
        return {"logits": logits if self.num_answers == 1 else logits.unflatten(1, (self.num_answers, -1))}

    def programs(self) -> Sequence[LearnedProgram]:
        """Returns the program, for `rk analyze programs`."""
        return [LearnedProgram("graph", (), self.term, 1.0, 0)]

"""The model `rrn`: nodes of numbers and categories."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from rk import UserError
from rk_rrn.fields import StepOutputs
from rk_rrn.graph import Edges, neighbour_index
from rk_rrn.network import RelationalNetwork, nodes_first


class RRN(RelationalNetwork):
    """A recurrent relational network (Palm, Paquet and Winther, arXiv:1711.08028).

    The nodes of a graph send messages along its edges and update their state, step by step, with the same weights. It
    answers after each step; `per-step-cross-entropy` scores all of them. So the steps become those of an algorithm, and
    more of them than in training may be made for an answer.

    A node is its numbers (`inputs`) and the embeddings of its categories (`attributes`), side by side.

    Args:
        neighbours: The nodes that send to each node, the same in all examples; null: all nodes send to all, itself
            included, and `node_mask` may give the nodes that an example has.
        num_classes: Classes of an answer.
        level: Whether each `node` is answered, or the `graph`: from the sum of its nodes.
        node_features: Numbers of a node; 0: none.
        attribute_sizes: For each category of a node, how many values it has.
        embedding_size: Width of the embedding of a category.
        coordinates: How many of a node's first numbers are its place: the distance of its ends is then a feature of an
            edge. 0: none.
        distance_basis: Gaussian functions of the distance in its place, evenly spaced from 0 to `distance_limit`, as in
            SchNet (arXiv:1706.08566): small differences of distances then count from the start; 0: none.
        distance_limit: Where the last of these is.
        num_edge_features: Numbers of an edge besides, in `edge_features`.

    Attributes:
        neighbours: (nodes, degree) The senders to each node, shorter rows padded with 0; None: all nodes.
        edge_exists: (nodes, degree) False where that is padding; None: nowhere.

    Examples:
        model: {name: rrn, hidden_size: 48, num_steps: 8, test_steps: 16}

        >>> settings = {"num_classes": 5, "level": "node", "node_features": 2, "attribute_sizes": (3,)}
        >>> net = RRN(neighbours=[[1], [0]], hidden_size=8, num_steps=4, **settings)
        >>> net(inputs=torch.rand(7, 2, 2), attributes=torch.zeros(7, 2, 1, dtype=torch.long))["step_logits"].shape
        torch.Size([7, 4, 2, 5])
    """

    neighbours: Tensor | None
    edge_exists: Tensor | None

    def __init__(
        self,
        *,
        neighbours: list[list[int]] | None,
        node_features: Annotated[int, Ge(0)],
        attribute_sizes: tuple[Annotated[int, Ge(1)], ...],
        embedding_size: Annotated[int, Ge(1)] = 16,
        coordinates: Annotated[int, Ge(0)] = 0,
        distance_basis: Annotated[int, Ge(0)] = 0,
        distance_limit: Annotated[float, Gt(0)] = 1.5,
        num_edge_features: Annotated[int, Ge(0)] = 0,
        **common: Any,
    ) -> None:
        width = node_features + embedding_size * len(attribute_sizes)
        if not width:
            raise ValueError("a node needs node_features or attribute_sizes")
        if coordinates > node_features:
            raise ValueError(f"coordinates must be at most node_features, {node_features}, got {coordinates}")
        if distance_basis == 1 or (distance_basis and not coordinates):
            raise ValueError(f"distance_basis must be 0, or at least 2 with coordinates, got {distance_basis}")
        distances = (distance_basis or 1) if coordinates else 0
        super().__init__(input_size=width, edge_size=num_edge_features + distances, **common)
        self.coordinates = coordinates
        self.distance_basis = distance_basis
        self.distance_limit = distance_limit
        self.num_edge_features = num_edge_features
        self.embeddings = nn.ModuleList(nn.Embedding(size, embedding_size) for size in attribute_sizes)
        for weight in self.embeddings.parameters():
            nn.init.normal_(weight, std=embedding_size**-0.5)
            weight.no_weight_decay = True  # type: ignore[attr-defined]  # the paper's L2 is on its MLPs alone
        index, exists = (None, None) if neighbours is None else neighbour_index(neighbours)
        self.register_buffer("neighbours", index, persistent=False)
        self.register_buffer("edge_exists", exists, persistent=False)

    def forward(
        self,
        *,
        inputs: Float[Tensor, "batch nodes features"] | None = None,
        attributes: Int[Tensor, "batch nodes attributes"] | None = None,
        edge_features: Float[Tensor, "batch nodes degree edge_features"] | None = None,
        node_mask: Bool[Tensor, "batch nodes"] | None = None,
    ) -> StepOutputs:
        """Returns the answers after each step: in training `num_steps` of them, else `test_steps`.

        Args:
            inputs: (batch, nodes, node_features), if there are numbers.
            attributes: (batch, nodes, attributes), if there are categories.
            edge_features: (batch, nodes, degree, num_edge_features), in the order of `neighbours`; if there are any.
            node_mask: (batch, nodes) True where a node exists; only where all send to all.

        Raises:
            rk.UserError: When a field is missing, or there is a mask beside `neighbours`.
        """
        parts = [] if inputs is None else [inputs]
        if attributes is not None:
            parts += [embedding(attributes[..., i]) for i, embedding in enumerate(self.embeddings)]
        if not parts or sum(part.shape[-1] for part in parts) != self.pre.sizes[0]:
            raise UserError(f"rrn expects {self.pre.sizes[0]} numbers for a node from inputs and attributes")
        edges = self._edges(node_mask)
        return self.answer(nodes_first(torch.cat(parts, -1)), edges, self._edge_features(edges, inputs, edge_features))

    def _edges(self, mask: Bool[Tensor, "batch nodes"] | None) -> Edges:
        if self.neighbours is None:
            return Edges(None, None if mask is None else mask.T.unsqueeze(0))
        if mask is not None:
            raise UserError("rrn takes a mask of nodes only with neighbours: null")
        return Edges(self.neighbours, None if self.edge_exists is None else self.edge_exists.unsqueeze(-1))

    def _edge_features(self, edges: Edges, inputs: Tensor | None, given: Tensor | None) -> Tensor | None:
        """Returns distances and given features, (v, k, b, features)."""
        parts = []
        if self.coordinates and inputs is not None:
            place = nodes_first(inputs[..., : self.coordinates])
            distance = torch.linalg.vector_norm(edges.spread(place) - place.unsqueeze(1), dim=-1, keepdim=True)
            parts.append(self._distance_features(distance))
        if self.num_edge_features:
            if given is None:
                raise UserError(f"rrn expects edge_features of {self.num_edge_features} numbers for an edge")
            parts.append(given.permute(1, 2, 0, 3))
        return torch.cat(parts, -1) if parts else None

    def _distance_features(self, distance: Float[Tensor, "*edges 1"]) -> Float[Tensor, "*edges features"]:
        """Returns the distance, or the Gaussian functions of it, whose width is the space between two of them."""
        if not self.distance_basis:
            return distance
        centres = torch.linspace(0, self.distance_limit, self.distance_basis, device=distance.device)
        return torch.exp(-(((distance - centres) / centres[1]) ** 2))

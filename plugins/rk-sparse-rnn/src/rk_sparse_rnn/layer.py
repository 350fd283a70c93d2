"""The layer `graph-rnn`: a recurrent network that a random graph wires."""

# b batch, t time, d width of the model, h hidden, g gates

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Le
from jaxtyping import Bool, Float
from rk_rnn.kernels import unrolled
from rk_rnn.lstm import held
from rk_rnn.masks import last
from rk_rnn.recurrent import Masked, Weights
from torch import Tensor, nn
from torch.nn import functional as F

from rk import UserError
from rk_sparse_rnn.plan import Plan, plan
from rk_sparse_rnn.wiring import Edges, Kind, directed, draw

Cell = Literal["tanh", "relu", "lstm", "gru"]
GATES = {"tanh": 1, "relu": 1, "lstm": 4, "gru": 3}
_KERNELS: dict[Cell, Callable[..., tuple[Tensor, ...]]] = {
    "tanh": torch.rnn_tanh,
    "relu": torch.rnn_relu,
    "lstm": torch.lstm,
    "gru": torch.gru,
}


class GraphRNN(Masked):
    """Layers of recurrent cells with a weight for each edge of a random graph (arXiv:2407.20601, Sec. 5.3).

    Edges lead from the earlier to the later node. A node without predecessors is in layer 0, any other one layer behind
    its last predecessor. Each layer is a recurrent cell as wide as its nodes: dense from state to state, and with a
    weight from the layer before for each edge. Edges that skip layers have a cell of their own for each pair of layers,
    with its own state; what it gives is added to what the layer gives: y_l = cell_l(y_l-1) + sum_s cell_s,l(y_s). The
    last layer is the output. Linear maps lead from `d_model` to the first layer and from the last to `d_model`.

    All cells of a layer run as one recurrence with a block-diagonal matrix, in torch's fused kernels. The edges are in
    the weights of a run, in the order of ``weight_ih``: a loaded run has its wiring, whatever networkx draws.

    Args:
        d_model: Width of input and output.
        seed: Of the graph.
        cell: The recurrent cell.
        graph: `watts-strogatz`, or `barabasi-albert`.
        nodes: Nodes of the graph.
        neighbours: Watts-Strogatz: neighbours of a node on the ring; null: a fifth of the nodes.
        rewire: Watts-Strogatz: chance that an edge is rewired. 1, as in the thesis, is nearly a uniform random graph.
        attach: Barabasi-Albert: edges of each node that is added; null: a tenth of the nodes.
        edges: Pairs of nodes, from 0, in place of a random graph.

    Raises:
        ValueError: When there is no such graph.

    Examples:
        model: {name: sequence, layer: {name: graph-rnn, graph: barabasi-albert, nodes: 30}, d_model: 32}

        >>> GraphRNN(d_model=8, seed=0)(torch.randn(2, 5, 8)).shape
        torch.Size([2, 5, 8])
    """

    edges: Tensor

    def __init__(
        self,
        *,
        d_model: Annotated[int, Ge(1)],
        seed: int,
        cell: Cell = "gru",
        graph: Kind = "watts-strogatz",
        nodes: Annotated[int, Ge(2)] = 30,
        neighbours: Annotated[int, Ge(2)] | None = None,
        rewire: Annotated[float, Ge(0), Le(1)] = 1.0,
        attach: Annotated[int, Ge(1)] | None = None,
        edges: list[tuple[int, int]] | None = None,
    ) -> None:
        super().__init__()
        self.cell: Cell = cell
        drawn = draw(graph, nodes, neighbours, rewire, attach, seed) if edges is None else directed(edges)
        if not drawn:
            raise ValueError("edges must have at least one edge")
        if min(u for u, _ in drawn) < 0:
            raise ValueError("edges must be pairs of nodes >= 0")
        drawn_plan = self._planned(drawn)
        self._plan: Plan | None = drawn_plan
        self.register_buffer("edges", torch.tensor(drawn_plan.edges).T.contiguous())
        g, first, end = GATES[cell], drawn_plan.levels[0].width, drawn_plan.levels[-1].width
        biases = sum(level.cells * level.width for level in drawn_plan.levels)
        self.weight_ih_input = nn.Parameter(torch.empty(g * first, d_model))
        self.weight_ih = nn.Parameter(torch.empty(g, len(drawn)))
        self.weight_hh = nn.Parameter(torch.empty(drawn_plan.hh.shape))
        self.bias_ih = nn.Parameter(torch.empty(g, biases))
        self.bias_hh = nn.Parameter(torch.empty(g, biases))
        self.out_weight = nn.Parameter(torch.empty(d_model, end))
        self.out_bias = nn.Parameter(torch.empty(d_model))
        self._begin()
        self.register_load_state_dict_pre_hook(_take_sizes)  # type: ignore[no-untyped-call]  # torch has no types here
        self.register_load_state_dict_post_hook(_take_wiring)  # type: ignore[no-untyped-call]  # nor here

    def _planned(self, edges: Edges) -> Plan:
        return plan(1 + max(v for _, v in edges), edges, GATES[self.cell])

    @property
    def plan(self) -> Plan:
        """The levels of the graph and the places of its weights, as the edges give them."""
        if self._plan is None:
            self._plan = self._planned([(int(u), int(v)) for u, v in self.edges.T.tolist()])
        return self._plan

    @torch.no_grad()
    def _begin(self) -> None:
        """Draws the weights of each cell uniformly in +-1/sqrt(its width), as torch does."""
        levels = self.plan.levels
        parts = [
            self.weight_ih.split([level.edges for level in levels], 1),
            self.weight_hh.split([level.units * level.width for level in levels], 1),
            self.bias_ih.split([level.units for level in levels], 1),
            self.bias_hh.split([level.units for level in levels], 1),
        ]
        for level, *pieces in zip(levels, *parts, strict=True):
            for piece in pieces:
                piece.uniform_(-(level.width**-0.5), level.width**-0.5)
        for weight, level in (
            (self.weight_ih_input, levels[0]),
            (self.out_weight, levels[-1]),
            (self.out_bias, levels[-1]),
        ):
            weight.uniform_(-(level.width**-0.5), level.width**-0.5)

    def initial_state(self, batch_size: int) -> tuple[Any, ...]:
        """Returns zeros for the cells of each level, (b, units); with LSTM cells, two of them."""
        zeros = (self.weight_hh.new_zeros(batch_size, level.units) for level in self.plan.levels)
        return tuple((h, h.clone()) for h in zeros) if self.cell == "lstm" else tuple(zeros)

    def out(self, hidden: Float[Tensor, "b t h"]) -> Float[Tensor, "b t d"]:
        """Maps what the last layer gives to the width of the model."""
        return F.linear(hidden, self.out_weight, self.out_bias)

    def _unroll(
        self, x: Float[Tensor, "b t d"], state: tuple[Any, ...], front: Bool[Tensor, "b t"] | None
    ) -> tuple[Float[Tensor, "b t h"], tuple[Any, ...]]:
        """Runs level by level; returns what the last one gives, and the states of all."""
        given: list[Tensor] = []
        states = []
        for level, weights, before in zip(self.plan.levels, self._weights(), state, strict=True):
            inputs = torch.cat([given[source] for source in level.sources], -1) if given else x
            hidden, after = self._run(inputs, before, weights, front)
            given.append(hidden.unflatten(-1, (level.cells, level.width)).sum(-2))
            states.append(after)
        return given[-1], tuple(states)

    def _run(
        self, x: Float[Tensor, "b t i"], state: Any, weights: Weights, front: Bool[Tensor, "b t"] | None
    ) -> tuple[Float[Tensor, "b t h"], Any]:
        if self.cell != "lstm":
            hidden, _ = unrolled(_KERNELS[self.cell], x, state.unsqueeze(0), weights)
            return hidden, last(hidden, state, front)
        if front is not None:
            x, weights = held(x, front, weights)
        hidden, _, memory = unrolled(torch.lstm, x, tuple(s.unsqueeze(0) for s in state), weights)
        return hidden, (last(hidden, state[0], front), memory[0])

    def _weights(self) -> Iterator[Weights]:
        """Yields the matrices of each level: weights at their places, and zeros between them."""
        levels, g = self.plan.levels, GATES[self.cell]
        ih = _placed(self.weight_ih, self.plan.ih, [g * level.units * level.inputs for level in levels])
        hh = _placed(self.weight_hh, self.plan.hh, [g * level.units * level.units for level in levels])
        biases = [b.split([level.units for level in levels], 1) for b in (self.bias_ih, self.bias_hh)]
        for level, of_inputs, of_states, *both in zip(levels, ih, hh, *biases, strict=True):
            rows = g * level.units
            first = of_inputs.view(rows, level.inputs) if level.sources else self.weight_ih_input
            yield first, of_states.view(rows, level.units), both[0].flatten(), both[1].flatten()


def _placed(weight: Tensor, place: Tensor, sizes: list[int]) -> tuple[Tensor, ...]:
    zeros = weight.new_zeros(sum(sizes))
    return zeros.scatter(0, place.to(weight.device).flatten(), weight.flatten()).split(sizes)


def _take_sizes(layer: GraphRNN, state: Mapping[str, Any], prefix: str, *_: object) -> None:
    """Gives weights the sizes that they have in a file: those of another graph, if networkx drew another one now.

    The parameters are the same objects afterwards: an optimizer may have them already.
    """
    for name, tensor in (*layer.named_parameters(), *layer.named_buffers()):
        stored = state.get(prefix + name)
        if isinstance(stored, Tensor) and stored.shape != tensor.shape:
            tensor.data = tensor.new_empty(stored.shape)


def _take_wiring(layer: GraphRNN, _: object) -> None:
    """Lets the edges that were loaded give the plan. Raises `UserError` where weights are those of another graph."""
    layer._plan = None
    sizes = {"weight_ih": layer.plan.ih.shape, "weight_hh": layer.plan.hh.shape}
    if any(getattr(layer, name).shape != size for name, size in sizes.items()):
        raise UserError("the weights of graph-rnn are not those of its edges", "give the seed and graph of that run")

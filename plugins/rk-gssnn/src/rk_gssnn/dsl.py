"""Layer `graph-dsl`: programs that build graphs."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, Protocol

from annotated_types import Ge
from rk_programs.chains import Block, ChainDsl, ChainLanguage, Step
from rk_programs.isomorphism import Neighbours, neighbours


class Edge(NamedTuple):
    """An edge: its number in the order of creation, its two nodes, and the port that it uses at both."""

    number: int
    one: int
    other: int
    port: int


class GraphState(NamedTuple):
    """A graph, and the place of a program in it.

    Attributes:
        edges: In the order of their creation.
        created: Nodes and edges so far; the next one has this number. Node 0 is there from the beginning.
        lonely: The node that was added and is not connected yet; -1: there is none.
        pos: The node at the cursor.
        port: The port at the cursor.
        stack: Nodes that were pushed, the last one first.
    """

    edges: tuple[Edge, ...] = ()
    created: int = 1
    lonely: int = -1
    pos: int = 0
    port: int = 0
    stack: tuple[int, ...] = ()


@dataclass(frozen=True)
class Graph:
    """A connected graph that a program has made.

    Attributes:
        nodes: Numbers of its nodes. Nodes and edges are numbered together, in the order of their creation.
        edges: Its edges; two nodes may have several, at different ports.
    """

    nodes: tuple[int, ...]
    edges: tuple[Edge, ...]

    @property
    def simple(self) -> Neighbours:
        """The graph without ports, order and repeated edges: what isomorphism compares."""
        return neighbours((edge.one, edge.other) for edge in self.edges)

    def __str__(self) -> str:
        return " ".join(f"{edge.one}-{edge.other}" for edge in self.edges)


class GraphLanguage(ChainDsl, Protocol):
    """The slot of `gssnn`: a language of chains whose programs make graphs. `graph-dsl` is one.

    Attributes:
        max_ports: Ports of a node.
    """

    max_ports: int

    def initial(self) -> GraphState:
        """Returns the state at which programs begin."""
        ...

    def made(self, state: Any) -> Graph | None:
        """Returns the graph of a program that ends in `state`; None where there is none that counts."""
        ...

    def graph(self, text: str) -> Graph:
        """Returns the graph of a program. Raises `ValueError` where the text is none, or it makes no graph."""
        ...


class GraphDsl(ChainLanguage):
    """The language of graphs of arXiv:2303.03340: a cursor on a graph, a port, and a stack of nodes.

    | function | what it does before the rest of the program |
    | --- | --- |
    | `identity` | ends a chain |
    | `next_port`, `prev_port` | the port, plus or minus 1, modulo `max_ports` |
    | `move` | to the other end of the edge at this port, if there is one |
    | `add` | a new node with the cursor on it, if the stack has a node and the graph is connected |
    | `push` | the node at the cursor |
    | `pop` | the last node pushed; what a node that is not connected yet needs stays |
    | `connect` | an edge between the cursor and the last node pushed, at this port of both, where it is free |
    | `func f` | runs `f` for its graph alone: cursor, port and stack are restored |
    | `if_positions_equal f g h k` | `h` where `f` and `g` lead to the same node, else `k` |

    Args:
        max_ports: Ports of a node.

    Examples:
        search: {name: gssnn, run: {recipe: gssnn/raven-baseline}, dsl: {name: graph-dsl, max_ports: 4}}

        >>> language = GraphDsl()
        >>> state = language.run(language.parse("(push (add (connect (next_port (add (connect identity))))))"))
        >>> print(language.made(state))
        1-0 3-0
    """

    def __init__(self, max_ports: Annotated[int, Ge(1)] = 10) -> None:
        self.max_ports = max_ports

        def turned(by: int) -> Step:
            name = "next_port" if by == 1 else "prev_port"
            return Step(name, lambda state: state._replace(port=(state.port + by) % max_ports))

        super().__init__(
            "identity",
            [
                turned(1),
                turned(-1),
                Step("move", _moved),
                Step("add", _added),
                Step("push", lambda state: state._replace(stack=(state.pos, *state.stack))),
                Step("pop", _popped),
                Step("connect", _connected),
            ],
            [
                Block("func", 1, _graph_alone, _called),
                Block("if_positions_equal", 4, _compared, _chosen, _is_needed, inlined=True),
            ],
        )

    def initial(self) -> GraphState:
        """Returns the graph of one node, with the cursor on it."""
        return GraphState()

    def made(self, state: GraphState) -> Graph | None:
        """Returns the graph of a program that ends in `state`; None where it is not connected, or has one node."""
        if state.lonely >= 0 or not state.edges:
            return None
        numbers = {edge.number for edge in state.edges}
        return Graph(tuple(number for number in range(state.created) if number not in numbers), state.edges)

    def alike(self, state: GraphState) -> Hashable:
        """Returns a key that does not change when all ports are turned by the same number, or nodes are renamed.

        Neither changes the graphs that programs make from there, up to isomorphism. The key is the graph as it is met
        from the cursor on, port by port.
        """
        by = state.port
        around: dict[int, list[tuple[int, int]]] = {}
        for _, one, other, port in state.edges:
            turned = (port - by) % self.max_ports
            around.setdefault(one, []).append((turned, other))
            around.setdefault(other, []).append((turned, one))
        place: dict[int, int] = {}
        met: list[int] = []
        for root in (state.pos, *state.stack, 0):
            if root in place:
                continue
            place[root] = len(place)
            queue = [root]
            for node in queue:
                for port, to in sorted(around.get(node, ())):
                    if to not in place:
                        place[to] = len(place)
                        queue.append(to)
                    met += (place[node], place[to], port)
        return tuple(met), state.lonely >= 0, tuple([place[node] for node in state.stack])

    def graph(self, text: str) -> Graph:
        """Returns the graph of a program. Raises `ValueError` where the text is none, or its graph is not connected."""
        state = self.run(self.parse(text))
        made = None if state is None else self.made(state)
        if made is None:
            raise ValueError("the program must make a connected graph of two nodes or more")
        return made


def _at(edges: Iterable[Edge], node: int, port: int) -> int:
    """Returns the other end of the edge at a port of a node; -1: the port is free."""
    for edge in edges:
        if edge.port == port:
            if edge.one == node:
                return edge.other
            if edge.other == node:
                return edge.one
    return -1


def _moved(state: GraphState) -> GraphState:
    to = _at(state.edges, state.pos, state.port)
    return state if to < 0 else GraphState(state.edges, state.created, state.lonely, to, state.port, state.stack)


def _added(state: GraphState) -> GraphState:
    edges, created, lonely, _, port, stack = state
    return state if not stack or lonely >= 0 else GraphState(edges, created + 1, created, created, port, stack)


def _popped(state: GraphState) -> GraphState | None:
    if state.lonely < 0:
        return state._replace(stack=state.stack[1:])
    if not state.stack:
        return None  # nothing is left that the lonely node could be connected to
    rest = state.stack[1:]
    return state._replace(stack=rest) if any(node != state.pos for node in rest) else state


def _connected(state: GraphState) -> GraphState:
    edges, created, _, pos, port, stack = state
    if not stack:
        return state
    top = stack[0]
    if top == pos or _at(edges, pos, port) >= 0 or _at(edges, top, port) >= 0:
        return state
    return GraphState((*edges, Edge(created, pos, top, port)), created + 1, -1, pos, port, stack)


def _graph_alone(part: int, value: Any, end: GraphState) -> Any:
    return end.edges, end.created, end.lonely


def _called(state: GraphState, value: tuple[tuple[Edge, ...], int, int]) -> GraphState:
    edges, created, lonely = value
    return state if lonely >= 0 else state._replace(edges=edges, created=created, lonely=-1)


def _compared(part: int, value: Any, end: GraphState) -> Any:
    """Folds the four parts of the condition: a node, whether it is the other's node too, the state of the branch."""
    if part == 0:
        return end.pos
    if part == 1:
        return value == end.pos
    return end if _is_needed(part, value) else value


def _is_needed(part: int, value: Any) -> bool:
    return part < 2 or value is (part == 2)


def _chosen(state: GraphState, value: GraphState) -> GraphState:
    return value

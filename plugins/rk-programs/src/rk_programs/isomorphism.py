"""Which graphs are the same up to the names of their nodes: small graphs that programs make."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Neighbours = tuple[frozenset[int], ...]
"""The neighbours of each node 0, 1, ...: undirected, no edge twice, none from a node to itself."""


def neighbours(edges: Iterable[tuple[int, int]]) -> Neighbours:
    """Returns the graph of some edges, whose nodes may have any numbers; direction and repetitions are left out."""
    pairs = {(min(edge), max(edge)) for edge in edges if edge[0] != edge[1]}
    place = {node: i for i, node in enumerate(sorted({node for pair in pairs for node in pair}))}
    found: list[set[int]] = [set() for _ in place]
    for one, other in pairs:
        found[place[one]].add(place[other])
        found[place[other]].add(place[one])
    return tuple(frozenset(each) for each in found)


def refined(graph: Neighbours) -> tuple[int, ...]:
    """Returns a colour of each node: colour refinement (Weisfeiler and Leman, 1968) from the degrees on.

    Colours are numbers that do not depend on the order of the nodes, so isomorphic graphs have the same ones.
    """
    colors: Sequence[int] = [len(each) for each in graph]
    while True:
        signs = [(colors[node], tuple(sorted(colors[n] for n in graph[node]))) for node in range(len(graph))]
        order = {sign: i for i, sign in enumerate(sorted(set(signs)))}
        if len(order) == len(set(colors)):
            return tuple(colors)
        colors = [order[sign] for sign in signs]


def key(graph: Neighbours) -> tuple[object, ...]:
    """Returns what isomorphic graphs have in common, and most others do not: degrees, and colours by `refined`."""
    colors = refined(graph)
    between = sorted((colors[a], colors[b]) for a in range(len(graph)) for b in graph[a] if colors[a] <= colors[b])
    return len(graph), tuple(sorted(map(len, graph))), tuple(sorted(colors)), tuple(between)


def isomorphic(one: Neighbours, other: Neighbours) -> bool:
    """Whether there is a map of the nodes that keeps edges: search with backtracking, as in VF2, within the colours."""
    if key(one) != key(other):
        return False
    colors, theirs = refined(one), refined(other)
    order: list[int] = []  # connected parts in sequence: neighbours of what is mapped first
    left = set(range(len(one)))
    while left:
        node = min(left, key=lambda n: (-len(one[n] & set(order)), -len(one[n]), n))
        order.append(node)
        left.remove(node)

    def extends(mapped: dict[int, int], taken: frozenset[int]) -> bool:
        if len(mapped) == len(order):
            return True
        node = order[len(mapped)]
        for to in range(len(other)):
            if to in taken or theirs[to] != colors[node]:
                continue
            fits = all((before in one[node]) == (image in other[to]) for before, image in mapped.items())
            if fits and extends(mapped | {node: to}, taken | {to}):
                return True
        return False

    return extends({}, frozenset())


class GraphSet:
    """Graphs of which no two are isomorphic."""

    def __init__(self) -> None:
        self._found: dict[tuple[object, ...], list[Neighbours]] = {}
        self._labelled: dict[Neighbours, bool] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, graph: Neighbours) -> bool:
        """Adds a graph; returns whether none that is there is isomorphic to it."""
        if graph in self._labelled:
            return False
        self._labelled[graph] = True
        alike = self._found.setdefault(key(graph), [])
        if any(isomorphic(graph, one) for one in alike):
            return False
        alike.append(graph)
        self._size += 1
        return True

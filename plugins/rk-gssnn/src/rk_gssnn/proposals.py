"""Where new programs come from: enumeration in the order of their probability, or random graphs."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from rk_programs.chain_enumeration import ChainEnumeration
from rk_programs.chains import expanded
from rk_programs.isomorphism import GraphSet, Neighbours, neighbours
from rk_programs.terms import Term

from rk_gssnn.dsl import Graph, GraphLanguage

MOST_NODES = 8
"""Of a random graph."""


@dataclass(frozen=True)
class Proposal:
    """A program whose graph no other one has.

    Attributes:
        term: The program, with functions of the library.
        plain: Without them.
        graph: What it makes.
    """

    term: Term
    plain: Term
    graph: Graph


@dataclass(frozen=True)
class Exploration:
    """Best-first enumeration of programs until enough graphs are found.

    Attributes:
        evaluations: Prefixes that are executed at most.
        max_size: Most functions of a program, those of the library written out.
        most: Most nodes and edges of a graph.
    """

    evaluations: int
    max_size: int
    most: int

    def run(
        self,
        dsl: GraphLanguage,
        weights: Mapping[str, float] | None,
        known: Iterable[Neighbours],
        wanted: int | None = None,
    ) -> tuple[list[Proposal], int]:
        """Returns programs with new graphs, cheapest first, and how many prefixes were executed.

        Args:
            dsl: The language, with its library.
            weights: Logarithmic probabilities of its functions; None: all the same.
            known: Graphs that do not count.
            wanted: How many are enough; None: as many as there are.
        """
        seen = GraphSet()
        for graph in known:
            seen.add(graph)
        found: list[Proposal] = []
        enumeration = ChainEnumeration(dsl, weights=weights, max_size=self.max_size)
        for one in enumeration.programs(self.evaluations):
            made = dsl.made(one.state)
            if made is None or len(made.nodes) + len(made.edges) > self.most or not seen.add(made.simple):
                continue
            found.append(Proposal(one.term, expanded(one.term, dsl.library), made))
            if len(found) == wanted:
                break
        return found, enumeration.tried


def proposed_at_random(
    dsl: GraphLanguage, exploration: Exploration, known: Iterable[Neighbours], wanted: int, seed: int, iteration: int
) -> tuple[list[Proposal], int]:
    """Returns programs of random connected graphs, and how many graphs were drawn: the control of enumeration.

    A graph has 2 to `MOST_NODES` nodes: a random tree, and each other edge with the same random probability.

    Args:
        dsl: The language.
        exploration: Its bounds of programs and graphs.
        known: Graphs that do not count.
        wanted: How many are enough.
        seed: Of the graphs.
        iteration: Of the search.
    """
    seen = GraphSet()
    for graph in known:
        seen.add(graph)
    random = Random(f"{seed} {iteration}")  # a text: its hash does not depend on the process
    found, tried = list[Proposal](), 0
    while len(found) < wanted and tried < 100 * wanted:
        tried += 1
        nodes, density = random.randint(2, MOST_NODES), random.random() ** 2
        tree = [(random.randrange(node), node) for node in range(1, nodes)]
        others = [pair for pair in itertools.combinations(range(nodes), 2) if pair not in tree]
        edges = tree + [pair for pair in others if random.random() < density]
        degrees = Counter(itertools.chain(*edges))
        if nodes + len(edges) > exploration.most or max(degrees.values()) > dsl.max_ports:
            continue
        term = written(dsl, edges)
        if term is not None and term.size <= exploration.max_size and seen.add(neighbours(edges)):
            found.append(Proposal(term, term, dsl.graph(str(term))))
    return found, tried


def written(dsl: GraphLanguage, edges: Sequence[tuple[int, int]]) -> Term | None:
    """Returns a program for a graph: the cursor walks to each edge's first node, and to its second or adds it.

    Args:
        dsl: The language.
        edges: Connected, each beginning at a node that is there already; nodes are numbered as they come, from 0.

    Returns:
        The program; None where no port is left that is free at both ends.
    """
    state, names = dsl.initial(), list[str]()
    place = {0: 0}  # node of the graph -> its number in the language

    def do(name: str) -> None:
        nonlocal state
        names.append(name)
        state = dsl.steps[name].apply(state)

    def turn(port: int) -> None:
        while state.port != port:
            do("next_port")

    def walk(to: int) -> None:
        before: dict[int, tuple[int, int]] = {state.pos: (-1, -1)}
        queue = [state.pos]
        for node in queue:  # the shortest way along edges that are there
            for edge in state.edges:
                if node in (edge.one, edge.other):
                    other = edge.other if node == edge.one else edge.one
                    if other not in before:
                        before[other] = node, edge.port
                        queue.append(other)
        ports = []
        while to != state.pos:
            to, port = before[to]
            ports.append(port)
        for port in reversed(ports):
            turn(port)
            do("move")

    for one, other in edges:
        walk(place[one])
        do("push")
        if other in place:
            walk(place[other])
        taken = {edge.port for edge in state.edges if {place[one], state.pos} & {edge.one, edge.other}}
        free = [port for port in range(dsl.max_ports) if port not in taken]
        if not free:
            return None
        turn(free[0])
        if other not in place:
            place[other] = state.created
            do("add")
        do("connect")
        do("pop")
    term = Term(dsl.end)
    for name in reversed(names):
        term = Term(name, (term,))
    return term

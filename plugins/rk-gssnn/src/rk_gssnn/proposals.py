"""Where new programs come from: enumeration in the order of their probability, or random words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from rk_programs.chain_enumeration import ChainEnumeration
from rk_programs.chains import expanded
from rk_programs.isomorphism import GraphSet, Neighbours
from rk_programs.terms import Term

from rk_gssnn.dsl import Graph, GraphDsl

LONGEST = 24
"""Most functions of a random program, besides its end."""


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
        max_size: Most functions of a program.
        most: Most nodes and edges of a graph.
    """

    evaluations: int
    max_size: int
    most: int

    def run(
        self, dsl: GraphDsl, weights: Mapping[str, float] | None, known: Iterable[Neighbours], wanted: int | None = None
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
            graph = dsl.made(one.state)
            if graph is None or len(graph.nodes) + len(graph.edges) > self.most or not seen.add(graph.simple):
                continue
            found.append(Proposal(one.term, expanded(one.term, dsl.library), graph))
            if len(found) == wanted:
                break
        return found, enumeration.tried


def proposed_at_random(
    dsl: GraphDsl, exploration: Exploration, known: Iterable[Neighbours], wanted: int, seed: int, iteration: int
) -> tuple[list[Proposal], int]:
    """Returns programs of random functions with new graphs, and how many words were drawn: the control of enumeration.

    A word has 4 to `LONGEST` steps, each equally likely.
    """
    seen = GraphSet()
    for graph in known:
        seen.add(graph)
    random = torch.Generator().manual_seed(1_000_003 * seed + iteration)
    names, found, tried = list(dsl.steps), list[Proposal](), 0
    while len(found) < wanted and tried < exploration.evaluations:
        tried += 1
        length = int(torch.randint(4, LONGEST + 1, (), generator=random))
        word = torch.randint(len(names), (length,), generator=random).tolist()
        state = dsl.initial()
        for number in word:
            if state is not None:
                state = dsl.steps[names[number]].apply(state)
        made = None if state is None else dsl.made(state)
        if made is None or len(made.nodes) + len(made.edges) > exploration.most or not seen.add(made.simple):
            continue
        term = Term(dsl.end)
        for number in reversed(word):
            term = Term(names[number], (term,))
        found.append(Proposal(term, term, made))
    return found, tried

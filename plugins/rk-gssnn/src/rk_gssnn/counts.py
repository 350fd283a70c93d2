"""The analysis `library-counts`: what a library is worth, as graphs found in the same number of program evaluations."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Le
from rk_programs.chain_enumeration import fitted
from rk_programs.library import learn_library
from rk_programs.terms import Term

from rk.writing import write_csv
from rk_gssnn.dsl import GraphDsl
from rk_gssnn.proposals import Exploration


class LibraryCounts:
    """Graphs that exploration finds with a library and without one, in the same number of program evaluations.

    The first round explores without a library. A random share of its programs survives, for each seed another one, and
    compression makes a library of them; no network is trained. The second round explores with this library, and so on.
    Without a library, the first exploration continues for as many evaluations as all rounds have. An evaluation
    executes one more function at the end of a prefix, or one function of the library.

    It writes ``counts.csv``: new graphs that are connected, and not isomorphic to any earlier one, in each round.

    Args:
        evaluations: Of each round.
        rounds: Rounds with a library, after the first one.
        functions: Functions that each compression adds at most.
        share: Share of the programs that survives.
        most: Most survivors of a round; the shortest programs come first.
        most_elements: Most nodes and edges of a graph.
        seeds: How often survivors are drawn.
        max_ports: Ports of a node in the language.

    Examples:
        rk analyze library-counts --evaluations 100000
    """

    def __init__(
        self,
        evaluations: Annotated[int, Ge(1)] = 300_000,
        rounds: Annotated[int, Ge(1)] = 2,
        functions: Annotated[int, Ge(1)] = 3,
        share: Annotated[float, Gt(0), Le(1)] = 0.8,
        most: Annotated[int, Ge(1)] = 25,
        most_elements: Annotated[int, Ge(3)] = 64,
        seeds: Annotated[int, Ge(1)] = 3,
        max_ports: Annotated[int, Ge(1)] = 10,
    ) -> None:
        self.exploration = Exploration(evaluations, 150, most_elements)
        self.rounds = rounds
        self.functions = functions
        self.share = share
        self.most = most
        self.seeds = seeds
        self.max_ports = max_ports

    def analyze(self, out: Path) -> dict[str, float]:
        """Writes the table; returns graphs with and without a library, the former as mean, least and most."""
        language = GraphDsl(self.max_ports)
        first, _ = self.exploration.run(language, None, ())
        longer = Exploration(self.exploration.evaluations * (1 + self.rounds), 150, self.exploration.most)
        plain = len(longer.run(language, None, ())[0]) - len(first)
        rows: list[list[object]] = []
        totals = []
        for seed in range(self.seeds):
            dsl = GraphDsl(self.max_ports)
            graphs = [one.graph.simple for one in first]
            terms, total = [one.term for one in first], 0
            for number in range(1, self.rounds + 1):
                kept = self._survivors(terms, seed, number)
                library, kept = learn_library(dsl, kept, max_functions=self.functions, prefix="fn_", linear=True)
                found, tried = self.exploration.run(dsl, fitted(dsl, kept, 0.5), graphs)
                terms = [*kept, *(one.term for one in found)]
                graphs += [one.graph.simple for one in found]
                total += len(found)
                rows.append([seed, number, "; ".join(map(str, library)), tried, len(found)])
                print(f"seed {seed}, round {number}: {len(found)} new graphs with {len(dsl.library)} functions")
            totals.append(total)
        rows.append(["", "all", "(no library)", longer.evaluations - self.exploration.evaluations, plain])
        write_csv(out / "counts.csv", ["seed", "round", "new functions", "evaluations", "new graphs"], rows)
        print(f"without a library: {plain} new graphs in as many evaluations, after {len(first)} in the first round")
        return {
            "first-round": float(len(first)),
            "without-library": float(plain),
            "with-library": statistics.fmean(totals),
            "with-library/least": float(min(totals)),
            "with-library/most": float(max(totals)),
        }

    def _survivors(self, terms: list[Term], seed: int, number: int) -> list[Term]:
        random = torch.Generator().manual_seed(1000 * seed + number)
        count = max(2, round(self.share * len(terms)))
        chosen = torch.randperm(len(terms), generator=random)[:count].sort().values.tolist()
        return [terms[i] for i in chosen[: self.most]]

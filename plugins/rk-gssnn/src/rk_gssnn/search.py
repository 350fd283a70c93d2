"""The search `gssnn`: programs whose graphs structure networks, and a library that grows with those that survive."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Lt
from rk_programs.chain_enumeration import fitted
from rk_programs.library import learn_library
from rk_programs.terms import parse
from torch import Tensor

from rk import Run, Runtime, UserError
from rk_gssnn.dsl import GraphDsl, GraphLanguage
from rk_gssnn.learner import Population
from rk_gssnn.population import Member, Networks
from rk_gssnn.proposals import Exploration, proposed_at_random
from rk_gssnn.report import draw_report, write_report


class SymbolicSynthesis:
    """Symbolic synthesis of neural networks (arXiv:2303.03340): programs -> graphs -> networks -> survivors -> library.

    A step is one iteration. Exploration enumerates programs, the most probable first, until the population is full of
    programs whose graphs are not isomorphic. For each new program a network is trained: the run's recipe, with its
    model as the encoder before a head with the program's graph. Those with the best training accuracy survive.
    Compression finds functions that make the survivors shorter; the library grows by them, and the probabilities of all
    functions are fitted to the survivors.

    The run answers as the survivor with the best training accuracy. It writes ``population.csv``, ``programs.json``
    (programs, graphs, library) and ``library.txt`` after each step, and at the end ``figures/graphs.png`` and
    ``figures/ranks.png``.

    Its results, ``run/NAME``: `graphs`, graphs that were found; `new-graphs`, those of the iterations after the first;
    `library`, functions; `range`, `mean`, `max` and `min` of the validation accuracy of all networks; `survivors-max`,
    of the survivors at the end; `baseline-mean` and `baseline-range`, of the run and of `baselines` other seeds;
    `range-ratio`, `range` by `baseline-range`; `repeat-range`, of the best survivor with `repeats` other seeds.

    Args:
        run: The baseline: a run whose model classifies images.
        seed: Seeds the networks, and what is drawn at random. Images are those of the run.
        dsl: The language; null: `graph-dsl`.
        iterations: Rounds of exploration, training, selection and compression.
        population: Programs of each iteration, survivors included.
        survivors: Programs that are kept.
        judge: `train`: networks are trained. `random`: none is, and survivors are drawn at random (control).
        proposals: `enumeration`, or `random`: programs of random connected graphs (control).
        evaluations: Prefixes of programs that exploration executes at most, in each iteration.
        max_size: Most functions of a program, those of the library written out.
        functions: Functions that each compression adds at most; 0: no library (control).
        max_arity: Most arguments of such a function.
        max_difference: Largest difference of two logarithmic probabilities in the grammar.
        metric: The accuracy, without its split.
        baselines: Other seeds that the run's recipe is trained with, for comparison.
        repeats: Other seeds that the best survivor is trained with, for comparison.
        jobs: Networks that are trained at once, each in a process; results do not depend on it.
        dim: Size of the vector that the encoder gives.
        num_layers: Layers of the head.
        dropout: Share of what enters each layer of the head that is set to zero in training.

    Raises:
        ValueError: When `survivors` is not below `population`.

    Examples:
        search: {name: gssnn, run: {recipe: gssnn/raven-baseline}, population: 8, survivors: 4}
    """

    defaults = ("fit.log_every=1",)
    resumable = ("iterations", "jobs")
    lower_is_better = ("baseline-range", "repeat-range")

    def __init__(
        self,
        run: Run,
        seed: int,
        dsl: GraphLanguage | None = None,
        iterations: Annotated[int, Ge(1)] = 5,
        population: Annotated[int, Ge(2)] = 50,
        survivors: Annotated[int, Ge(1)] = 25,
        judge: Literal["train", "random"] = "train",
        proposals: Literal["enumeration", "random"] = "enumeration",
        evaluations: Annotated[int, Ge(1)] = 300_000,
        max_size: Annotated[int, Ge(1)] = 150,
        functions: Annotated[int, Ge(0)] = 3,
        max_arity: Annotated[int, Ge(0)] = 2,
        max_difference: Annotated[float, Ge(0)] = 0.5,
        metric: str = "accuracy",
        baselines: Annotated[int, Ge(0)] = 0,
        repeats: Annotated[int, Ge(0)] = 0,
        jobs: Annotated[int, Ge(1)] = 1,
        dim: Annotated[int, Ge(8)] = 512,
        num_layers: Annotated[int, Ge(1)] = 3,
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.3,
    ) -> None:
        if survivors >= population:
            raise ValueError(f"survivors must be below population, {population}, got {survivors}")
        self.run = run
        self.seed = seed
        self.dsl: GraphLanguage = GraphDsl() if dsl is None else dsl
        self.iterations = iterations
        self.population = population
        self.survivors = survivors
        self.judge = judge
        self.proposals = proposals
        self.exploration = Exploration(evaluations, max_size, dim)
        self.functions = functions
        self.max_arity = max_arity
        self.max_difference = max_difference
        self.metric = metric
        self.baselines = baselines
        self.repeats = repeats
        self.jobs = jobs
        self.head = {"dim": dim, "num_layers": num_layers, "dropout": dropout, "max_ports": self.dsl.max_ports}
        self.members: list[Member] = []
        self.done = 0
        self.tried = 0
        self.found: dict[str, float] = {}
        self.total_steps = iterations

    # -- what the loop calls ---------------------------------------------------------------------------------------

    def setup(self, *, runtime: Runtime) -> Population:
        """Returns the learner: the language with its library, and what answers."""
        self.runtime = runtime
        self.networks = Networks(self.run, self.head, self.metric, self.seed, self.jobs, runtime)
        self.learner = Population(self.dsl, self.run.learner, runtime.folder)
        return self.learner

    def step(self) -> dict[str, Tensor] | None:
        """Makes one iteration; returns how many graphs are new, and the accuracies of the survivors."""
        if self.done == self.iterations:
            return None
        new = self._explored()
        if not new and not self.members:
            raise UserError("exploration has found no graph", "search.evaluations must be larger")
        judged = self.networks.judged(new) if self.judge == "train" else self._drawn(new)
        self._select([*self.members, *judged])
        if self.functions:
            self._compress()
        self.done += 1
        kept = [member for member in self.members if member.kept]
        self.learner.members = tuple(self.members)
        if self.judge == "train":
            self.learner.answering = self._best().name
        write_report(self._folder, self.dsl, self.members)
        numbers = {
            "new-graphs": float(len(new)),
            "library": float(len(self.dsl.library)),
            "train-accuracy": statistics.fmean(member.train for member in kept),
            "val-accuracy": statistics.fmean(member.val for member in kept),
        }
        return {name: torch.tensor(number) for name, number in numbers.items()}

    def finish(self) -> None:
        """Trains what the population is compared with, and draws the figures."""
        if not self.members:
            return
        baselines: list[float] = []
        if self.judge == "train":
            baselines = [self.networks.measured(Path(self.run.folder.path))[1]]
            baselines += self.networks.baselines(self.baselines)
            self.found["baseline-mean"] = statistics.fmean(baselines)
            if self.baselines:
                self.found["baseline-range"] = max(baselines) - min(baselines)
            if self.repeats:
                best = self._best()
                values = [best.val, *self.networks.repeats(best, self.repeats)]
                self.found["repeat-range"] = max(values) - min(values)
        draw_report(self._folder, self.dsl, self.members, baselines)

    def results(self) -> Mapping[str, float]:
        """Returns the numbers that the class names."""
        if not self.members:
            return {}
        found = {
            "graphs": float(len(self.members)),
            "new-graphs": float(sum(member.iteration > 0 for member in self.members)),
            "library": float(len(self.dsl.library)),
            "evaluations": float(self.tried),
        }
        if self.judge == "train":
            values = [member.val for member in self.members]
            found |= {"mean": statistics.fmean(values), "max": max(values), "min": min(values)}
            found["range"] = found["max"] - found["min"]
            found["survivors-max"] = max(member.val for member in self.members if member.kept)
            if self.found.get("baseline-range"):
                found["range-ratio"] = found["range"] / self.found["baseline-range"]
            if "baseline-mean" in self.found:
                found["survivors-gain"] = found["survivors-max"] - self.found["baseline-mean"]
        return found | self.found

    def summary(self) -> str:
        """Returns the best survivor, in a line."""
        if not self.members:
            return "no program was found"
        best = self._best()
        return f"{len(self.members)} graphs, {len(self.dsl.library)} functions in the library; best: {best.plain}"

    def state_dict(self) -> dict[str, Any]:
        """Returns the population; the library is kept with the learner."""
        return {"done": self.done, "tried": self.tried, "members": [member.row() for member in self.members]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.done, self.tried = state["done"], state["tried"]
        self.members = [Member(*row) for row in state["members"]]
        self.learner.members = tuple(self.members)

    # -- one iteration ---------------------------------------------------------------------------------------------

    def _explored(self) -> list[Member]:
        """Returns programs whose graphs are new, so many as the population lacks."""
        kept = [parse(member.program) for member in self.members if member.kept]
        known = [self.dsl.graph(member.plain).simple for member in self.members]
        wanted = self.population - len(kept)
        if self.proposals == "random":
            found, tried = proposed_at_random(self.dsl, self.exploration, known, wanted, self.seed, self.done)
        else:
            weights = fitted(self.dsl, kept, self.max_difference) if kept else None
            found, tried = self.exploration.run(self.dsl, weights, known, wanted)
        self.tried += tried
        return [
            Member(self.done, i, str(one.term), str(one.plain), len(one.graph.nodes), len(one.graph.edges))
            for i, one in enumerate(found)
        ]

    def _drawn(self, members: list[Member]) -> list[Member]:
        """Returns members with random numbers in place of training accuracies."""
        random = torch.Generator().manual_seed(1000 * self.seed + self.done)
        draws = torch.rand(len(members), generator=random, dtype=torch.float64).tolist()
        return [replace(member, train=draw) for member, draw in zip(members, draws, strict=True)]

    def _select(self, members: list[Member]) -> None:
        """Keeps the best by training accuracy; of equal ones the earlier, which has the shorter program."""
        alive = sorted((m for m in members if m.kept), key=lambda m: (-m.train, m.iteration, m.number))
        best = {(m.iteration, m.number) for m in alive[: self.survivors]}
        self.members = [replace(m, kept=(m.iteration, m.number) in best) for m in members]

    def _compress(self) -> None:
        """Adds functions to the library that make the survivors shorter, and writes the survivors with them."""
        kept = [i for i, member in enumerate(self.members) if member.kept]
        terms = [parse(self.members[i].program) for i in kept]
        _, written = learn_library(
            self.dsl, terms, max_functions=self.functions, max_arity=self.max_arity, prefix="fn_", linear=True
        )
        for i, term in zip(kept, written, strict=True):
            self.members[i] = replace(self.members[i], program=str(term))

    def _best(self) -> Member:
        return max((m for m in self.members if m.kept), key=lambda m: (m.train, -m.iteration, -m.number))

    @property
    def _folder(self) -> Path:
        if self.runtime.folder is None:
            raise UserError("a search needs a folder for its networks", "leave out --no-save")
        return self.runtime.folder

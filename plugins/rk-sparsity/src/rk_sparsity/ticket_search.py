"""The search `lottery-ticket`: the sparse network that iterative magnitude pruning finds, as a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor, nn

from rk import Run, Runtime
from rk.writing import write_csv
from rk_sparsity.tickets import Tickets, Trained
from rk_sparsity.trainings import Trainings
from rk_sparsity.weights import Target


class TicketSearch:
    """Iterative magnitude pruning with rewinding (arXiv:1803.03635): a ticket, and its two controls, for one seed.

    Each step is a training of the recipe, with ``fit.seed`` as its seed: the dense network, the ticket of each round,
    then the last ticket with other first weights, and with its masks shuffled within each layer. The run answers with
    the last ticket, so `rk eval`, `rk predict` and `rk export` take it. The analysis of the same name trains several
    seeds and draws the curve.

    Args:
        run: A trained run of the recipe, for its data and the shapes of its weights.
        recipe: Name or path of the recipe.
        seed: Of the trainings.
        rounds: Times that weights are removed.
        prune_fraction: Share of the weights that are left which a round removes.
        rewind_steps: The step of the dense training to whose weights a round goes back; 0: the first weights.
        metric: What is compared, ``test/accuracy``; null: the accuracy of the tests, else ``fit.monitor``.
        include: Regular expressions of the names of weights that are pruned; none: all matrices and convolutions,
            without embeddings.
        exclude: Regular expressions of the names of weights that stay dense.
        target: `all` of these, or only the `recurrent` weights among them: those of any RNN, LSTM or GRU; or of these
            only `input-to-hidden` or `hidden-to-hidden`.

    Examples:
        rk search lottery-ticket --run last --recipe sparsity/digits-dense --rounds 5
    """

    defaults = ("fit.log_every=1",)

    def __init__(
        self,
        run: Run,
        recipe: str,
        seed: int,
        rounds: Annotated[int, Ge(1)] = 5,
        prune_fraction: Annotated[float, Gt(0), Lt(1)] = 0.2,
        rewind_steps: Annotated[int, Ge(0)] = 0,
        metric: str | None = None,
        include: tuple[str, ...] = (),
        exclude: tuple[str, ...] = (),
        target: Target = "all",
    ) -> None:
        self.run = run
        self.recipe = recipe
        self.seed = seed
        self.rounds = rounds
        self.prune_fraction = prune_fraction
        self.rewind_steps = rewind_steps
        self.metric = metric
        self.weights = {"include": include, "exclude": exclude, "target": target}
        self.rows: list[tuple[str, float, float]] = []
        self._trainings: Iterator[Trained] | None = None

    def setup(self, *, runtime: Runtime) -> nn.Module:
        """Returns the learner of the run, which gets the weights of each ticket."""
        self.runtime = runtime
        self.total_steps = self.rounds + 3
        self.learner = self.run.learner.to(runtime.device)
        return self.learner

    def step(self) -> dict[str, Tensor] | None:
        """Trains once; returns the density and the score, or None when all has been trained."""
        if len(self.rows) == self.total_steps:
            return None
        if self._trainings is None:
            self._trainings = self._begun()
        one = next(self._trainings)
        self.rows.append((one.name, one.density, one.score))
        if one.name.startswith("round"):
            self.learner.load_state_dict(one.run.learner.state_dict())
        return {"density": torch.tensor(one.density), "score": torch.tensor(one.score)}

    def _begun(self) -> Iterator[Trained]:
        """Returns the trainings after those of `rows`; these are read from their runs."""
        trainings = Trainings(self.recipe, self.metric, self.runtime)
        folder = Path(self.runtime.folder or ".")
        tickets = Tickets(trainings, folder, self.rounds, self.prune_fraction, self.rewind_steps, self.weights)
        found = tickets.trained(self.seed - int(trainings.plain["fit"]["seed"]))
        for _ in self.rows:
            next(found)
        return found

    def finish(self) -> None:
        """Writes the table."""
        if self.runtime.folder is not None and self.runtime.is_main:
            write_csv(self.runtime.folder / "tickets.csv", ["training", "density", "score"], self.rows)

    def results(self) -> Mapping[str, float]:
        """Returns the scores of the dense network, the ticket and its controls, and what the ticket gains over each."""
        score = {name: value for name, _, value in self.rows}
        ticket = f"round {self.rounds}"
        if "shuffle" not in score:
            return {}
        return {
            "dense": score["round 0"],
            "ticket": score[ticket],
            "reinit": score["reinit"],
            "shuffle": score["shuffle"],
            "over-reinit": score[ticket] - score["reinit"],
            "over-shuffle": score[ticket] - score["shuffle"],
            "density": next(density for name, density, _ in self.rows if name == ticket),
        }

    def summary(self) -> str:
        """Returns a line for each training."""
        return "\n".join(f"{name}: density {density:.4f}, {score:.4g}" for name, density, score in self.rows)

    def state_dict(self) -> dict[str, Any]:
        return {"rows": [list(row) for row in self.rows]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.rows = [(str(name), float(density), float(score)) for name, density, score in state["rows"]]

"""The analysis `lottery-ticket`: train, remove the smallest weights, go back to the first weights, train again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Lt

from rk.charts import chart, plain, save
from rk.writing import write_csv
from rk_sparsity.tickets import Tickets
from rk_sparsity.trainings import Trainings
from rk_sparsity.weights import Target


class LotteryTicket:
    """Iterative magnitude pruning with rewinding (arXiv:1803.03635), and its two controls.

    Each round trains the recipe from its first weights, with the masks so far. Then it removes a share of the weights
    that are left: those of the smallest magnitude, over all layers. In the end the last ticket is trained again with
    other first weights, and with its masks shuffled within each layer. Does neither reach the ticket, then both the
    positions and the first weights matter.

    With `rewind_steps` a round goes back to the weights of that step of the dense training, as larger networks need
    (arXiv:1912.05671). Runs are repeatable, so a round trains densely up to that step again; then its masks apply, and
    the learning rate, the order of the data and the optimizer continue from there. The controls do the same.

    The analysis writes ``tickets.csv``, ``tickets.png``, and ``ticket-N.safetensors`` with the masks of each round,
    which the callback `given-masks` takes. Each training is a run within its folder. A stopped analysis is resumed with
    ``rk analyze lottery-ticket --resume last``.

    Args:
        recipe: Name or path of the recipe.
        rounds: Times that weights are removed.
        prune_fraction: Share of the weights that are left which a round removes.
        rewind_steps: The step of the dense training to whose weights a round goes back; 0: the first weights.
        seeds: Tickets: one for each seed, beginning with the recipe's own.
        metric: What is compared, ``test/accuracy``; null: the accuracy of the tests, else ``fit.monitor``.
        include: Regular expressions of the names of weights that are pruned; none: all matrices and convolutions,
            without embeddings.
        exclude: Regular expressions of the names of weights that stay dense.
        target: `all` of these, or only the `recurrent` weights among them: those of any RNN, LSTM or GRU; or of these
            only `input-to-hidden` or `hidden-to-hidden`.

    Examples:
        rk analyze lottery-ticket --recipe sparsity/digits-dense --rounds 5
    """

    def __init__(
        self,
        recipe: str,
        rounds: Annotated[int, Ge(1)] = 5,
        prune_fraction: Annotated[float, Gt(0), Lt(1)] = 0.2,
        rewind_steps: Annotated[int, Ge(0)] = 0,
        seeds: Annotated[int, Ge(1)] = 1,
        metric: str | None = None,
        include: tuple[str, ...] = (),
        exclude: tuple[str, ...] = (),
        target: Target = "all",
    ) -> None:
        self.recipe = recipe
        self.rounds = rounds
        self.prune_fraction = prune_fraction
        self.seeds = seeds
        self.metric = metric
        self.rewind_steps = rewind_steps
        self.include, self.exclude, self.target = include, exclude, target

    def analyze(self, out: Path) -> dict[str, float]:
        """Trains everything; returns the mean scores of the dense network, the ticket and its controls."""
        tickets = Tickets(
            Trainings(self.recipe, self.metric, out),
            out,
            self.rounds,
            self.prune_fraction,
            self.rewind_steps,
            {"include": self.include, "exclude": self.exclude, "target": self.target},
        )
        rows: list[tuple[str, int, float, float]] = []
        for seed in range(self.seeds):
            for one in tickets.trained(seed, "" if seed == 0 else f"-seed-{seed}"):
                rows.append((one.name, seed, one.density, one.score))
                print(f"{one.name}, seed {seed}: density {one.density:.4f}, {tickets.metric} {one.score:.4g}")
            write_csv(out / "tickets.csv", ["training", "seed", "density", tickets.metric], rows)
        _draw(rows, tickets.metric, out / "tickets.png")
        last = f"round {self.rounds}"
        found = {"dense": _mean(rows, "round 0"), "ticket": _mean(rows, last)}
        return {**found, "reinit": _mean(rows, "reinit"), "shuffle": _mean(rows, "shuffle")}


def _mean(rows: list[tuple[str, int, float, float]], name: str) -> float:
    values = [score for training, _, _, score in rows if training == name]
    return float(torch.tensor(values).mean())


def _draw(rows: list[tuple[str, int, float, float]], metric: str, path: Path) -> None:
    rounds = list(dict.fromkeys(name for name, *_ in rows if name.startswith("round")))
    density = {name: value for name, _, value, _ in rows}
    with chart(5.0, 3.2) as (figure, axis):
        axis.plot([density[r] for r in rounds], [_mean(rows, r) for r in rounds], "o-", label="ticket")
        for name, marker, label in (("reinit", "s", "other first weights"), ("shuffle", "^", "masks shuffled")):
            axis.plot([density[name]], [_mean(rows, name)], marker, label=label)
        axis.set_xscale("log")
        axis.set_xlabel("density")
        axis.set_ylabel(plain(metric))
        axis.legend()
        save(figure, path)

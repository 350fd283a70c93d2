"""The callback and the analysis `emulate`: a model of one step of the reduction, iterated to its fixed point."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import torch
from annotated_types import Ge
from jaxtyping import Bool, Int
from rk_sequence.metrics import first_errors
from rk_sequence.seq2seq import END
from torch import Tensor

from rk import FitContext, Run, UserError
from rk.authoring import evaluating
from rk.fields import IGNORED
from rk.protocols import Batch
from rk.writing import write_csv
from rk_structural_recursion.depths import rows_of, solved_depth

HINT = "train with the data {name: tree-traversal, mode: step}"


def iterated(
    run: Run | FitContext, batch: Batch, max_steps: int
) -> tuple[Int[Tensor, "b t"], Int[Tensor, "b"], Bool[Tensor, "b"]]:
    """Applies a model to its own answers, until a state has no call, or stays as it is.

    Args:
        run: A run of a model of one step.
        batch: First states.
        max_steps: Most steps of a state.

    Returns:
        The last answer of each, how many steps it took, and whether it ended by itself: not at `max_steps`, and not
        with an empty state.
    """
    rows = torch.arange(len(batch["tokens"]))
    steps = torch.zeros(len(rows), dtype=torch.int64)
    ended = torch.zeros(len(rows), dtype=torch.bool)
    last: list[list[int]] = [[] for _ in rows.tolist()]
    tokens, lengths = batch["tokens"], batch["lengths"]
    for _ in range(max_steps):
        with evaluating(run.learner, 0), run.runtime.autocast():
            decoded = run.learner.predict({"tokens": tokens, "lengths": lengths})["decoded"]  # type: ignore[operator]  # a learner has it
        states = [[token - 1 for token in row if token > END] for row in decoded.tolist()]
        before = [row[:n] for row, n in zip(tokens.tolist(), lengths.tolist(), strict=True)]
        steps[rows] += 1
        going = []
        for i, (row, state) in enumerate(zip(rows.tolist(), states, strict=True)):
            last[row] = state
            done = state == before[i] or not run.data.has_calls(torch.tensor([state])).item()
            ended[row] = done and bool(state)
            if not done and state:
                going.append(i)
        if not going:
            break
        rows = rows[torch.tensor(going)]
        kept = [torch.tensor(states[i]) for i in going]
        tokens = torch.nn.utils.rnn.pad_sequence(kept, batch_first=True).to(tokens.device)
        lengths = torch.tensor([len(state) for state in kept], device=tokens.device)
    width = max(len(state) for state in last) + 1
    found = torch.full((len(last), width), IGNORED)
    for row, state in enumerate(last):
        found[row, : len(state) + 1] = torch.tensor([*(token + 1 for token in state), END])
    return found, steps, ended


def emulated(
    run: Run | FitContext, split: str, limit: int | None = None
) -> tuple[dict[str, float], dict[int, tuple[float, int]]]:
    """Returns how well a model of one step emulates the recursion over the trees of a split.

    Args:
        run: A run on data with first states, such as tree-traversal with steps.
        split: The split.
        limit: The most batches; None takes all.

    Returns:
        ``emulated`` (the share of trees whose last state is the right list), ``steps`` (the mean number of steps),
        ``exact-steps`` (the share that took 2 n + 1), ``ended``, ``solved-depth``; and the share by depth.

    Raises:
        UserError: When the run is not of single steps.
    """
    if getattr(run.data, "mode", None) != "step" or not hasattr(run.data, "beginnings"):
        raise UserError("the run is not of single steps", HINT)
    right, steps, ended, exact, depth = [], [], [], [], []
    for i, _ in enumerate(run.batches(split, limit)):  # which prepares the data of a run that is loaded
        batch = run.data.beginnings(split, i)
        nodes = (batch["targets"] > END).sum(1)
        moved = {key: value.to(run.runtime.device) for key, value in batch.items()}
        # a tree of n nodes has 4 n + 2 tokens and 2 n + 1 steps: no right reduction is cut off
        found, took, done = iterated(run, moved, int(batch["lengths"].max()))
        right.append(first_errors(found, batch["targets"]) < 0)
        steps.append(took)
        ended.append(done)
        exact.append(took == 2 * nodes + 1)
        depth.append(batch["depth"])
    rights, depths = torch.cat(right), torch.cat(depth)
    shares = {
        key: (rights[depths == key].double().mean().item(), int((depths == key).sum()))
        for key in depths.unique().tolist()
    }
    numbers = {
        "emulated": rights.double().mean().item(),
        "steps": torch.cat(steps).double().mean().item(),
        "exact-steps": torch.cat(exact).double().mean().item(),
        "ended": torch.cat(ended).double().mean().item(),
        "solved-depth": float(solved_depth(shares)),
    }
    return numbers, shares


class Emulate:
    """Measures, at the end, whether a model of one step, applied to its own answers, computes the whole recursion.

    For runs on tree-traversal with ``mode: step``. Results: ``emulated``, the share of trees whose reduction ends with
    the right list; ``emulated-depth-K`` by height; ``emulated-steps``, ``emulated-exact-steps`` (2 n + 1 for n nodes),
    ``emulated-ended``, ``emulated-solved-depth``.

    Args:
        split: The trees.
        limit: The most batches to take; null takes all.

    Examples:
        data: {name: tree-traversal, mode: step}
        callbacks: [emulate]
    """

    def __init__(self, split: str = "test", limit: Annotated[int, Ge(1)] | None = None) -> None:
        self.split = split
        self.limit = limit
        self._found: dict[str, float] = {}

    def fit_end(self, fit: FitContext) -> None:
        """Iterates the model."""
        numbers, shares = emulated(fit, self.split, self.limit)
        self._found = {name if name == "emulated" else f"emulated-{name}": value for name, value in numbers.items()}
        self._found |= {f"emulated-depth-{depth}": share for depth, (share, _) in sorted(shares.items())}

    def results(self) -> Mapping[str, float]:
        """Returns the share of trees that are traversed, and what belongs to it."""
        return self._found


class EmulateAnalysis:
    """A run of single steps, iterated to its fixed point: the share of trees that it traverses, and how.

    Args:
        run: A run on tree-traversal with ``mode: step``.
        split: The trees.
        limit: The most batches to take; null takes all.

    Examples:
        rk analyze emulate --run last --split test-depth
    """

    def __init__(self, run: Run, split: str = "test", limit: Annotated[int, Ge(1)] | None = None) -> None:
        self.run = run
        self.split = split
        self.limit = limit

    def analyze(self, out: Path) -> dict[str, float]:
        """Writes `emulate.csv`, a line for each height; returns the shares and the number of steps."""
        numbers, shares = emulated(self.run, self.split, self.limit)
        rows = rows_of("depth", shares)
        write_csv(out / "emulate.csv", ("by", "number", "examples", "accuracy"), rows)
        return numbers

"""The callback `router-stats`: how many tokens take each recursion, which ones, and whether scores give the choice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import torch
from annotated_types import Ge
from torch import Tensor

from rk import FitContext
from rk.authoring import Recorder, answers
from rk.writing import write_csv
from rk_mor.capacity import models_of
from rk_mor.model import MoR
from rk_mor.recursion import Inference

MOST_KINDS = 16
"""Kinds of tokens of which the table and the figure have the most frequent ones."""


class RouterStats(Recorder):
    """Measures the routes of `mor` at each validation; the run then has `router-stats.csv` and two figures.

    - `occupancy-R`: share of tokens that take recursion R as in training, by the highest scores. `answered-R`: the same
      as the model answers, by default by scores above one half.
    - `sampling-accuracy`: share of candidates for which a score above one half and the choice of the highest scores
      agree, over the recursions that do not take all; of a model whose recursions choose.
    - `dead-tokens`: share of places in a sequence at which no sequence of those measured takes the last recursion.
    - `depth-KIND`: mean number of recursions by kind of token, as in training; where the data has `kind_names` and the
      batch `kinds`. Other data is divided by token number, in the table and the figure alone.

    Args:
        split: The split that is measured.
        limit: The most batches of it.

    Examples:
        callbacks: [{name: router-stats, split: val}]
    """

    name = stem = "router-stats"
    lower_is_better = ("dead-tokens",)

    def __init__(self, split: str = "val", limit: Annotated[int, Ge(1)] = 8) -> None:
        super().__init__(split)
        self.limit = limit
        self._names: list[str] = []
        self._kinds: dict[str, list[int]] = {}

    def fit_start(self, fit: FitContext) -> None:
        super().fit_start(fit)
        list(models_of(fit.learner, self.name))

    def measure(self, fit: FitContext) -> list[float]:
        """Returns the numbers of all names, in their order."""
        model = next(models_of(fit.learner, self.name))
        with choosing(model, "top-k"):
            chosen = list(_measured(fit, self.split, self.limit))
        with choosing(model, model.rules.inference):
            answered = list(_measured(fit, self.split, self.limit))
        found = {f"occupancy-{r + 1}": share for r, share in enumerate(_shares(chosen))}
        found |= {f"answered-{r + 1}": share for r, share in enumerate(_shares(answered))}
        if "router_logits" in chosen[0]:
            found["sampling-accuracy"] = sampling_accuracy(chosen)
        found["dead-tokens"] = dead_tokens(chosen)
        self._kinds = histogram(chosen, _labels(fit.data, chosen), len(model.rules.capacity))
        if "kinds" in chosen[0]:
            for kind, counts in self._kinds.items():
                found[f"depth-{kind}"] = sum(d * c for d, c in enumerate(counts)) / max(sum(counts), 1)
        self._names = list(found)
        return [round(float(number), 6) for number in found.values()]

    def results(self) -> dict[str, float]:
        """Returns the last measurement, without what could not be measured."""
        last = self.record.rows[-1] if self.record.steps else []
        return {name: number for name, number in zip(self._names, last, strict=True) if number == number}

    def table(self, path: Path) -> None:
        rows = ([step, *row] for step, row in zip(self.record.steps, self.record.rows, strict=True))
        write_csv(path, ["step", *self._names], rows)
        depths = range(len(next(iter(self._kinds.values()), [])))
        lines = ([kind, *counts] for kind, counts in self._kinds.items())
        write_csv(path.with_name("depths.csv"), ["kind", *(f"depth {d}" for d in depths)], lines)

    def draw(self, fit: FitContext, path: Path) -> None:
        from rk_mor.drawing import draw_depths, draw_occupancy

        curves = {name: [row[i] for row in self.record.rows] for i, name in enumerate(self._names)}
        draw_occupancy(self.record.steps, curves, path.with_name("occupancy.png"))
        draw_depths(self._kinds, path.with_name("depths.png"))

    def state_dict(self) -> dict[str, Any]:
        """Returns the record, the names of its numbers, and the last histogram."""
        kinds = [[kind, list(counts)] for kind, counts in self._kinds.items()]
        return {**super().state_dict(), "names": list(self._names), "kinds": kinds}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes `state_dict`'s result back."""
        super().load_state_dict(dict(state))
        self._names = list(state["names"])
        self._kinds = {kind: list(counts) for kind, counts in state["kinds"]}


Routes = Mapping[str, Tensor]
"""`routes`, `candidates`, `router_logits` of a batch, and `kinds` or `tokens`."""


@contextmanager
def choosing(model: MoR, inference: Inference) -> Iterator[None]:
    """Lets a model answer by another rule."""
    before = model.rules.inference
    model.rules.inference = inference
    try:
        yield
    finally:
        model.rules.inference = before


def _measured(fit: FitContext, split: str, limit: int) -> Iterator[Routes]:
    for batch, outputs in answers(fit, split, limit, needs=("routes",)):
        names = ("routes", "candidates", "router_logits", "aux_logits", "depths", "mask")
        found = {name: of[name] for of in (batch, outputs) for name in names if name in of}
        found |= {name: batch[name] for name in ("kinds", "tokens") if name in batch}
        yield found


def _exists(found: Routes) -> Tensor:
    return found["mask"] if "mask" in found else torch.ones_like(found["depths"], dtype=torch.bool)


def _shares(batches: list[Routes]) -> list[float]:
    taken = sum((found["routes"] & _exists(found).unsqueeze(-1)).sum((0, 1)) for found in batches)
    count = sum(int(_exists(found).sum()) for found in batches)
    assert isinstance(taken, Tensor)
    return [float(number) / count for number in taken]


def sampling_accuracy(batches: list[Routes]) -> float:
    """Returns the share of candidates whose score gives the choice; NaN where all recursions take all of them."""
    right = count = 0
    for found in batches:
        scores = "aux_logits" if "aux_logits" in found else "router_logits"
        parts = (found[name].unbind(-1) for name in ("routes", "candidates", scores))
        for routes, candidates, logits in zip(*parts, strict=True):
            if bool((routes == candidates).all()):
                continue  # it takes all of its candidates: there is no choice
            right += int((((logits >= 0) == routes) & candidates).sum())
            count += int(candidates.sum())
    return right / count if count else float("nan")


def dead_tokens(batches: list[Routes]) -> float:
    """Returns the share of places at which no sequence takes the last recursion."""
    length = max(found["routes"].shape[1] for found in batches)
    alive = torch.zeros(length, dtype=torch.bool)
    there = torch.zeros(length, dtype=torch.bool)
    for found in batches:
        steps = found["routes"].shape[1]
        alive[:steps] |= (found["routes"][..., -1] & _exists(found)).any(0).cpu()
        there[:steps] |= _exists(found).any(0).cpu()
    return 1 - float(alive.sum()) / max(int(there.sum()), 1)


def _labels(data: Any, batches: list[Routes]) -> list[str]:
    if "kinds" in batches[0]:
        names = list(getattr(data, "kind_names", ()))
        most = 1 + max(int(found["kinds"].max()) for found in batches)
        return names if len(names) >= most else [str(i) for i in range(most)]
    if "tokens" not in batches[0]:
        return ["all"]
    vocabulary: list[str] = data.preprocessing().get("vocabulary", []) if hasattr(data, "preprocessing") else []
    most = 1 + max(int(found["tokens"].max()) for found in batches)
    return [repr(vocabulary[i])[1:-1] if i < len(vocabulary) else str(i) for i in range(most)]


def histogram(batches: list[Routes], labels: list[str], recursions: int) -> dict[str, list[int]]:
    """Returns how many tokens of each kind took 0, 1, ... recursions: the most frequent kinds, by their mean depth."""
    counts = torch.zeros(len(labels), recursions + 1, dtype=torch.int64)
    for found in batches:
        exists = _exists(found)
        depths = found["depths"][exists].cpu()
        kinds = next((found[name][exists].cpu() for name in ("kinds", "tokens") if name in found), depths * 0)
        counts += torch.bincount(kinds * (recursions + 1) + depths, minlength=counts.numel()).view_as(counts)
    most = counts.sum(1).argsort(descending=True, stable=True)[:MOST_KINDS]
    most = most[counts[most].sum(1) > 0]
    if "kinds" in batches[0]:
        most = most.sort().values
    else:
        depth = (counts * torch.arange(recursions + 1)).sum(1) / counts.sum(1).clamp(min=1)
        most = most[depth[most].argsort(descending=True, stable=True)]
    return {labels[i]: counts[i].tolist() for i in most.tolist()}

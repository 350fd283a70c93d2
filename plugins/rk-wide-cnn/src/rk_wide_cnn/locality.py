"""The search `locality`: which hierarchy of patches a user's own data have, by the evidence of Gaussian processes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge
from rk_kernels.scale import FixedScale
from rk_kernels.spectrum import Spectrum
from torch import Tensor
from torch.nn import functional

from rk import Runtime, UserError
from rk.charts import COLORS, chart, save
from rk.protocols import Data
from rk.sampling import generator
from rk.writing import write_csv
from rk_wide_cnn.local_machine import LocalMachine, kernel_of
from rk_wide_cnn.order import hierarchies, image_size

NOISES = torch.logspace(-7, 0.5, 26, dtype=torch.float64)
"""Variances of the noise that are tried, relative to the kernel's mean diagonal."""
Candidate = tuple[int, ...]
"""Filter sizes of the hidden layers; the first one is 0 for the whole input: a fully connected network."""


class Locality:
    """Finds the hierarchy of patches under which data are most probable: is what they show local, and at which scale?

    Each candidate is the Gaussian process of a wide network with these filters (Cagnetta, Favero and Wyart 2023,
    arXiv:2208.01003); its evidence on some training rows is that of the best scale and noise. All have the same number
    of hidden layers, so that they differ in locality alone: filters of size 1 follow a hierarchy of fewer. A fully
    connected network is a candidate too. Each step is a candidate, and as a control the same one on inputs whose places
    (the pixels of all images alike) are shuffled: what wins in the true order alone has found locality. Inputs of two
    or three dimensions are images with square filters; all others are vectors. Their mean is subtracted. Classes are
    regressed onto by their indicators.

    Writes ``locality.csv`` and ``figures/locality.png``. The run answers by regression with the best candidate on the
    rows that were used.

    Its results, ``run/NAME``, in nats per number of a target: `evidence` of the best candidate; `over-full`, the best
    local candidate less the fully connected one; `over-shuffled`, less the best local one in shuffled order;
    `shuffled-over-full`, the latter less the fully connected one. And the first filter of the best candidate, `patch`,
    0 for the fully connected one.

    Args:
        num_features: Numbers per example; a fact of the data.
        seed: Of the shuffled order.
        candidates: Filter sizes to try, [[0, 1], [2, 2]], in place of all; 0 stands for the whole input; null: all.
        depth: Hidden layers of the candidates.
        limit: Training rows that are used, the first of a pass.
        kind: nngp, the process of a wide Bayesian network, or ntk.
        normalise: Divides each patch by its norm, as the theory does.

    Examples:
        rk search locality --data fashion-mnist --limit 300
    """

    defaults = ("data=digits", "fit.log_every=1")

    def __init__(
        self,
        num_features: int,
        seed: int,
        candidates: list[list[Annotated[int, Ge(0)]]] | None = None,
        depth: Annotated[int, Ge(1)] = 3,
        limit: Annotated[int, Ge(8)] = 500,
        kind: Literal["nngp", "ntk"] = "nngp",
        normalise: bool = True,
    ) -> None:
        if candidates is not None and not all(candidates):
            raise ValueError("candidates must be lists of filter sizes, got an empty one")
        self.num_features = num_features
        self.seed = seed
        self.candidates = candidates
        self.depth = depth
        self.limit = limit
        self.kind = kind
        self.normalise = normalise
        self.tried: list[tuple[Candidate, float, float, float]] = []
        """Candidate, evidence, evidence in shuffled order, noise."""
        self._rows: tuple[Tensor, Tensor] | None = None

    def setup(self, *, data: Data, runtime: Runtime) -> LocalMachine:
        self.data = data
        self.runtime = runtime
        self.learner = LocalMachine(self.num_features, self.kind, self.normalise)
        if runtime.training:
            self.total_steps = len(self._candidates())
        runtime.setup(self.learner)
        return self.learner

    @torch.no_grad()
    def step(self) -> dict[str, Tensor] | None:
        """Tries one candidate; returns its evidence in the true and in the shuffled order."""
        todo = self._candidates()
        if len(self.tried) == len(todo):
            return None
        candidate = todo[len(self.tried)]
        inputs, targets = self._read()
        inputs, targets = inputs - inputs.mean(0), targets - targets.mean(0)
        found, noise = self._evidence(candidate, inputs, targets)
        shuffled = found if candidate[0] == 0 else self._evidence(candidate, self._shuffled(inputs), targets)[0]
        self.tried.append((candidate, found, shuffled, noise))
        return {"evidence": torch.tensor(found), "shuffled": torch.tensor(shuffled)}

    @torch.no_grad()
    def finish(self) -> None:
        """Solves for the answers of the best candidate; writes the table and the figure."""
        if not self.tried:
            return
        candidate, _, _, noise = self._best()
        inputs, targets = self._read()
        self.learner.learn(self._shape(), candidate, inputs, targets, noise)
        if self.runtime.folder is not None and self.runtime.is_main:
            rows = [(_title(sizes), *numbers) for sizes, *numbers in sorted(self.tried, key=lambda one: -one[1])]
            write_csv(self.runtime.folder / "locality.csv", ("filters", "evidence", "shuffled", "noise"), rows)
            self._draw(rows, self.runtime.folder / "figures")

    def results(self) -> Mapping[str, float]:
        """Returns the numbers that the class names."""
        if not self.tried:
            return {}
        best, evidence, *_ = self._best()
        found = {"evidence": evidence, "patch": float(best[0])}
        local = [one for one in self.tried if one[0][0]]
        full = [one[1] for one in self.tried if not one[0][0]]
        if local:
            top, shuffled = max(one[1] for one in local), max(one[2] for one in local)
            found["over-shuffled"] = top - shuffled
            if full:
                found |= {"over-full": top - max(full), "shuffled-over-full": shuffled - max(full)}
        return found

    def summary(self) -> str:
        """Returns the best candidate, and whether it has found locality."""
        if not self.tried:
            return "no candidate was tried"
        best = self._best()[0]
        if not best[0]:
            return "no locality: the fully connected network is the most probable"
        gained = self.results()["over-shuffled"]
        if gained <= 0:
            return f"no locality: filters {_title(best)}, but shuffled places are as probable"
        return f"locality: filters {_title(best)}, {gained:.4f} nats per number above shuffled places"

    def _best(self) -> tuple[Candidate, float, float, float]:
        return max(self.tried, key=lambda one: one[1])

    def _candidates(self) -> list[Candidate]:
        shape = self._shape()
        if self.candidates is not None:
            for sizes in self.candidates:
                try:
                    kernel_of(shape, sizes, self.kind, self.normalise)
                except ValueError as error:
                    raise UserError(f"search.candidates: {error}") from None
            return [tuple(sizes) for sizes in self.candidates]
        sides = image_size(shape)[1:] if len(shape) > 1 else shape
        local = [sizes for sizes in hierarchies(math.gcd(*sides), self.depth) if {sizes[0]} != set(sides)]
        return [(*sizes, *[1] * (self.depth - len(sizes))) for sizes in [(0,), *local]]

    def _shape(self) -> tuple[int, ...]:
        """Returns the shape of an input if it is that of images, else how many numbers it has."""
        shape = tuple(getattr(self.data, "input_shape", ()))
        return shape if len(shape) in (2, 3) else (self.num_features,)

    def _evidence(self, candidate: Candidate, inputs: Tensor, targets: Tensor) -> tuple[float, float]:
        """Returns the evidence of the best scale and noise per number, in nats, and that noise."""
        gram = kernel_of(self._shape(), candidate, self.kind, self.normalise).to(inputs.device)(inputs)
        spectrum = Spectrum(gram / gram.diagonal().mean(), targets)
        noises = NOISES.to(inputs.device)
        count, outputs = targets.numel(), targets.shape[1]
        found = FixedScale()(spectrum.quadratic(noises), count) - outputs * spectrum.log_determinant(noises) / 2
        best = int(found.argmax())
        return float(found[best]) / count, float(noises[best])

    def _shuffled(self, inputs: Tensor) -> Tensor:
        """Returns (n, features) with their places in another order, which is one for all rows and channels."""
        shape = self._shape()
        channels = image_size(shape)[0] if len(shape) > 1 else 1
        order = torch.randperm(self.num_features // channels, generator=generator(self.seed, "places"))
        return inputs.unflatten(1, (channels, -1))[:, :, order.to(inputs.device)].flatten(1)

    def _read(self) -> tuple[Tensor, Tensor]:
        """Returns inputs (n, features) and targets (n, outputs) of the first training rows, in float64."""
        if self._rows is None:
            inputs, targets, count = [], [], 0
            for batch in self.runtime.batches(self.data, "train"):
                inputs.append(batch["inputs"].flatten(1).double())
                targets.append(batch["targets"])
                count += len(targets[-1])
                if count >= self.limit:
                    break
            x, y = torch.cat(inputs)[: self.limit], torch.cat(targets)[: self.limit]
            self._rows = x, (y if y.is_floating_point() else functional.one_hot(y)).double().reshape(len(y), -1)
        return self._rows

    def _draw(self, rows: Sequence[tuple[Any, ...]], folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        names = [row[0] for row in rows]
        with chart(5.4, 1.2 + 0.2 * len(rows)) as (figure, axis):
            axis.plot([row[2] for row in rows], names, "o", color=COLORS[7], label="shuffled places", markersize=4)
            axis.plot([row[1] for row in rows], names, "o", color=COLORS[0], label="true order", markersize=5)
            axis.invert_yaxis()
            axis.set_xlabel("log evidence per number, nats")
            axis.legend(loc="lower right")
            save(figure, folder / "locality.png")

    def state_dict(self) -> dict[str, Any]:
        return {"tried": [[list(candidate), *numbers] for candidate, *numbers in self.tried]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.tried = [(tuple(sizes), float(a), float(b), float(c)) for sizes, a, b, c in state["tried"]]


def _title(candidate: Candidate) -> str:
    """Returns the filters without the trailing ones, ``2x4``; "full" for the whole input."""
    if candidate[0] == 0:
        return "full"
    last = max(i for i, size in enumerate(candidate) if size > 1 or i == 0)
    return "x".join(map(str, candidate[: last + 1]))

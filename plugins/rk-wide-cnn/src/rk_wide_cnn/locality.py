"""The search `locality`: which hierarchy of patches a user's own data have, by the evidence of Gaussian processes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge
from rk_kernels.linalg import kernel_regression
from rk_kernels.scale import FixedScale
from rk_kernels.spectrum import Spectrum
from torch import Tensor
from torch.nn import functional

from rk import Runtime
from rk.charts import COLORS, chart, save
from rk.protocols import Data
from rk.sampling import generator
from rk.writing import write_csv
from rk_wide_cnn.local_machine import LocalMachine, kernel_of
from rk_wide_cnn.order import hierarchies, image_size

NOISES = torch.logspace(-4, 0.5, 19, dtype=torch.float64)
"""Variances of the noise that are tried, relative to the kernel's mean diagonal."""
Candidate = tuple[int, ...]
"""Filter sizes; the first one is 0 for the whole input: a fully connected network with as many hidden layers."""


class Locality:
    """Finds the hierarchy of patches under which data are most probable: is what they show local, and at which scale?

    Each candidate is the Gaussian process of a wide network with these filters (Cagnetta, Favero and Wyart 2023,
    arXiv:2208.01003); its evidence on some training rows is that of the best scale and noise. Fully connected networks
    of each depth are candidates too. Each step is a candidate, and as a control the same one on inputs whose places (the
    pixels of all images alike) are shuffled: filters that win only in the true order have found locality, and not just
    a good depth. Inputs of two or three dimensions are images with square filters; all others are vectors. Classes are
    regressed onto by their indicators.

    Writes ``locality.csv`` and ``figures/locality.png``. The run answers by regression with the best candidate on the
    rows that were used.

    Its results, ``run/NAME``, in nats per number of a target: `evidence` of the best candidate; `over-full`, the best
    local candidate less the best fully connected one; `over-shuffled`, less the best local one in shuffled order;
    `shuffled-over-full`, the latter less the best fully connected one. And the first filter of the best candidate,
    `patch`, 0 for a fully connected one, and its `depth`.

    Args:
        num_features: Numbers per example; a fact of the data.
        seed: Of the shuffled order.
        candidates: Filter sizes to try, [[2, 2], [4]], in place of all hierarchies; null: all.
        max_depth: Most hidden layers.
        limit: Training rows that are used, the first of a pass.
        kind: nngp, the process of a wide Bayesian network, or ntk.
        normalise: Divides each patch by its norm, as the theory does.

    Examples:
        rk search locality --data digits --max-depth 2
    """

    defaults = ("data=digits", "fit.log_every=1")

    def __init__(
        self,
        num_features: int,
        seed: int,
        candidates: list[list[Annotated[int, Ge(1)]]] | None = None,
        max_depth: Annotated[int, Ge(1)] = 3,
        limit: Annotated[int, Ge(8)] = 500,
        kind: Literal["nngp", "ntk"] = "nngp",
        normalise: bool = False,
    ) -> None:
        self.num_features = num_features
        self.seed = seed
        self.candidates = candidates
        self.max_depth = max_depth
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
        runtime.setup(self.learner)
        return self.learner

    @torch.no_grad()
    def step(self) -> dict[str, Tensor] | None:
        """Tries one candidate; returns its evidence in the true and in the shuffled order."""
        todo = self._candidates()
        self.total_steps = len(todo)
        if len(self.tried) == len(todo):
            return None
        candidate = todo[len(self.tried)]
        inputs, targets = self._read()
        found, noise = self._evidence(candidate, inputs, targets)
        shuffled = found if candidate[0] == 0 else self._evidence(candidate, self._shuffled(inputs), targets)[0]
        self.tried.append((candidate, found, shuffled, noise))
        return {"evidence": torch.tensor(found), "shuffled": torch.tensor(shuffled)}

    @torch.no_grad()
    def finish(self) -> None:
        """Solves for the answers of the best candidate; writes the table and the figure."""
        candidate, _, _, noise = max(self.tried, key=lambda one: one[1])
        inputs, targets = self._read()
        self.learner.choose(self._shape(), candidate)
        gram = self.learner.kernel(inputs)
        offset = targets.mean(0)
        self.learner.offset, self.learner.inputs = offset, inputs
        self.learner.coefficients = kernel_regression(gram, targets - offset, noise * float(gram.diagonal().mean()))
        if self.runtime.folder is not None and self.runtime.is_main:
            rows = [("x".join(map(str, c)) if c[0] else f"full, depth {len(c)}", *rest) for c, *rest in self.tried]
            rows.sort(key=lambda row: -float(row[1]))
            write_csv(self.runtime.folder / "locality.csv", ("filters", "evidence", "shuffled", "noise"), rows)
            self._draw(rows, self.runtime.folder / "figures")

    def results(self) -> Mapping[str, float]:
        """Returns the numbers that the class names."""
        if not self.tried:
            return {}
        best, evidence, _, _ = max(self.tried, key=lambda one: one[1])
        found = {"evidence": evidence, "patch": float(best[0]), "depth": float(len(best))}
        local = [one for one in self.tried if one[0][0]]
        full = max((one[1] for one in self.tried if not one[0][0]), default=None)
        if local:
            top, shuffled = max(one[1] for one in local), max(one[2] for one in local)
            found["over-shuffled"] = top - shuffled
            if full is not None:
                found |= {"over-full": top - full, "shuffled-over-full": shuffled - full}
        return found

    def summary(self) -> str:
        """Returns the best candidate, and whether it has found locality."""
        if not self.tried:
            return "no candidate was tried"
        found = self.results()
        best = max(self.tried, key=lambda one: one[1])[0]
        if not best[0]:
            return f"no locality: a fully connected network of depth {len(best)} is the most probable"
        gained = found["over-shuffled"]
        verdict = "locality" if gained > 0 else "no locality: shuffled inputs are as probable"
        return f"{verdict}: filters {list(best)}, {gained:.4f} nats per target above shuffled inputs"

    def _candidates(self) -> list[Candidate]:
        if self.candidates is not None:
            return [tuple(sizes) for sizes in self.candidates]
        full = [(0, *[1] * depth) for depth in range(self.max_depth)]
        shape = self._shape()
        sides = set(image_size(shape)[1:]) if len(shape) > 1 else set(shape)
        length = torch.gcd(*map(torch.tensor, (min(sides), max(sides)))).item()
        local = [s for s in hierarchies(int(length), self.max_depth) if sides != {s[0]}]  # of one patch: the full one
        return [*full, *local]

    def _shape(self) -> tuple[int, ...]:
        """Returns the shape of an input if it is that of images, else how many numbers it has."""
        shape = tuple(getattr(self.data, "input_shape", ()))
        return shape if len(shape) in (2, 3) else (self.num_features,)

    def _evidence(self, candidate: Candidate, inputs: Tensor, targets: Tensor) -> tuple[float, float]:
        """Returns the evidence of the best scale and noise per number, in nats, and that noise."""
        gram = kernel_of(self._shape(), candidate, self.kind, self.normalise).to(inputs.device)(inputs)
        spectrum = Spectrum(gram / gram.diagonal().mean(), targets - targets.mean(0))
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

    def _draw(self, rows: list[tuple[Any, ...]], folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        names = [row[0] for row in rows]
        with chart(5.4, 1.2 + 0.2 * len(rows)) as (figure, axis):
            axis.plot([row[2] for row in rows], names, "o", color=COLORS[7], label="shuffled places", markersize=4)
            axis.plot([row[1] for row in rows], names, "o", color=COLORS[0], label="true order", markersize=5)
            axis.invert_yaxis()
            axis.set_xlabel("log evidence per target, nats")
            axis.legend(loc="lower left")
            save(figure, folder / "locality.png")

    def state_dict(self) -> dict[str, Any]:
        return {"tried": [[list(candidate), *numbers] for candidate, *numbers in self.tried]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.tried = [(tuple(sizes), *map(float, numbers)) for sizes, *numbers in state["tried"]]

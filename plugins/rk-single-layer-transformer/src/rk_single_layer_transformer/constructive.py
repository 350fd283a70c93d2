"""The trainer `constructive`: all weights of the model without a gradient, with a bound on its error."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Protocol

import torch
from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor, nn

from rk import Runtime, UserError
from rk.builtin.backprop import Answering
from rk.protocols import Data, Model
from rk_single_layer_transformer.construction import Construction, Settings
from rk_single_layer_transformer.fields import ContinuousBatch


class Constructible(Model, Protocol):
    """A `single-layer-transformer`: its encoding, what mixes positions, and its network."""

    embed: nn.Linear
    mixer: nn.Module | None
    ffn: nn.Module
    positions: str

    def mixed(self, inputs: Tensor) -> Tensor:
        """Returns what the network reads, of (batch, time, d_model)."""
        ...


class Samples(Data, Protocol):
    """Data that know the box of their inputs and the points at which errors are measured."""

    domain: tuple[tuple[float, float], ...]

    def points(self) -> tuple[Tensor, Tensor]:
        """Returns inputs of (points, time, features) and targets of (points, time, outputs), float64."""
        ...


class Constructive:
    """Writes the weights that the theorem promises: heads that copy, and a network by least squares or a cosine series.

    Head j copies x_j into every position (Eq. 3), so each position has the whole sequence and its own number. The
    network then is a function of finitely many numbers, with units for each position that are silent on the others
    (Eq. 5). One pass over the training split, float64, no step of descent. The model needs one-hot positions and its
    residual; without attention, each position has its own step alone. `ffn_width` of the model is not used.

    Its results are the predicted bounds, beside what is measured on the data's points: `run/copy-error` and
    `run/copy-bound` (Eq. 4), `run/ffn-error` (the network with exact copies), `run/lipschitz`, and `run/error-bound`
    (Eq. 9), which no error on these points exceeds; `run/spline-bound` (Eq. 8) of a cosine series;
    `run/hidden-units`.

    Args:
        seed: Of the random hinges.
        ffn: How the network is made: `lstsq`, random hinges and least squares (Eq. 6); or `cosine`, a cosine series
            whose products are ridges, each a piecewise linear spline (Eq. 7): nothing in it is random.
        width: Random hinges per position, for `lstsq`. A unit per coordinate and one for a constant come with them.
        beta: Inverse temperature of the copy heads; what leaks falls as e^-beta.
        modes: Largest frequency along each axis, for `cosine`.
        hinge_spacing: Largest distance of two knots, for `cosine`.
        ridge: Penalty of the least squares, relative to the number of samples; 0: the solution of smallest norm, which
            takes several times as long, and can be twice as far off between samples.

    Examples:
        trainer: {name: constructive, width: 256, beta: 14}
    """

    lower_is_better = (
        "copy-error",
        "copy-bound",
        "ffn-error",
        "lipschitz",
        "error-bound",
        "spline-bound",
        "hidden-units",
    )

    def __init__(
        self,
        seed: int,
        ffn: Literal["lstsq", "cosine"] = "lstsq",
        width: Annotated[int, Ge(0)] = 256,
        beta: Annotated[float, Ge(0)] = 12.0,
        modes: Annotated[int, Ge(1)] = 8,
        hinge_spacing: Annotated[float, Ge(1e-4)] = 0.05,
        ridge: Annotated[float, Ge(0)] = 1e-9,
    ) -> None:
        self.settings = Settings(seed, ffn, width, beta, modes, hinge_spacing, ridge)
        self.seen: list[tuple[Tensor, Tensor]] = []
        self.found: dict[str, float] = {}

    def setup(self, *, model: Constructible, data: Samples, runtime: Runtime) -> Answering:
        """Gives the model a network of the size that the construction needs.

        Raises:
            rk.UserError: When the model is not one that the construction fits, or several processes run.
        """
        if runtime.world > 1:
            raise UserError("constructive solves for one matrix: it runs in one process", "fit.devices=1")
        self.data = data
        self.construction = Construction(model, self.settings, data.domain)
        self.learner = Answering(model)
        runtime.setup(self.learner)
        return self.learner

    def step(self, batch: ContinuousBatch) -> dict[str, Tensor] | None:
        """Takes the sequences of one batch; None when the pass is over."""
        total = self.data.batches("train")
        if total is None:
            raise UserError(
                "constructive takes all training sequences, but the training split has no end",
                "data.train_samples=4000",
            )
        if len(self.seen) >= total:
            return None
        self.seen.append((batch["inputs"], batch["targets"]))
        return {}

    @torch.no_grad()
    def finish(self) -> None:
        """Writes all weights, and measures what the bound is made of."""
        if not self.seen:
            return
        inputs = torch.cat([x for x, _ in self.seen]).double()
        targets = torch.cat([y for _, y in self.seen]).double()
        self.construction.write(inputs, targets, getattr(self.data, "map", None))
        self.found = self.construction.promise(*self.points(inputs.device))

    def points(self, device: torch.device) -> tuple[Float[Tensor, "points time d"], Float[Tensor, "points time p"]]:
        """Returns where errors are measured."""
        inputs, targets = self.data.points()
        return inputs.to(device), targets.to(device)

    def results(self) -> dict[str, float]:
        """Returns the predicted bounds and the size."""
        return self.found

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen, "found": self.found}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seen = [tuple(pair) for pair in state["seen"]]
        self.found = dict(state["found"])

"""The callback `critical-init`: initial weights with which signals neither fade nor explode."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge
from torch import nn

from rk import Batch, FitContext, UserError
from rk.sampling import generator
from rk_criticality.activations import Name
from rk_criticality.initial import from_data, from_theory
from rk_criticality.theory import critical


class CriticalInit:
    """Gives the linear maps and convolutions of any model critical weights before the first step.

    `theory` draws them from the critical (C_b, C_W) of the activation before each layer (Sec. 5.3 of arXiv:2106.10165),
    which it finds by looking at a batch. Layers behind something else (a pooling, a norm, attention, a skip) stay as
    they are. `data` keeps the weights that the model has and rescales them until a gradient keeps its norm from layer
    to layer (chi_perp = 1), whatever is between. Embeddings, norms and recurrent cells stay as they are.

    Prints how many layers it has changed. A resumed run keeps its weights.

    Args:
        seed: Seeds the weights.
        mode: Where the scale comes from.
        activation: The activation before each layer; auto looks for it.
        c_w: Variance of the weights times fan-in; null: the critical one.
        c_b: Variance of the biases; null: the critical one.
        last_c_w: That of layers that nothing reads; their biases begin at 0.

    Raises:
        ValueError: When the activation has no critical point and `c_w` or `c_b` is not given.

    Examples:
        callbacks: [critical-init]
    """

    def __init__(
        self,
        seed: int,
        mode: Literal["theory", "data"] = "theory",
        activation: Name | Literal["auto"] = "auto",
        c_w: Annotated[float, Ge(0)] | None = None,
        c_b: Annotated[float, Ge(0)] | None = None,
        last_c_w: Annotated[float, Ge(0)] = 1.0,
    ) -> None:
        if activation != "auto" and critical(activation).kind == "none":
            raise ValueError(f"{activation} has no critical point: take mode data")
        if mode == "data" and (activation != "auto" or c_w is not None or c_b is not None):
            raise ValueError("activation, c_w and c_b are for mode theory, got mode data")
        self.seed = seed
        self.mode = mode
        self.activation: Name | None = None if activation == "auto" else activation
        self.c_w = c_w
        self.c_b = c_b
        self.last_c_w = last_c_w

    def fit_start(self, fit: FitContext) -> None:
        if fit.step == 0:
            print(f"critical-init: {self.apply(fit.learner, next(iter(fit.batches('train', 1))))}")

    def apply(self, learner: nn.Module, batch: Batch) -> str:
        """Changes a learner in place; returns what was done, in a few words.

        Raises:
            rk.UserError: When no layer is behind an activation that has a critical point.
        """
        random = generator(self.seed, "critical-init")
        if self.mode == "data":
            left = from_data(learner, batch, random)
            return f"rescaled; the largest |log chi_perp| that is left is {left:.2g}"
        done, known = from_theory(
            learner, batch, random, activation=self.activation, c_w=self.c_w, c_b=self.c_b, last_c_w=self.last_c_w
        )
        if done < 2:
            raise UserError(
                f"critical-init: only {done} of {known} layers is behind an activation with a critical point",
                "take mode: data, or name the activation",
            )
        return f"{done} of {known} layers have critical weights"

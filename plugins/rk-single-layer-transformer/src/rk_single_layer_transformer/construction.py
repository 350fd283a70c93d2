"""The construction as one object: checks that a model fits it, writes the weights, and says what they promise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from rk import UserError
from rk_single_layer_transformer.attention import SoftmaxAttention
from rk_single_layer_transformer.bounds import copy_error, local_lipschitz, spline_error
from rk_single_layer_transformer.cosines import (
    MOST_RIDGES,
    cosine_coefficients,
    count_ridges,
    fitted_coefficients,
    write_series,
)
from rk_single_layer_transformer.feedforward import FeedForward, RidgeSplines
from rk_single_layer_transformer.functions import Function
from rk_single_layer_transformer.hinges import Box, least_squares, random_hinges, write_gated
from rk_single_layer_transformer.slots import Slots, write_copy_heads, write_embedding


@dataclass(frozen=True)
class Settings:
    """The parameters of the trainer `constructive`, which has their descriptions."""

    seed: int = 0
    ffn: str = "lstsq"
    width: int = 256
    beta: float = 12.0
    modes: int = 8
    hinge_spacing: float = 0.05
    ridge: float = 1e-9


class Construction:
    """A model and how its weights are written.

    Args:
        model: A `SingleLayerTransformer`. It becomes float64, and gets a network of the size that is needed.
        settings: How.
        domain: Least and largest value of each feature.

    Raises:
        rk.UserError: When the model lacks what the construction needs, or a series would have too many ridges.
    """

    def __init__(self, model: Any, settings: Settings, domain: Sequence[tuple[float, float]]) -> None:
        self.model = model
        self.settings = settings
        self.slots = Slots(model.num_features, model.num_steps, attention=model.mixer is not None)
        self.box = self._box(domain)
        _check(model, self.slots, settings)
        model.ffn = self._network()
        model.double()

    def write(
        self,
        inputs: Float[Tensor, "samples time features"],
        targets: Float[Tensor, "samples time outputs"],
        function: Function | None = None,
    ) -> None:
        """Writes all weights.

        Args:
            inputs: Samples, float64.
            targets: What they are mapped to, float64.
            function: What maps them, where it is known; a cosine series then needs no samples.
        """
        box = tuple(bound.to(inputs.device) for bound in self.box)
        write_embedding(self.model.embed, self.slots)
        if isinstance(self.model.mixer, SoftmaxAttention):
            write_copy_heads(self.model.mixer, self.slots, self.settings.beta)
        if self.settings.ffn == "cosine":
            self._write_series(inputs, targets, function, box)  # type: ignore[arg-type]  # two tensors, as a box is
        else:
            self._write_hinges(inputs, targets, box)  # type: ignore[arg-type]  # the same

    def promise(
        self, inputs: Float[Tensor, "points time features"], targets: Float[Tensor, "points time outputs"]
    ) -> dict[str, float]:
        """Returns Eq. 9 and its parts: error <= lipschitz * copy-bound + ffn-error, at each of the points.

        Args:
            inputs: Points in the domain, float64.
            targets: The values of the function there, float64.
        """
        ffn = self.model.ffn
        copied = leaked = 0.0
        if self.slots.attention:
            diameter = float((self.box[1] - self.box[0]).max())
            copied = copy_error(self.settings.beta, self.slots.num_steps, diameter)
        stream = self.with_exact_copies(inputs)
        if self.slots.attention:
            leaked = float((self.model.mixed(inputs) - stream)[..., self.slots.z].abs().max())
        error = float((ffn(stream) - targets).abs().max())
        slope = local_lipschitz(ffn, stream.flatten(0, 1), self.slots.z, copied) if copied else 0.0
        found = {"copy-error": leaked, "copy-bound": copied, "ffn-error": error}
        found |= {"lipschitz": slope, "error-bound": slope * copied + error}
        if isinstance(ffn, RidgeSplines):
            return found | {"spline-bound": spline_error(ffn), "hidden-units": float(ffn.width)}
        return found | {"hidden-units": float(len(ffn.hidden.bias))}

    def with_exact_copies(self, inputs: Float[Tensor, "points time features"]) -> Float[Tensor, "points time d_model"]:
        """Returns what the network would read if the heads copied without a leak."""
        stream = self.model.embed(self.model.encode(inputs)).clone()
        if self.slots.attention:
            stream[..., self.slots.z] = inputs.flatten(1).unsqueeze(1).to(stream)
        return stream

    def _box(self, domain: Sequence[tuple[float, float]]) -> Box:
        bounds = torch.tensor([*domain], dtype=torch.float64)
        times = self.slots.num_steps if self.slots.attention else 1
        return bounds[:, 0].repeat(times), bounds[:, 1].repeat(times)

    def _network(self) -> FeedForward | RidgeSplines:
        slots, model = self.slots, self.model
        m = len(self.box[0])
        if self.settings.ffn == "cosine":
            ridges = count_ridges(self.settings.modes, m)
            return RidgeSplines(model.d_model, slots.num_steps, model.num_outputs, slots.z, slots.positions, ridges)
        return FeedForward(model.d_model, slots.num_steps * (self.settings.width + m + 1), model.num_outputs)

    def _write_hinges(self, inputs: Tensor, targets: Tensor, box: Box) -> None:
        """Solves once for all positions where they see the same; else for each of them."""
        settings, slots = self.settings, self.slots
        if slots.attention:
            z = inputs.flatten(1)
            hinges = random_hinges(z, box, settings.width, settings.seed)
            readouts = least_squares(hinges(z), targets.flatten(1), settings.ridge).unflatten(1, targets.shape[1:])
            for i in range(slots.num_steps):
                write_gated(self.model.ffn, slots, i, hinges, readouts[:, i], box)
            return
        for i in range(slots.num_steps):
            hinges = random_hinges(inputs[:, i], box, settings.width, settings.seed, i)
            readout = least_squares(hinges(inputs[:, i]), targets[:, i], settings.ridge)
            write_gated(self.model.ffn, slots, i, hinges, readout, box)

    def _write_series(self, inputs: Tensor, targets: Tensor, function: Function | None, box: Box) -> None:
        settings = self.settings
        if function is None:
            found = fitted_coefficients(inputs.flatten(1), targets, settings.modes, box, settings.ridge)
        else:
            shape = (self.slots.num_steps, self.slots.num_features)
            found = cosine_coefficients(function, shape, settings.modes, self.box).to(inputs.device)
        write_series(self.model.ffn, found, settings.hinge_spacing, box)


def _check(model: Any, slots: Slots, settings: Settings) -> None:
    if model.positions != "onehot":
        raise UserError(
            f"constructive needs one-hot positions, got model.positions={model.positions}",
            "heads find a step by its position; without positions the theorem is false",
        )
    if not model.residual:
        raise UserError("constructive needs the residual: it carries each position's own number", "model.residual=true")
    if model.d_model < slots.width:
        raise UserError(
            f"constructive needs a stream of {slots.width} columns, got model.d_model={model.d_model}",
            "leave out model.d_model",
        )
    if slots.attention:
        _check_heads(model.mixer, slots)
    if settings.ffn == "cosine":
        if not slots.attention:
            raise UserError("a cosine series is of the whole sequence: it needs attention", "trainer.ffn=lstsq")
        ridges = count_ridges(settings.modes, slots.num_steps * slots.num_features)
        if ridges > MOST_RIDGES:
            raise UserError(
                f"a cosine series of {settings.modes} modes has {ridges} ridges, more than {MOST_RIDGES}",
                "take fewer modes, or trainer.ffn=lstsq",
            )


def _check_heads(mixer: Any, slots: Slots) -> None:
    if not isinstance(mixer, SoftmaxAttention):
        raise UserError(
            f"constructive writes softmax attention, got the layer {type(mixer).__name__}",
            "leave out model.layer, or train by gradients: trainer.name=backprop",
        )
    if mixer.num_heads < slots.num_steps or mixer.head_dim < slots.num_features:
        raise UserError(
            f"constructive needs {slots.num_steps} heads of width {slots.num_features}, "
            f"got {mixer.num_heads} of width {mixer.head_dim}",
            "leave out model.num_heads and model.head_dim",
        )

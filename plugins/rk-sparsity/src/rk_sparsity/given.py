"""The callback `given-masks`: masks from a file, as they are or shuffled within each layer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import torch
from annotated_types import Ge
from safetensors import SafetensorError
from safetensors.torch import load_file

from rk import FitContext, UserError
from rk.errors import suggest
from rk.sampling import generator
from rk_sparsity.engine import Sparsifier
from rk_sparsity.masks import Kept

_STREAM = 0x676976656E


class GivenMasks(Sparsifier):
    """Trains with masks that were found elsewhere: the ticket of a lottery, or what another run has left.

    Args:
        file: A safetensors file with a tensor for each weight, by its name in the learner: where it is not 0 or False,
            the weight is kept. So the `model.safetensors` of a sparse run will do.
        seed: Seeds the shuffling.
        shuffle: Whether the masks are shuffled within each layer. A mask whose positions matter does worse then.
        start_step: Steps of dense training before the masks apply.

    Examples:
        callbacks: [{name: given-masks, file: ticket.safetensors}]
    """

    def __init__(
        self, file: Path, seed: int, shuffle: bool = False, start_step: Annotated[int, Ge(0)] = 0, **weights: Any
    ) -> None:
        super().__init__(**weights)
        self.file = file
        self.seed = seed
        self.shuffle = shuffle
        self.start_step = start_step

    def fit_start(self, fit: FitContext) -> None:
        total = fit.runtime.total_steps
        if total is not None and self.start_step >= total:
            raise UserError(f"given-masks: start_step must be < {total}, the steps of the run, got {self.start_step}")
        super().fit_start(fit)

    def first(self, fit: FitContext) -> Kept | None:
        given = self._given()  # a file that does not fit is reported now, not at start_step
        return given if self.start_step == 0 else None

    def after_step(self, fit: FitContext) -> None:
        if fit.step == self.start_step:
            self.change(self._given())
        super().after_step(fit)

    def _given(self) -> Kept:
        try:
            found = load_file(self.file)
        except (OSError, SafetensorError) as error:
            raise UserError(
                f"{self.file} cannot be read: {error}", "a safetensors file with a tensor per weight"
            ) from None
        kept: Kept = {}
        for number, (name, weight) in enumerate(self.known.weights.items()):
            tensor = found.get(name)
            if tensor is None:
                raise UserError(f"{self.file} has no mask of {name}", suggest(name, [*found], "it has"))
            if tensor.shape != weight.shape:
                raise UserError(
                    f"{self.file}: the mask of {name} must be of {tuple(weight.shape)}, got {tuple(tensor.shape)}"
                )
            mask = tensor.bool()
            if self.shuffle:
                order = torch.randperm(mask.numel(), generator=generator(self.seed, _STREAM, number))
                mask = mask.flatten()[order].view_as(mask)
            kept[name] = mask
        return kept

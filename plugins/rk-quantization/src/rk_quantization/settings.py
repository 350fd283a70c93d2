"""What post-training quantisation is asked for, and what of it cannot be."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from rk_quantization.activations import Per
from rk_quantization.ranges import Observer
from rk_quantization.scheme import Scheme

Rounding = Literal["nearest", "adaround", "gptq"]


@dataclass(frozen=True)
class Settings:
    """Of post-training quantisation.

    Attributes:
        weights: How weights are quantised.
        activations: Bits of what layers take; None leaves it in floating point.
        observer: How ranges of activations are chosen.
        percentile: For `observer=percentile`, in hundredths.
        dynamic: Whether ranges of activations are those of each batch.
        per: What shares a scale of dynamic activations.
        include: Regular expressions of names of weights.
        exclude: Regular expressions of names of weights that stay as they are.
        first_last_bits: Bits of the first and the last weight; None: as all others.
        rounding: `nearest`; or layer by layer, with its inputs: `adaround`, learned, or `gptq`, column by column.
        rounds: Steps of AdaRound for each layer.
        bias_correction: Whether biases are moved by the mean error of their layer.
        equalize: Whether the weights of neighbouring layers are scaled to the same range before.
        split: Where calibration batches come from.
        samples: Calibration batches.

    Raises:
        ValueError: When they contradict each other.
    """

    weights: Scheme = field(default_factory=Scheme)
    activations: int | None = None
    observer: Observer = "min-max"
    percentile: float = 99.99
    dynamic: bool = False
    per: Per = "tensor"
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    first_last_bits: int | None = None
    rounding: Rounding = "nearest"
    rounds: int = 1000
    bias_correction: bool = False
    equalize: bool = False
    split: str = "train"
    samples: int = 8

    def __post_init__(self) -> None:
        if self.activations is None and self.dynamic:
            raise ValueError("dynamic is of activations: give activations, their bits")
        if self.per == "token" and not self.dynamic:
            raise ValueError("per=token needs dynamic=true: a scale for each token is not known before")
        if self.rounding != "nearest" and not self.weights.uniform:
            raise ValueError(f"rounding={self.rounding} needs uniform levels, got levels={self.weights.levels}")

    @property
    def needs_data(self) -> bool:
        """Whether batches are read."""
        static = self.activations is not None and not self.dynamic
        return static or self.bias_correction or self.equalize or self.rounding != "nearest"

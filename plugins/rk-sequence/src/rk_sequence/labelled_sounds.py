"""Data `labelled-sounds`: recordings with a class each, as raw samples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt
from jaxtyping import Float
from torch import Tensor

from rk.protocols import Batch
from rk_sequence.fields import SeriesBatch
from rk_sequence.labelled import Example, LabelledData
from rk_sequence.sounds import read_folder_of_sounds, read_wav, spoken_digits


class LabelledSounds(LabelledData):
    """WAV files of your own in a folder for each class, or spoken digits; a step is one sample.

    All recordings have the same length: shorter ones end with silence, longer ones are cut off.

    Args:
        folder: A folder with one folder of WAV files for each class.
        dataset: Published recordings in place of a folder: `spoken-digits`, the Free Spoken Digit Dataset (3000 of six
            speakers; the first five takes of each are tested).
        test: A folder of its own for tests; null: a share of the recordings.
        rate: Samples per second.
        seconds: Length of a recording.

    Raises:
        ValueError: When there are both a folder and a dataset, or neither.

    Examples:
        data: {name: labelled-sounds, folder: birds, rate: 8000, seconds: 1.0}
    """

    vocab_size: None = None
    num_features: int = 1
    readout: Literal["mean"] = "mean"

    def __init__(
        self,
        folder: Path | None = None,
        dataset: Literal["spoken-digits"] | None = None,
        test: Path | None = None,
        rate: Annotated[int, Ge(1)] = 8000,
        seconds: Annotated[float, Gt(0)] = 1.0,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        if (folder is None) == (dataset is None):
            raise ValueError("give data.folder, your own recordings, or data.dataset, published ones")
        self.folder = folder
        self.test = test
        self.rate = rate
        self.steps = max(1, round(rate * seconds))

    @property
    def num_outputs(self) -> int:
        """Classes."""
        return len(self.classes)

    @property
    def num_steps(self) -> int:
        """Samples of a recording."""
        return self.steps

    def _load(self) -> dict[str, list[Example]]:
        if self.folder is None:
            return spoken_digits(self.rate)
        parts = {"train": read_folder_of_sounds(self.folder, self.rate)}
        return parts if self.test is None else parts | {"test": read_folder_of_sounds(self.test, self.rate)}

    def _learn(self, examples: Sequence[Example]) -> None:
        spread = torch.cat([self._cut(e.content) for e in examples]).std()
        self._spread = float(spread) or 1.0

    def _cut(self, samples: Float[Tensor, "time 1"]) -> Float[Tensor, "steps 1"]:
        samples = samples[: self.steps]
        return torch.cat([samples, samples.new_zeros(self.steps - len(samples), 1)])

    def _collated(self, examples: Sequence[Example]) -> Batch:
        return {"inputs": torch.stack([self._cut(e.content) for e in examples]) / self._spread}

    def batch(self, split: str, i: int, stage: int = 0) -> SeriesBatch:
        chosen = self._chosen(split, i)
        return {"inputs": self._collated(chosen)["inputs"], "targets": self._targets(chosen)}

    def read(self, path: Path) -> Batch:
        """Reads a WAV file."""
        return self._collated([Example(read_wav(path, self.rate), None, str(path))])

    def preprocessing(self) -> dict[str, Any]:
        """Returns how a recording becomes ``inputs``."""
        return {
            "field": "inputs",
            "from": "sound",
            "rate": self.rate,
            "steps": self.steps,
            "divided_by": self._spread,
        }

    def state_dict(self) -> dict[str, Any]:
        """Returns the classes and the spread of the samples: a run answers without the recordings."""
        return {"classes": list(self.classes), "spread": self._spread}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.classes = tuple(state["classes"])
        self._spread = state["spread"]

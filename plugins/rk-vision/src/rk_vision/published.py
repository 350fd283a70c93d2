"""Published image data, all of it or some of its classes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from rk.errors import suggest
from rk_vision.pictures import Labelled, PictureData


class PublishedPictures(PictureData):
    """Images whose classes are known before they are read.

    Args:
        classes: Takes the images of these classes alone, numbered in this order; null: those of all.
    """

    _all_names: Sequence[str]

    def __init__(self, classes: tuple[str, ...] | None = None, **images: Any) -> None:
        super().__init__(**images)
        names = self._all_names if classes is None else classes
        if unknown := next((name for name in names if name not in self._all_names), None):
            raise ValueError(f"classes: there is no {unknown!r} ({suggest(unknown, self._all_names)})")
        if len(names) < 2 or len(set(names)) < len(names):
            raise ValueError("classes must be two or more, each once")
        self.classes = classes
        self._names = tuple(names)

    @property
    def num_classes(self) -> int:  # type: ignore[override]  # a fact: never set
        """The number of classes."""
        return len(self._names)

    @abstractmethod
    def _load_all(self) -> tuple[Labelled, Labelled]:
        """Returns the images of all classes, for training and for tests."""

    def _load(self) -> tuple[Labelled, Labelled]:
        train, test = self._load_all()
        return self._chosen(*train), self._chosen(*test)

    def _chosen(self, images: Tensor, targets: Tensor) -> Labelled:
        if self.classes is None:
            return images, targets
        number = torch.full((len(self._all_names),), -1)
        number[[self._all_names.index(name) for name in self._names]] = torch.arange(len(self._names))
        kept = (number[targets] >= 0).nonzero().squeeze(1)
        return images[kept], number[targets[kept]]

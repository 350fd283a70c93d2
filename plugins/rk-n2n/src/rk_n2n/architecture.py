"""What is searched over: lists of sizes in a recipe, one size per layer."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

FEATURES = 5
"""Numbers by which a policy sees a layer."""


@dataclass(frozen=True)
class Architecture:
    """Lists of sizes, by the keys of a recipe.

    Attributes:
        sizes: Key -> the size of each layer: ``(("model.hidden_sizes", (128, 128)),)``.
    """

    sizes: tuple[tuple[str, tuple[int, ...]], ...]

    @classmethod
    def of(cls, sizes: Mapping[str, Sequence[int]]) -> Architecture:
        """Returns the architecture of some lists."""
        return cls(tuple((key, tuple(values)) for key, values in sizes.items()))

    @property
    def layers(self) -> list[tuple[int, int]]:
        """Every layer in order: the number of its list, and its size."""
        return [(number, size) for number, (_, values) in enumerate(self.sizes) for size in values]

    def __len__(self) -> int:
        return len(self.layers)

    def overrides(self) -> list[str]:
        """Returns the changes of the recipe."""
        return [f"{key}={json.dumps(list(values))}" for key, values in self.sizes]

    def applied(self, plain: Mapping[str, Any]) -> dict[str, Any]:
        """Returns a copy of a recipe, as plain values, with these sizes."""
        found: dict[str, Any] = copy.deepcopy(dict(plain))
        for key, values in self.sizes:
            *above, last = key.split(".")
            inner: Any = found
            for part in above:
                inner = inner[int(part) if isinstance(inner, list) else part]
            inner[int(last) if isinstance(inner, list) else last] = list(values)
        return found

    @classmethod
    def found(cls, plain: Mapping[str, Any], keys: Sequence[str]) -> Architecture:
        """Returns the sizes that a recipe has, as plain values.

        Args:
            plain: The recipe.
            keys: Keys of lists of sizes, or of lists of such lists.

        Raises:
            KeyError: When there is no such list; its argument is the key.
        """
        sizes: dict[str, list[int]] = {}
        for key in keys:
            value: Any = plain
            for part in key.split("."):
                value = value.get(part) if isinstance(value, dict) else None
            lists = {key: value}
            if isinstance(value, list) and value and all(isinstance(one, list) for one in value):
                lists = {f"{key}.{i}": one for i, one in enumerate(value)}
            for name, one in lists.items():
                if not isinstance(one, list) or not one or not all(type(v) is int for v in one):
                    raise KeyError(key)
                sizes[name] = one
        return cls.of(sizes)

    def without(self, kept: Sequence[bool]) -> Architecture:
        """Returns the architecture whose layers are those that are kept; the first layer of each list always is."""
        position, found = 0, []
        for key, values in self.sizes:
            flags = kept[position : position + len(values)]
            found.append((key, tuple(v for i, (v, k) in enumerate(zip(values, flags, strict=True)) if k or i == 0)))
            position += len(values)
        return Architecture(tuple(found))

    def shrunk(self, factors: Sequence[float], least: int) -> Architecture:
        """Returns the architecture with each size times its factor, rounded down, at least `least` or as it was."""
        position, found = 0, []
        for key, values in self.sizes:
            scaled = []
            for value, factor in zip(values, factors[position : position + len(values)], strict=True):
                scaled.append(min(value, max(least, int(value * factor + 1e-9))))
            found.append((key, tuple(scaled)))
            position += len(values)
        return Architecture(tuple(found))

    def features(self) -> Float[Tensor, "layers features"]:
        """Returns what a policy sees of each layer: its list, its size, its neighbours' sizes, its position.

        Sizes are relative to the largest. They take the place of the paper's kernel, stride and padding, which lists of
        sizes do not have.
        """
        layers = self.layers
        most = max(size for _, size in layers)
        sizes = [size / most for _, size in layers]
        before, after = [1.0, *sizes[:-1]], [*sizes[1:], 0.0]
        rows = [
            [float(kind), size, b, a, i / len(layers)]
            for i, ((kind, _), size, b, a) in enumerate(zip(layers, sizes, before, after, strict=True))
        ]
        return torch.tensor(rows)

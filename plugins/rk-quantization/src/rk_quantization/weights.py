"""Which weights are quantised, and which axis of each has the output channels."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn

from rk import UserError
from rk.errors import suggest
from rk_quantization.scheme import Layout, Scheme

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@dataclass(frozen=True)
class Weight:
    """A weight of a learner. One that several modules share is one weight.

    Attributes:
        name: Its name in the learner.
        parameter: The tensor.
        module: The module that owns it first.
        module_name: Its name.
    """

    name: str
    parameter: nn.Parameter
    module: nn.Module
    module_name: str

    @property
    def axis(self) -> int:
        """The axis of the output channels: 1 of a transposed convolution, else 0."""
        return 1 if isinstance(self.module, _TRANSPOSED) else 0

    @property
    def embeds(self) -> bool:
        """Whether its module looks rows up: what it takes are numbers of tokens."""
        return isinstance(self.module, nn.Embedding | nn.EmbeddingBag)

    def layout(self, scheme: Scheme) -> Layout:
        """Returns how the weight is seen as a matrix. Raises `rk.UserError` when groups do not divide it."""
        layout = Layout(tuple(self.parameter.shape), self.axis, scheme.granularity, scheme.group_size)
        layout.check(self.name)
        return layout


def quantizable(learner: nn.Module, include: Iterable[str] = (), exclude: Iterable[str] = ()) -> dict[str, Weight]:
    """Returns the weights that may be quantised, each once, by their names in the learner.

    These are the floating-point parameters of two or more dimensions: matrices, convolutions, recurrent weights and
    embeddings. Norms and biases stay as they are.

    Args:
        learner: Everything that is learned.
        include: Regular expressions: only weights with a match in their names.
        exclude: Regular expressions: weights with a match in their names stay as they are.

    Raises:
        rk.UserError: When an expression matches no weight, or no weight is left.
    """
    owners: dict[int, tuple[str, nn.Module, str]] = {}
    for module_name, module in learner.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            owners.setdefault(id(parameter), (f"{module_name}.{name}".lstrip("."), module, module_name))
    every = {}
    for parameter in learner.parameters():
        name, module, module_name = owners[id(parameter)]
        if parameter.dim() >= 2 and parameter.is_floating_point():
            every[name] = Weight(name, parameter, module, module_name)
    included, excluded = _patterns("include", include), _patterns("exclude", exclude)
    for key, patterns in (("include", included), ("exclude", excluded)):
        for pattern in patterns:
            if not any(pattern.search(name) for name in every):
                text = f"{key}: {pattern.pattern!r} matches no weight of two or more dimensions"
                raise UserError(text, suggest(pattern.pattern, list(every), "weights"))
    found = {
        name: weight
        for name, weight in every.items()
        if (not included or any(x.search(name) for x in included)) and not any(x.search(name) for x in excluded)
    }
    if not found:
        hint = f"weights of two or more dimensions: {', '.join(every) or 'none'}"
        raise UserError("no weight can be quantised", hint)
    if any(hasattr(w.parameter, "to_local") for w in found.values()):
        raise UserError("quantising needs whole weights: fsdp spreads each over devices", "fit.strategy=ddp")
    return found


def _patterns(key: str, texts: Iterable[str]) -> list[re.Pattern[str]]:
    found = []
    for text in texts:
        try:
            found.append(re.compile(text))
        except re.error as error:
            raise UserError(f"{key}: {text!r} is not a regular expression: {error}") from None
    return found

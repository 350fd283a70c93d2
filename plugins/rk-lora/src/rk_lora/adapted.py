"""The base of model wrappers that adapt layers of a frozen model by small modules beside them."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from rk import UserError
from rk.errors import suggest
from rk.protocols import Model, Outputs
from rk.wrappers import ModelWrapper

Hook = Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]
"""Changes the output of a layer: a forward hook."""


class Adapted(ModelWrapper):
    """A model whose own weights stay as they are, with a small module in each adapted layer that learns.

    Running statistics of frozen batch normalisation do not move. Layers whose weights the base uses without calling
    them cannot be adapted; a first forward pass that leaves out an adapted layer is refused.

    Args:
        base: The model.
        name: Of the small module among the children of its layer.
        adapter: Builds the small module of a layer.
        hook: Changes the output of a layer by its small module.
        targets: Patterns of the names of the layers that are adapted.
        trained: Patterns of the names of the base's weights that are trained whole.
        kinds: The types of layers that may be adapted, and how messages call them. Subclasses of these types are left
            out: their forward pass may be another.
    """

    def __init__(
        self,
        base: Model,
        name: str,
        adapter: Callable[[nn.Module], nn.Module],
        hook: Hook,
        targets: tuple[str, ...],
        trained: tuple[str, ...],
        kinds: tuple[tuple[type[nn.Module], ...], str] = ((nn.Linear,), "linear layer"),
    ) -> None:
        super().__init__(base)
        module: nn.Module = self.base
        weights = [name for name, _ in module.named_parameters()]
        whole = {name for name in weights if _matches(name, trained)}
        _check_patterns("trained", trained, weights, "weight")
        layers = {n: p for n, p in module.named_modules() if type(p) in kinds[0] and f"{n}.weight" not in whole}
        _check_patterns("targets", targets, list(layers), f"{kinds[1]} that is frozen")
        for weight, parameter in module.named_parameters():
            parameter.requires_grad_(weight in whole)
        self._uncalled: set[str] = set()
        for path, layer in layers.items():
            if _matches(path, targets):
                layer.add_module(name, adapter(layer))
                layer.register_forward_hook(hook)
                self._uncalled.add(path)
        self._watched = bool(self._uncalled)
        self._adapts = name
        self.train(self.training)

    def train(self, mode: bool = True) -> Adapted:
        """Sets the mode of all but the batch normalisation of the base that is frozen: its statistics stay."""
        super().train(mode)
        for part in self.base.modules():
            if isinstance(part, _NormBase) and not any(p.requires_grad for p in part.parameters()):
                part.training = False
        return self

    def forward(self, **fields: Tensor) -> Outputs:
        """Returns what the base returns with its adapters."""
        return self._watching(fields) if self._watched else super().forward(**fields)

    def _watching(self, fields: dict[str, Tensor]) -> Outputs:
        """Returns the same, once, and checks that each adapted layer was called."""
        called: set[str] = set()
        handles = [
            self.base.get_submodule(name).register_forward_hook(lambda *_, name=name: called.add(name))
            for name in self._uncalled
        ]
        try:
            outputs = super().forward(**fields)
        finally:
            for handle in handles:
                handle.remove()
        self._watched = False
        if missing := sorted(self._uncalled - called):
            raise UserError(
                f"{self._adapts}: the base uses the weights of {missing[0]} without calling it: no adapter can be "
                "added to it",
                f"targets that leave it out; there are: {', '.join(sorted(called)[:8])}",
            )
        return outputs


def _check_patterns(parameter: str, patterns: tuple[str, ...], names: list[str], what: str) -> None:
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ValueError(f"{parameter}: {pattern!r} matches no {what} ({suggest(pattern, names, 'there are')})")


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)

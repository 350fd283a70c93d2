"""The model wrapper `snnk-replace`: any model whose linear layers with an activation become random-feature layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Annotated, Any

import torch
from annotated_types import Ge
from rk_kernels.feature_regression import solve
from torch import Tensor, nn

from rk import Data, Factory, Model, Run, Runtime, Training, UserError
from rk.binding import Bound
from rk.errors import suggest
from rk.wrappers import ModelWrapper
from rk_snnk.bundle import Snnk
from rk_snnk.features import FeatureLayer

ACTIVATIONS = (nn.ReLU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.LeakyReLU, nn.ELU, nn.Softplus)


class SnnkReplace(ModelWrapper):
    """A model in which each linear layer with an activation behind it, in one `nn.Sequential`, is y = V Phi(x).

    V begins as Psi of the layer's weights. With a `source`, all other weights are those of a trained run, and each V is
    the best one for what the run's layer answers to the training batches, by ridge regression, one layer after the
    other. The trainer `distill` of rk-n2n then learns the run's answers on.

    Args:
        base: The model; with a source, with the parameters of the source's recipe.
        features: The random features; those with a place for the bias: ``constant: true`` or `trig-features`.
        targets: Patterns of the names of the linear layers that are replaced.
        source: The trained run.
        batches: The most training batches that V is solved for with.
        ridge: Added to the diagonal, relative to its mean.

    Attributes:
        replaced: Names of the layers, in order.

    Examples:
        model: {name: snnk-replace, base: {name: mlp, hidden_sizes: [256]}, features: relu-features}

        >>> from rk.builtin.mlp import MLP
        >>> from rk_snnk.features import ReluFeatures
        >>> SnnkReplace(MLP(num_features=8, num_classes=3), ReluFeatures).replaced
        ('blocks.0.0',)
    """

    def __init__(
        self,
        base: Model,
        features: Factory[FeatureLayer],
        targets: tuple[str, ...] = ("*",),
        source: Training[Run] | None = None,
        batches: Annotated[int, Ge(1)] = 100,
        ridge: Annotated[float, Ge(0)] = 1e-4,
    ) -> None:
        super().__init__(base)
        module: nn.Module = self.base
        pairs = dict(_pairs(module))
        for pattern in targets:
            if not any(fnmatchcase(name, pattern) for name in pairs):
                text = f"targets: {pattern!r} matches no linear layer with an activation behind it"
                raise ValueError(f"{text} ({suggest(pattern, list(pairs), 'there are')})")
        self.batches = batches
        self.ridge = ridge
        self.source = source
        if source is not None:
            module.load_state_dict(_model_of(source, module).state_dict())
        self.replaced = tuple(name for name in pairs if any(fnmatchcase(name, pattern) for pattern in targets))
        for name in self.replaced:
            sequence, place = pairs[name]
            linear = sequence[place]
            assert isinstance(linear, nn.Linear)
            tower = features(in_features=linear.in_features)
            sequence[place] = Snnk([tower], [(linear.weight, linear.bias)]).to(linear.weight)
            sequence[place + 1] = nn.Identity()

    def begin(self, *, data: Data, runtime: Runtime) -> None:
        """Solves for each V, where there is a source, and lets the base look at the data, where it does."""
        first: Callable[..., None] | None = getattr(self.base, "begin", None)
        if first is not None:
            Bound(first)({"data": data, "runtime": runtime})
        if self.source is None:
            return
        teacher = _model_of(self.source, None).to(runtime.device)
        training = self.training
        self.eval()
        teacher.eval()
        for name in self.replaced:
            self._fit(name, teacher, data, runtime)
        self.train(training)
        self.source = None

    @torch.no_grad()
    def _fit(self, name: str, teacher: nn.Module, data: Data, runtime: Runtime) -> None:
        """Solves for the V of one layer: what it is given here, against what the teacher's activation gave."""
        layer = self.base.get_submodule(name)
        assert isinstance(layer, Snnk)
        sequence, _, place = name.rpartition(".")
        activation = teacher.get_submodule(sequence)[int(place) + 1]  # type: ignore[index]  # an nn.Sequential
        seen: dict[str, Tensor] = {}
        handles = [
            layer.register_forward_hook(lambda _, inputs, output: seen.update(x=inputs[0])),
            activation.register_forward_hook(lambda _, inputs, output: seen.update(y=output)),
        ]
        calls: list[Any] = [Bound(model.forward, call=model) for model in (self.base, teacher)]
        gram, cross = torch.zeros(()), torch.zeros(())
        for batch in runtime.batches(data, "train", self.batches):
            for call in calls:
                call(batch)
            phi = layer.features(seen["x"]).flatten(0, -2).double()
            phi = torch.cat([phi, phi.new_ones(len(phi), 1)], 1)
            gram = gram.to(phi) + phi.mT @ phi
            cross = cross.to(phi) + phi.mT @ seen["y"].flatten(0, -2).double()
        for handle in handles:
            handle.remove()
        layer.weight.copy_(solve(gram, cross, self.ridge, bias=False)[0])


def _pairs(module: nn.Module) -> Iterator[tuple[str, tuple[nn.Sequential, int]]]:
    """Yields the name and place of each linear layer with an activation behind it."""
    for name, part in module.named_modules():
        if type(part) is nn.Sequential:
            for place, (one, following) in enumerate(pairwise(part)):
                if type(one) is nn.Linear and isinstance(following, ACTIVATIONS):
                    yield f"{name}.{place}" if name else str(place), (part, place)


def _model_of(source: Run, base: nn.Module | None) -> nn.Module:
    """Returns the source's model; raises `UserError` where its weights are not those of the base."""
    model: Any = getattr(source.learner, "model", None)
    if not isinstance(model, nn.Module):
        raise UserError(f"source must be a run of one model, got {source.folder.label}")
    if base is not None:
        own, theirs = ({n: tuple(t.shape) for n, t in m.state_dict().items()} for m in (base, model))
        if other := [n for n in {**own, **theirs} if own.get(n) != theirs.get(n)]:
            raise UserError(
                f"source must be a run of the same model as base: {other[0]} is {theirs.get(other[0], 'missing')} "
                f"there and {own.get(other[0], 'missing')} here",
                "give base the parameters of the source's recipe",
            )
    return model

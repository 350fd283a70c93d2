"""Weights that a run leaves as they are, and learning rates by names: `fit.freeze` and `fit.lr_scale`.

Both are set before the trainer's ``setup``: what wraps the learner for several processes must know which weights are
trained, and optimizers read ``lr_scale`` when they are made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

from torch import Tensor, nn

from rk.errors import Mark, Problem, RecipeError, suggest
from rk.fit.context import FitContext
from rk.recipe.model import Recipe

_MODEL = "model."


class Freezing:
    """The frozen weights of a run, and when they are trained after all.

    A module all of whose weights are frozen stays in eval mode, with everything in it: the running statistics of its
    batch normalisation do not move, and its dropout is off. Weights that are frozen to the end need no gradient. Those
    that are trained from some step on have one, which is dropped until then: so several processes agree at every step,
    and what is frozen is a function of the step alone.

    Args:
        names: Names of the frozen weights in the learner.
        until: The step from which they are trained; None: never.
    """

    def __init__(self, names: frozenset[str], until: int | None) -> None:
        self.names = names
        self.until = until
        self.active = True
        self._modules: list[nn.Module] = []

    def set_up(self, learner: nn.Module) -> None:
        """Puts what is frozen of a new learner into eval mode."""
        self._modules = list(_frozen_modules(learner, self.names))
        self._switch(True)

    def fit_start(self, fit: FitContext) -> None:
        """Takes up the step of a resumed run."""
        self._switch(self.until is None or fit.step < self.until)

    def before_clip(self, named: Mapping[str, Tensor]) -> None:
        """Drops the gradients of what is frozen: they count for no norm, and no optimizer sees them."""
        if self.active:
            for name, parameter in named.items():
                if name in self.names:
                    parameter.grad = None

    def after_step(self, fit: FitContext) -> None:
        """Lets go of what is frozen, once its step has come."""
        if self.active and self.until is not None and fit.step >= self.until:
            self._switch(False)

    def _switch(self, active: bool) -> None:
        self.active = active
        for module in self._modules:
            module.training = not active


def mark_weights(recipe: Recipe, model: object, loss: object) -> Freezing | None:
    """Marks the weights that `fit.freeze` and `fit.lr_scale` name, before the trainer builds its learner.

    Args:
        recipe: What is trained.
        model: The model, whose names patterns may give with or without the learner's ``model.``.
        loss: The loss; the names of its weights begin with ``loss.``.

    Returns:
        What is frozen; None where nothing is.

    Raises:
        RecipeError: When a pattern matches no weight, or nothing is left to train.
    """
    fit = recipe.fit
    if not fit.freeze and not fit.lr_scale:
        if fit.freeze_until is not None:
            raise _mistake(recipe, "fit.freeze_until", "nothing is frozen", "give fit.freeze too")
        return None
    own = {
        f"{part}.{name}": parameter
        for part, module in (("model", model), ("loss", loss))
        if isinstance(module, nn.Module)
        for name, parameter in module.named_parameters()
    }
    if not own:
        raise _mistake(
            recipe, "fit.freeze" if fit.freeze else "fit.lr_scale", "the recipe's model has no weights", None
        )
    for pattern, scale in reversed((fit.lr_scale or {}).items()):  # the first pattern that matches counts
        for name in _matching(recipe, f"fit.lr_scale.{pattern}", pattern, own):
            own[name].lr_scale = scale  # type: ignore[attr-defined]  # what `Runtime.optimizer` looks for
    frozen = {
        name
        for i, pattern in enumerate(fit.freeze or ())
        for name in _matching(recipe, f"fit.freeze.{i}", pattern, own)
    }
    if not frozen:
        return None
    if fit.freeze_until is None:
        if all(name in frozen or not parameter.requires_grad for name, parameter in own.items()):
            raise _mistake(
                recipe, "fit.freeze", "leaves no weight to be trained", "freeze fewer, or give fit.freeze_until"
            )
        for name in frozen:
            own[name].requires_grad_(False)
    return Freezing(frozenset(frozen), fit.freeze_until)


def _matching(recipe: Recipe, key: str, pattern: str, own: Mapping[str, Tensor]) -> list[str]:
    found = [n for n in own if fnmatchcase(n, pattern) or fnmatchcase(n.removeprefix(_MODEL), pattern)]
    if not found:
        shown = [name.removeprefix(_MODEL) for name in own]
        raise _mistake(recipe, key, f"{pattern!r} matches no weight", suggest(pattern, shown, "there are"))
    return found


def _frozen_modules(learner: nn.Module, names: frozenset[str]) -> Iterator[nn.Module]:
    """Yields the modules all of whose weights are frozen, and all modules within them."""
    seen: set[int] = set()
    for prefix, module in learner.named_modules():
        own = [f"{prefix}.{name}" if prefix else name for name, _ in module.named_parameters()]
        if own and all(name in names for name in own):
            inner = [part for part in module.modules() if id(part) not in seen]
            seen |= {id(part) for part in inner}
            yield from inner


def _mistake(recipe: Recipe, key: str, text: str, hint: str | None) -> RecipeError:
    place = key
    while place and place not in recipe.marks:
        place = place.rpartition(".")[0]
    return RecipeError([Problem(recipe.marks.get(place) or Mark("recipe"), key, text, hint)])

"""From a YAML file to a checked recipe. Nothing here imports torch or a component."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rk.recipe.check import check_recipe, check_search
    from rk.recipe.model import Recipe, Spec

__all__ = ["Recipe", "Spec", "check_recipe", "check_search"]


def __getattr__(name: str) -> object:  # a listing of recipes does not need the modules that check them
    if name in ("Recipe", "Spec"):
        import rk.recipe.model

        return getattr(rk.recipe.model, name)
    if name in __all__:
        import rk.recipe.check

        return getattr(rk.recipe.check, name)
    raise AttributeError(f"module 'rk.recipe' has no attribute {name!r}")

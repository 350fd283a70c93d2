"""From a YAML file to a checked recipe. Nothing here imports torch or a component."""

from rk.recipe.check import read_recipe, read_search
from rk.recipe.model import Recipe, Spec

__all__ = ["Recipe", "Spec", "read_recipe", "read_search"]

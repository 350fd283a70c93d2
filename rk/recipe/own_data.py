"""Which data a claim is about: a recipe's claims do not apply to other data."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rk.errors import RecipeError
from rk.recipe.compose import compose
from rk.recipe.find import RecipeFile, find_recipe
from rk.recipe.kept_tree import tree_of
from rk.recipe.model import Spec, plain_parameter
from rk.recipe.sections import Expect
from rk.recipe.tree import Mapping, Node, Scalar
from rk.values import PlainDict, Value

if TYPE_CHECKING:
    from collections.abc import Callable

    from rk.plugins import Plugins

SAME_DATA = ("batch_size", "seed")
"""Parameters of data that change how its examples are drawn, not what they are."""


def on_own_data(
    claims: list[Expect],
    tree: Mapping,
    recipe: RecipeFile,
    overrides: tuple[str, ...],
    plugins: Plugins,
    read_data: Callable[[Node], Any],
) -> list[Expect]:
    """Marks claims as being about other data, where the data is not that of the claims' own file.

    Args:
        claims: The recipe's.
        tree: The whole recipe, with overrides.
        recipe: Its file.
        overrides: Of the command line; claims among them are about the data that they come with.
        plugins: Where recipes that a file extends are found.
        read_data: Turns the node of a data component into a `Spec`, or something else where it cannot be checked.

    Returns:
        The claims, ``other_data`` set where it holds.
    """
    if not claims or "data" not in tree.items or any(_top_key(text) == "expect" for text in overrides):
        return claims
    source = tree.mark_of("expect").source
    if source == recipe.label and not any(_top_key(text) == "data" for text in overrides):
        return claims
    own, now = _data_of(recipe, source, plugins), tree.items["data"]
    if own is None:
        return claims
    specs = read_data(own), read_data(now)
    if not all(isinstance(spec, Spec) for spec in specs) or identity(specs[0]) == identity(specs[1]):
        return claims
    return [replace(claim, other_data=True) for claim in claims]


def identity(spec: Spec) -> PlainDict:
    """Returns what decides which examples a data component has: its name and its parameters, nested ones too.

    Parameters without effect on weights and those in `SAME_DATA` are left out.
    """
    values = {k: v for k, v in (spec.defaults | spec.params).items() if k not in spec.decodes and k not in SAME_DATA}
    return {"name": spec.component.qualified, **{k: _identity_of(v) for k, v in values.items()}}


def _identity_of(value: Value) -> Value:
    if isinstance(value, Spec):
        return identity(value)
    if isinstance(value, list | tuple):
        return [_identity_of(v) for v in value]
    if isinstance(value, dict):
        return {k: _identity_of(v) for k, v in value.items()}
    return plain_parameter(value)


def _top_key(override: str) -> str:
    return override.removeprefix("~").partition("=")[0].partition(".")[0]


def _data_of(recipe: RecipeFile, source: str, plugins: Plugins) -> Node | None:
    """Returns the data of the file `source`, which is `recipe` or one that it extends."""
    try:
        while recipe.label != source:
            parent = tree_of(recipe, None)[0].items.get("extends")
            if not isinstance(parent, Scalar):
                return None
            recipe = find_recipe(parent.value, plugins, beside=recipe)
        return compose(recipe, (), plugins)[0].items.get("data")
    except RecipeError:  # reported where the recipe itself was read
        return None

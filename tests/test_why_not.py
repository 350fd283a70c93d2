"""`rk list --fits`: why components cannot stand in one recipe."""

from __future__ import annotations

from rk.recipe.contract import why_not


def test_what_cannot_stand_in_one_recipe_is_told_why(catalog):
    def ask(**names: str):
        return why_not({kind: catalog.resolve(kind, name) for kind, name in names.items()}, catalog)

    assert ask(model="mlp", data="digits") is None
    assert ask(model="mlp", data="digits", loss="cross-entropy") is None
    assert ask(model="mlp", data="digits", loss="mse") == "loss mse needs the field 'values', which nothing provides"

"""`rk list --fits`: why components cannot be combined in one recipe."""

from __future__ import annotations

from rk.recipe.contract import why_not


def test_the_reason_why_components_cannot_be_combined_is_shown(catalog):
    def ask(**names: str):
        return why_not({kind: catalog.resolve(kind, name) for kind, name in names.items()}, catalog)

    assert ask(model="mlp", data="digits") is None
    assert ask(model="mlp", data="digits", loss="cross-entropy") is None
    assert ask(model="mlp", data="digits", loss="mse") == "loss mse needs the field 'values', which nothing provides"

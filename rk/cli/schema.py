"""`rk schema`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from rk.jsontext import to_json
from rk.reads import note
from rk.values import PlainDict

if TYPE_CHECKING:
    from rk.catalog import Catalog


@click.command()
def schema() -> None:
    """Print the JSON Schema of recipes with the installed components, for editors.

    \b
    rk schema > recipe.schema.json
    # then, on a recipe's first line:   # yaml-language-server: $schema=recipe.schema.json
    """
    from rk.catalog import Catalog
    from rk.cli.output import print_json
    from rk.index.answers import Answers
    from rk.recipe.world import world_of
    from rk.snapshot import listed

    catalog = Catalog(listed())
    with Answers(catalog.plugins.index, "schema", world=lambda: world_of(catalog.plugins)) as answers:
        print_json(answers.answer("schema", lambda: _read(catalog)))


def _read(catalog: Catalog) -> PlainDict:
    from rk.recipe.schema import recipe_schema

    note(installed=True)
    schema: PlainDict = json.loads(to_json(recipe_schema(catalog), default=str))
    return schema

"""`rk schema`."""

from __future__ import annotations

import click


@click.command()
def schema() -> None:
    """Print the JSON Schema of recipes with the installed components, for editors.

    \b
    rk schema > recipe.schema.json
    # then, on a recipe's first line:   # yaml-language-server: $schema=recipe.schema.json
    """
    from rk.catalog import Catalog
    from rk.cli.output import print_json
    from rk.recipe.schema import recipe_schema

    print_json(recipe_schema(Catalog()))

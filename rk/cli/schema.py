"""`rk schema`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rk.jsontext import to_json
from rk.reads import note

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
    from rk.cli.output import only_ascii, print_json_text
    from rk.index.answers import Answers
    from rk.recipe.world import world_of
    from rk.snapshot import listed

    catalog = Catalog(listed())
    with Answers(catalog.plugins.index, "schema", world=lambda: world_of(catalog.plugins)) as answers:
        ascii = only_ascii()
        # The text is kept, not the schema: writing it takes longer than all else that is done here
        text = answers.answer("ascii" if ascii else "text", lambda: _read(catalog, ascii))
    print_json_text(str(text))


def _read(catalog: Catalog, ascii: bool) -> str:
    from rk.recipe.schema import recipe_schema

    note(installed=True)
    return to_json(recipe_schema(catalog), indent=2, default=str, ascii=ascii)

"""`rk validate`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from rk.cli.complete import complete_override, complete_recipe
from rk.cli.loading import load_recipe, show_warnings
from rk.cli.options import json_option
from rk.cli.output import echo
from rk.errors import counted
from rk.values import PlainDict

if TYPE_CHECKING:
    from rk.recipe.findings import Binding
    from rk.recipe.model import Recipe


@click.command()
@click.argument("recipe", shell_complete=complete_recipe)
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...", shell_complete=complete_override)
@json_option
def validate(recipe: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Check a recipe and print how its parts fit.

    All mistakes are shown at once, each with file, line and column; exit code 2. No component is imported,
    nothing is run.

    \b
    rk validate my-recipe.yaml
    rk validate my-recipe.yaml model.hidden_size=64 --json
    """
    from rk.catalog import Catalog
    from rk.snapshot import listed
    from rk.static.source import outlines_in

    catalog = Catalog(listed())
    with outlines_in(catalog.plugins.index):
        checked = load_recipe(recipe, overrides, catalog)
    show_warnings(checked.warnings)
    if as_json:
        from rk.cli.output import print_json

        print_json(binding_as_json(checked.recipe, checked.binding))
        return
    print_binding(checked.recipe, checked.binding)
    warned = f", {counted(len(checked.warnings), 'warning')}" if checked.warnings else ""
    echo(f"{checked.recipe.name}: no problems{warned}")


def binding_as_json(recipe: Recipe, binding: Binding) -> PlainDict:
    """Returns the recipe and its binding as plain values."""
    return {
        "name": recipe.name,
        "recipe": recipe.plain(),
        "fields": [
            {"name": f.name, "type": str(f.type), "from": f.provider, "read_by": f.readers} for f in binding.fields
        ],
        "facts": [{"name": f.param, "for": f.owner.key, "from": f.source} for f in binding.facts],
        "metrics": binding.metrics,
        "splits": binding.splits,
    }


def print_binding(recipe: Recipe, binding: Binding) -> None:
    """Prints which component provides and which reads each field and fact; without rich, which costs more than the
    check.
    """
    parts = [(key, spec.component.qualified, spec.component.distribution) for key, spec in recipe.top_level()]
    _columns(("component", "is", "from"), parts)
    if binding.fields:
        click.echo()
        fields = [(f.name, str(f.type), f.provider, ", ".join(f.readers) or "-") for f in binding.fields]
        _columns(("field", "shape", "from", "read by"), fields)
    if binding.facts:
        click.echo()
        facts = [
            (f.param, f"{f.owner.key}.{f.param}", "fit.seed" if f.source == "fit" else "the data")
            for f in binding.facts
        ]
        _columns(("fact", "fills", "from"), facts)
    click.echo()


def _columns(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    from rk.cli.output import plain_columns, table_text, terminal_width

    text, width = plain_columns([heads, *rows]), terminal_width()
    if width is not None and max(map(len, text.splitlines())) > width:
        text = table_text(heads, rows, width)
    echo(text)

"""`rk list`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from rk.cli.complete import complete_fits, complete_kind
from rk.cli.kinds import find_kind, known_kind
from rk.cli.listing import grouped, limit_option, pager_option, plugin_option, say_empty, show_paged
from rk.cli.options import json_option
from rk.cli.output import echo
from rk.errors import UserError
from rk.kinds import COMPONENT_KEYS, KINDS

if TYPE_CHECKING:
    from rk.catalog import Catalog
    from rk.plugins import Component


@click.command(name="list")
@click.argument("kind", required=False, shell_complete=complete_kind)
@click.option(
    "--fits",
    multiple=True,
    metavar="KIND=NAME",
    shell_complete=complete_fits,
    help="Only what can be combined with this; may be repeated.",
)
@plugin_option
@limit_option
@pager_option
@json_option
def list_components(
    kind: str | None, fits: tuple[str, ...], plugin: str | None, limit: int | None, no_pager: bool, as_json: bool
) -> None:
    """List the installed components.

    Without KIND, those of all kinds. `rk show NAME` shows one.

    \b
    rk list trainer --fits model=mlp
    rk list --plugin vision
    """
    from rk.catalog import Catalog, plural
    from rk.snapshot import listed

    kind = None if kind is None else find_kind(kind)
    catalog = Catalog(listed())
    owner = None if plugin is None else catalog.plugins.find(plugin).name
    rows = _rows(kind, owner, _fixed(fits, catalog), catalog)
    found = rows[:limit]
    if as_json:
        from rk.cli.output import print_json

        print_json(
            [
                {"name": c.name, "kind": c.kind, "plugin": c.plugin, "distribution": c.distribution, "summary": text}
                for c, text in found
            ]
        )
        return
    if not found:
        of = f" of {owner}" if owner else ""
        fit = f" that fits {' and '.join(fits)}" if fits else ""
        there = {plural(c.kind) for c in catalog.plugins.components if owner in (None, c.plugin)}
        say_empty(f"there is no {kind or 'component'}{of}{fit}", "there are", sorted(there))
        return
    from rk.cli.output import plain_columns, terminal_width

    width = terminal_width()
    if width is None:
        lines = [("kind", "name", "plugin", "summary"), *((c.kind, c.name, c.plugin, text) for c, text in found)]
        echo(plain_columns(lines))
        return
    groups: dict[str, list[list[str]]] = {}
    for component, text in found:
        groups.setdefault(plural(component.kind), []).append([component.name, component.plugin, text])
    more = f"\n\n{len(found)} of {len(rows)}" if len(found) < len(rows) else ""
    show_paged(grouped(groups, width) + more, no_pager)


def _rows(
    kind: str | None, plugin: str | None, fixed: Mapping[str, Component], catalog: Catalog
) -> list[tuple[Component, str]]:
    """Returns (component, summary) of the requested components, by kind, then by plugin."""
    asked = [
        c
        for c in catalog.plugins.components
        if kind in (None, c.kind) and c.kind not in fixed and plugin in (None, c.plugin)
    ]
    rows = zip(asked, catalog.summaries(asked), strict=True)
    kinds = list(KINDS)
    fitting = [row for row in rows if not fixed or _fits(row[0], fixed, catalog)]
    return sorted(fitting, key=lambda row: kinds.index(row[0].kind))


def _fixed(fits: tuple[str, ...], catalog: Catalog) -> dict[str, Component]:
    fixed = {}
    for text in fits:
        kind, equals, name = text.partition("=")
        kind = known_kind(kind) or kind
        if not equals or kind not in COMPONENT_KEYS:
            *some, last = COMPONENT_KEYS
            raise UserError(f"--fits {text}: expected KIND=NAME", f"KIND is {', '.join(some)} or {last}")
        fixed[kind] = catalog.resolve(kind, name)
    return fixed


def _fits(component: Component, fixed: Mapping[str, Component], catalog: Catalog) -> bool:
    from rk.recipe.contract import why_not

    if component.kind not in COMPONENT_KEYS:
        return False
    return why_not({**fixed, component.kind: component}, catalog) is None

"""`rk list`."""

from __future__ import annotations

import click

from rk.cli.complete import complete_fits, complete_kind
from rk.cli.loading import json_option
from rk.errors import UserError, suggest


@click.command(name="list")
@click.argument("kind", required=False, shell_complete=complete_kind)
@click.option(
    "--fits",
    multiple=True,
    metavar="KIND=NAME",
    shell_complete=complete_fits,
    help="Only what can be combined with this; may be repeated.",
)
@json_option
def list_components(kind: str | None, fits: tuple[str, ...], as_json: bool) -> None:
    """List the installed components.

    Without KIND, those of all kinds.

    \b
    rk list trainer --fits model=mlp
    """
    from rk.catalog import Catalog
    from rk.hookspecs import HOOK_OF_KIND
    from rk.static.docstring import summary

    if kind is not None and kind not in HOOK_OF_KIND:
        singular = next(
            (k for k in HOOK_OF_KIND if kind in (f"{k}s", f"{k}es", HOOK_OF_KIND[k].removeprefix("rk_"))), None
        )
        if singular is None:
            raise UserError(f"there is no kind {kind!r}", suggest(kind, HOOK_OF_KIND, "kinds"))
        kind = singular
    catalog = Catalog()
    fixed = _fixed(fits, catalog)
    rows = []
    for component in catalog.plugins.components:
        if kind in (None, component.kind) and component.kind not in fixed:
            try:
                text = summary(catalog.info(component))
            except UserError as error:
                text = f"cannot be read: {error.message}"
            if not fixed or _fits(component, fixed, catalog):
                rows.append((component, text))
    if as_json:
        from rk.cli.output import print_json

        print_json(
            [
                {"name": c.name, "kind": c.kind, "plugin": c.plugin, "distribution": c.distribution, "summary": text}
                for c, text in rows
            ]
        )
        return
    from rk.cli.output import print_table

    print_table(("kind", "name", "plugin", "summary"), [(c.kind, c.name, c.plugin, text) for c, text in rows])


def _fixed(fits: tuple[str, ...], catalog) -> dict:
    fixed = {}
    for text in fits:
        kind, equals, name = text.partition("=")
        if not equals or kind not in ("model", "data", "loss", "trainer", "search"):
            raise UserError(f"--fits {text}: expected KIND=NAME", "KIND is model, data, loss, trainer or search")
        fixed[kind] = catalog.resolve(kind, name)
    return fixed


def _fits(component, fixed: dict, catalog) -> bool:
    from rk.contract import why_not

    if component.kind not in ("model", "data", "loss", "trainer", "search"):
        return False
    return why_not({**fixed, component.kind: component}, catalog) is None

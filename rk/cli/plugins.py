"""`rk plugins` and `rk plugins new`."""

from __future__ import annotations

from pathlib import Path

import click

from rk.cli.loading import json_option


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def plugins(ctx: click.Context, as_json: bool) -> None:
    """List the installed plugins; begin a new one."""
    if ctx.invoked_subcommand is not None:
        return
    from rk.plugins import Plugins

    found = list(Plugins())
    if as_json:
        from rk.cli.output import print_json

        print_json(
            [
                {
                    "name": p.name,
                    "distribution": p.distribution,
                    "version": p.version,
                    "state": p.state,
                    "components": [{"kind": c.kind, "name": c.name} for c in p.components],
                    "errors": p.errors,
                }
                for p in found
            ]
        )
        return
    from rk.cli.output import print_table

    rows = [(p.name, p.distribution, p.version, _counts(p), p.state) for p in found]
    print_table(("plugin", "distribution", "version", "components", "state"), rows)
    for plugin in found:
        for error in plugin.errors:
            click.echo(f"{plugin.distribution}: {error}", err=True)


def _counts(plugin) -> str:
    """Returns the components of a plugin by kind, ``model pointer-net; data convex-hull``."""
    kinds: dict[str, list[str]] = {}
    for component in plugin.components:
        kinds.setdefault(component.kind, []).append(component.name)
    return "; ".join(f"{kind} {', '.join(names)}" for kind, names in kinds.items())


@plugins.command()
@click.argument("name")
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    default=".",
    help="Folder to write it to.  [default: here]",
)
def new(name: str, into: Path) -> None:
    """Begin a plugin: a small distribution that installs, trains and passes its tests."""
    from rk.scaffold import new_plugin

    written = new_plugin(name, into)
    root = next(p for p in written if p.name == "pyproject.toml").parent
    for path in written:
        click.echo(f"wrote {path}")
    short = root.name.removeprefix("rk-")
    click.echo(f"\nnext:\n  pip install -e {root}\n  rk train {short}/quick")

"""`rk plugins`, `rk plugins doctor`, `rk plugins new`, `rk plugins test`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rk.cli.complete import complete_kinds, complete_plugin
from rk.cli.kinds import find_kind
from rk.cli.messages import note
from rk.cli.options import json_option
from rk.errors import ExitCode, UserError, counted
from rk.kinds import EXAMPLES

if TYPE_CHECKING:
    from rk.doctor import Examination
    from rk.plugins import Plugin


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def plugins(ctx: click.Context, as_json: bool) -> None:
    """List, examine and test the installed plugins; begin a new one."""
    if ctx.invoked_subcommand is not None:
        return
    from rk.snapshot import listed

    found = list(listed())
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
    from rk.cli.output import echo, print_table

    rows = [(p.name, p.distribution, p.version, _counts(p), p.state) for p in found]
    print_table(("plugin", "distribution", "version", "components", "state"), rows, spare=("version", "distribution"))
    for plugin in found:
        for error in plugin.errors:
            echo(f"{plugin.distribution}: {error}", err=True)


def _counts(plugin: Plugin) -> str:
    """Returns the components of a plugin by kind, ``model pointer-net; data convex-hull``."""
    kinds: dict[str, list[str]] = {}
    for component in plugin.components:
        kinds.setdefault(component.kind, []).append(component.name)
    return "; ".join(f"{kind} {', '.join(names)}" for kind, names in kinds.items())


@plugins.command()
@click.argument("names", nargs=-1, metavar="[PLUGIN]...", shell_complete=complete_plugin)
@click.option("--traceback", is_flag=True, help="Show where a plugin's module or hook raised.")
@json_option
def doctor(names: tuple[str, ...], traceback: bool, as_json: bool) -> int:
    """Examine plugins: what they cost, what is broken.

    Without PLUGIN, all that are installed. Also reports clashing names and missing documentation. Exit
    code 1 when a plugin is broken.

    \b
    rk plugins doctor
    rk plugins doctor my-net --traceback
    """
    from rk.catalog import Catalog
    from rk.doctor import examine

    catalog = Catalog()
    found = examine(catalog, [catalog.plugins.find(name) for name in names])
    code = ExitCode.FAILED if any(e.errors for e in found) else ExitCode.OK
    if as_json:
        from rk.cli.output import print_json

        print_json([e.plain() for e in found])
        return code
    from rk.cli.output import print_table

    rows = [
        (
            e.plugin.name,
            f"{e.plugin.distribution} {e.plugin.version}",
            e.plugin.entry.host or "any",
            "-" if e.milliseconds is None else f"{e.milliseconds:.1f}",
            _counts(e.plugin) or "-",
            e.verdict,
        )
        for e in found
    ]
    columns = ("plugin", "distribution", "made for rk", "import ms", "components", "verdict")
    print_table(columns, rows, spare=("made for rk", "distribution"))
    for each in found:
        _print_findings(each, traceback)
    if code == ExitCode.OK:
        click.echo(_verdict(len(found)))
    return code


def _verdict(count: int) -> str:
    if count == 0:
        return "no plugin is installed"
    return f"{counted(count, 'plugin')} examined, none is broken"


def _print_findings(found: Examination, with_traceback: bool) -> None:
    from rk.cli.output import echo

    for word, lines in (("error", found.errors), ("warning", found.warnings)):
        for line in lines:
            echo(f"{found.plugin.distribution}: {word}: {line}")
    text = found.traceback()
    if text is not None:
        echo(text if with_traceback else "  hint: --traceback shows where")


@plugins.command()
@click.argument("name")
@click.option(
    "--kind",
    "kinds",
    metavar="KIND[,KIND]...",
    default="model",
    show_default=True,
    shell_complete=complete_kinds,
    help=f"What it entries: {', '.join(EXAMPLES)}.",
)
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    default=".",
    help="Folder to write it to.  [default: here]",
)
def new(name: str, kinds: str, into: Path) -> None:
    """Begin a plugin that trains and passes its tests.

    NAME is its short name; the distribution is called rk-NAME. It has a small working component of each kind, a recipe
    with a baseline, tests with rk's contract kit, and all that a published plugin needs. Change what you like.

    \b
    rk plugins new my-net
    rk plugins new my-method --kind trainer,callback
    """
    from rk.plugins import installed
    from rk.scaffold import new_plugin

    asked = tuple(find_kind(kind.strip()) for kind in kinds.split(","))
    written = new_plugin(name, into, asked)
    root = next(p for p in written if p.name == "pyproject.toml").parent
    for path in written:
        click.echo(f"wrote {path}")
    short = root.name.removeprefix("rk-")
    if "layer" in asked and "model" not in asked:
        click.echo(f"\na layer is used in a model, so the model {short}/{short} is written too")
    taken = next((entry for entry in installed() if short == entry.name), None)
    if taken is not None:
        note(f"warning: {taken.distribution} {taken.version} has this name: installing the new plugin replaces it")
    click.echo(f"\nnext:\n  pip install -e '{root}[test]'")
    click.echo(f"  rk train {short}/quick\n  rk plugins test {short}")


@plugins.command()
@click.argument("plugin", shell_complete=complete_plugin)
@click.option("--all", "everything", is_flag=True, help="Take two steps of recipes for larger machines too.")
@click.option(
    "--only", metavar="TEXT", help="Only the checks whose name contains this: `resumes`; `resumes or loss` for both."
)
@click.option("--traceback", is_flag=True, help="Show where an exception came from.")
def test(plugin: str, everything: bool, only: str | None, traceback: bool) -> int:
    """Check an installed plugin against the contract.

    PLUGIN is its name or its distribution's. Components and recipes are read; every recipe takes two steps; one of each
    kind is trained on a batch, cut off and resumed, validated, loaded, evaluated, and exported. Exit code 1
    when a check fails.

    \b
    rk plugins test my-net
    rk plugins test my-net --only resumes
    """
    from rk.plugins import Plugins

    found = Plugins().find(plugin)
    try:
        from rk.testing.report import run_kit
    except ImportError:
        raise UserError("testing a plugin needs pytest", 'pip install "recursion-kit[testing]"') from None
    return run_kit(found.name, click.echo, everything=everything, tracebacks=traceback, only=only)

"""`rk runs` and `rk runs delete`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rk.cli.complete import complete_run
from rk.cli.listing import limit_option, pager_option, say_empty, show_paged
from rk.cli.options import json_option, runs_dir_option
from rk.cli.output import echo
from rk.errors import ExitCode
from rk.values import PlainDict

if TYPE_CHECKING:
    from rk.runs import RunFolder


@click.group(invoke_without_command=True)
@click.option("--recipe", help="Only runs of recipes whose name contains this.")
@click.option("--status", help="Only runs in this state: done, running, interrupted, stopped, failed, unreadable.")
@limit_option
@pager_option
@json_option
@runs_dir_option
@click.pass_context
def runs(
    ctx: click.Context,
    recipe: str | None,
    status: str | None,
    limit: int | None,
    no_pager: bool,
    as_json: bool,
    runs_dir: Path | None,
) -> None:
    """List the runs, oldest first; show or delete some.

    With --limit, the newest ones.

    \b
    rk runs --recipe hull --status done
    rk runs --limit 10
    """
    if ctx.invoked_subcommand is not None:
        return
    from rk.cli.output import number, print_json, table_text, terminal_width
    from rk.runs import RunFolder, default_root

    root = runs_dir or default_root()
    every = [(run, run.info()) for run in RunFolder.all(root)]
    every = [(run, facts | {"status": run.state(facts)}) for run, facts in every]
    found = [
        (run, facts)
        for run, facts in every
        if (recipe or "") in str(facts.get("name", "")) and status in (None, facts["status"])
    ]
    found = found[-limit:] if limit else found
    if as_json:
        keys = ("status", "started", "seconds", "step", "parameters", "metrics")
        print_json([{"name": f.get("name"), "run": run.label, **{k: f.get(k) for k in keys}} for run, f in found])
        return
    if not found:
        _say_none(every, recipe, status, root)
        return
    rows = []
    for run, facts in found:
        shown = [f"{k} {number(v)}" for k, v in (facts.get("metrics") or {}).items() if k.startswith("test")]
        rows.append(
            (
                run.label,
                str(facts.get("name", "")),
                _shown(facts["status"]),
                str(facts.get("step") or ""),
                "  ".join(shown[:3]),
            )
        )
    columns = ("run", "recipe", "status", "steps", "tests")
    text = table_text(columns, rows, terminal_width(), cut="tests", spare=("recipe", "tests", "steps"))
    show_paged(text, no_pager)


def _say_none(every: list[tuple[RunFolder, PlainDict]], recipe: str | None, status: str | None, root: Path) -> None:
    """Prints which runs were not found, and which there are."""
    if not every:
        say_empty(f"there are no runs in {root} yet", "begin with", ["rk train RECIPE (rk recipes lists them)"])
    elif status is not None and all(facts.get("status") != status for _, facts in every):
        say_empty(f"no run is {status}", "there are runs that are", sorted({f.get("status", "?") for _, f in every}))
    else:
        said = f" whose recipe's name contains {recipe!r}" if recipe else ""
        say_empty(
            f"no run{said}{f' is {status}' if status else ''}",
            "recipes",
            sorted({f.get("name", "?") for _, f in every}),
        )


@runs.command()
@click.argument("run", shell_complete=complete_run)
@json_option
@runs_dir_option
def show(run: str, as_json: bool, runs_dir: Path | None) -> None:
    """Show one run: how it ended, what it reached, which files it has.

    RUN is a run's folder, its name, the end of its id, or `last`.

    \b
    rk runs show last
    """
    from rk.cli.output import number, print_json, print_table
    from rk.report.summary import RunSummary
    from rk.report.text import duration
    from rk.runs import RunFolder

    summary = RunSummary(RunFolder.find(run, runs_dir, last="any"))
    folder, info = summary.folder, summary.info
    if as_json:
        print_json({"run": folder.label, **info, "status": folder.state(info)})
        return
    parameters = info.get("parameters")
    facts = {
        "run": folder.label,
        "recipe": summary.name,
        "status": _shown(folder.state(info)),
        "error": info.get("error"),
        "started": info.get("started"),
        "time": duration(summary.seconds),
        "steps": summary.step,
        "best step": info.get("best_step"),
        "parameters": None if parameters is None else f"{parameters:,}",
        "device": info.get("device"),
        "command": shlex.join(info.get("command") or []),
        "files": "  ".join(sorted(p.name for p in folder.path.iterdir() if not p.name.startswith("."))),
    }
    print_facts({key: str(value) for key, value in facts.items() if value not in (None, "")})
    if summary.metrics:
        click.echo()
        print_table(("metric", "value"), [(name, number(value)) for name, value in summary.metrics.items()])


def print_facts(facts: dict[str, str]) -> None:
    """Prints names and texts below each other; on a terminal, texts wrap between words."""
    from rk.cli.output import terminal_width, wrapped

    margin = max(map(len, facts)) + 2
    width = terminal_width()
    for key, text in facts.items():
        line = f"{key.ljust(margin)}{' '.join(text.split())}"
        for piece in [line] if width is None else wrapped(line, width, margin):
            echo(piece)


@runs.command()
@click.argument("which", nargs=-1, required=True, metavar="RUN...", shell_complete=complete_run)
@click.option("--yes", is_flag=True, help="Do not ask.")
@runs_dir_option
def delete(which: tuple[str, ...], yes: bool, runs_dir: Path | None) -> int:
    """Delete runs, with their checkpoints and figures."""
    from rk.runs import RunFolder

    folders = RunFolder.find_all(which, runs_dir, last="any")
    for folder in folders:
        folder.refuse_if_active()
    for folder in folders:
        echo(folder.label)
    if not yes:
        click.confirm(f"delete {len(folders)} run{'s' if len(folders) > 1 else ''}?", abort=True)
    for folder in folders:
        folder.delete()
    return ExitCode.OK


def _shown(status: str) -> str:
    from rk.runs.folder import STOPPED

    return "stopped (was killed)" if status == STOPPED else status


runs.add_command(delete, "rm")

"""`rk runs` and `rk runs delete`."""

from __future__ import annotations

from pathlib import Path

import click

from rk.cli.complete import complete_run
from rk.cli.loading import json_option, runs_dir_option
from rk.errors import ExitCode


@click.group(invoke_without_command=True)
@click.option("--recipe", help="Only runs of recipes whose name contains this.")
@click.option("--status", help="Only runs in this state: done, running, interrupted, stopped, failed, unreadable.")
@json_option
@runs_dir_option
@click.pass_context
def runs(ctx: click.Context, recipe: str | None, status: str | None, as_json: bool, runs_dir: Path | None) -> None:
    """List the runs, oldest first; delete some."""
    if ctx.invoked_subcommand is not None:
        return
    from rk.cli.output import number, print_json, print_table
    from rk.runs import RunFolder, default_root

    found = [(run, run.info()) for run in RunFolder.all(runs_dir or default_root())]
    found = [(run, facts | {"status": run.state(facts)}) for run, facts in found]
    found = [
        (run, facts)
        for run, facts in found
        if (recipe or "") in str(facts.get("name", "")) and status in (None, facts["status"])
    ]
    if as_json:
        keys = ("status", "started", "seconds", "step", "parameters", "metrics")
        print_json([{"name": f.get("name"), "run": run.label, **{k: f.get(k) for k in keys}} for run, f in found])
        return
    rows = []
    for run, facts in found:
        shown = [f"{k} {number(v)}" for k, v in (facts.get("metrics") or {}).items() if k.startswith("test")]
        rows.append(
            (run.label, facts.get("name", ""), _shown(facts["status"]), facts.get("step") or "", "  ".join(shown[:3]))
        )
    print_table(("run", "recipe", "status", "steps", "tests"), rows)


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
        click.echo(folder.label)
    if not yes:
        click.confirm(f"delete {len(folders)} run{'s' if len(folders) > 1 else ''}?", abort=True)
    for folder in folders:
        folder.delete()
    return ExitCode.OK


def _shown(status: str) -> str:
    from rk.runs.folder import STOPPED

    return "stopped (was killed)" if status == STOPPED else status

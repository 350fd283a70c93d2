"""Options of several commands. Nothing that reads a recipe is imported here: listings do not need it."""

from __future__ import annotations

from pathlib import Path

import click

from rk.isolation import divert_for_json, restore_for_json

runs_dir_option = click.option(
    "--runs-dir",
    type=click.Path(path_type=Path),
    default=None,
    help="Folder of all runs.  [default: $RK_RUNS or ./runs]",
)
resume_option = click.option(
    "--resume",
    metavar="[RUN]",
    is_flag=False,
    flag_value="last",
    default=None,
    help="Resume an interrupted run: its folder, its name, or `last`, which --resume alone means.",
)


def _only_json(ctx: click.Context, param: click.Parameter, wanted: bool) -> bool:
    """Keeps standard output for the JSON alone: whatever a plugin prints meanwhile goes to standard error."""
    if wanted and not ctx.resilient_parsing:
        ctx.call_on_close(restore_for_json)
        divert_for_json()
    return wanted


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.", callback=_only_json)

"""Options of several commands. Nothing that reads a recipe is imported here: listings do not need it."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import click

from rk.isolation import divert_for_json, restore_for_json
from rk.values import PlainDict

Settings: TypeAlias = PlainDict  # Any: whatever a setting of click takes

_RUNS_DIR = ("--runs-dir",)
_RUNS_DIR_SETTINGS: Settings = {
    "type": click.Path(path_type=Path),
    "default": None,
    "help": "Folder of all runs.  [default: $RK_RUNS or ./runs]",
}
_RESUME = ("--resume",)
_RESUME_SETTINGS: Settings = {
    "metavar": "[RUN]",
    "is_flag": False,
    "flag_value": "last",
    "default": None,
    "help": "Resume an interrupted run: its folder, its name, or `last`, which --resume alone means.",
}
runs_dir_option = click.option(*_RUNS_DIR, **_RUNS_DIR_SETTINGS)
resume_option = click.option(*_RESUME, **_RESUME_SETTINGS)


def run_options() -> list[click.Option]:
    """Returns the same two, for a command that is put together while it is called."""
    return [click.Option(_RESUME, **_RESUME_SETTINGS), click.Option(_RUNS_DIR, **_RUNS_DIR_SETTINGS)]


def _only_json(ctx: click.Context, param: click.Parameter, wanted: bool) -> bool:
    """Keeps standard output for the JSON alone: whatever a plugin prints meanwhile goes to standard error."""
    if wanted and not ctx.resilient_parsing:
        ctx.call_on_close(restore_for_json)
        divert_for_json()
    return wanted


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.", callback=_only_json)

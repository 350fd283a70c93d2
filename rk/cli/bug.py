"""`rk bug`."""

from __future__ import annotations

import click

from rk.bugs import report_path
from rk.errors import UserError


@click.command()
def bug() -> None:
    """Print the report of the last unexpected error.

    It holds the command, the versions and the traceback, to be pasted into an issue. Read it before you publish it:
    the command and the traceback name files of your machine.
    """
    try:
        text = report_path().read_text(encoding="utf-8")
    except OSError:
        raise UserError("there is no report: rk has met no unexpected error here") from None
    click.echo(text.rstrip())

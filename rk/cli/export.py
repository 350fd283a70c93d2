"""`rk export`."""

from __future__ import annotations

from pathlib import Path

import click

from rk.cli.complete import complete_decoding, complete_exporter, complete_run
from rk.cli.options import runs_dir_option
from rk.errors import UserError


@click.command()
@click.argument("run", shell_complete=complete_run)
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...", shell_complete=complete_decoding)
@click.option(
    "--to",
    "format_",
    metavar="FORMAT",
    shell_complete=complete_exporter,
    help="An exporter; `rk list exporter` shows all.  [required]",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to write.  [default: RUN/export/FORMAT; of a hub folder, ./RUN-FORMAT]",
)
@click.option("--force", is_flag=True, help="Replace files that no earlier export wrote.")
@runs_dir_option
def export(
    run: str, overrides: tuple[str, ...], format_: str | None, output: Path | None, force: bool, runs_dir: Path | None
) -> None:
    """Write a trained run for the outside world.

    KEY=VALUE sets a parameter of the exporter (`exporter.opset=20`; `rk show exporter FORMAT` lists them), or one for
    decoding (`model.beam_size=3`).

    \b
    rk export last --to safetensors -o my-model
    rk export last --to onnx exporter.dynamic=[batch]
    rk export last --to hub -o my-hub-model
    """
    from rk.catalog import Catalog
    from rk.cli.output import echo
    from rk.export.of_run import export_run
    from rk.fit.progress import loading
    from rk.runs import RunFolder

    catalog = Catalog()
    if format_ is None:
        formats = ", ".join(sorted(c.name for c in catalog.of_kind("exporter")))
        raise UserError("which format?", f"give --to with one of: {formats}")
    folder = RunFolder.find(run, runs_dir)
    for path in export_run(folder, format_, overrides, catalog, out=output, force=force, loading=loading):
        echo(f"wrote {path} ({path.stat().st_size:,} bytes)")

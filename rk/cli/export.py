"""`rk export`."""

from __future__ import annotations

from pathlib import Path

import click

from rk.cli.loading import runs_dir_option


@click.command()
@click.argument("run")
@click.option("--to", "format_", required=True, metavar="FORMAT", help="An exporter; `rk list exporter` shows all.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to write.  [default: RUN/export/FORMAT]",
)
@runs_dir_option
def export(run: str, format_: str, output: Path | None, runs_dir: Path | None) -> None:
    """Write a trained run for the outside world.

    \b
    rk export last --to safetensors -o my-model
    """
    from rk.catalog import Catalog
    from rk.runs import RunFolder

    folder = RunFolder.find(run, runs_dir)
    catalog = Catalog()
    component = catalog.resolve("exporter", format_)
    from rk.fit.loaded import LoadedRun

    loaded = LoadedRun.open(folder.path, catalog)
    out = output or folder.path / "export" / component.name
    for path in catalog.load(component)().export(loaded, out):
        click.echo(f"wrote {path} ({path.stat().st_size:,} bytes)")

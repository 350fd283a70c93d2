"""Exports a run by an exporter's name, for the command line and for programs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from rk.catalog import Catalog
from rk.errors import UserError
from rk.export.folder import default_folder, write_export
from rk.recipe.check import read_component
from rk.runs import RunFolder


def export_run(
    folder: RunFolder,
    format_: str,
    overrides: tuple[str, ...],
    catalog: Catalog,
    *,
    out: Path | None = None,
    force: bool = False,
    loading: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
) -> list[Path]:
    """Exports a run; returns the files.

    Args:
        folder: The run.
        format_: The exporter's name.
        overrides: ``exporter.x=...`` and decoding parameters.
        catalog: The installed components.
        out: The folder to write; by default, in the run.
        force: Replaces files that no export wrote.
        loading: What is entered while the run is loaded.

    Raises:
        RkError: When the run cannot be loaded, the exporter cannot write it, or the folder cannot be written.
    """
    mine = tuple(o for o in overrides if o.lstrip("~").startswith("exporter."))
    spec = read_component("exporter", format_, mine, catalog)
    out = out or default_folder(folder, spec.component.name)
    if out.resolve() == folder.path.resolve():
        raise UserError(f"{out} is the run itself", "choose another folder with -o")
    with loading():
        from rk.fit.build import Builder
        from rk.fit.loaded import LoadedRun
        from rk.fit.returns import check_paths

        loaded = LoadedRun.open(folder.path, catalog, tuple(o for o in overrides if o not in mine))
    exporter = Builder(loaded.recipe, catalog, LoadedRun.open, loaded.facts).build(spec)

    def write(beside: Path) -> list[Path]:
        return check_paths(exporter, exporter.export(loaded, beside), "export")

    return write_export(out, spec.component.name, write, force=force)

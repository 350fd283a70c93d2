"""The folder of an export: written whole or not at all, and never over files that no export wrote."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from rk.errors import RkError, RunFailed, UserError
from rk.runs import RunFolder
from rk.writing import write_atomic

MANIFEST = ".rk-export.json"
"""Names the files that exports wrote, with their digests: they may be replaced by the next one."""


def takes_files(folder: RunFolder) -> bool:
    """Whether rk adds files to this run: nothing is added to a hub folder, or to a run that is read-only."""
    try:
        config = json.loads((folder.path / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        config = None
    shipped = isinstance(config, dict) and config.get("library_name") == "recursion-kit"
    return not shipped and os.access(folder.path, os.W_OK)


def default_folder(folder: RunFolder, format_: str) -> Path:
    """Returns where an export goes: into its run, else (`takes_files`) beside the user, as ``RUN-FORMAT``."""
    if takes_files(folder):
        return folder.path / "export" / format_
    return Path(f"{folder.path.resolve().name}-{format_}")


def write_export(out: Path, format_: str, write: Callable[[Path], list[Path]], *, force: bool = False) -> list[Path]:
    """Lets `write` fill a folder beside the final place, and then puts its files there.

    Args:
        out: The final folder; it may exist, with other files in it.
        format_: Name of the exporter: what its last export into `out` wrote, and this one does not, is removed.
        write: Takes a folder, writes files into it, and returns their paths.
        force: Replaces files that no export wrote, or that were changed since.

    Returns:
        The paths that `write` returned, in their final place.

    Raises:
        UserError: When the folder cannot be written, or has a file of that name that is not an export's.
        RkError: What `write` raises; no file remains.
    """
    made = _make_parents(out)
    beside = (out if out.is_dir() else out.parent) / f".rk-export-{secrets.token_hex(6)}"
    try:
        with _named_as(beside, out):
            beside.mkdir()
            written = write(beside)
        names = sorted(p.relative_to(beside) for p in beside.rglob("*") if p.is_file())
        with _named_as(beside, out):
            _publish(beside, out, names, format_, force)
        made = []
        return [out / p.relative_to(beside) if beside in p.parents else p for p in written]
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        for folder in made:
            with contextlib.suppress(OSError):  # it is no longer empty
                folder.rmdir()


def _make_parents(out: Path) -> list[Path]:
    """Makes the folders above `out`; returns those that were not there, the deepest first."""
    missing = [p for p in out.parents if not p.exists()]
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(out, error) from None
    return missing


@contextlib.contextmanager
def _named_as(beside: Path, out: Path) -> Iterator[None]:
    """Turns errors of the disk into messages, and names the final folder in all of them."""
    try:
        yield
    except RkError as error:
        error.message = error.message.replace(str(beside), str(out))
        error.args = (error.message,)
        raise
    except OSError as error:
        if error.filename in (str(beside), None) and not beside.exists():
            raise _unwritable(out, error) from None
        path = str(error.filename or out).replace(str(beside), str(out))
        raise RunFailed(f"cannot write {path}: {error.strerror or error}") from None


def _unwritable(out: Path, error: OSError) -> UserError:
    return UserError(f"cannot write {out}: {error.strerror or error}", "choose another folder with -o")


def _publish(beside: Path, out: Path, names: list[Path], format_: str, force: bool) -> None:
    known = _read_manifest(out)
    mine = {name: digest for files in known.values() for name, digest in files.items()}
    strange = [name for name in names if _is_foreign(out / name, mine.get(name.as_posix()))]
    folders = [name for name in strange if (out / name).is_dir()]
    if folders or (strange and not force):
        name = (folders or strange)[0]
        more = f" (and {len(strange) - 1} more)" if len(strange) > 1 else ""
        kind = "is a folder" if folders else "exists, and no export wrote it as it is"
        hint = "choose another folder with -o" + ("" if folders else ", or replace what is there with --force")
        raise UserError(f"{out / name} {kind}{more}: nothing was written", hint)
    files = {name.as_posix(): _digest(beside / name) for name in names}
    gone = [name for name in known.get(format_, {}) if name not in files and not _is_foreign(out / name, mine[name])]
    kept = {f: {n: d for n, d in e.items() if n not in files and n not in gone} for f, e in known.items()}
    manifest = json.dumps({**{f: e for f, e in kept.items() if e}, format_: files}, indent=1) + "\n"
    if not out.exists():
        write_atomic(beside / MANIFEST, manifest)
        os.rename(beside, out)
        return
    for name in names:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(beside / name, out / name)
    for old in gone:
        (out / old).unlink(missing_ok=True)
    write_atomic(out / MANIFEST, manifest)


def _is_foreign(path: Path, digest: str | None) -> bool:
    """Whether there is something that an export did not write, or that was changed since."""
    return os.path.lexists(path) and (digest is None or path.is_symlink() or _digest(path) != digest)


def _digest(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def _read_manifest(out: Path) -> dict[str, dict[str, str]]:
    """Returns format -> file -> digest; of a manifest that cannot be read, nothing."""
    try:
        found = json.loads((out / MANIFEST).read_text(encoding="utf-8"))
        return {f: {n: d for n, d in files.items() if _lies_inside(n)} for f, files in found.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def _lies_inside(name: str) -> bool:
    return not Path(name).is_absolute() and ".." not in Path(name).parts

"""Builds the release that a tag names, and opens what was built, before anything is published.

    python .ci/release.py v0.2.0                       the host
    python .ci/release.py rk-noprop-v0.2.0             one plugin
    python .ci/release.py rk-noprop-v0.2.0 --out dist  the folder that the files go into

The tag must name the version in `pyproject.toml`, and the changelog must have a section for it. The wheel is built from
the sdist, so that others can build what is published. Needs hatchling alone. Exit code 1 when anything is missing.
"""

from __future__ import annotations

import argparse
import email
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from email.message import Message
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TAG = re.compile(r"(?:(?P<plugin>rk-[a-z0-9-]+)-)?v(?P<version>\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?)")
URLS = {"Homepage", "Source", "Changelog", "Issues"}


class NotReady(Exception):
    """What keeps a version from being released."""


def folder_of(tag: str, root: Path = ROOT) -> Path:
    """Returns the folder of the distribution that a tag names.

    Raises:
        NotReady: For a tag that names none, another version than `pyproject.toml`, or one that the changelog lacks.
    """
    match = TAG.fullmatch(tag)
    if match is None:
        raise NotReady(f"{tag}: must be v1.2.3 for the host or rk-NAME-v1.2.3 for a plugin")
    folder = root / "plugins" / match["plugin"] if match["plugin"] else root
    if not (folder / "pyproject.toml").is_file():
        raise NotReady(f"{tag}: there is no plugin {match['plugin']}")
    version = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    if version != match["version"]:
        raise NotReady(f"{tag}: the version in {(folder / 'pyproject.toml').relative_to(root)} is {version}")
    if f"\n## [{version}]" not in (folder / "CHANGELOG.md").read_text(encoding="utf-8"):
        raise NotReady(f"{tag}: {(folder / 'CHANGELOG.md').relative_to(root)} has no section '## [{version}]'")
    return folder


def build(folder: Path, out: Path) -> tuple[Path, Path]:
    """Builds the sdist of a folder, and the wheel from the sdist. Returns (sdist, wheel)."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / "made"
        _hatch("sdist", folder, made)
        (sdist,) = made.glob("*.tar.gz")
        with tarfile.open(sdist) as archive:
            archive.extractall(scratch, filter="data")
        _hatch("wheel", Path(scratch) / sdist.name.removesuffix(".tar.gz"), made)
        (wheel,) = made.glob("*.whl")
        return tuple(Path(shutil.move(path, out / path.name)) for path in (sdist, wheel))


def _hatch(target: str, folder: Path, out: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(out)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise NotReady(f"the {target} cannot be built: {done.stderr.strip()[-2000:]}")


def missing(folder: Path, sdist: Path, wheel: Path) -> Iterator[str]:
    """Yields what a sdist and a wheel lack, or have and should not have, one sentence each.

    Args:
        folder: What they were built from.
        sdist: The sdist.
        wheel: The wheel.
    """
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    (package,) = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    top = Path(package).name
    with tarfile.open(sdist) as archive:
        kept = {name.partition("/")[2] for name in archive.getnames()}
    with zipfile.ZipFile(wheel) as archive:
        shipped = set(archive.namelist())
        (info,) = {name.split("/")[0] for name in shipped if ".dist-info/" in name}
        metadata = email.message_from_bytes(archive.read(f"{info}/METADATA"))
    for name in ("LICENSE", "README.md", "CHANGELOG.md", "EQUATIONS.md"):
        if (folder / name).is_file() and name not in kept:
            yield f"the sdist lacks {name}"
    for path in sorted((folder / package).rglob("*")):
        relative = path.relative_to(folder / package)
        if path.is_file() and "__pycache__" not in relative.parts and f"{top}/{relative.as_posix()}" not in shipped:
            yield f"the wheel lacks {top}/{relative.as_posix()}"
    for name in (f"{top}/py.typed", f"{info}/licenses/LICENSE"):
        if name not in shipped:
            yield f"the wheel lacks {name}"
    for name in sorted(shipped):
        if name.split("/")[0] not in (top, info):
            yield f"the wheel must not have {name}"
    yield from _metadata(metadata)
    if "rk.plugins" in project["project"].get("entry-points", {}):
        required = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
        if not any(re.match(r"recursion-kit\b.*<", line) for line in required):
            yield "the plugin does not say up to which version of recursion-kit it is made for"


def _metadata(metadata: Message) -> Iterator[str]:
    """Yields what a package index would not show."""
    urls = {line.split(",")[0] for line in metadata.get_all("Project-URL", [])}
    for name in sorted(URLS - urls):
        yield f"the metadata lacks the address {name}"
    for field in ("Summary", "License-Expression", "License-File", "Requires-Python"):
        if not metadata[field]:
            yield f"the metadata lacks {field}"
    if metadata["Description-Content-Type"] != "text/markdown":
        yield f"the long description must be text/markdown, got {metadata['Description-Content-Type']}"
    for target in re.findall(r"\]\((?!https?:|mailto:|#)([^)\s]+)\)", metadata.get_payload()):
        yield f"the long description has a link that leads nowhere on a package index: {target}"


def main(arguments: list[str] | None = None) -> int:
    """Builds and checks. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tag", help="v0.2.0 for the host, rk-NAME-v0.2.0 for a plugin")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="the folder for what is built")
    options = parser.parse_args(arguments)
    try:
        folder = folder_of(options.tag)
        sdist, wheel = build(folder, options.out)
    except NotReady as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    faults = [*missing(folder, sdist, wheel)]
    for line in (*faults, *(() if faults else (f"{path.name}: as it should be" for path in (sdist, wheel)))):
        print(line)
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())

"""What is installed: every distribution with its version and, where it is from no index, where it is from.

Read from the names of folders, since reading the metadata of all distributions takes as long as a short run.
"""

from __future__ import annotations

import functools
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from rk.values import PlainDict

_ENDING = ".dist-info"


def canonical(name: str) -> str:
    """Returns a distribution's name as indexes compare it: ``Rk_Sweep`` is ``rk-sweep``."""
    return re.sub(r"[-_.]+", "-", name).lower()


@functools.cache
def installed() -> dict[str, Path]:
    """Returns the canonical name of each distribution -> its ``.dist-info``; the first one on the path counts.

    It is read once in a process: what has been imported is of that moment.
    """
    found: dict[str, Path] = {}
    for place in map(Path, sys.path):
        try:
            names = sorted(entry.name for entry in os.scandir(place) if entry.name.endswith(_ENDING))
        except OSError:  # an archive, or a folder that is gone
            continue
        for name in names:
            found.setdefault(canonical(name.partition("-")[0]), place / name)
    return dict(sorted(found.items()))


def all_versions() -> dict[str, str]:
    """Returns the canonical name of each distribution -> its version."""
    return {name: place.name.removesuffix(_ENDING).partition("-")[2] for name, place in installed().items()}


def origins(used: Iterable[str]) -> dict[str, PlainDict]:
    """Returns where those distributions are from that no index has.

    Args:
        used: Distributions whose code takes part in a run: of those that are editable, and of what they require, the
            digest of the package's files is taken. Other editable ones have none.

    Returns:
        Name -> ``{"folder", "editable", "digest"}``, ``{"url", "vcs", "commit"}`` or ``{"url", "sha256"}``.
    """
    found = {name: origin for name, place in installed().items() if (origin := _origin(place)) is not None}
    for name in _with_requirements(map(canonical, used), found):
        if found[name].get("editable"):
            found[name]["digest"] = digest(Path(found[name]["folder"]))
    return found


def _origin(place: Path) -> PlainDict | None:
    """Returns what ``direct_url.json`` says (PEP 610), without passwords; None for a distribution of an index."""
    try:
        said = json.loads((place / "direct_url.json").read_text(encoding="utf-8"))
        url = urlsplit(said["url"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    plain = urlunsplit(url._replace(netloc=url.netloc.rpartition("@")[2]))
    if "vcs_info" in said:
        vcs = said["vcs_info"]
        return {"url": plain, "vcs": vcs.get("vcs"), "commit": vcs.get("commit_id")}
    if "dir_info" in said:
        return {"folder": unquote(url.path), "editable": bool(said["dir_info"].get("editable"))}
    hashes = (said.get("archive_info") or {}).get("hashes") or {}
    return {"url": plain, "sha256": hashes.get("sha256")}


def _with_requirements(names: Iterable[str], among: PlainDict) -> Iterator[str]:
    """Yields those of the distributions `among` which `names` are, or require."""
    from importlib.metadata import Distribution

    from packaging.requirements import InvalidRequirement, Requirement  # it takes long to import

    seen: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in seen or name not in among:
            continue
        seen.add(name)
        yield name
        for text in Distribution.at(installed()[name]).requires or ():
            try:
                waiting.append(canonical(Requirement(text).name))
            except InvalidRequirement:
                continue


@functools.cache
def digest(folder: Path) -> str | None:
    """Returns a SHA-256 over the files of an editable distribution's packages and its ``pyproject.toml``.

    Args:
        folder: The distribution's. The packages are those that its entry points name, else the one of its own name.

    Returns:
        The digest; None where there are no such packages.
    """
    import hashlib  # it loads OpenSSL

    packages = [
        place
        for package in sorted(_packages(folder))
        for place in (folder / package, folder / "src" / package)
        if place.is_dir()
    ]
    if not packages:
        return None
    total = hashlib.sha256()
    for file in [folder / "pyproject.toml", *(file for package in packages for file in _files(package))]:
        try:
            content = file.read_bytes()
        except OSError:
            continue
        total.update(f"{file.relative_to(folder).as_posix()}\0{len(content)}\n".encode(errors="surrogateescape"))
        total.update(content)
    return total.hexdigest()


def _packages(folder: Path) -> set[str]:
    """Returns the packages that the entry points in a ``pyproject.toml`` name; else the one of the project's name."""
    import tomllib

    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        tables = [project.get("scripts", {}), project.get("gui-scripts", {}), *project.get("entry-points", {}).values()]
        targets = [target for table in tables for target in table.values()]
        return {re.split(r"[.:\s\[]", target.strip())[0] for target in targets} or {project["name"].replace("-", "_")}
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return set()


def _files(package: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(package):
        folders[:] = sorted(one for one in folders if one != "__pycache__" and not one.startswith("."))
        yield from (Path(folder, name) for name in sorted(names) if not name.endswith((".pyc", ".pyo")))

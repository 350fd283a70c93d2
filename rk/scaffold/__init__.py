"""`rk plugins new`: a small distribution that installs and trains at once.

The files under ``plugin/`` are templates: ``$name``, ``$package``, ``$cls`` and ``$version`` are filled in, and
``rk_PACKAGE`` and ``NAME`` in their paths.
"""

from __future__ import annotations

import re
from pathlib import Path
from string import Template

from rk import __version__
from rk.errors import UserError

TEMPLATES = Path(__file__).parent / "plugin"
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def new_plugin(name: str, parent: Path) -> list[Path]:
    """Writes the distribution ``rk-<name>`` into a new folder of that name under `parent`.

    Raises:
        UserError: For a name that is none, or a folder that is there already.
    """
    name = name.removeprefix("rk-")
    if not _NAME.fullmatch(name):
        proper = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        raise UserError(
            f"{name!r} is no plugin name: lower-case words joined by hyphens", f"as in {proper or 'my-net'}"
        )
    root = parent / f"rk-{name}"
    if root.exists():
        raise UserError(f"{root} is there already", "give another name, or move it away")
    major, minor, *_ = __version__.split(".")
    values = {
        "name": name,
        "package": f"rk_{name.replace('-', '_')}",
        "cls": "".join(word.capitalize() for word in name.split("-")),
        "version": f"{major}.{minor}",
        "next_version": f"{major}.{int(minor) + 1}",
    }
    written = []
    for template in sorted(TEMPLATES.rglob("*.tmpl")):
        relative = str(template.relative_to(TEMPLATES)).removesuffix(".tmpl").replace("rk_PACKAGE", values["package"])
        target = root / relative.replace("NAME", values["package"].removeprefix("rk_"))
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(Template(template.read_text(encoding="utf-8")).substitute(values), encoding="utf-8")
        except OSError as error:
            raise UserError(f"cannot write {target}: {error.strerror}") from None
        written.append(target)
    return written

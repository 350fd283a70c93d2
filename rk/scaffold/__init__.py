"""`rk plugins new`: a distribution that installs, trains and passes its tests at once.

The files under ``plugin/`` are Jinja templates; ``PACKAGE`` and ``NAME`` in their paths are filled in too. A file that
is called after a kind is written when that kind is requested.
"""

from __future__ import annotations

import datetime
import re
from pathlib import Path

from rk.errors import UserError, suggest
from rk.hookspecs import HOOK_OF_KIND
from rk.kinds import EXAMPLES, KINDS
from rk.values import PlainDict
from rk.version import __version__

TEMPLATES = Path(__file__).parent / "plugin"
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
MAX_NAME = 50
"""Characters of a plugin's name: files and packages are called after it."""


def new_plugin(name: str, parent: Path, kinds: tuple[str, ...] = ("model",)) -> list[Path]:
    """Writes the distribution ``rk-<name>`` into a new folder of that name under `parent`.

    Args:
        name: The plugin's short name.
        parent: Where its folder goes.
        kinds: The kinds that it offers a component of.

    Returns:
        The files.

    Raises:
        UserError: For an invalid name or kind, a name that an installed plugin has, or a folder that is there
            already.
    """
    name = name.removeprefix("rk-")
    if not _NAME.fullmatch(name):
        proper = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        raise UserError(
            f"{name!r} is not a plugin name: use lower-case words joined by hyphens", f"as in {proper or 'my-net'}"
        )
    for kind in kinds:
        if kind not in EXAMPLES:
            what = "example of the kind" if kind in KINDS else "kind"
            raise UserError(f"there is no {what} {kind!r}", suggest(kind, EXAMPLES, "kinds"))
    if len(name) > MAX_NAME:
        raise UserError(f"a plugin's name has at most {MAX_NAME} characters, got {len(name)}", "give a shorter one")
    if (owner := taken(name)) is not None:
        raise UserError(
            f"{owner} is installed already: installing another rk-{name} would replace it", "give another name"
        )
    root = parent / f"rk-{name}"
    if root.exists():
        raise UserError(f"{root} exists already", "give another name, or move it away")
    values = _values(name, kinds)
    written = []
    for template in sorted(TEMPLATES.rglob("*.j2")):
        relative = str(template.relative_to(TEMPLATES)).removesuffix(".j2")
        if not _is_wanted(Path(relative), values["kinds"]):
            continue
        target = root / relative.replace("PACKAGE", values["package"]).replace("NAME", name.replace("-", "_"))
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(_filled(template, values), encoding="utf-8")
        except OSError as error:
            raise UserError(f"cannot write {target}: {error.strerror}") from None
        written.append(target)
    return written


def taken(name: str) -> str | None:
    """Returns the installed distribution that a plugin called `name` would replace or clash with, or None.

    Args:
        name: The short name: the distribution would be ``rk-<name>``, the package ``rk_<name>``.
    """
    from importlib.metadata import PackageNotFoundError, version

    from rk.plugins import BUILTIN, installed

    try:
        return f"rk-{name} {version(f'rk-{name}')}"
    except PackageNotFoundError:
        pass
    package = f"rk_{name.replace('-', '_')}"
    for entry in installed():
        if entry.name == name or entry.module.partition(".")[0] == package:
            return f"{entry.distribution} {entry.version}, which brings the plugin {entry.name},"
    return "rk itself" if name == BUILTIN else None


def _is_wanted(path: Path, kinds: list[str]) -> bool:
    """Whether a file that is named after a kind is of a requested kind; other files always are."""
    kind = path.stem.removeprefix("test_NAME_")
    return kind not in EXAMPLES or kind in kinds


def _filled(template: Path, values: PlainDict) -> str:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True)
    return environment.from_string(template.read_text(encoding="utf-8")).render(values)


def _values(name: str, asked: tuple[str, ...]) -> PlainDict:
    """Returns what the templates are filled in with."""
    kinds = [kind for kind in HOOK_OF_KIND if kind in asked or (kind == "model" and "layer" in asked)]  # a slot for it
    title = "".join(word.capitalize() for word in name.split("-"))
    major, minor, *_ = __version__.split(".")
    own = {kind: kind in kinds for kind in HOOK_OF_KIND}
    optimizer = f"name: {name}, lr: 3e-3" if own["optimizer"] else "name: adamw, lr: 3e-3"
    schedule = name if own["schedule"] else "cosine"
    return {
        "name": name,
        "package": f"rk_{name.replace('-', '_')}",
        "title": title,
        "kinds": kinds,
        "hooks": HOOK_OF_KIND,
        "classes": {kind: title if len(kinds) == 1 else title + kind.capitalize() for kind in HOOK_OF_KIND},
        "summaries": EXAMPLES,
        "offers": ", ".join(f"the {kind} `{name}`" for kind in kinds),
        "version": f"{major}.{minor}",
        "next_version": f"{major}.{int(minor) + 1}",
        "year": datetime.date.today().year,
        "data": name if own["data"] else "digits",
        "data_title": "Points on three rings" if own["data"] else "Handwritten digits",
        "extra": "" if own["data"] else "[digits]",
        "model": _model(name, own),
        "trainer": f"{{name: {name if own['trainer'] else 'backprop'}, "
        f"optimizer: {{{optimizer}, schedule: {schedule}}}}}",
        # a linear classifier is the baseline of data that need more than one
        "baseline_sizes": "[]" if own["data"] and not own["model"] else "[64, 64]",
        "steps": 400,
        "at_least": 0.95 if own["data"] else 0.9,
    }


def _model(name: str, own: dict[str, bool]) -> str:
    if own["layer"]:
        return f"{{name: {name}, layer: {name}, d_model: 32, num_layers: 2}}"
    return (
        f"{{name: {name}, hidden_size: 64, num_layers: 2}}" if own["model"] else "{name: mlp, hidden_sizes: [64, 64]}"
    )

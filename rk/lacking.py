"""The error when a component imports a module that is not installed: which component, and what to install."""

from __future__ import annotations

import re

from rk.compatibility import normalized
from rk.errors import UserError
from rk.plugins import PluginEntry

_REQUIRES = re.compile(
    r"\s*(?P<name>[A-Za-z0-9][\w.-]*)\s*(\[[^\]]*\])?\s*\(?(?P<range>[^;)]*)\)?\s*(;(?P<marker>.*))?"
)
_EXTRA = re.compile(r"""extra\s*==\s*["']([^"']+)["']""")
_DISTRIBUTION = {
    "PIL": "pillow",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
"""Modules whose distribution has another name."""


def missing_module(error: BaseException | None) -> str | None:
    """Returns the module that `error`, or what led to it, could not find; None for any other error."""
    while error is not None:
        if isinstance(error, ModuleNotFoundError) and error.name:
            return error.name
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return None


def lacking(owner: str, entry: PluginEntry, error: ImportError, doing: str = "") -> UserError:
    """Returns the error of a component that needs a module which is not installed.

    Args:
        owner: The component: "rk-odd: callback board".
        entry: Its plugin.
        error: What its import raised.
        doing: What it did: "fit_start()".
    """
    module = missing_module(error)
    what = f"{owner}: {doing}: " if doing else f"{owner}: "
    if module is None or module.partition(".")[0] == entry.module.partition(".")[0]:
        return UserError(f"{what}{type(error).__name__}: {' '.join(str(error).split())}")
    return UserError(f"{what}needs the module {module}, which is not installed", f"{_advice(module, entry)}")


def _advice(module: str, entry: PluginEntry) -> str:
    top = module.partition(".")[0]
    wanted = normalized(_DISTRIBUTION.get(top, top))
    extras: list[str] = []
    for line in entry.requirements:
        found = _REQUIRES.fullmatch(line)
        if found is None:
            continue
        extra = _EXTRA.search(found["marker"] or "")
        if extra is not None:
            extras.append(extra[1])
        if normalized(found["name"]) == wanted:
            if extra is not None:
                return f'pip install "{entry.distribution}[{extra[1]}]"'
            return f'pip install "{found["name"]}{found["range"].strip()}"'
    known = list(dict.fromkeys(extras))
    install = f"install {_DISTRIBUTION[top]}" if top in _DISTRIBUTION else f"install what brings {top}"
    return f"{install}; {entry.distribution} has the extras {', '.join(known)}" if known else install

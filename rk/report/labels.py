"""Labels for several runs: by what differs between them."""

from __future__ import annotations

from collections import Counter

from rk.report.compare import changed_settings
from rk.report.summary import RunSummary
from rk.report.text import plain_text, without_plugin
from rk.values import Plain

MAX_LABEL = 40
"""Characters of a label; where the differences do not fit, the run's id is added."""


def run_labels(runs: list[RunSummary]) -> list[str]:
    """Returns a label per run, all of them distinct: ``lr=0.01``, with the run's id where that is not enough.

    Settings are named by the end of their key that no other changed setting shares: ``lr``, else ``optimizer.lr``.
    """
    changed = changed_settings(runs)
    names = shortest_names([*changed])
    labels = [
        _fitting([f"{names[key]}={_value(values[i])}" for key, values in changed.items()]) for i in range(len(runs))
    ]
    recipes = {run.name for run in runs}
    if len(recipes) > 1:
        labels = [f"{run.name.rpartition('/')[2]} {label}".strip() for run, label in zip(runs, labels, strict=True)]
    count = Counter(labels)
    return [
        label if label and count[label] == 1 else f"{label} {run.folder.path.name[-4:]}".strip()
        for run, label in zip(runs, labels, strict=True)
    ]


def shortest_names(keys: list[str]) -> dict[str, str]:
    """Returns dotted key -> its shortest end, of whole words, that is the end of no other key."""
    ends = Counter(end for key in keys for end in _ends(key))
    return {key: next((end for end in _ends(key) if ends[end] == 1), key) for key in keys}


def _ends(key: str) -> list[str]:
    parts = key.split(".")
    return [".".join(parts[-n:]) for n in range(1, len(parts) + 1)]


def _value(value: Plain) -> str:
    return without_plugin(plain_text(value))


def _fitting(parts: list[str]) -> str:
    """Returns as many of the parts as fit, the first ones."""
    text = ""
    for part in parts:
        longer = f"{text} {part}".strip()
        if len(longer) > MAX_LABEL:
            break
        text = longer
    return text

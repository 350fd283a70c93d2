"""Recipes that `labelled-sequences` proposes for a user's file: a network, and a linear model over random kernels."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

from rk import UserError
from rk.drafting import Draft
from rk_sequence.records import JSON_LINES, ending
from rk_sequence.series_files import Columns, Series, guess_target, read_series

SURE, LONG = 0.9, 0.75
"""Confidence for a .ts file, and for a table with a row per step."""
TEST = (("_TRAIN.", "_TEST."), ("_train.", "_test."), ("-train.", "-test."), ("train.", "test."))
"""How a file of training series is called, and the file of tests beside it."""


def draft_series(path: Path, target: str | None) -> Draft | None:
    """Returns the draft for a .ts file, JSON lines, or a table with a row per step; None for any other table.

    Args:
        path: The file.
        target: Name of the column of labels; None: it is guessed.

    Raises:
        UserError: When a .ts file is damaged.
    """
    kind = ending(path)
    try:
        found = read_series(path, Columns(label=target), labelled=True)
    except UserError:
        if kind == ".ts":
            raise
        return None  # a table of something else
    several = max(len(s.values) for s in found) > 1 and found[0].values.shape[1] >= 1
    long_form = kind in (".csv", ".tsv") and _is_long(found)
    if kind != ".ts" and not long_form and kind not in JSON_LINES:
        return None
    if not several or any(s.label is None for s in found):
        return None
    numbers = _says_number(found)
    what = "the number" if numbers else f"the class ({len({s.label for s in found})} classes)"
    lengths = sorted(len(s.values) for s in found)
    steps = f"{lengths[0]}" if lengths[0] == lengths[-1] else f"{lengths[0]} to {lengths[-1]}"
    data: dict[str, Any] = {"file": str(path)}
    comments = {"data.file": f"{len(found)} series of {steps} steps"}
    test = _test_beside(path)
    if test is not None:
        data["test"] = str(test)
        comments["data.test"] = "found beside it"
    if target is not None:
        data["label"] = target
    channels = found[0].values.shape[1]
    return Draft(
        f"{what} of series with {channels} channel{'s' * (channels > 1)} and {steps} steps",
        data,
        _choices(len(found), numbers),
        {**comments, "model": "rk recipes init --model linear: a linear model over random convolutions"},
        confidence=SURE if kind == ".ts" else LONG,
    )


def _is_long(found: list[Series]) -> bool:
    """Whether the series of a table take several rows each."""
    lines = [int(s.place.rpartition(":")[2]) for s in found]
    return len(found) < max(lines) - 1 and max(len(s.values) for s in found) > 1 and _gaps(lines)


def _gaps(lines: list[int]) -> bool:
    return any(b - a > 1 for a, b in pairwise(lines)) or len(lines) == 1


def _says_number(found: list[Series]) -> bool:
    return (found[0].target or guess_target([str(s.label) for s in found])) == "number"


def _test_beside(path: Path) -> Path | None:
    """Returns the file of test series beside a file of training series, if there is one."""
    for train, test in TEST:
        if train in path.name:
            other = path.with_name(path.name.replace(train, test))
            if other != path and other.is_file():
                return other
    return None


def _choices(count: int, numbers: bool) -> dict[str, Any]:
    steps = min(2000, max(400, 4 * count))
    layer = {"name": "attention", "num_heads": 4}
    network = {"name": "sequence", "layer": layer, "d_model": 64, "num_layers": 2, "mlp_ratio": 2, "dropout": 0.1}
    schedule = {"name": "cosine", "warmup_steps": 50, "end": 1e-5}
    fit = {"max_steps": steps, "seed": 1, "validate_every": steps // 10, "monitor": "val/loss"}
    return {
        "network": {
            "model": network,
            "loss": "mse" if numbers else "cross-entropy",
            "trainer": {"name": "backprop", "optimizer": {"name": "adamw", "lr": 2e-3, "schedule": schedule}},
            "fit": fit,
        },
        "linear": {"model": {"name": "random-kernels"}, "trainer": "ridge", "fit": {"seed": 1}},
    }

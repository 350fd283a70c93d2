"""The meaning of an exported model's numbers: the names of its classes, and how a file becomes its inputs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rk.errors import RkError, RunFailed
from rk.export.portable import clean
from rk.fit.loaded import LoadedRun
from rk.values import Plain, PlainDict


@dataclass(frozen=True)
class Legend:
    """What the data declares about its values (docs/contract.md); None for what it does not declare.

    Attributes:
        labels: The name of each class, in the order of the class numbers.
        preprocessing: How a file becomes the inputs, as plain JSON.
    """

    labels: tuple[str, ...] | None = None
    preprocessing: Mapping[str, Plain] | None = None

    @property
    def config(self) -> PlainDict:
        """The keys of ``config.json``, as the Hugging Face hub calls them."""
        found: PlainDict = {}
        if self.labels is not None:
            found["id2label"] = {str(i): name for i, name in enumerate(self.labels)}
            found["label2id"] = {name: i for i, name in enumerate(self.labels)}
        if self.preprocessing is not None:
            found["preprocessing"] = dict(self.preprocessing)
        return found

    @property
    def texts(self) -> dict[str, str]:
        """``labels``, ``id2label`` and ``preprocessing`` as JSON texts: what a graph or a file of weights carries."""
        values = {"labels": None if self.labels is None else list(self.labels), **self.config}
        values.pop("label2id", None)
        return {key: json.dumps(value, ensure_ascii=False) for key, value in values.items() if value is not None}


def legend(run: LoadedRun) -> Legend:
    """Asks the run's data. A run that stored no state of its data is prepared where the data cannot answer without.

    Raises:
        RunFailed: When `labels` are not names, or `preprocessing()` is not plain JSON.
    """
    data = run.data
    if data is None:
        return Legend()
    labels, steps = _asked(run, "labels"), _asked(run, "preprocessing")
    owner = type(data).__name__
    if labels is not None and not (isinstance(labels, list | tuple) and all(isinstance(x, str) for x in labels)):
        raise RunFailed(f"{owner}.labels must be a tuple of names, got {labels!r:.100}")
    if steps is not None:
        try:
            steps = json.loads(json.dumps(steps, allow_nan=False))
        except (TypeError, ValueError) as error:
            raise RunFailed(f"{owner}.preprocessing() must be plain JSON: {error}") from None
        if not isinstance(steps, dict):
            raise RunFailed(f"{owner}.preprocessing() must be a dict, got {type(steps).__name__}")
    return Legend(None if labels is None else tuple(labels), None if steps is None else clean(steps))


def _asked(run: LoadedRun, name: str) -> Any:
    if not hasattr(type(run.data), name) and name not in vars(run.data):
        return None
    try:
        return _answer(run.data, name)
    except Exception:  # the data was not prepared, and has no stored state
        try:
            run.prepare()
        except RkError as error:
            print(f"warning: {name} of the data is left out: {error.message}", file=sys.stderr)
            return None
        return _answer(run.data, name)


def _answer(data: object, name: str) -> Any:
    found = getattr(data, name)
    return found() if callable(found) else found

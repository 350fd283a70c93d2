"""Helpers for analyses and recording callbacks: answers over a split, names of runs, records over the steps.

Nothing here imports torch before it is called. Tables are written by `rk.writing.write_csv`, charts by `rk.charts`.
"""

from __future__ import annotations

from rk.authoring.answers import answers, evaluating
from rk.authoring.recorder import Record, Recorder
from rk.authoring.titles import title, titles

__all__ = ["Record", "Recorder", "answers", "evaluating", "title", "titles"]

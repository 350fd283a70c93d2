"""Runs on disk. Nothing outside of this package knows the layout of a run folder."""

from __future__ import annotations

from rk.runs.folder import RUNS_VARIABLE, Bystander, RunBusy, RunFolder, default_root, json_number

__all__ = ["RUNS_VARIABLE", "Bystander", "RunBusy", "RunFolder", "default_root", "json_number"]

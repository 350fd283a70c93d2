"""Exporter: a pt2 archive of `torch.export`, for AOTInductor, ExecuTorch or a Python without rk."""

from __future__ import annotations

import io
from pathlib import Path

import torch

from rk.export.graph import compare, trace
from rk.fit.loaded import LoadedRun
from rk.writing import write_atomic


class TorchExport:
    """The answer of a run as `model.pt2`: ``torch.export.load("model.pt2").module()({"inputs": x})``.

    Axes with a name in the data's field shapes are dynamic where the computation allows. The file is loaded again and
    must answer as the run does.

    Args:
        dynamic: Axes that must be dynamic; an error says so when one cannot be.
        split: The split whose first batch gives the sizes of the fixed axes; null takes a test split.
    """

    def __init__(self, dynamic: tuple[str, ...] = ("batch",), split: str | None = None) -> None:
        self.dynamic = dynamic
        self.split = split

    def export(self, run: LoadedRun, out: Path) -> list[Path]:
        graph = trace(run, self.split, self.dynamic)
        path = out / "model.pt2"
        buffer = io.BytesIO()  # torch's own writer ends the process when the disk is full
        torch.export.save(graph.program, buffer)
        write_atomic(path, buffer.getvalue())
        module = torch.export.load(path).module()
        print(graph.describe())
        print(compare(run, graph, lambda fields: module(fields), path).describe())
        return [path]

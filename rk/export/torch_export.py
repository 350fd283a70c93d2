"""Exporter: a pt2 archive of `torch.export`, for AOTInductor, ExecuTorch or a Python without rk."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import torch
from torch.export import ExportedProgram

from rk.errors import UserError
from rk.export.graph import OTHERS, compare, forget_sources, reason, trace
from rk.export.legend import legend
from rk.fit.loaded import LoadedRun
from rk.writing import write_atomic


class TorchExport:
    """The answer of a run as `model.pt2`: ``torch.export.load("model.pt2").module()({"inputs": x})``.

    Axes with a name in the data's field shapes are dynamic where the computation allows. The file is loaded again and
    must answer as the run does. If the data declares them, the archive has the names of the classes (`labels.json`) and
    how a file becomes the inputs (`preprocessing.json`): ``torch.export.load(path, extra_files={"labels.json": ""})``.

    Args:
        dynamic: Axes that must be dynamic; one that cannot be is an error. Null: the batch, where inputs have it.
        split: The split whose first batch gives the sizes of the fixed axes; null takes a test split.

    Examples:
        rk export last --to torch-export exporter.dynamic=[batch]
    """

    def __init__(self, dynamic: tuple[str, ...] | None = None, split: str | None = None) -> None:
        self.dynamic = dynamic
        self.split = split

    def export(
        self, run: LoadedRun, out: Path, change: Callable[[ExportedProgram], ExportedProgram] | None = None
    ) -> list[Path]:
        """Writes `model.pt2`.

        Args:
            run: The run.
            out: The folder of the file.
            change: What another exporter makes of the traced program; the file must still answer as the run does.

        Raises:
            UserError: When the learner cannot be a graph, or torch cannot write it.
            RunFailed: When the file does not answer as the run does.
        """
        graph = trace(run, self.split, self.dynamic)
        if change is not None:
            graph.program = change(graph.program)
            forget_sources(graph.program)
        path = out / "model.pt2"
        buffer = io.BytesIO()  # torch's own writer ends the process when the disk is full
        notes = {f"{name}.json": text for name, text in legend(run).texts.items()}
        try:
            torch.export.save(graph.program, buffer, extra_files=notes)
        except Exception as error:  # torch raises whatever it cannot put into the archive
            raise UserError(f"torch.export cannot write this graph: {reason(error)}", OTHERS) from error
        write_atomic(path, buffer.getvalue())
        module = torch.export.load(path).module()
        print(graph.describe())
        print(compare(run, graph, lambda fields: module(fields), path).describe())
        return [path]

"""Large libraries: which they are, and what importing them costs a process."""

from __future__ import annotations

import contextlib
import io
import os
from importlib.machinery import SourceFileLoader
from types import ModuleType

LIBRARIES = (
    *("PIL", "click", "jinja2", "lightning", "lightning_utilities", "matplotlib", "numpy", "onnx", "onnx_ir"),
    *("onnxruntime", "onnxscript", "pandas", "pyparsing", "rich", "scipy", "sklearn", "sympy", "torch", "torchmetrics"),
    "transformers",
)
"""Packages that a zygote imports once a child has: none keeps a state that could pass from one child to the next."""


def is_of_a_library(name: str) -> bool:
    """Whether a module belongs to one of `LIBRARIES`."""
    return name.partition(".")[0] in LIBRARIES


def use_first() -> None:
    """Traces a graph and draws a figure, which are slow the first time in a process."""
    import torch

    points = (torch.zeros(2, 1),)
    torch.export.export(torch.nn.Linear(1, 1), points, dynamic_shapes=({0: torch.export.Dim("batch")},))
    with contextlib.suppress(ImportError):
        from matplotlib.figure import Figure

        figure = Figure()
        figure.subplots().set_xlabel("a label")
        figure.savefig(io.BytesIO(), format="png")


def cpu_seconds() -> float:
    """Returns what this process has used, without its children."""
    return sum(os.times()[:2])


class ImportClock:
    """Counts what a process spends on importing `LIBRARIES`, from `start` on.

    Attributes:
        seconds: CPU seconds, those of the modules that a library imports in turn included.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._within = False
        self._execute = SourceFileLoader.exec_module

    def start(self) -> None:
        """Times how modules are executed. No finder is added: what an index of plugins holds for depends on them."""
        execute = self._execute = SourceFileLoader.exec_module

        def exec_module(loader: SourceFileLoader, module: ModuleType) -> None:
            if self._within or not is_of_a_library(module.__name__):
                return execute(loader, module)
            began, self._within = cpu_seconds(), True
            try:
                execute(loader, module)
            finally:
                self.seconds += cpu_seconds() - began
                self._within = False

        setattr(SourceFileLoader, execute.__name__, exec_module)

    def stop(self) -> None:
        """Executes modules as before."""
        setattr(SourceFileLoader, self._execute.__name__, self._execute)

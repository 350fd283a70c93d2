"""Exporter: ONNX, by torch's dynamo exporter, compared with onnxruntime."""

from __future__ import annotations

import contextlib
import logging
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import torch
from annotated_types import Ge

from rk.errors import RunFailed, UserError
from rk.export.graph import Fields, Graph, compare, reason, trace
from rk.export.legend import legend
from rk.fit.loaded import LoadedRun
from rk.values import Module

if TYPE_CHECKING:
    import onnx_ir

_KEEPS_ALL = "rk export RUN --to torch-export keeps all operations"
_LACKING = re.compile(r"No ONNX function found for <OpOverload\(op='([\w.]+)'")


class ONNX:
    """The answer of a run as `model.onnx`: what `predict` computes, decoding included.

    Axes with a name in the data's field shapes are dynamic where the computation allows. The file is run in onnxruntime
    on random inputs and must answer as the run does. If the data declares them, its metadata has the names of the
    classes (`labels`, `id2label`) and how a file becomes the inputs (`preprocessing`), as JSON.

    Args:
        dynamic: Axes that must be dynamic; one that cannot be is an error. Null: the batch, where inputs have it.
        split: The split whose first batch gives the sizes of the fixed axes; null takes a test split.
        opset: Version of the operator set; null takes torch's choice.

    Examples:
        rk export last --to onnx exporter.dynamic=[batch]
    """

    def __init__(
        self,
        dynamic: tuple[str, ...] | None = None,
        split: str | None = None,
        opset: Annotated[int, Ge(18)] | None = None,
    ) -> None:
        self.dynamic = dynamic
        self.split = split
        self.opset = opset

    def export(self, run: LoadedRun, out: Path) -> list[Path]:
        try:
            import onnxruntime
            import onnxscript  # noqa: F401  torch's exporter needs it
        except ImportError as error:
            raise UserError(f"onnx needs {error.name or error}", 'pip install "recursion-kit[onnx]"') from None
        graph = trace(run, self.split, self.dynamic)
        path = out / "model.onnx"
        with _quiet():
            program = self._translated(graph)
        _name_axes(program, graph)
        _forget_sources(program.model)
        program.model.metadata_props.update({"recipe": run.recipe.name, **legend(run).texts})
        program.save(str(path))
        try:
            session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own classes: an operation that it has not, or not for these numbers
            path.unlink(missing_ok=True)
            raise UserError(f"onnxruntime cannot run this graph: {reason(error)}", _KEEPS_ALL) from error
        print(graph.describe())
        print(compare(run, graph, lambda fields: _run(session, graph, fields), path).describe())
        return [path, *sorted(out.glob("model.onnx.data"))]

    def _translated(self, graph: Graph) -> torch.onnx.ONNXProgram:
        try:
            program = torch.onnx.export(
                graph.program,
                dynamo=True,
                verbose=False,
                input_names=list(graph.example.fields),
                output_names=graph.outputs,
                opset_version=self.opset,
            )
        except Exception as error:  # torch's own classes, and whatever the translation of an operation raises
            if lacking := _LACKING.search(str(error)):
                said = f"ONNX has no counterpart of the operation {lacking[1]}, which the model uses"
            else:
                said = f"torch cannot write this graph as ONNX: {_cause(error)}"
            raise UserError(said, _KEEPS_ALL) from error
        if program is None:
            raise RunFailed("torch.onnx.export returned nothing")
        return program


def _cause(error: BaseException) -> str:
    """Returns the reason at the bottom: torch wraps it, with pages about its own steps on top."""
    while (below := error.__cause__ or error.__context__) is not None:
        error = below
    return reason(error)


def _forget_sources(model: onnx_ir.Model) -> None:
    """Drops torch's notes of which line of which file, and which module, made each node: paths of this machine."""
    graphs: list[Module] = [model.graph, *model.functions.values()]  # of onnx_ir, whose functions are graphs too
    for graph in graphs:
        for part in (graph, *graph.all_nodes()):
            part.metadata_props.clear()
            for value in getattr(part, "outputs", ()):
                value.metadata_props.clear()
        for value in (*graph.inputs, *getattr(graph, "initializers", {}).values()):
            value.metadata_props.clear()


def _run(session: Module, graph: Graph, fields: Fields) -> Fields:
    inputs = {i.name: fields[i.name].numpy() for i in session.get_inputs()}
    return dict(zip(graph.outputs, map(torch.from_numpy, session.run(None, inputs)), strict=True))


def _name_axes(program: torch.onnx.ONNXProgram, graph: Graph) -> None:
    """Gives the symbols of the graph (s55) the names of the axes."""
    names: dict[str, str] = {}
    for value, axes in zip(program.model.graph.inputs, graph.example.axes.values(), strict=True):
        for axis, size in zip(axes, value.shape or ()):
            if axis in graph.dynamic:
                names[str(size)] = axis
    import onnx_ir

    for value in [*program.model.graph.inputs, *program.model.graph.outputs]:
        value.shape = onnx_ir.Shape([names.get(str(size), size) for size in value.shape or ()])


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps torch's remarks on its own insides (torchvision is not installed) from the user."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)

"""The exporter `onnx-qdq`: a graph with QuantizeLinear and DequantizeLinear, and integer weights."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rk import LoadedRun, UserError
from rk.authoring import evaluating
from rk.errors import RunFailed
from rk_quantization.activations import for_onnx
from rk_quantization.grids import UniformGrid
from rk_quantization.recover import Found, recover

TOLERANCE = 1e-4
"""Largest difference from the run, relative to the largest answer, as the file says it: without fused kernels."""
OPSET = 21
"""The first with four bits and blocks."""
ROWS = 17


class ONNXQDQ:
    """The answer of a quantised run as `model.onnx`, with integer weights and the quantised activations of the run.

    Weights on uniform levels become int8 or uint8 initializers (int4 or uint4 where four bits are enough) with a
    DequantizeLinear, per tensor, per channel or in blocks; calibrated activations a pair of QuantizeLinear and
    DequantizeLinear. Weights of other levels stay in floating point. The file is run in onnxruntime on a batch of the
    data: it must answer as the run does; what onnxruntime's integer kernels change is printed.

    Args:
        int4: Whether weights of four bits are stored as such, two to a byte; else as eight.

    Examples:
        rk export last --to onnx-qdq
    """

    def __init__(self, int4: bool = True) -> None:
        self.int4 = int4

    def export(self, run: LoadedRun, out: Path) -> list[Path]:
        try:
            import onnx
            import onnxruntime  # noqa: F401  it runs the file
            import onnxscript  # noqa: F401  torch's exporter needs it
        except ImportError as error:
            raise UserError(f"onnx-qdq needs {error.name or error}", 'pip install "recursion-kit[onnx]"') from None
        model, outputs = _graph(run, out)
        size = model.ByteSize()
        names = to_integers(model, self.int4)
        if not names:
            raise UserError(
                "no weight of the graph has uniform levels",
                "quantise the run first: rk search quantize --run RUN, with levels narrow, symmetric or affine",
            )
        onnx.checker.check_model(model)
        path = out / "model.onnx"
        onnx.save(model, str(path))
        exact, fused = _compared(run, path, outputs)
        if exact > TOLERANCE:
            path.unlink()
            raise RunFailed(f"the graph does not answer as the run does: it is off by {exact:.2g} of the largest")
        pairs = sum(node.op_type == "QuantizeLinear" for node in model.graph.node)
        print(
            f"{len(names)} integer weights, {pairs} quantised activations: {path.stat().st_size:,} bytes in place of "
            f"{size:,}\nonnxruntime answers as the run does to {exact:.1g} of the largest answer, with its integer "
            f"kernels to {fused:.1g}"
        )
        return [path]


def _graph(run: LoadedRun, out: Path) -> tuple[Any, list[str]]:
    """Returns the run's answer as an ONNX model in floating point, and the names of its outputs."""
    import torch.ao.quantization.fx._decomposed

    programs: list[torch.export.ExportedProgram] = []

    def keep(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
        programs.append(program)
        return program

    pt2 = run.catalog.load(run.catalog.resolve("exporter", "torch-export"))()
    with for_onnx():
        for file in pt2.export(run, out, keep):
            file.unlink()
    (program,) = programs
    fields, outputs = _names(program)
    with _quiet():
        try:
            translated = torch.onnx.export(
                program,
                dynamo=True,
                verbose=False,
                input_names=fields,
                output_names=outputs,
                opset_version=OPSET,
                optimize=False,  # a folded normalisation would move weights off their levels
            )
        except Exception as error:  # torch's own classes, and whatever the translation of an operation raises
            while (below := error.__cause__ or error.__context__) is not None and isinstance(below, Exception):
                error = below
            said = str(error).strip().splitlines() or [type(error).__name__]
            text = f"torch cannot write this graph as ONNX: {said[0][:300]}"
            raise UserError(text, "int-safetensors takes it") from None
    if translated is None:
        raise RunFailed("torch.onnx.export returned nothing")
    model = translated.model_proto
    for part in (model.graph, *model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]  # notes of which line of which file made it
    for value in (*model.graph.input, *model.graph.output):
        dims = value.type.tensor_type.shape.dim
        if dims and dims[0].dim_param:
            dims[0].dim_param = "batch"
    model.metadata_props.add(key="recipe", value=run.recipe.name)
    return model, outputs


def _names(program: torch.export.ExportedProgram) -> tuple[list[str], list[str]]:
    """Returns the fields that a graph takes, and the outputs that it gives, in their order."""
    taken = program.call_spec.in_spec
    given = program.call_spec.out_spec
    (fields,), _ = torch.utils._pytree.tree_unflatten(list(range(taken.num_leaves)), taken)
    outputs = torch.utils._pytree.tree_unflatten(list(range(given.num_leaves)), given)
    return [*fields], [*outputs]


def _compared(run: LoadedRun, path: Path, outputs: list[str]) -> tuple[float, float]:
    """Returns how onnxruntime's answers differ from the run's: as the file says it, and with fused kernels."""
    import onnxruntime

    split = min(run.data.splits, key=lambda s: (not s.startswith("test"), not s.startswith("val")))
    batch = next(run.batches(split, 1))
    found = []
    levels = onnxruntime.GraphOptimizationLevel
    for level in (levels.ORT_DISABLE_ALL, levels.ORT_ENABLE_ALL):
        options = onnxruntime.SessionOptions()
        options.log_severity_level, options.graph_optimization_level = 3, level
        try:
            session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            given = {i.name: i.shape for i in session.get_inputs()}
            rows = {n: batch[n][: shape[0] if isinstance(shape[0], int) else ROWS] for n, shape in given.items()}
            answers = session.run(None, {name: value.numpy() for name, value in rows.items()})
        except Exception as error:  # onnxruntime's own classes
            path.unlink(missing_ok=True)
            raise UserError(f"onnxruntime cannot run this graph: {str(error).splitlines()[0][:300]}") from error
        with evaluating(run.learner, run.recipe.fit.seed):
            learner: Any = run.learner
            expected = learner.predict({**batch, **rows})
        found.append(max(_difference(expected[n].numpy(), a) for n, a in zip(outputs, answers, strict=True)))
    return found[0], found[1]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _difference(a: Any, b: Any) -> float:
    if a.dtype.kind != "f":
        return float((a != b).any())
    return float(np.abs(a - b).max() / max(np.abs(a).max(), 1e-30)) if a.size else 0.0


def to_integers(model: Any, int4: bool) -> list[str]:
    """Replaces the initializers of a graph that have uniform levels; returns their names.

    Args:
        model: An ``onnx.ModelProto``, changed in place.
        int4: Whether four bits are stored as such.
    """
    import onnx

    graph, names = model.graph, []
    first: list[Any] = []
    for tensor in list(graph.initializer):
        if tensor.data_type != onnx.TensorProto.FLOAT or len(tensor.dims) < 2:
            continue
        value = torch.from_numpy(onnx.numpy_helper.to_array(tensor).copy())
        found = _uniform_of(value)
        if found is None:
            continue
        graph.initializer.remove(tensor)
        new, node = dequantized(tensor.name, found, int4)
        graph.initializer.extend(new)
        first.append(node)
        names.append(tensor.name)
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*first, *rest])
    return names


def _uniform_of(value: torch.Tensor) -> Found | None:
    """Returns uniform levels of a weight, whichever axis of it has the channels: torch transposes some."""
    axes: Iterable[int] = range(min(2, value.dim()))
    for axis in axes:
        found = recover(value, axis, uniform=True)
        if found is not None and isinstance(found.grid, UniformGrid) and found.bits <= 8:
            return found
    return None


def dequantized(name: str, found: Found, int4: bool) -> tuple[list[Any], Any]:
    """Returns the initializers of a weight, and the node that makes `name` of them.

    Groups are blocks along the axis that is not that of the channels.

    Raises:
        rk.UserError: When groups go over several axes, as those of convolutions do.
    """
    import onnx
    from onnx import TensorProto, helper

    grid, layout = found.grid, found.layout
    assert isinstance(grid, UniformGrid)
    signed = grid.low < 0
    four = int4 and found.bits <= 4
    kinds = {
        (True, True): TensorProto.INT4,
        (True, False): TensorProto.UINT4,
        (False, True): TensorProto.INT8,
        (False, False): TensorProto.UINT8,
    }
    kind = kinds[four, signed]
    codes = layout.weight(found.codes + grid.low).contiguous().numpy().astype(np.int8 if signed else np.uint8)
    scale, zero = grid.scale[:, 0].numpy(), grid.zero[:, 0].numpy()
    attributes: dict[str, Any] = {}
    shape: tuple[int, ...] = scale.shape
    if layout.granularity == "tensor":
        shape = ()
    elif layout.granularity == "channel":
        attributes["axis"] = layout.axis
    else:
        inner = 1 - layout.axis
        if len(layout.shape) != 2:
            text = f"{name} is quantised in groups over several axes, which ONNX cannot express"
            raise UserError(text, "granularity=channel")
        attributes |= {"axis": inner, "block_size": layout.group_size}
        blocks = (layout.shape[layout.axis], layout.shape[inner] // layout.group_size)
        scale, zero = (x.reshape(blocks) if layout.axis == 0 else x.reshape(blocks).T for x in (scale, zero))
        shape = scale.shape
    tensors = [
        _tensor(f"{name}_quantized", kind, codes, four),
        onnx.numpy_helper.from_array(np.ascontiguousarray(scale).reshape(shape), f"{name}_scale"),
        _tensor(f"{name}_zero_point", kind, zero.reshape(shape).astype(codes.dtype), four),
    ]
    node = helper.make_node("DequantizeLinear", [t.name for t in tensors], [name], f"{name}_dequantize", **attributes)
    return tensors, node


def _tensor(name: str, kind: int, values: Any, four: bool) -> Any:
    """Returns an initializer; four bits are packed by onnx, eight are written as bytes."""
    from onnx import helper

    if four:
        return helper.make_tensor(name, kind, values.shape, values.reshape(-1).tolist())
    return helper.make_tensor(name, kind, values.shape, values.tobytes(), raw=True)

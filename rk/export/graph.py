"""A learner's answer as one graph of tensors, traced by `torch.export`: what ONNX and pt2 files are made of.

The graph's inputs are the batch fields that `predict` needs. Which of their axes may change size is read
from the field shapes of the data (``points: Float[Tensor, "batch points 2"]``); an axis that the computation turns out
to depend on (a loop over the points) stays fixed, and is named.
"""

from __future__ import annotations

import re
import typing
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from rk.errors import RunFailed, UserError
from rk.fit.evaluate import evaluating, predicted
from rk.fit.firstbatch import declared_fields, method_of
from rk.fit.loaded import LoadedRun
from rk.protocols import Batch

BATCH = "batch"
TRACED_ROWS = 3
"""Examples in the traced batch: torch takes sizes 0 and 1 for special."""
TOLERANCE = 1e-3
"""Largest difference of a floating-point output, relative to the largest value: rounding, through many layers."""

OTHERS = "safetensors and hub take any learner"

Fields = dict[str, Tensor]


@dataclass
class Example:
    """The example inputs of a trace.

    Attributes:
        fields: The inputs, of `TRACED_ROWS` examples.
        axes: Field -> name of each axis; None for one of fixed size.
    """

    fields: Fields
    axes: dict[str, tuple[str | None, ...]]

    def drawn(self, rows: int, seed: int, grown: Mapping[str, int]) -> Fields:
        """Returns random inputs within the range of the example's values.

        Args:
            rows: How many examples.
            seed: Of the generator.
            grown: Axis name -> its size, where that differs from the example's.
        """
        random = torch.Generator().manual_seed(seed)
        sizes = {BATCH: rows, **grown}
        return {
            name: _like(
                value,
                [n if axis is None else sizes.get(axis, n) for axis, n in zip(self.axes[name], value.shape)],
                random,
            )
            for name, value in self.fields.items()
        }


def _like(value: Tensor, shape: list[int], random: torch.Generator) -> Tensor:
    if not value.numel():
        return value.new_zeros(shape)
    low, high = value.min().item(), value.max().item()
    if value.is_floating_point():
        return (torch.rand(shape, generator=random) * (high - low) + low).to(value.dtype)
    return torch.randint(int(low), int(high) + 1, shape, generator=random).to(value.dtype)


class Answer(nn.Module):
    """`predict` as a module over a dict of fields."""

    def __init__(self, learner: nn.Module) -> None:
        super().__init__()
        self.learner = learner

    def forward(self, fields: Fields) -> Fields:
        return {k: v for k, v in predicted(self.learner, fields).items() if isinstance(v, Tensor)}


@dataclass
class Graph:
    """A traced learner.

    Attributes:
        program: What `torch.export` made.
        example: What it was traced with.
        outputs: Names of the outputs, in order.
        dynamic: Axes whose size may change.
    """

    program: ExportedProgram
    example: Example
    outputs: list[str]
    dynamic: list[str]

    def describe(self) -> str:
        """Returns the inputs with their axes, in one line."""
        shown = []
        for name, axes in self.example.axes.items():
            sizes = self.example.fields[name].shape
            shown.append(f"{name} ({', '.join(a if a in self.dynamic else str(n) for a, n in zip(axes, sizes))})")
        return f"inputs: {', '.join(shown)}; outputs: {', '.join(self.outputs)}"


def trace(run: LoadedRun, split: str | None, dynamic: tuple[str, ...] | None) -> Graph:
    """Traces the run's `predict`. Torch's notes of source files are dropped: they name paths of this machine.

    Args:
        run: The run with the learner.
        split: The split whose first batch gives the sizes; None takes a test split, else one for validation.
        dynamic: Axes that must be free; others are where the computation allows. None: the batch, where inputs have it.

    Raises:
        UserError: When the learner cannot be a graph, or a wanted axis cannot be free; the message says why.
    """
    run.learner.cpu()
    run.device = torch.device("cpu")
    example = _example(run, split)
    named = {axis for axes in example.axes.values() for axis in axes if axis}
    wanted = tuple({BATCH} & named) if dynamic is None else dynamic
    unknown = [axis for axis in wanted if axis not in named]
    if unknown:
        there = ", ".join(sorted(named)) or "none"
        none = "; exporter.dynamic=[] asks for none" if BATCH in unknown else ""
        raise UserError(f"no input has an axis {unknown[0]!r}", f"there are: {there}{none}")
    shapes = {
        name: {i: Dim.AUTO for i, axis in enumerate(axes) if axis is not None} for name, axes in example.axes.items()
    }
    with evaluating(run.learner, run.recipe.fit.seed), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, on attributes of its own LSTM
        try:
            program = torch.export.export(
                Answer(run.learner), (example.fields,), dynamic_shapes=(shapes,), strict=False
            )
        except Exception as error:  # torch raises whatever the traced code does
            raise UserError(
                f"this learner cannot be written as a graph: {reason(error)}",
                f"a graph holds tensor operations only, whose course does not depend on values; {OTHERS}",
            ) from error
        outputs = list(Answer(run.learner)(example.fields))
    free = _free_axes(program, example)
    for axis in wanted:
        if axis not in free:
            size = _size(example, axis)
            raise UserError(
                f"the axis {axis!r} cannot be dynamic: the computation depends on its size ({size})",
                "len(tensor) or a Python loop over it fixes an axis; left out, it keeps its size: "
                f"{_without(wanted, axis)}",
            )
    forget_sources(program)
    return Graph(program, example, outputs, free)


def _without(axes: Iterable[str], left_out: str) -> str:
    return f"exporter.dynamic=[{', '.join(axis for axis in axes if axis != left_out)}]"


def forget_sources(program: ExportedProgram) -> None:
    """Drops which line of which file made each node: paths of this machine, which files would carry along."""
    for module in program.graph_module.modules():
        for node in getattr(getattr(module, "graph", None), "nodes", ()):
            for note in ("stack_trace", "from_node"):
                node.meta.pop(note, None)


def _example(run: LoadedRun, split: str | None) -> Example:
    run.prepare()
    splits = run.data.splits
    if split is not None and split not in splits:
        raise UserError(f"unknown split {split!r}", f"splits: {', '.join(splits)}")
    chosen = split or min(splits, key=lambda s: (not s.startswith("test"), not s.startswith("val")))
    whole = run.data.batch(chosen, 0)
    batch = {k: v for k, v in whole.items() if isinstance(v, Tensor)}
    axes = _axes(run.data, batch)
    _check_answers(run, batch, whole)
    fields = {
        name: value[torch.arange(TRACED_ROWS) % len(value)] if axes[name] and axes[name][0] == BATCH else value
        for name, value in batch.items()
    }
    needed = _needed(run, fields)
    return Example({n: fields[n] for n in needed}, {n: axes[n] for n in needed})


def _check_answers(run: LoadedRun, fields: Fields, batch: Batch) -> None:
    """Raises `UserError` when the answer has no tensors, or needs plain values: a graph holds only tensors."""
    with evaluating(run.learner, run.recipe.fit.seed):
        outputs = predicted(run.learner, batch)
        if not any(isinstance(value, Tensor) for value in outputs.values()):
            raise UserError("this learner cannot be written as a graph: none of its answers is a tensor", OTHERS)
        plain = sorted(name for name in batch if name not in fields)
        try:
            predicted(run.learner, fields)
        except Exception as error:  # with the whole batch it has answered: something of that is missing
            needs = [name for name in plain if name in str(error)] or plain
            raise UserError(
                f"this learner cannot be written as a graph: its answer needs {', '.join(needs)}, "
                "which the batch has as plain values and not as tensors",
                OTHERS,
            ) from error


def _axes(data: object, batch: Fields) -> dict[str, tuple[str | None, ...]]:
    """Reads the names of the axes from the declared shapes; where none are declared, the first is the batch."""
    declared = declared_fields(method_of(data, "batch"))
    types = typing.get_type_hints(declared) if declared is not None else {}
    axes: dict[str, tuple[str | None, ...]] = {}
    for name, value in batch.items():
        shape: str | None = getattr(types.get(name), "dim_str", None)  # what jaxtyping keeps of a declared shape
        if not value.dim():
            axes[name] = ()
        elif shape is None:
            axes[name] = (BATCH, *[None] * (value.dim() - 1))
        else:
            axes[name] = _names(shape, value.dim())
    return axes


def _names(shape: str, ndim: int) -> tuple[str | None, ...]:
    """Returns a name or None per axis: ``batch *shape 2`` of four axes is ``batch, None, None, None``."""
    words = shape.split()
    if any(word.startswith("*") or word == "..." for word in words):
        at = next(i for i, word in enumerate(words) if word.startswith("*") or word == "...")
        words[at : at + 1] = ["1"] * (ndim - len(words) + 1)
    return tuple(word if re.fullmatch(r"[A-Za-z_]\w*", word) else None for word in words)


def _needed(run: LoadedRun, fields: Fields) -> list[str]:
    """Returns the fields without which `predict` fails or answers otherwise."""
    with evaluating(run.learner, run.recipe.fit.seed):
        answer = Answer(run.learner)
        whole = answer(fields)
        needed = dict(fields)
        for name in fields:
            rest = {k: v for k, v in needed.items() if k != name}
            try:
                same = _equal(answer(rest), whole)
            except Exception:  # whatever it is that is missing
                continue
            if same:
                needed = rest
    return list(needed)


def _equal(some: Fields, others: Fields) -> bool:
    return some.keys() == others.keys() and all(
        some[k].shape == others[k].shape and bool(torch.equal(some[k], others[k])) for k in some
    )


def _free_axes(program: ExportedProgram, example: Example) -> list[str]:
    """Returns the names of the axes that are symbols in the traced inputs."""
    inputs = [n for n in program.graph.nodes if n.op == "placeholder"][-len(example.fields) :]
    free: dict[str, bool] = {}
    for node, axes in zip(inputs, example.axes.values(), strict=True):
        for axis, size in zip(axes, node.meta["val"].shape):
            if axis is not None:
                is_symbol = isinstance(size, torch.SymInt) and size.node.maybe_as_int() is None
                free[axis] = free.get(axis, True) and is_symbol
    return [axis for axis, is_free in free.items() if is_free]


def _size(example: Example, axis: str) -> int:
    return next(n for name, axes in example.axes.items() for a, n in zip(axes, example.fields[name].shape) if a == axis)


def reason(error: BaseException) -> str:
    """Returns the first line of torch's explanation, which is pages long."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", str(error))  # without the colours of a terminal
    lines = [line.strip() for line in plain.splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]


@dataclass
class Agreement:
    """The differences between another implementation's answers and the learner's, over several random batches.

    Attributes:
        batches: Sizes of the batches.
        difference: Output -> largest absolute difference, of floating-point outputs.
        equal: Output -> share of equal entries, of all others.
    """

    batches: list[int]
    difference: dict[str, float]
    equal: dict[str, float]

    def describe(self) -> str:
        parts = [f"{name} differs by at most {value:.1e}" for name, value in self.difference.items()]
        parts += [f"{100 * share:.6g} % of {name} equal" for name, share in self.equal.items()]
        return f"{'; '.join(parts)} (random batches of {', '.join(map(str, self.batches))})"


def compare(run: LoadedRun, graph: Graph, other: Callable[[Fields], Fields], file: Path) -> Agreement:
    """Compares another implementation with the learner on random inputs of several sizes.

    Args:
        run: The run with the learner.
        graph: What was traced.
        other: Answers fields.
        file: What `other` was read from.

    Raises:
        RunFailed: When they differ by more than rounding; `file` is then deleted.
    """
    free = set(graph.dynamic)
    sizes = [1, TRACED_ROWS, 17] if BATCH in free else [TRACED_ROWS]
    result = Agreement(sizes, {}, {})
    largest: dict[str, float] = {}
    for seed, rows in enumerate(sizes):
        grown = {axis: _size(graph.example, axis) + seed for axis in free - {BATCH}}
        fields = graph.example.drawn(rows, seed, grown)
        with evaluating(run.learner, run.recipe.fit.seed):
            expected = Answer(run.learner)(fields)
            try:
                found = other(fields)
            except Exception as error:  # a runtime that refuses its own file
                file.unlink(missing_ok=True)
                raise UserError(f"the exported graph cannot be run: {reason(error)}", OTHERS) from error
        for name, value in expected.items():
            if found[name].shape != value.shape:
                file.unlink(missing_ok=True)
                shapes = f"{tuple(found[name].shape)} and not {tuple(value.shape)}"
                raise RunFailed(f"the exported graph does not answer as the run does: {name} has the shape {shapes}")
            if value.is_floating_point():
                difference = float((value - found[name]).abs().max()) if value.numel() else 0.0
                result.difference[name] = max(result.difference.get(name, 0.0), difference)
                largest[name] = max(largest.get(name, 1.0), float(value.abs().max()) if value.numel() else 0.0)
            else:
                share = float((value == found[name]).double().mean()) if value.numel() else 1.0
                result.equal[name] = min(result.equal.get(name, 1.0), share)
    wrong = [n for n, d in result.difference.items() if not d <= TOLERANCE * largest[n]]
    wrong += [n for n, share in result.equal.items() if share < 1 - TOLERANCE]
    if wrong:
        file.unlink(missing_ok=True)
        raise RunFailed(f"the exported graph does not answer as the run does: {result.describe()}")
    return result

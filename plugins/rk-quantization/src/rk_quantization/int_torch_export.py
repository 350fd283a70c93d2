"""The exporter `int-torch-export`: a pt2 archive whose graph holds codes, and makes weights of them when it runs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.fx import GraphModule

from rk import LoadedRun, UserError
from rk_quantization.grids import UniformGrid
from rk_quantization.packing import pack
from rk_quantization.recover import Found, recover
from rk_quantization.weights import quantizable


class IntTorchExport:
    """The answer of a quantised run as `model.pt2`: `torch-export`, with integer weights.

    The archive holds the codes of each quantised weight as int8, or packed as uint8 where 4 bits or fewer are enough,
    and its scales; the graph dequantizes them: ``(codes - zero_point) * scale``, or looks levels up. It needs neither
    rk nor this plugin, and answers as the run does. The arithmetic is that of floating point.

    Args:
        packed: Whether codes of 4 bits or fewer share bytes; else each takes one.

    Examples:
        rk export last --to int-torch-export -o small
    """

    def __init__(self, packed: bool = True) -> None:
        self.packed = packed

    def export(self, run: LoadedRun, out: Path) -> list[Path]:
        codes: dict[str, Codes] = {}
        for name, weight in quantizable(run.learner).items():
            found = recover(weight.parameter.detach().cpu(), weight.axis)
            if found is not None:
                codes[f"learner.{name}"] = Codes(found, self.packed)
        if not codes:
            text = "no weight of the run is quantised"
            raise UserError(text, "quantise the run first: rk search quantize --run RUN --bits 8")
        pt2 = run.catalog.load(run.catalog.resolve("exporter", "torch-export"))()
        paths: list[Path] = pt2.export(run, out, lambda program: with_codes(program, codes))
        full = sum(4 * math.prod(one.layout.shape) for one in codes.values())
        print(f"{len(codes)} integer weights: {sum(one.size for one in codes.values()):,} bytes in place of {full:,}")
        return paths


class Codes(nn.Module):
    """A weight as codes; `forward` returns the weight, bit by bit.

    Args:
        found: The weight.
        packed: Whether codes share bytes.

    Attributes:
        codes: int8 or uint8 of (rows, columns), as it is in `Layout.rows`; packed: uint8, as `pack` makes it.
        scale: (rows, 1), of uniform levels.
        zero_point: (rows, 1) or (1, 1), of uniform levels whose codes do not have 0 for 0.
        levels: (rows, levels), of others.
    """

    codes: Tensor
    scale: Tensor
    zero_point: Tensor
    levels: Tensor
    shifts: Tensor

    def __init__(self, found: Found, packed: bool) -> None:
        super().__init__()
        self.layout, self.rows, grid = found.layout, tuple(found.codes.shape), found.grid
        self.bits = next(bits for bits in (1, 2, 4, 8) if bits >= found.bits) if packed else 8
        codes, first = found.codes, 0
        if isinstance(grid, UniformGrid):
            self.register_buffer("scale", grid.scale.clone())
            if self.bits == 8:
                codes, first = codes + grid.low, grid.low
            zero = grid.zero - grid.low + first
            if zero.any():
                whole = zero if len(zero.unique()) > 1 else zero[:1]
                self.register_buffer("zero_point", whole.float())
        else:
            self.register_buffer("levels", grid.levels.clone())
        if self.bits == 8:
            self.register_buffer("codes", codes.to(torch.int8 if first < 0 else torch.uint8).contiguous())
        else:
            self.register_buffer("codes", pack(codes, self.bits))
            self.register_buffer("shifts", torch.arange(8 - self.bits, -1, -self.bits, dtype=torch.uint8))

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(b.numel() * b.element_size() for b in self.buffers())

    def forward(self) -> Tensor:
        codes = self.codes
        if self.bits < 8:
            spread = (codes[:, None] >> self.shifts) & (2**self.bits - 1)
            codes = spread.reshape(-1)[: self.rows[0] * self.rows[1]].reshape(self.rows)
        if hasattr(self, "levels"):
            return self.layout.weight(self.levels.gather(1, codes.long()))
        values = codes.to(self.scale.dtype)  # a new tensor: in place, it is the only one that is allocated
        if hasattr(self, "zero_point"):
            values.sub_(self.zero_point)
        return self.layout.weight(values.mul_(self.scale))


def with_codes(program: ExportedProgram, codes: Mapping[str, Codes]) -> ExportedProgram:
    """Returns a program with codes in place of parameters: NAME becomes ``NAME.codes``, ``NAME.scale``.

    Args:
        program: Takes a dict of tensors.
        codes: Parameter -> its codes. One that the program does not have is left out.
    """
    module: Any = program.module()
    parameters = dict(module.named_parameters(remove_duplicate=False))
    made = {name: one for name, one in codes.items() if name in parameters}
    first = {id(parameters[name]): name for name in made}
    for name, value in parameters.items():
        if id(value) in first:  # a tied parameter has several names
            owner, _, last = name.rpartition(".")
            delattr(module.get_submodule(owner), last)
    for name, one in made.items():
        module.add_submodule(name, one)
    for node in list(module.graph.nodes):
        source = first.get(id(parameters.get(node.target))) if node.op == "get_attr" else None
        if source is not None:
            with module.graph.inserting_before(node):
                weight = module.graph.call_module(source)
            node.replace_all_uses_with(weight)
            module.graph.erase_node(node)
    module.recompile()
    return _exported(module, program)


def _exported(module: GraphModule, program: ExportedProgram) -> ExportedProgram:
    """Traces a changed module with the inputs of a program; the sizes that were free there are free."""
    assert program.example_inputs is not None
    (fields,), _ = program.example_inputs
    nodes = [node for node in program.graph.nodes if node.op == "placeholder"][-len(fields) :]
    shapes = {
        name: {i: Dim.AUTO for i, size in enumerate(node.meta["val"].shape) if isinstance(size, torch.SymInt)}
        for name, node in zip(fields, nodes, strict=True)
    }
    return torch.export.export(module, (fields,), dynamic_shapes=(shapes,), strict=False)

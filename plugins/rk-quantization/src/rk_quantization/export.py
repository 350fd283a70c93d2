"""The exporter `int-safetensors`: weights of few bits take few bits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import torch
from annotated_types import Ge, Le
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from rk import LoadedRun
from rk_quantization.grids import LevelGrid, UniformGrid, fit
from rk_quantization.packing import pack, unpack
from rk_quantization.recover import Found, recover
from rk_quantization.scheme import Granularity, Layout, Scheme
from rk_quantization.weights import quantizable

FORMAT = "rk quantized 1"


class IntSafetensors:
    """The weights of a run as `model.int.safetensors`: codes without gaps, and scales.

    A weight NAME becomes ``NAME.packed`` (uint8: codes of its bits, the first in the highest bits), and
    ``NAME.scale`` (float32, one for each row: tensor, channel or group) with ``NAME.zero_point`` (int32) where it is
    not 0 everywhere, or ``NAME.levels`` (float32) of a codebook. The head of the file has the format, and for each
    weight its bits, shape, axis, rows and lowest code, as JSON. Everything else is written as it is.

    A weight that has at most 256 levels already (search `quantize`, callback `qat`, or any other training) is
    written exactly as it is; its levels are found from the weight itself. Any other weight is rounded by `bits` and
    `granularity`; `rk_quantization.export.read_quantized` reads the file.

    Args:
        bits: Bits of weights that are not quantised yet; null leaves these as they are.
        granularity: What shares a scale then.
        group_size: Weights of a group then.

    Examples:
        rk export last --to int-safetensors -o small
    """

    def __init__(
        self,
        bits: Annotated[int, Ge(2), Le(8)] | None = 8,
        granularity: Granularity = "channel",
        group_size: Annotated[int, Ge(1)] = 64,
    ) -> None:
        self.scheme = None if bits is None else Scheme(bits, "narrow", granularity, group_size)

    def export(self, run: LoadedRun, out: Path) -> list[Path]:
        path = out / "model.int.safetensors"
        found, rounded = write_quantized(run.learner, path, self.scheme)
        full = sum(4 * f.layout_size for f in found)
        if found:
            print(f"{len(found)} weights: {sum(f.stored for f in found):,} bytes in place of {full:,}")
        if rounded:
            print(f"rounded now: {', '.join(rounded)}")
        return [path]


class Stored:
    """One weight in the file.

    Attributes:
        tensors: What is stored of it.
        head: Its entry in the head.
    """

    def __init__(self, name: str, found: Found) -> None:
        grid, layout = found.grid, found.layout
        self.tensors = {f"{name}.packed": pack(found.codes, found.bits)}
        self.head: dict[str, Any] = {
            "bits": found.bits,
            "shape": list(layout.shape),
            "axis": layout.axis,
            "granularity": layout.granularity,
        }
        if layout.granularity == "group":
            self.head["group_size"] = layout.group_size
        if isinstance(grid, UniformGrid):
            self.head["lowest"] = grid.low
            self.tensors[f"{name}.scale"] = grid.scale[:, 0].clone()
            if grid.zero.any():
                self.tensors[f"{name}.zero_point"] = grid.zero[:, 0].to(torch.int32)
        else:
            self.tensors[f"{name}.levels"] = grid.levels.clone()
        self.layout_size = found.codes.numel()

    @property
    def stored(self) -> int:
        """Bytes."""
        return sum(t.numel() * t.element_size() for t in self.tensors.values())


def write_quantized(learner: nn.Module, path: Path, scheme: Scheme | None) -> tuple[list[Stored], list[str]]:
    """Writes the tensors of a learner; weights on few levels as codes.

    Args:
        learner: Whose state is written.
        path: The file.
        scheme: Of weights that are in full precision; None leaves them as they are.

    Returns:
        The weights that became codes, and the names of those that were rounded for it.
    """
    tensors = {n: v.detach().cpu().contiguous() for n, v in learner.state_dict().items() if isinstance(v, Tensor)}
    heads: dict[str, Any] = {}
    stored, rounded = [], []
    written: dict[str, Tensor] = {}
    for name, weight in quantizable(learner).items():
        if name not in tensors:
            continue
        value = tensors[name]
        found = recover(value, weight.axis)
        if found is None and scheme is not None and value.dtype == torch.float32:
            found = as_found(value, weight.layout(scheme), scheme)
            rounded.append(name)
        if found is not None:
            one = Stored(name, found)
            written |= one.tensors
            heads[name] = one.head
            stored.append(one)
    same = _tied(learner)
    for name, value in tensors.items():
        if name not in heads and same.get(name, name) not in heads:
            written[name] = value.clone()
    tied = {name: first for name, first in same.items() if first in heads}
    save_file(written, path, {"format": FORMAT, "weights": json.dumps(heads), "tied": json.dumps(tied)})
    return stored, rounded


def as_found(weight: Tensor, layout: Layout, scheme: Scheme) -> Found:
    """Returns a weight rounded by a scheme of uniform levels."""
    rows = layout.rows(weight)
    grid = fit(rows, scheme)
    assert isinstance(grid, UniformGrid)
    return Found(layout, scheme.bits, grid.encode(rows) - grid.low, grid)


def _tied(learner: nn.Module) -> dict[str, str]:
    """Returns, for each further name of a shared parameter, its first name."""
    first: dict[int, str] = {}
    found = {}
    for name, parameter in learner.named_parameters(remove_duplicate=False):
        if id(parameter) in first:
            found[name] = first[id(parameter)]
        first.setdefault(id(parameter), name)
    return found


def read_quantized(path: Path) -> dict[str, Tensor]:
    """Returns the tensors of `write_quantized`, in floating point.

    Raises:
        ValueError: When the file is of another format.
    """
    with safe_open(path, "pt") as file:
        head: Mapping[str, str] = file.metadata() or {}
        if head.get("format") != FORMAT:
            raise ValueError(f"{path} must have the format {FORMAT!r}, got {head.get('format')!r}")
        stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a dict
    heads: dict[str, Any] = json.loads(head["weights"])
    found = {}
    for name, one in heads.items():
        layout = Layout(tuple(one["shape"]), one["axis"], one["granularity"], one.get("group_size", 64))
        count = int(torch.tensor(one["shape"]).prod())
        codes = unpack(stored.pop(f"{name}.packed"), one["bits"], count)
        if "lowest" in one:
            scale = stored.pop(f"{name}.scale")[:, None]
            zero = stored.pop(f"{name}.zero_point", torch.zeros(len(scale), dtype=torch.int32))[:, None]
            grid: UniformGrid | LevelGrid = UniformGrid(scale, zero, one["lowest"], 0)
            rows = grid.decode(codes.view(len(scale), -1) + one["lowest"])
        else:
            levels = stored.pop(f"{name}.levels")
            grid = LevelGrid(levels, levels, levels)
            rows = grid.decode(codes.view(len(levels), -1))
        found[name] = layout.weight(rows).contiguous()
    tied: dict[str, str] = json.loads(head["tied"])
    return found | stored | {name: found[first] for name, first in tied.items()}

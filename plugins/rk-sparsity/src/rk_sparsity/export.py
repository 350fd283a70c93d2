"""The exporter `sparse-safetensors`: weights that are zero take no space."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from rk import LoadedRun, UserError
from rk_sparsity.masks import pack, unpack
from rk_sparsity.semi_structured import compress, decompress, misfit

Layout = Literal["bitmask", "csr", "semi-structured"]
FORMAT = "rk sparse 1"
MAX_DENSITY = 0.97
"""A tensor that has more than this share of non-zero entries is written as it is: the mask takes a bit per entry."""


class SparseSafetensors:
    """The weights of a run as `model.sparse.safetensors`: each sparse tensor as bit mask, CSR or 2:4, and its values.

    A tensor NAME that has zeros becomes ``NAME.bitmask`` (uint8, eight entries to a byte, the first in the highest
    bit), ``NAME.values`` and ``NAME.shape`` (int64); with ``layout=csr`` ``NAME.row_offsets`` and ``NAME.columns`` take
    the place of the mask, of the tensor flattened to two dimensions. With ``layout=semi-structured`` a matrix in which
    2 of 4 neighbours are kept (in float32: 1 of 2) becomes ``NAME.packed`` and ``NAME.meta``, which GPUs multiply on
    sparse tensor cores: the layout of torch's CUTLASS kernels, and of `torch.sparse.SparseSemiStructuredTensor`. All
    others are written as bit masks there. The head of the file names the format and the layout. The round trip is
    exact; `rk_sparsity.export.read_sparse` reads the file on any device, and
    `rk_sparsity.semi_structured.read_semi_structured` for the kernels of a GPU.

    Args:
        layout: `bitmask` is smaller from a density of 3 % on; `csr` is what sparse matrix products take;
            `semi-structured` is for sparse tensor cores.
        dtype: What floating-point tensors are rounded to first; null: as they are. Sparse tensor cores take 2 of 4
            in float16 and bfloat16, 1 of 2 in float32.

    Examples:
        rk export last --to sparse-safetensors -o sparse
    """

    def __init__(
        self, layout: Layout = "bitmask", dtype: Literal["float32", "float16", "bfloat16"] | None = None
    ) -> None:
        self.layout = layout
        self.dtype = dtype

    def export(self, run: LoadedRun, out: Path) -> list[Path]:
        path = out / "model.sparse.safetensors"
        weights = run.learner.state_dict()
        write_sparse(weights if self.dtype is None else _rounded(weights, self.dtype), path, self.layout)
        return [path]


def _rounded(weights: Mapping[str, object], dtype: str) -> dict[str, object]:
    """Returns the tensors with floating-point ones in another dtype. Raises where a number would become infinite."""
    found: dict[str, object] = {}
    for name, value in weights.items():
        if isinstance(value, Tensor) and value.is_floating_point():
            found[name] = rounded = value.to(getattr(torch, dtype))
            if not bool(rounded.isfinite().all()):
                raise UserError(f"{name} has numbers that {dtype} cannot hold", "exporter.dtype=bfloat16")
        else:
            found[name] = value
    return found


def write_sparse(weights: Mapping[str, object], path: Path, layout: Layout = "bitmask") -> None:
    """Writes tensors; those with zeros as mask, CSR or 2:4, and values. What is not a tensor is left out.

    Raises:
        rk.UserError: When the layout is `semi-structured` and no matrix has it.
    """
    found: dict[str, Tensor] = {}
    misfits: list[str] = []
    for name, value in weights.items():
        if not isinstance(value, Tensor):
            continue
        tensor = value.detach().cpu().contiguous()
        if layout == "semi-structured" and tensor.dim() >= 2:
            if (reason := misfit(tensor)) is None:
                found[f"{name}.packed"], found[f"{name}.meta"] = compress(tensor)
                continue
            misfits.append(f"{name}: {reason}")
        kept = tensor != 0
        if tensor.dim() < 2 or float(kept.float().mean()) > MAX_DENSITY:
            found[name] = tensor.clone()
            continue
        found[f"{name}.shape"] = torch.tensor(tensor.shape)
        found[f"{name}.values"] = tensor[kept]
        if layout != "csr":
            found[f"{name}.bitmask"] = pack(kept)
        else:
            rows = kept.flatten(1)
            found[f"{name}.row_offsets"] = torch.cat([torch.zeros(1, dtype=torch.long), rows.sum(1).cumsum(0)]).int()
            found[f"{name}.columns"] = rows.nonzero()[:, 1].int()
    if layout == "semi-structured" and not any(name.endswith(".packed") for name in found):
        raise UserError(
            "no weight can be written for 2:4 kernels:\n  " + "\n  ".join(misfits or ["there is no matrix"]),
            "train with n-of-m, n: 2, m: 4, and export with exporter.dtype=float16; or n: 1, m: 2 for float32",
        )
    save_file(found, path, {"format": FORMAT, "layout": layout, "note": json.dumps("entries not stored are zero")})


def read_sparse(path: Path) -> dict[str, Tensor]:
    """Returns the tensors of `write_sparse`, dense."""
    with safe_open(path, "pt") as file:
        names = [*file.keys()]
        stored = {name: file.get_tensor(name) for name in names}
    sparse = {name.removesuffix(".values") for name in names if f"{name.removesuffix('.values')}.shape" in stored}
    found: dict[str, Tensor] = {}
    for name in sparse:
        values, shape = stored[f"{name}.values"], tuple(stored[f"{name}.shape"].tolist())
        tensor = torch.zeros(shape, dtype=values.dtype)
        if f"{name}.bitmask" in stored:
            tensor[unpack(stored[f"{name}.bitmask"], shape)] = values
        else:
            offsets, columns = stored[f"{name}.row_offsets"].long(), stored[f"{name}.columns"].long()
            rows = torch.from_numpy(np.repeat(np.arange(len(offsets) - 1), offsets.diff().numpy()))
            tensor.flatten(1)[rows, columns] = values
        found[name] = tensor
    for name in [name.removesuffix(".packed") for name in names if name.endswith(".packed")]:
        found[name] = decompress(stored.pop(f"{name}.packed"), stored.pop(f"{name}.meta"))
    parts = {f"{name}.{part}" for name in sparse for part in ("values", "shape", "bitmask", "row_offsets", "columns")}
    return found | {name: tensor for name, tensor in stored.items() if name not in parts}

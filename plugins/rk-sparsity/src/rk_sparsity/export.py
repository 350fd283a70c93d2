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

from rk import LoadedRun
from rk_sparsity.masks import pack, unpack

FORMAT = "rk sparse 1"
MAX_DENSITY = 0.97
"""A tensor that has more than this share of non-zero entries is written as it is: the mask takes a bit per entry."""


class SparseSafetensors:
    """The weights of a run as `model.sparse.safetensors`: for each sparse tensor a bit mask, or CSR, and its values.

    A tensor NAME that has zeros becomes ``NAME.bitmask`` (uint8, eight entries to a byte, the first in the highest
    bit), ``NAME.values`` and ``NAME.shape`` (int64); with ``layout=csr`` ``NAME.row_offsets`` and ``NAME.columns`` take
    the place of the mask, of the tensor flattened to two dimensions. The head of the file names the format and the
    layout. The round trip is exact; `rk_sparsity.export.read_sparse` reads the file.

    Args:
        layout: `bitmask` is smaller from a density of 3 % on; `csr` is what sparse matrix products take.

    Examples:
        rk export last --to sparse-safetensors -o sparse
    """

    def __init__(self, layout: Literal["bitmask", "csr"] = "bitmask") -> None:
        self.layout = layout

    def export(self, run: LoadedRun, out: Path) -> list[Path]:
        path = out / "model.sparse.safetensors"
        write_sparse(run.learner.state_dict(), path, self.layout)
        return [path]


def write_sparse(weights: Mapping[str, object], path: Path, layout: Literal["bitmask", "csr"] = "bitmask") -> None:
    """Writes tensors; those with zeros as mask or CSR, and values. What is not a tensor is left out."""
    found: dict[str, Tensor] = {}
    for name, value in weights.items():
        if not isinstance(value, Tensor):
            continue
        tensor = value.detach().cpu().contiguous()
        kept = tensor != 0
        if tensor.dim() < 2 or float(kept.float().mean()) > MAX_DENSITY:
            found[name] = tensor.clone()
            continue
        found[f"{name}.shape"] = torch.tensor(tensor.shape)
        found[f"{name}.values"] = tensor[kept]
        if layout == "bitmask":
            found[f"{name}.bitmask"] = pack(kept)
        else:
            rows = kept.flatten(1)
            found[f"{name}.row_offsets"] = torch.cat([torch.zeros(1, dtype=torch.long), rows.sum(1).cumsum(0)]).int()
            found[f"{name}.columns"] = rows.nonzero()[:, 1].int()
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
    parts = {f"{name}.{part}" for name in sparse for part in ("values", "shape", "bitmask", "row_offsets", "columns")}
    return found | {name: tensor for name, tensor in stored.items() if name not in parts}

"""Matrices of which 2 in 4 neighbours are kept, in the layout of torch's kernels for sparse tensor cores (CUTLASS)."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from jaxtyping import Float, Int
from safetensors import safe_open
from torch import Tensor

from rk import UserError

GROUPS = {torch.float16: (2, 4), torch.bfloat16: (2, 4), torch.float32: (1, 2)}
"""dtype -> how many weights of how many neighbours tensor cores take."""
_LEAST = {torch.float16: (32, 64), torch.bfloat16: (32, 64), torch.float32: (32, 32)}
"""dtype -> what rows and columns must be multiples of."""
_CODES = 4
"""Groups of four 16-bit numbers, or two of 32 bits, whose positions share one entry of `meta`: 4 bits each."""
_CAPABILITY = (8, 0)


def misfit(weight: Tensor) -> str | None:
    """Returns why a weight cannot be written in this layout; None: it can."""
    if weight.dim() != 2 or weight.dtype not in GROUPS:
        return f"it must be a matrix of float16, bfloat16 or float32, got {weight.dim()} axes of {weight.dtype}"
    n, m = GROUPS[weight.dtype]
    rows, columns = _LEAST[weight.dtype]
    if weight.shape[0] % rows or weight.shape[1] % columns:
        return f"rows must be a multiple of {rows} and columns of {columns}, got {tuple(weight.shape)}"
    if int((weight.unflatten(1, (-1, m)) != 0).sum(-1).max()) > n:
        return f"at most {n} of {m} neighbours in a row may be non-zero in {weight.dtype}".replace("torch.", "")
    return None


def compress(weight: Float[Tensor, "out in_"]) -> tuple[Float[Tensor, "out kept"], Int[Tensor, "out words"]]:
    """Returns the kept numbers of each row, and where they are, as torch's CUTLASS kernels take them.

    Four bits are the places of the two kept ones of four 16-bit numbers: the first in the lower two bits, the second
    in the upper two. A 32-bit number counts as two neighbours of 16 bits. Groups with fewer non-zero
    numbers keep zeros. `meta` holds four such codes in an int16, with rows and columns in the kernels' order.

    Args:
        weight: (out, in), for which `misfit` returns None.

    Returns:
        packed, (out, in / 2), of the weight's dtype, and meta: int16, (out, in / 16), or (out, in / 8) for float32.
    """
    n, m = GROUPS[weight.dtype]
    grouped = weight.unflatten(1, (-1, m))
    bits = 2 ** torch.arange(m, dtype=torch.uint8, device=weight.device)
    pattern = ((grouped != 0) * bits).sum(-1, dtype=torch.int32)
    places = torch.tensor([_places_of(number, n, m) for number in range(2**m)], device=weight.device)
    packed = grouped.gather(-1, places[pattern]).flatten(1)
    halves = places if n == 2 else torch.cat([2 * places, 2 * places + 1], -1)
    codes = (halves[:, 0] | halves[:, 1] << 2)[pattern].unflatten(1, (-1, _CODES))
    shifts = torch.arange(0, 4 * _CODES, 4, device=weight.device)
    words = (codes << shifts).sum(-1)
    meta = torch.empty_like(words, dtype=torch.int16)
    meta.view(-1)[_order(words)] = words.to(torch.int16)
    return packed, meta


def decompress(packed: Float[Tensor, "out kept"], meta: Int[Tensor, "out words"]) -> Float[Tensor, "out in_"]:
    """Returns the matrix of `compress`."""
    n, m = GROUPS[packed.dtype]
    words = meta.view(-1)[_order(meta)].long()
    shifts = torch.arange(0, 4 * _CODES, 4, device=meta.device)
    codes = (words.unsqueeze(-1) >> shifts & 15).flatten(1)
    first, second = codes & 3, codes >> 2
    order = torch.stack([first, second], -1) if n == 2 else (first >> 1).unsqueeze(-1)
    dense = packed.new_zeros(*codes.shape, m)
    return dense.scatter_(-1, order, packed.unflatten(1, (-1, n))).flatten(1)


def _places_of(pattern: int, n: int, m: int) -> list[int]:
    """Returns which `n` of `m` are kept where the bits of `pattern` say which are not zero, the first in the lowest.

    Where fewer than `n` are not zero, zeros from position m - n on are kept too: as torch itself chooses.
    """
    zeros = [(m - n + i) % m for i in range(m)]
    order = [i for i in range(m) if pattern >> i & 1] + [i for i in zeros if not pattern >> i & 1]
    return sorted(order[:n])


def _order(meta: Int[Tensor, "rows columns"]) -> Int[Tensor, "rows columns"]:
    """Returns where in the kernels' flat `meta` the word of a row and a column is.

    The kernels read column pairs after one another. Of 32 rows, those 8 apart are neighbours, and in blocks of two rows
    and two columns the other diagonal is swapped.
    """
    rows, columns = meta.shape
    row = torch.arange(rows, device=meta.device).unsqueeze(1)
    column = torch.arange(columns, device=meta.device).unsqueeze(0)
    row = row // 32 * 32 + row % 8 * 4 + row % 32 // 8
    swap = (column & 1) - (row & 1)  # 1 at the upper right of a block, -1 at its lower left
    row, column = row + swap, column - swap
    return column // 2 * 2 * rows + row * 2 + column % 2


def read_semi_structured(path: Path, device: str | torch.device = "cuda") -> dict[str, Tensor]:
    """Returns the tensors of a file of layout `semi-structured`; packed ones as torch's semi-structured tensors.

    `torch.nn.functional.linear` and ``@`` multiply these on sparse tensor cores. GPUs of compute capability 8 take the
    file's layout as it is. For later ones `torch.sparse.to_sparse_semi_structured` converts it, with cuSPARSELt.

    Args:
        path: What ``rk export RUN --to sparse-safetensors exporter.layout=semi-structured`` wrote.
        device: An NVIDIA GPU.

    Raises:
        rk.UserError: When the device cannot multiply such tensors, or the file has none.
    """
    device = torch.device(device)
    major, minor = torch.cuda.get_device_capability(device) if device.type == "cuda" and _has_gpu() else (0, 0)
    if (major, minor) < _CAPABILITY:
        got = "no such GPU" if device.type == "cuda" and not major else f"{major}.{minor}" if major else str(device)
        raise UserError(
            f"torch's 2:4 kernels need an NVIDIA GPU of compute capability 8.0 or higher, got {got}",
            "rk_sparsity.export.read_sparse gives dense weights on any device",
        )
    with safe_open(path, "pt") as file:
        found = {name: file.get_tensor(name).to(device) for name in [*file.keys()]}
    names = [name.removesuffix(".packed") for name in found if name.endswith(".packed")]
    if not names:
        hint = "rk export RUN --to sparse-safetensors exporter.layout=semi-structured"
        raise UserError(f"{path} has no 2:4 weights", hint)
    for name in names:
        packed, meta = found.pop(f"{name}.packed"), found.pop(f"{name}.meta")
        found[name] = as_cutlass(packed, meta) if major == 8 else _converted(packed, meta)
    return found


def as_cutlass(packed: Float[Tensor, "out kept"], meta: Int[Tensor, "out words"]) -> Tensor:
    """Returns torch's semi-structured tensor around what `compress` returned. It is made on any device."""
    shape = torch.Size((packed.shape[0], 2 * packed.shape[1]))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The PyTorch API of SparseSemiStructuredTensor", category=UserWarning)
        return torch.sparse.SparseSemiStructuredTensorCUTLASS(shape, packed, meta, None, None, None)


def _converted(packed: Tensor, meta: Tensor) -> Tensor:
    return torch.sparse.to_sparse_semi_structured(decompress(packed, meta))


def _has_gpu() -> bool:
    return torch.cuda.is_available() and torch.version.hip is None

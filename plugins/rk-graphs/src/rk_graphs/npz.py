"""The data `npz-graph`: graphs in one .npz file, published ones or a user's own."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from rk import UserError
from rk.errors import printable
from rk.fields import IGNORED
from rk.files import fetch, is_intact
from rk_graphs.graph import Graph, both_ways, rows_to_one
from rk_graphs.node_data import NodeData

HOME = "https://raw.githubusercontent.com/EdisonLeeeee/GraphData/f8022c26b917346f2a461ffec0ec5ae24b36de68/datasets"
CHECKSUMS = {
    "amazon-photo": "bdb98b54cd3125bfa69b23ba0aae84fabcb770c6727175b8f6eb1d64f3be4b2b",
    "citeseer-full": "403e8976b21eed58544dca956b6bd8b513779124c6f88da9538609b085ac8651",
    "cora-ml": "590d93689ec70aa0da17b3f1c6915dfd3c1b6306ad4f3286a2075599f7a85630",
}
"""Graph -> the SHA-256 of its published file: pickles, which can run code, are read from that file alone."""
LAYOUT = "adj_data, adj_indices, adj_indptr, adj_shape (CSR), attr_* (CSR, or one array attr), labels"


class NpzGraph(NodeData):
    """Graphs as .npz: `amazon-photo`, `citeseer-full`, `cora-ml`, or a user's own file.

    The published ones are those of Shchur et al. (arXiv:1811.05868) and Bojchevski and Guennemann (arXiv:1707.03815):
    7650 goods bought together, 4230 and 2995 papers. A file holds the adjacency as the arrays `adj_data`,
    `adj_indices`, `adj_indptr` and `adj_shape` of a CSR matrix, features likewise as `attr_*` or as one array `attr`,
    and the classes as `labels`; -1 where none is known. Edges are taken in both directions.

    Args:
        graph: A published graph; null: `file` is read.
        file: A user's own file.
        normalize: Divides the features of a node by their sum.

    Examples:
        data: {name: npz-graph, graph: cora-ml, split: k-fold}
    """

    def __init__(
        self,
        graph: Literal["amazon-photo", "citeseer-full", "cora-ml"] | None = None,
        file: Path | None = None,
        normalize: bool = True,
        **nodes: Any,
    ) -> None:
        super().__init__(**nodes)
        if (graph is None) == (file is None):
            raise ValueError("give graph, a published one, or file, a file of your own")
        self.name = graph
        self.file = file
        self.normalize = normalize

    def _load(self) -> Graph:
        if self.name is not None:
            stem = self.name.replace("-", "_")
            checksum = f"sha256:{CHECKSUMS[self.name]}"
            path = fetch(f"graphs/{stem}.npz", f"{HOME}/{stem}.npz", checksum)
            arrays = _published(path) if is_intact(path, checksum) else _plain(path)
        elif self.file is not None:
            arrays = _plain(self.file)
        return _graph(arrays, self.file or path, self.normalize)


def _published(path: Path) -> dict[str, Any]:
    """Returns the arrays of a published file, whose checksum has been compared: it holds pickled matrices."""
    with np.load(path, allow_pickle=True) as file:
        adjacency, features = file["adj_matrix"].item().tocsr(), file["node_attr"].item().tocsr()
        found = {"labels": file["node_label"]}
    for name, matrix in (("adj", adjacency), ("attr", features)):
        found |= {f"{name}_{part}": getattr(matrix, part) for part in ("data", "indices", "indptr", "shape")}
    return found


def _plain(path: Path) -> dict[str, Any]:
    """Returns the arrays of a file without pickles. Raises `UserError` for any other file."""
    shown = printable(str(path))
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except OSError as error:
        reason = error.strerror or "it is not an .npz file"
        raise UserError(f"{shown} cannot be read: {reason}", f"expected an .npz file with {LAYOUT}") from None
    except (ValueError, zipfile.BadZipFile, AttributeError, TypeError, EOFError):
        raise UserError(f"{shown} is not an .npz file of plain arrays", f"expected {LAYOUT}") from None


def _graph(arrays: dict[str, Any], path: Path, normalize: bool) -> Graph:
    shown = printable(str(path))
    adjacency = _matrix(arrays, "adj", shown).tocoo()
    count = adjacency.shape[0]
    if adjacency.shape != (count, count):
        raise UserError(f"{shown}: adj must be square, got {adjacency.shape[0]} x {adjacency.shape[1]}")
    features = arrays["attr"] if "attr" in arrays else _matrix(arrays, "attr", shown).toarray()
    labels = arrays.get("labels")
    if labels is None:
        raise UserError(f"{shown}: there is no array 'labels'", f"expected {LAYOUT}")
    for name, array in (("attr", features), ("labels", labels)):
        if len(array) != count:
            raise UserError(f"{shown}: {name} must have {count} rows, as adj has, got {len(array)}")
    if features.ndim != 2 or labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise UserError(f"{shown}: attr must be (nodes, features), and labels (nodes,) of whole numbers")
    x = torch.from_numpy(np.ascontiguousarray(features, np.float32))
    if not x.isfinite().all():
        raise UserError(f"{shown}: attr has values that are not finite")
    edges = both_ways(torch.from_numpy(np.stack([adjacency.row, adjacency.col]).astype(np.int64)), count)
    targets = torch.from_numpy(labels.astype(np.int64))
    num_classes = int(targets.max()) + 1
    if num_classes < 2:
        raise UserError(f"{shown}: labels must have two classes or more")
    names = arrays.get("class_names", np.arange(num_classes))
    targets[targets < 0] = IGNORED
    return Graph(rows_to_one(x) if normalize else x, edges, targets, tuple(str(n) for n in names[:num_classes]))


def _matrix(arrays: dict[str, Any], name: str, shown: str) -> Any:  # Any: scipy has no types
    from scipy.sparse import csr_matrix

    parts = ("data", "indices", "indptr", "shape")
    if missing := [f"{name}_{part}" for part in parts if f"{name}_{part}" not in arrays]:
        raise UserError(f"{shown}: there is no array {missing[0]!r}", f"expected {LAYOUT}")
    data, indices, indptr, shape = (arrays[f"{name}_{part}"] for part in parts)
    try:
        matrix = csr_matrix((data, indices, indptr), shape=tuple(int(size) for size in shape))
        matrix.check_format()
    except (ValueError, TypeError) as error:
        raise UserError(f"{shown}: {name}_* is not a CSR matrix: {error}") from None
    return matrix

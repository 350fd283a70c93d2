"""The data `graph-arrays`: graphs larger than memory, as .npy files that are read where they are needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from rk import UserError
from rk.errors import printable
from rk.fields import IGNORED
from rk_graphs.graph import Graph
from rk_graphs.node_data import NodeData

PARTS = (
    "features.npy (nodes, features), edges.npy (2, edges), targets.npy (nodes,); train.npy, val.npy, test.npy if split"
)


class GraphArrays(NodeData):
    """A folder of .npy files: `features`, `edges` and `targets`, and for a published split `train`, `val` and `test`.

    Features stay on the disk; give a `batch_size`, so that only those of a batch are read. An edge passes messages from
    its first node to its second: store both directions where it has none. A target of -1 is not known.

    Args:
        folder: Where the files are.

    Examples:
        data: {name: graph-arrays, folder: papers, batch_size: 512, fanouts: [10, 10]}
    """

    def __init__(self, folder: Path, **nodes: Any) -> None:
        super().__init__(**nodes)
        self.folder = Path(folder)

    def _load(self) -> Graph:
        features = self._array("features", 2)
        edges = self._array("edges", 2, whole=True)
        targets = torch.from_numpy(np.array(self._array("targets", 1, whole=True), np.int64))
        count = len(features)
        if len(targets) != count:
            raise UserError(f"{self._shown('targets')}: expected {count} rows, as features has, got {len(targets)}")
        if edges.shape[0] != 2:
            raise UserError(f"{self._shown('edges')}: expected the shape (2, edges), got {edges.shape}")
        if edges.size and not (edges.min() >= 0 and edges.max() < count):
            raise UserError(f"{self._shown('edges')}: nodes must be from 0 to {count - 1}")
        if int(targets.max()) < 1:
            raise UserError(f"{self._shown('targets')}: there must be two classes or more")
        labels = tuple(str(c) for c in range(int(targets.max()) + 1))
        targets[targets < 0] = IGNORED
        published = {}
        if self.split == "published":
            published = {
                part: torch.from_numpy(np.array(self._array(part, 1, whole=True), np.int64)) for part in self.splits
            }
        return Graph(
            torch.from_numpy(features), torch.from_numpy(np.array(edges, np.int64)), targets, labels, published
        )

    def _shown(self, name: str) -> str:
        return printable(str(self.folder / f"{name}.npy"))

    def _array(self, name: str, ndim: int, *, whole: bool = False) -> Any:  # Any: an array of any dtype
        """Returns an array that stays on the disk. Raises `UserError` when it is not there, or no such array."""
        try:
            # copy-on-write: torch wants memory that it may write to; nothing of it reaches the file
            array = np.load(self.folder / f"{name}.npy", mmap_mode="c", allow_pickle=False)
        except OSError as error:
            raise UserError(f"{self._shown(name)} cannot be read: {error.strerror}", f"expected {PARTS}") from None
        except ValueError:
            raise UserError(f"{self._shown(name)} is not an array of numbers", f"expected {PARTS}") from None
        kind = np.integer if whole else np.floating
        if array.ndim != ndim or not np.issubdtype(array.dtype, kind):
            what = "whole numbers" if whole else "float32"
            raise UserError(
                f"{self._shown(name)}: expected {ndim} axes of {what}, got {array.ndim} of {array.dtype}",
                f"expected {PARTS}",
            )
        if not whole and array.dtype != np.float32:
            raise UserError(f"{self._shown(name)}: expected float32, got {array.dtype}", "features.astype('float32')")
        return array

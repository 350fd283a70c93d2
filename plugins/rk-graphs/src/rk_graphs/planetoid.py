"""The data `planetoid`: the citation graphs Cora and CiteSeer with their published split."""

from __future__ import annotations

from typing import Any, Literal

from rk.files import fetch
from rk_graphs.graph import Graph, rows_to_one
from rk_graphs.node_data import NodeData
from rk_graphs.splits import Split

HOME = "https://raw.githubusercontent.com/kimiyoung/planetoid/af6abf468a772cc055bec88c52e4d6f51b7c37e3/data"
FOLDERS = {"cora": "Cora", "citeseer": "CiteSeer"}
LABELS = {
    "cora": (
        "theory", "reinforcement learning", "genetic algorithms", "neural networks", "probabilistic methods",
        "case based", "rule learning",
    ),
    "citeseer": (
        "agents", "AI", "databases", "information retrieval", "machine learning", "human-computer interaction",
    ),
}  # fmt: skip
CHECKSUMS = {
    "cora": {
        "allx": "9419ba2f26f5c35243db64aba110e0f35a04851609e0dc5433450676ca6b8543",
        "ally": "2b998f5cc7fedc86e7f97ca2498f47a1ffc1462c29e2d578b23bf3f62b6e7d71",
        "graph": "58f13302f39dde8852dad6fe6d15b89b077b6d7f837626bce671ef80344b383d",
        "test.index": "297ce89af2b51a6a194181c7dbe1796c6a1cf9cd9349a88383b1b1e227867875",
        "tx": "b9afbaa4a400df991f6f02ef677e1e44da55ffc04801fd02f9e673987829226a",
        "ty": "41f5ac76596a1699cc33f53084a2419e92961c42bb75f36fc38e616d348532ad",
        "x": "23cfa55d91c6f624233f5eb7b6e3f141f1bd2b2ae39608a63cf5d084bb27baab",
        "y": "94465c14eb53e04ca262198dcbb2521ee8af60fb3f3d546cd6ca24a511b0e7d1",
    },
    "citeseer": {
        "allx": "2ac30345d95c9ec933a817ee0bdd6a5f077f8c184a20e696910192d534414668",
        "ally": "f704b2d986dde6c2669934de1f3ae5696a6cf9455c0f6b2646a2d135ea0a1c95",
        "graph": "d79a4ef9d3e7169aee8946145f6b7306e35bc79bffad26346cfb94e10e9912a7",
        "test.index": "2af990671580b6b2df5d158d1038f8292e30c9cd821b5453f399659b25b723d4",
        "tx": "539a8906a2da97628d212f2fdd668c109a8b3f0d36574b59e5d3fd5b5303da21",
        "ty": "55e5bd1ba1e733a04598753ad1a8d57957f4b8f89e74519f41f4f4938767e4ce",
        "x": "d20de19150741e555de0ed037195630fc194114ebc7fd72ced62810148aa22f6",
        "y": "8ba87e515d8e3ee3cf52f6d2c5b86aa73f11ecad825a808455209ec26cd54924",
    },
}
"""Part -> its SHA-256. The files are pickles, which can run code: none is opened that is not the published one."""


class Planetoid(NodeData):
    """Papers with their words and citations (Yang et al., arXiv:1603.08861): 2708 of Cora, 3327 of CiteSeer.

    The published split trains on 20 papers of each class, validates 500 and tests 1000.

    Args:
        graph: `cora` or `citeseer`.
        split: As of all graphs; here the published one by default.

    Examples:
        data: {name: planetoid, graph: cora}
    """

    def __init__(self, graph: Literal["cora", "citeseer"] = "cora", split: Split = "published", **nodes: Any) -> None:
        super().__init__(split=split, **nodes)
        self.name = graph

    def _load(self) -> Graph:
        from torch_geometric.io import read_planetoid_data

        folder = f"planetoid/{FOLDERS[self.name]}/raw"
        for part, checksum in CHECKSUMS[self.name].items():
            name = f"ind.{self.name}.{part}"
            path = fetch(f"{folder}/{name}", f"{HOME}/{name}", f"sha256:{checksum}", verify=True)
        graph = read_planetoid_data(str(path.parent), self.name)
        published = {
            "train": graph.train_mask.nonzero().flatten(),
            "val": graph.val_mask.nonzero().flatten(),
            "test": graph.test_mask.nonzero().flatten(),
        }
        return Graph(rows_to_one(graph.x), graph.edge_index, graph.y, LABELS[self.name], published)

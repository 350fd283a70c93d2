"""The data `tu-graphs`: molecules, proteins and film casts of the TU collection."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Le
from torch import Tensor
from torch.nn import functional

from rk.files import content, damaged, data_folder, fetch
from rk.reading import unpacked
from rk_graphs.graph_sets import GraphSet, GraphSetData
from rk_graphs.splits import Parts, stratified

HOME = "https://raw.githubusercontent.com/muhanzhang/pytorch_DGCNN/50f504131ca66382f3f078ae98e59aa3ae35b795/data"
FILES = {
    "enzymes": ("ENZYMES", "04e048844018a0f9c87afdc0d69031c4b625bb97d40320b9dbd76acc663f41a6"),
    "imdb-binary": ("IMDBBINARY", "1068c698677c07c04f3ad56fc4a175cb2161523c840abfdaf50e101ecc30504f"),
    "imdb-multi": ("IMDBMULTI", "f4cc1b32112303bf1b16a8351df8b8073978fdead823775fbe79e60cf94e7009"),
    "mutag": ("MUTAG", "5897dae243f6c773aab54ec99e86551c3b1e8601acef254714073042c632d30e"),
    "nci1": ("NCI1", "415d2e0861484c2baef1e40ee3ca62dd13c06d6b99549fb25774f43533e9321d"),
    "proteins": ("PROTEINS", "ed0730f9bf9da68aa6a8c80f2f2b6ecea5d05791ca254c709f3efab3b45d937b"),
    "ptc-mr": ("PTC", "711729eaf2a5308752aa7c11062dd99f645f978afc400909a5927051b314ec55"),
}
"""Set -> its name in the repository, and the SHA-256 of its text."""
WITHOUT_TAGS = ("imdb-binary", "imdb-multi")
"""Sets whose nodes say nothing: their degree is their tag (arXiv:1810.00826, Sec. 7)."""


class TUGraphs(GraphSetData):
    """Sets of the TU collection (Morris et al., arXiv:2007.08663), in ten folds with the same share of each class.

    188 to 4110 graphs of 13 to 39 nodes. The features of a node are its tag, one-hot: an atom or the kind of a residue;
    for the casts of films, its degree.

    Args:
        graphs: Which set.
        fold: Which tenth is tested, from 0; the next one is validated.

    Examples:
        data: {name: tu-graphs, graphs: mutag, fold: 0}
    """

    def __init__(
        self,
        graphs: Literal["enzymes", "imdb-binary", "imdb-multi", "mutag", "nci1", "proteins", "ptc-mr"] = "mutag",
        fold: Annotated[int, Ge(0), Le(9)] = 0,
        **sets: Any,
    ) -> None:
        super().__init__(**sets)
        self.name = graphs
        self.fold = fold

    def _load(self) -> GraphSet:
        return parse_text(_text(self.name), use_degrees=self.name in WITHOUT_TAGS)

    def _split(self, graphs: GraphSet) -> Parts:
        return stratified(graphs.targets, self.fold)


def _text(name: str) -> str:
    """Returns the published text of a set; a packed copy in the data folder will do."""
    stem, checksum = FILES[name]
    packed = data_folder() / "tu-graphs" / f"{stem}.txt.gz"
    if packed.is_file():
        path, found = packed, unpacked(content(packed), packed.name, 10_000_000)
    else:
        path = fetch(f"tu-graphs/{stem}.txt", f"{HOME}/{stem}/{stem}.txt", f"sha256:{checksum}")
        found = content(path)
    if hashlib.sha256(found).hexdigest() != checksum:
        raise damaged(path)
    return found.decode("ascii")


def parse_text(text: str, *, use_degrees: bool = False) -> GraphSet:
    """Returns the graphs of a text: their number; for each `nodes class`; for each node `tag degree neighbours...`.

    Args:
        text: The text.
        use_degrees: Takes the degree of a node for its tag.
    """
    lines = iter(text.splitlines())
    sources: list[Tensor] = []
    tags: list[int] = []
    node_counts, edge_counts, classes = [], [], []
    targets: list[Tensor] = []
    for _ in range(int(next(lines))):
        count, label = map(int, next(lines).split()[:2])
        first, edges = len(tags), 0
        for node in range(count):
            tag, degree, *others = map(int, next(lines).split())
            tags.append(degree if use_degrees else tag)
            targets.append(torch.full((degree,), first + node))
            sources.append(torch.tensor(others[:degree], dtype=torch.int64) + first)
            edges += degree
        node_counts.append(count)
        edge_counts.append(edges)
        classes.append(label)
    names, numbers = torch.tensor(classes).unique(return_inverse=True)
    kinds = torch.tensor(tags).unique(return_inverse=True)[1]
    return GraphSet(
        functional.one_hot(kinds).float(),
        torch.stack([torch.cat(sources), torch.cat(targets)]),
        torch.tensor(node_counts),
        torch.tensor(edge_counts),
        numbers,
        tuple(str(name) for name in names.tolist()),
    )

"""The data `graph-tables`: a user's own graph, as a table of nodes and a table of edges."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import polars as pl
import torch
from annotated_types import Ge
from jaxtyping import Float, Int
from rk_tabular.columns import Columns, Type, fit_columns, natural
from rk_tabular.frame import ENDINGS, Frame, read_frame
from torch import Tensor

from rk import UserError
from rk.drafting import Draft
from rk.errors import counted, printable, suggest
from rk.fields import IGNORED
from rk.protocols import Batch
from rk.reading import describe
from rk_graphs.graph import Graph, both_ways
from rk_graphs.node_data import NodeData

EDGES = "an edge per row: two columns with the names of nodes"


class GraphTables(NodeData):
    """A user's own graph: one table with a row per node, another with a row per edge. Nodes have classes.

    Each is CSV, TSV, Parquet or JSON lines. Numbers, categories and dates of nodes become features; without any, a
    node has the logarithm of its degree. A node without a class is neither trained on nor tested, and is answered by
    `rk predict`. There, the edges of `NAME.csv` are in `NAME-edges.csv`, or in a file that is called as the one of
    the training edges and is beside it.

    Args:
        nodes: The table of nodes.
        edges: The table of edges.
        target: The column of the classes, by name or by place; -1 is the last one.
        id: The column with the name of each node, by name or by place from 1.
        source: The column of edges with the node from which each comes.
        destination: The column of edges with the node to which each goes.
        directed: Whether messages pass only in the direction of an edge.
        leave_out: Columns of nodes that are not features.
        types: Column -> `number`, `category` or `date`, where what it holds does not show it.
        max_categories: Most values of a category; rarer ones count as unknown.

    Examples:
        data: {name: graph-tables, nodes: nodes.csv, edges: edges.csv, target: topic}
    """

    drafts = ("/",)

    def __init__(
        self,
        nodes: Path,
        edges: Path,
        target: str | int = -1,
        id: str | int = 1,
        source: str | int = 1,
        destination: str | int = 2,
        directed: bool = False,
        leave_out: tuple[str, ...] = (),
        types: dict[str, Type] | None = None,
        max_categories: Annotated[int, Ge(1)] = 100,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self.nodes_file = nodes
        self.edges_file = edges
        self.target = target
        self.id = id
        self.ends = (source, destination)
        self.directed = directed
        self.leave_out = leave_out
        self.types: dict[str, Type] = types or {}
        self.max_categories = max_categories

    def _load(self) -> Graph:
        frame = read_frame(self.nodes_file, texts=[self.id, self.target])
        name, target = frame.column(self.id), frame.column(self.target)
        if name == target:
            raise UserError(f"{printable(str(self.nodes_file))}: {name!r} is the name of a node and the target")
        for column in (*self.leave_out, *self.types):
            frame.column(column)
        self._names_column, self._target_column = name, target
        inputs = [column for column in frame.names if column not in (name, target, *self.leave_out)]
        self._columns = fit_columns(frame, inputs, self.types, self.max_categories) if inputs else None
        targets, labels = _classes(frame, target)
        places = _places(frame, name)
        edges = self._edges(self.edges_file, places)
        return Graph(self._features(frame, edges), edges, targets, labels)

    def _features(self, frame: Frame, edges: Int[Tensor, "2 edges"]) -> Float[Tensor, "nodes features"]:
        if self._columns is None:
            degrees = torch.bincount(edges[1], minlength=len(frame))
            return degrees.float().log1p().unsqueeze(1)
        for column in self._columns.names:
            frame.column(column)
        return self._columns.widen(self._columns.encode(frame))

    def _edges(self, path: Path, places: dict[str, int]) -> Int[Tensor, "2 edges"]:
        """Returns the edges of a table, in places of nodes.

        Raises:
            UserError: For a node that the table of nodes does not have; the first one is named.
        """
        frame = read_frame(path, texts=list(self.ends))
        if frame.table.width < 2:
            raise UserError(f"{printable(str(path))}: there is one column", EDGES)
        ends = []
        for given in self.ends:
            column = frame.column(given)
            texts = frame.texts(column)
            found = texts.replace_strict(list(places), list(places.values()), default=None, return_dtype=pl.Int64)
            if found.has_nulls():
                row = int(found.is_null().arg_true()[0])
                got = "nothing" if texts[row] is None else describe(texts[row])
                hint = None if texts[row] is None else suggest(texts[row], list(places), "nodes")
                raise UserError(f"{frame.place(row, column)}: expected the name of a node, got {got}", hint)
            ends.append(torch.from_numpy(found.to_numpy().astype(np.int64)))
        edges = torch.stack(ends)
        if self.directed:
            return edges.unique(dim=1)
        return both_ways(edges, len(places))

    def read(self, path: Path) -> Batch:
        """Reads a table of nodes, with classes or without; the edges are in a table beside it."""
        frame = read_frame(path, texts=[self._names_column, self._target_column])
        if self._names_column not in frame.names:
            near = suggest(self._names_column, frame.names, "columns")
            raise UserError(f"{printable(str(path))}: there is no column {self._names_column!r}", near)
        places = _places(frame, self._names_column)
        edges = self._edges(self._beside(path), places)
        x = self._features(frame, edges)
        batch = self._batch(x, edges, self._known(frame), None)
        return {**batch, "names_meta": list(places)}

    def _known(self, frame: Frame) -> Int[Tensor, "nodes"]:
        """Returns the classes of nodes; `IGNORED` where there is none, or one that no node had in training."""
        if self._target_column not in frame.names:
            return torch.full((len(frame),), IGNORED)
        codes = {label: code for code, label in enumerate(self.labels)}
        return torch.tensor([codes.get(str(text), IGNORED) for text in frame.texts(self._target_column)])

    def _beside(self, path: Path) -> Path:
        """Returns the table of edges that belongs to a table of nodes."""
        ending = next(
            (e for e in (*ENDINGS, *(f"{e}.gz" for e in ENDINGS)) if path.name.lower().endswith(e)), path.suffix
        )
        own = path.with_name(f"{path.name[: len(path.name) - len(ending)]}-edges{ending}")
        common = path.with_name(self._edges_name)
        for candidate in (own, common):
            if candidate.is_file():
                return candidate
        raise UserError(
            f"{printable(str(path))}: there is no table of edges beside it",
            f"put it to {printable(own.name)} or {printable(common.name)}: {EDGES}",
        )

    @property
    def _edges_name(self) -> str:
        return Path(self.edges_file).name

    def state_dict(self) -> dict[str, Any]:
        """Returns how nodes become features: a run answers without the tables that it was trained on."""
        columns = None if self._columns is None else self._columns.state()
        return {
            **super().state_dict(),
            "columns": columns,
            "id": self._names_column,
            "target": self._target_column,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._columns = None if state["columns"] is None else Columns.from_state(state["columns"])
        self._names_column = state["id"]
        self._target_column = state["target"]

    @classmethod
    def draft(cls, path: Path, target: str | None) -> Draft | None:
        """Proposes a recipe for a folder with the tables `nodes` and `edges`; None for any other folder."""
        tables = {
            part: next((path / f"{part}{ending}" for ending in ENDINGS if (path / f"{part}{ending}").is_file()), None)
            for part in ("nodes", "edges")
        }
        nodes, edges = tables["nodes"], tables["edges"]
        if nodes is None or edges is None:
            return None
        frame = read_frame(nodes)
        column = frame.column(-1 if target is None else target)
        classes = len(frame.texts(column).drop_nulls().unique())
        sizes = f"{counted(len(frame), 'node')} and {counted(len(read_frame(edges)), 'edge')}"
        data: dict[str, Any] = {"nodes": str(nodes), "edges": str(edges), "target": column}
        fit = {"max_steps": 200, "seed": 1, "validate_every": 10, "monitor": "val/accuracy"}
        optimizer = {"name": "adam", "lr": 1e-2, "weight_decay": 5e-4}
        rest = {
            "loss": {"name": "cross-entropy", "ignore_index": IGNORED},
            "trainer": {"name": "backprop", "optimizer": optimizer},
            "fit": fit,
        }
        models = {
            layer: {"model": {"name": "gnn", "layer": layer, "d_model": 64, "dropout": 0.5}, **rest}
            for layer in ("sage", "gcn", "gat", "node-mlp")
        }
        comments = {
            "data.target": "as given" if target is not None else "the last column",
            "model": "rk recipes init --model node-mlp: a network that looks at no edge, to compare with",
        }
        if len(frame) > 50_000:
            data |= {"batch_size": 512}
            comments["data.batch_size"] = "the graph is large: neighbourhoods are sampled"
        return Draft(f"the class of {column} ({classes} classes) of {sizes}", data, models, comments, confidence=0.9)


def _places(frame: Frame, column: str) -> dict[str, int]:
    """Returns the place of each node by its name. Raises `UserError` for one that is missing or there twice."""
    texts = frame.texts(column)
    if texts.has_nulls():
        row = int(texts.is_null().arg_true()[0])
        raise UserError(f"{frame.place(row, column)}: expected the name of a node, got nothing")
    if len(texts.unique()) < len(texts):
        row = int(texts.is_first_distinct().not_().arg_true()[0])
        raise UserError(f"{frame.place(row, column)}: the node {describe(texts[row])} is there twice")
    return {name: place for place, name in enumerate(texts)}


def _classes(frame: Frame, column: str) -> tuple[Int[Tensor, "nodes"], tuple[str, ...]]:
    """Returns the class number of each node, `IGNORED` for a gap, and the names of the classes."""
    texts = frame.texts(column)
    labels = tuple(sorted(texts.drop_nulls().unique().to_list(), key=natural))
    if len(labels) < 2:
        held = f"only {describe(labels[0])}" if labels else "nothing"
        raise UserError(f"{printable(str(frame.path))}: the target {column!r} holds {held}: there is nothing to learn")
    if len(labels) > max(20, math.isqrt(len(frame)) * 2):
        raise UserError(
            f"{printable(str(frame.path))}: the target {column!r} has {len(labels)} values in {len(frame)} rows",
            "name the column of the classes: data.target",
        )
    codes = texts.replace_strict(list(labels), list(range(len(labels))), default=IGNORED, return_dtype=pl.Int64)
    return torch.from_numpy(codes.fill_null(IGNORED).to_numpy().astype(np.int64)), labels

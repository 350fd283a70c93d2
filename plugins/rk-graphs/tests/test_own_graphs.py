"""A user's own graphs: two tables, or JSON lines."""

import json
from pathlib import Path

import pytest
import torch
from rk_graphs.lines import GraphLines
from rk_graphs.tables import GraphTables

from rk import UserError
from rk.fields import IGNORED

NODES = "name,age,kind,group\n" + "".join(
    f"n{i},{20 + i},{'ab'[i % 2]},{'xy'[i % 2] if i else ''}\n" for i in range(20)
)
EDGES = "from,to\n" + "".join(f"n{i},n{(i + 1) % 20}\n" for i in range(20))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "nodes.csv").write_text(NODES)
    (tmp_path / "edges.csv").write_text(EDGES)
    return tmp_path


def tables(folder: Path, **more) -> GraphTables:
    data = GraphTables(nodes=folder / "nodes.csv", edges=folder / "edges.csv", seed=0, **more)
    data.prepare()
    return data


def test_numbers_and_categories_become_features_and_gaps_are_not_asked_about(folder):
    data = tables(folder)
    graph = data.graph()
    assert data.labels == ("x", "y")
    assert graph.x.shape == (20, 3)  # a number and two categories
    assert graph.edge_index.shape == (2, 40)
    assert graph.targets[0] == IGNORED
    assert 0 not in torch.cat([*data.parts.values()])


def test_edges_keep_their_direction_where_they_have_one(folder):
    edges = tables(folder, directed=True).graph().edge_index
    assert {tuple(e) for e in edges.T.tolist()} == {(i, (i + 1) % 20) for i in range(20)}


def test_nodes_without_columns_have_their_degree(folder):
    (folder / "nodes.csv").write_text("name,group\n" + "".join(f"n{i},{'xy'[i % 2]}\n" for i in range(20)))
    torch.testing.assert_close(tables(folder).graph().x, torch.full((20, 1), 2.0).log1p())


def test_a_run_answers_another_graph_without_the_tables_that_it_was_trained_on(folder, tmp_path):
    trained = tables(folder)
    other = tmp_path / "other"
    other.mkdir()
    (other / "new.csv").write_text("kind,name,age\na,p,30\nc,q,31\n")
    (other / "new-edges.csv").write_text("from,to\np,q\n")
    loaded = GraphTables(nodes=Path("gone.csv"), edges=Path("edges.csv"), seed=0)
    loaded.load_state_dict(trained.state_dict())
    batch = loaded.read(other / "new.csv")
    assert batch["names_meta"] == ["p", "q"]
    assert batch["edge_index"].tolist() == [[1, 0], [0, 1]]
    assert batch["x"][1, 1:].tolist() == [0, 0]  # a kind that no node had
    assert (batch["targets"] == IGNORED).all()
    (other / "new-edges.csv").rename(other / "edges.csv")
    assert loaded.read(other / "new.csv")["edge_index"].shape == (2, 2)
    (other / "edges.csv").unlink()
    with pytest.raises(UserError, match="no table of edges beside it") as error:
        loaded.read(other / "new.csv")
    assert "new-edges.csv" in str(error.value.hint)


@pytest.mark.parametrize(
    ("nodes", "edges", "message"),
    [
        (NODES + "n3,1,a,x\n", EDGES, r"nodes.csv:22: column 'name': the node 'n3' is there twice"),
        (NODES + ",1,a,x\n", EDGES, r"nodes.csv:22: column 'name': expected the name of a node, got nothing"),
        (NODES, EDGES + "n3,n33\n", r"edges.csv:22: column 'to': expected the name of a node, got 'n33'"),
        (NODES, "from\nn1\nn2\n", r"edges.csv: there is one column"),
        (NODES.replace(",y", ",x"), EDGES, r"the target 'group' holds only 'x'"),
    ],
)
def test_what_is_wrong_with_a_table_is_named(folder, nodes, edges, message):
    (folder / "nodes.csv").write_text(nodes)
    (folder / "edges.csv").write_text(edges)
    with pytest.raises(UserError, match=message):
        tables(folder)


def test_a_folder_with_two_tables_gets_a_recipe(folder, tmp_path):
    draft = GraphTables.draft(folder, None)
    assert draft is not None
    assert draft.about == "the class of group (2 classes) of 20 nodes and 20 edges"
    assert draft.data["target"] == "group"
    assert list(draft.choices) == ["sage", "gcn", "gat", "node-mlp"]
    (folder / "edges.csv").unlink()
    assert GraphTables.draft(folder, None) is None


def lines(path: Path, graphs: list) -> Path:
    path.write_text("".join(json.dumps(graph) + "\n" for graph in graphs))
    return path


def molecules(count: int) -> list:
    return [{"nodes": ["C", "O", "C"][: 2 + i % 2], "edges": [[0, 1]], "target": "ab"[i % 2]} for i in range(count)]


def test_words_of_nodes_become_one_hot_features(tmp_path):
    data = GraphLines(file=lines(tmp_path / "m.jsonl", molecules(12)), seed=0)
    data.prepare()
    batch = data._graphs.take(torch.tensor([0, 1]))
    assert batch["x"].tolist() == [[1, 0], [0, 1], [1, 0], [0, 1], [1, 0]]
    assert batch["edge_index"].tolist() == [[1, 0, 3, 2], [0, 1, 2, 3]]
    assert batch["graph_sizes"].tolist() == [2, 3]
    new = data.read(lines(tmp_path / "new.jsonl", [{"nodes": ["C", "Xe"], "edges": []}]))
    assert new["x"].tolist() == [[1, 0], [0, 0]]  # a word that no training graph has
    assert "targets" not in new


def test_nodes_may_be_numbers_or_just_a_count(tmp_path):
    graphs = [{"nodes": [[0.5, i], [1, 2]], "edges": [[0, 1]], "target": i % 2} for i in range(12)]
    data = GraphLines(file=lines(tmp_path / "n.jsonl", graphs), seed=0)
    data.prepare()
    assert data.num_features == 2
    counted = [{"nodes": 2 + i % 3, "edges": [[0, 1]], "target": i % 2} for i in range(12)]
    data = GraphLines(file=lines(tmp_path / "c.jsonl", counted), seed=0)
    data.prepare()
    assert data.num_features == 1


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        ({"nodes": ["C"], "edges": [[0, 1]], "target": "a"}, "an edge must be two places from 0 to 0"),
        ({"nodes": [], "target": "a"}, "nodes must be a list"),
        ({"nodes": ["C", 3], "target": "a"}, "expected a word for each node, got 3"),
        ({"nodes": ["C"], "edgse": [], "target": "a"}, "there is no key 'edgse'"),
        ({"nodes": ["C"]}, "there is no target"),
        ([1], "expected an object with nodes and edges"),
        ({"nodes": ["C"], "target": [1]}, "the target must be a class"),
    ],
)
def test_what_is_wrong_with_a_graph_is_named_with_its_line(tmp_path, graph, message):
    path = lines(tmp_path / "m.jsonl", [*molecules(12), graph])
    with pytest.raises(UserError, match=f"m.jsonl:13: {message}"):
        GraphLines(file=path, seed=0).prepare()


def test_a_target_that_was_not_learned_is_named(tmp_path):
    data = GraphLines(file=lines(tmp_path / "m.jsonl", molecules(12)), seed=0)
    data.prepare()
    path = lines(tmp_path / "new.jsonl", [{"nodes": ["C"], "target": "z"}])
    with pytest.raises(UserError, match=r"new.jsonl:1: no training graph has the target 'z'"):
        data.read(path)


def test_figures_are_drawn_of_small_and_of_large_graphs(tmp_path):
    data = tables_of_ring(tmp_path, 400)
    batch = data.batch("test", 0)
    outputs = {"logits": torch.eye(2)[torch.arange(400) % 2]}
    (drawn,) = data.render(batch, outputs, tmp_path / "ring")
    assert drawn.stat().st_size > 10_000
    small = GraphLines(file=lines(tmp_path / "m.jsonl", molecules(40)), seed=0)
    small.prepare()
    batch = small.batch("train", 0)
    (drawn,) = small.render(batch, {"logits": torch.eye(2)[batch["targets"]]}, tmp_path / "molecules")
    assert drawn.stat().st_size > 10_000


def tables_of_ring(folder: Path, size: int) -> GraphTables:
    (folder / "nodes.csv").write_text("name,group\n" + "".join(f"n{i},{'xy'[i % 2]}\n" for i in range(size)))
    (folder / "edges.csv").write_text("from,to\n" + "".join(f"n{i},n{(i + 1) % size}\n" for i in range(size)))
    return tables(folder)

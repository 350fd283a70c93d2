"""Published graphs and generated ones: what they hold and how they are split."""

import numpy as np
import pytest
import torch
from rk_graphs.arrays import GraphArrays
from rk_graphs.block_model import BlockModel
from rk_graphs.families import GraphFamilies
from rk_graphs.graph import both_ways
from rk_graphs.link_metrics import AUC, MRR, HitsAt10, ranks
from rk_graphs.links import Links
from rk_graphs.npz import NpzGraph
from rk_graphs.planetoid import Planetoid
from rk_graphs.splits import stratified
from rk_graphs.tu import TUGraphs, parse_text

from rk import UserError
from rk.fields import IGNORED
from rk.files import data_folder


def test_an_edge_is_there_in_both_directions_once_and_never_a_loop():
    edges = both_ways(torch.tensor([[0, 1, 2, 0], [1, 0, 2, 2]]), 3)
    assert {tuple(e) for e in edges.T.tolist()} == {(0, 1), (1, 0), (0, 2), (2, 0)}
    assert edges.shape == (2, 4)


def test_cora_is_what_was_published(published):
    data = published(Planetoid(seed=0))
    graph = data.graph()
    assert graph.x.shape == (2708, 1433)
    assert graph.edge_index.shape == (2, 10556)
    assert {split: len(part) for split, part in data.parts.items()} == {"train": 140, "val": 500, "test": 1000}
    assert torch.bincount(graph.targets[data.parts["train"]]).tolist() == [20] * 7
    batch = data.batch("train", 0)
    assert (batch["targets"] != IGNORED).sum() == 140


def test_a_changed_file_of_pickles_is_never_opened(published, tmp_path, monkeypatch):
    published(Planetoid(seed=0))
    source = data_folder() / "planetoid" / "Cora" / "raw"
    folder = tmp_path / "planetoid" / "Cora" / "raw"
    folder.mkdir(parents=True)
    for file in source.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "ind.cora.graph").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    monkeypatch.setenv("RK_DATA", str(tmp_path))
    with pytest.raises(UserError, match="is not the published file"):
        Planetoid(seed=0).prepare()


@pytest.mark.parametrize(
    ("name", "nodes", "features", "classes", "edges"),
    [("amazon-photo", 7650, 745, 8, 238162), ("citeseer-full", 4230, 602, 6, 10674), ("cora-ml", 2995, 2879, 7, 16316)],
)
def test_npz_graphs_have_the_published_sizes(published, name, nodes, features, classes, edges):
    data = published(NpzGraph(graph=name, seed=0, split="k-fold", fold=1))
    assert data.graph().x.shape == (nodes, features)
    assert (data.num_classes, data.graph().edge_index.shape[1]) == (classes, edges)
    shares = [len(data.parts[split]) / nodes for split in ("train", "val", "test")]
    assert shares == pytest.approx([0.64, 0.16, 0.2], abs=1e-3)
    assert len(torch.cat([*data.parts.values()]).unique()) == nodes  # no node is in two splits


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "there is no array 'adj_data'"),
        ({"labels": np.zeros(3, np.int64)}, "attr must be|labels must have"),
        ({"adj_indices": np.array([9, 0, 1])}, "adj_\\* is not a CSR matrix"),
    ],
)
def test_what_is_wrong_with_an_npz_file_is_named(tmp_path, arrays, message):
    path = tmp_path / "own.npz"
    good = {
        "adj_data": np.ones(3), "adj_indices": np.array([1, 2, 0]), "adj_indptr": np.array([0, 1, 2, 3]),
        "adj_shape": np.array([3, 3]), "attr": np.eye(3), "labels": np.array([0, 1, 1]),
    }  # fmt: skip
    if not arrays:
        del good["adj_data"]
    np.savez(path, **{**good, **arrays})
    if "labels" in arrays:
        np.savez(path, **{**good, "labels": arrays["labels"][:2]})
    with pytest.raises(UserError, match=message):
        NpzGraph(file=path, seed=0).prepare()


def test_a_pickle_in_an_npz_file_is_refused(tmp_path):
    np.savez(tmp_path / "own.npz", labels=np.array([{"a": 1}], dtype=object))
    with pytest.raises(UserError, match=r"not an \.npz file of plain arrays"):
        NpzGraph(file=tmp_path / "own.npz", seed=0).prepare()


def test_mutag_is_what_was_published(published):
    data = published(TUGraphs(graphs="mutag", fold=3, seed=0))
    sizes = {split: len(part) for split, part in data.parts.items()}
    assert sum(sizes.values()) == 188
    assert sizes["test"] in (18, 19)
    batch = data.batch("val", 0)
    assert batch["x"].shape[1] == 7
    assert int(batch["graph_sizes"].sum()) == len(batch["x"]) == len(batch["graph_index"])
    ends = batch["graph_index"][batch["edge_index"]]
    assert torch.equal(ends[0], ends[1])  # no edge leaves its graph


def test_the_text_of_a_set_is_read_node_by_node():
    graphs = parse_text("2\n3 1\n7 2 1 2\n8 1 0\n7 1 0\n1 -1\n9 0\n")
    assert graphs.node_counts.tolist() == [3, 1]
    assert graphs.edge_index.tolist() == [[1, 2, 0, 0], [0, 0, 1, 2]]
    assert graphs.x.tolist() == [[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1]]
    assert graphs.labels == ("-1", "1")
    assert graphs.targets.tolist() == [1, 0]


def test_the_ten_folds_are_alike_and_each_graph_is_tested_once():
    classes = torch.tensor([0] * 40 + [1] * 20)
    tested = []
    for fold in range(10):
        parts = stratified(classes, fold)
        assert torch.bincount(classes[parts["test"]]).tolist() == [4, 2]
        assert len(torch.cat([*parts.values()]).unique()) == 60
        tested += parts["test"].tolist()
    assert sorted(tested) == list(range(60))
    with pytest.raises(UserError, match="10 folds need 10 graphs of each class, got 3"):
        stratified(torch.tensor([0] * 40 + [1] * 3), 0)


def test_edges_of_the_block_model_are_as_frequent_as_its_rates():
    data = BlockModel(seed=0, num_nodes=1000, num_classes=4, num_words=8, topic_words=2, within=0.05, across=0.01)
    data.prepare()
    graph = data.graph()
    source, target = graph.edge_index
    same = graph.targets[source] == graph.targets[target]
    within = int(same.sum()) / (4 * 250 * 249)
    across = int((~same).sum()) / (4 * 250 * 750)
    assert within == pytest.approx(0.05, rel=0.05)
    assert across == pytest.approx(0.01, rel=0.05)


def test_the_families_have_the_same_density():
    data = GraphFamilies(num_graphs=20, seed=0)
    data.prepare()
    graphs = data._graphs
    degrees = [
        float(graphs.edge_counts[graphs.targets == c].sum() / graphs.node_counts[graphs.targets == c].sum())
        for c in range(3)
    ]
    assert degrees == pytest.approx([4, 4, 4], rel=0.12)


def test_no_hidden_link_is_seen_in_any_direction_and_no_pair_is_linked_and_not():
    data = Links(graph=BlockModel(seed=0, num_nodes=120), seed=0)
    data.prepare()
    seen = {tuple(sorted(e)) for e in data.edge_index.T.tolist()}
    everything = {tuple(sorted(e)) for e in data.base.graph().edge_index.T.tolist()}
    for split in ("train", "val", "test"):
        batch = data.batch(split, 0)
        linked = {tuple(sorted(e)) for e in batch["link_index"].T[batch["targets"] == 1].tolist()}
        unlinked = {tuple(sorted(e)) for e in batch["link_index"].T[batch["targets"] == 0].tolist()}
        assert linked <= everything
        assert not unlinked & everything
        assert linked.isdisjoint(seen) == (split != "train")
        assert (batch["targets"] == 1).sum() == (batch["targets"] == 0).sum()
    first, second = data.batch("train", 0)["link_index"], data.batch("train", 1)["link_index"]
    assert not torch.equal(first, second)  # other pairs that are not linked in each epoch
    assert torch.equal(data.batch("val", 0)["link_index"], data.batch("val", 1)["link_index"])


def test_link_metrics_agree_with_counting_by_hand():
    linked, unlinked = torch.tensor([3.0, 1.0, 1.0]), torch.tensor([2.0, 1.0, 0.0, -1.0])
    assert ranks(linked, unlinked).tolist() == [1.0, 2.5, 2.5]
    scores = torch.cat([linked, unlinked])
    batch = {
        "logits": torch.stack([torch.zeros(7), scores], 1),
        "targets": torch.tensor([1, 1, 1, 0, 0, 0, 0]),
    }
    auc, mrr = AUC(), MRR()
    for metric in (auc, mrr):
        metric.update(logits=batch["logits"][:4], targets=batch["targets"][:4])
        metric.update(logits=batch["logits"][4:], targets=batch["targets"][4:])
    assert auc.compute() == pytest.approx((4 + 2.5 + 2.5) / 12)
    assert mrr.compute() == pytest.approx((1 + 1 / 2.5 + 1 / 2.5) / 3)


def test_large_scores_are_not_tied_in_the_area():
    auc = AUC()
    logits = torch.tensor([[0.0, 100.0], [0.0, 200.0], [0.0, 300.0]])
    auc.update(logits=logits, targets=torch.tensor([0, 1, 1]))
    assert auc.compute() == 1.0


def test_hits_count_pairs_above_the_tenth_best_of_the_others():
    hits = HitsAt10()
    scores = torch.cat([torch.tensor([5.5, 15.5]), torch.arange(20.0)])  # the tenth best of the others has 10
    hits.update(logits=torch.stack([torch.zeros(22), scores], 1), targets=torch.tensor([1, 1, *[0] * 20]))
    assert hits.compute() == 0.5


def test_features_of_arrays_stay_on_the_disk(tmp_path):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "features.npy", rng.random((50, 4), np.float32))
    np.save(tmp_path / "edges.npy", rng.integers(0, 50, (2, 200)))
    np.save(tmp_path / "targets.npy", rng.integers(0, 3, 50))
    data = GraphArrays(folder=tmp_path, seed=0, batch_size=4, fanouts=(3, 3))
    data.prepare()
    mapped = (tmp_path / "features.npy").read_bytes()
    batch = data.batch("train", 0)
    nodes = (batch["targets"] != IGNORED).sum()
    assert nodes == 4
    assert len(batch["x"]) < 50
    batch["x"].zero_()
    assert (tmp_path / "features.npy").read_bytes() == mapped
    np.save(tmp_path / "features.npy", rng.random((50, 4)))
    with pytest.raises(UserError, match="expected float32, got float64"):
        data.prepare()
    np.save(tmp_path / "edges.npy", np.array([[0, 1], [1, 99]]))
    np.save(tmp_path / "features.npy", rng.random((50, 4), np.float32))
    with pytest.raises(UserError, match="nodes must be from 0 to 49"):
        data.prepare()

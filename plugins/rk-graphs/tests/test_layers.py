"""Layers and models against the published equations, written out node by node."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from rk_graphs.aggregators import SumAggregator
from rk_graphs.layers import GAT, GCN, GIN, SAGE, NodeMLP
from rk_graphs.message_passing import MessagePassing
from rk_graphs.model import GNN, DeepSets

from rk import UserError

EDGES = torch.tensor([[0, 1, 1, 2, 3, 0], [1, 0, 2, 1, 0, 3]])


@pytest.fixture
def x():
    torch.manual_seed(0)
    return torch.randn(5, 3)  # the last node has no neighbour


def sources(node):
    return [int(s) for s, t in EDGES.T if t == node]


def test_gcn_weighs_neighbours_by_the_degrees_of_both_ends(x):
    layer = GCN(in_channels=3, out_channels=2)
    weight, bias = layer.conv.lin.weight, layer.conv.bias
    degree = torch.tensor([len(sources(node)) + 1 for node in range(5)]).float()  # with the node itself
    for node, found in enumerate(layer(x, EDGES)):
        around = [*sources(node), node]
        total = sum((weight @ x[j]) / (degree[node] * degree[j]).sqrt() for j in around)
        torch.testing.assert_close(found, total + bias)


def test_sage_adds_a_map_of_the_mean_of_neighbours(x):
    layer = SAGE(in_channels=3, out_channels=2)
    found = layer(x, EDGES)
    for node in range(4):
        mean = x[sources(node)].mean(0)
        torch.testing.assert_close(found[node], layer.conv.lin_l(mean) + layer.conv.lin_r(x[node]))


def test_gin_is_an_mlp_of_the_node_and_the_sum_of_its_neighbours(x):
    layer = GIN(in_channels=3, out_channels=2, batch_norm=False)
    layer.conv.eps.data.fill_(0.5)
    found = layer(x, EDGES)
    for node in range(5):
        total = 1.5 * x[node] + sum((x[j] for j in sources(node)), torch.zeros(3))
        torch.testing.assert_close(found[node], layer.conv.nn(total))


def test_gat_weighs_neighbours_by_a_softmax_of_scores(x):
    layer = GAT(in_channels=3, out_channels=4, num_heads=2)
    heads = layer.conv.lin(x).view(5, 2, 2)
    to, of = (heads * layer.conv.att_dst).sum(-1), (heads * layer.conv.att_src).sum(-1)
    found = layer(x, EDGES)
    for node in range(5):
        around = [*sources(node), node]
        scores = torch.nn.functional.leaky_relu(torch.stack([of[j] + to[node] for j in around]), 0.2).softmax(0)
        total = sum(s.unsqueeze(-1) * heads[j] for s, j in zip(scores, around, strict=True))
        torch.testing.assert_close(found[node], total.flatten() + layer.conv.bias)


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="num_heads must divide the width 5, got 2"):
        GAT(in_channels=3, out_channels=5, num_heads=2)


def test_the_baseline_sees_no_edge(x):
    layer = NodeMLP(in_channels=3, out_channels=2)
    assert torch.equal(layer(x, EDGES), layer(x, EDGES[:, :1]))


def test_messages_are_an_mlp_of_both_ends_and_of_the_edge(x):
    torch.manual_seed(1)
    layer = MessagePassing(in_channels=3, out_channels=2, aggregator=SumAggregator, num_edge_features=1)
    features = torch.rand(6, 1)
    found = layer(x, EDGES, features)
    for node in range(5):
        arrived = torch.zeros(2)
        for (source, target), feature in zip(EDGES.T.tolist(), features, strict=True):
            if target == node:
                arrived = arrived + layer.rest(layer.source(x[source]) + layer.target(x[target]) + layer.edge(feature))
        torch.testing.assert_close(found[node], layer.update(torch.cat([x[node], arrived])))


def test_two_graphs_in_a_batch_are_answered_as_each_alone(x):
    torch.manual_seed(2)
    model = GNN(layer=SAGE, num_features=3, num_outputs=2, level="graph", pool=SumAggregator).eval()
    alone = {"graph_index": torch.zeros(5, dtype=torch.int64), "graph_sizes": torch.tensor([5])}
    expected = model(x=x, edge_index=EDGES, **alone)["logits"]
    both = {"graph_index": torch.tensor([0] * 5 + [1] * 5), "graph_sizes": torch.tensor([5, 5])}
    found = model(x=torch.cat([x, x]), edge_index=torch.cat([EDGES, EDGES + 5], 1), **both)["logits"]
    torch.testing.assert_close(found, torch.cat([expected, expected]))


@pytest.mark.parametrize("project", [True, False])
def test_the_score_of_a_link_is_the_same_in_both_directions(x, project):
    model = GNN(layer=GCN, num_features=3, num_outputs=2, level="link", project=project).eval()
    links = torch.tensor([[0, 1, 4], [2, 3, 0]])
    found = model(x=x, edge_index=EDGES, link_index=links)["logits"]
    assert torch.equal(found, model(x=x, edge_index=EDGES, link_index=links.flip(0))["logits"])
    with pytest.raises(UserError, match="has no link_index"):
        model(x=x, edge_index=EDGES)


def test_without_projections_the_last_block_answers_and_blocks_cannot_be_skipped(x):
    model = GNN(layer=GCN, num_features=3, num_outputs=7, level="node", d_model=4)
    assert not model.keeps_shape
    assert model(x=x, edge_index=EDGES)["logits"].shape == (5, 7)
    assert len(list(model.parameters())) == 4  # two convolutions, each with a weight and a bias
    with pytest.raises(ValueError, match="residual needs project"):
        GNN(layer=GCN, num_features=3, num_outputs=7, level="node", residual=True)


def test_deep_sets_do_not_depend_on_the_order(x):
    model = DeepSets(aggregator=SumAggregator, num_features=3, num_outputs=2).eval()
    whole = {"graph_index": torch.zeros(5, dtype=torch.int64), "graph_sizes": torch.tensor([5])}
    torch.testing.assert_close(model(x=x.flip(0), **whole)["logits"], model(x=x, **whole)["logits"])


MADE = """
import inspect, torch
from rk_graphs.layers import GAT, GCN, GIN, SAGE
layers = [kind(in_channels=4, out_channels=4) for kind in (GAT, GCN, GIN, SAGE, GCN)]
for layer in layers:
    layer(torch.rand(3, 4), torch.tensor([[0, 1], [1, 2]]))
made = type(layers[0].conv).propagate
print("_propagate" in made.__module__, "def propagate" in inspect.getsource(made))
"""


def test_no_generated_file_stays_in_the_folder_of_temporary_files(tmp_path: Path):
    variables = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", MADE], env=variables, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]  # the modules were generated; their lines are there for tracebacks
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []

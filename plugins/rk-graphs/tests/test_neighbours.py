"""Sampled neighbourhoods: which nodes and edges are drawn."""

import torch
from rk_graphs.block_model import BlockModel
from rk_graphs.layers import GCN, SAGE
from rk_graphs.model import GNN
from rk_graphs.neighbours import Neighbours


def ring(size: int) -> torch.Tensor:
    nodes = torch.arange(size)
    return torch.stack([torch.cat([nodes, nodes]), torch.cat([(nodes + 1) % size, (nodes - 1) % size])])


def test_all_neighbours_of_a_ring_are_those_within_as_many_steps():
    nodes, edges = Neighbours(ring(10), 10).around(torch.tensor([0]), [-1, -1], torch.Generator())
    assert nodes[0] == 0
    assert sorted(nodes.tolist()) == [0, 1, 2, 8, 9]
    drawn = {(int(nodes[s]), int(nodes[t])) for s, t in edges.T.tolist()}
    assert drawn == {(1, 0), (9, 0), (0, 1), (2, 1), (8, 9), (0, 9)}


def test_a_node_has_at_most_as_many_neighbours_as_are_drawn_and_none_twice():
    star = torch.stack([torch.arange(1, 21), torch.zeros(20, dtype=torch.int64)])
    found = set()
    for seed in range(30):
        nodes, edges = Neighbours(star, 21).around(torch.tensor([0]), [5], torch.Generator().manual_seed(seed))
        assert edges.shape == (2, 5)
        assert len(set(nodes.tolist())) == 6
        found |= set(nodes.tolist())
    assert found == set(range(21))  # every neighbour is drawn at some time


def test_a_draw_depends_on_its_generator_alone():
    graph = Neighbours(ring(50), 50)
    first = graph.around(torch.tensor([3, 7]), [1, 1], torch.Generator().manual_seed(1))
    graph.around(torch.tensor([9]), [-1], torch.Generator().manual_seed(2))
    again = graph.around(torch.tensor([3, 7]), [1, 1], torch.Generator().manual_seed(1))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])


def test_sampled_batches_of_all_neighbours_answer_as_the_whole_graph_does():
    whole = BlockModel(seed=0, num_nodes=200)
    part = BlockModel(seed=0, num_nodes=200, batch_size=7, fanouts=(-1, -1, -1))
    whole.prepare()
    part.prepare()
    everything = whole.batch("test", 0)
    for layer in (SAGE, GCN):  # the degrees that GCN needs are whole one step further out: two layers, three steps
        torch.manual_seed(0)
        model = GNN(layer=layer, num_features=200, num_outputs=5, level="node").eval()
        expected = model(x=everything["x"], edge_index=everything["edge_index"])["logits"]
        for i in range(part.batches("test")):
            batch = part.batch("test", i)
            asked = part.parts["test"][7 * i : 7 * i + 7]
            answered = model(x=batch["x"], edge_index=batch["edge_index"])["logits"][: len(asked)]
            torch.testing.assert_close(answered, expected[asked])

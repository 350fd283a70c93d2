"""The layer and the contrastive loss are the paper's equations."""

from __future__ import annotations

import pytest
import torch
from rk_graphgpt.contrastive import TextGraphContrastive
from rk_graphgpt.graph_transformer import GraphTransformer
from rk_graphgpt.naive import naive_contrastive, naive_graph_transformer
from torch.nn.functional import normalize

from rk.testing import assert_twins

EDGES = torch.tensor([[1, 2, 3, 0, 4, 4], [0, 0, 0, 1, 2, 4]])


@pytest.fixture
def layer():
    torch.manual_seed(0)
    layer = GraphTransformer(in_channels=12, out_channels=12, num_heads=3).double()
    torch.nn.init.normal_(layer.norm.weight)
    return layer


def twins(layer, scale=1.0):
    x = scale * torch.randn(6, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert_twins(
        lambda nodes: layer(nodes, EDGES),
        lambda nodes: naive_graph_transformer(layer, nodes, EDGES),
        x,
        parameters=tuple(layer.parameters()),
    )


def test_the_layer_is_its_equation(layer):
    twins(layer)


def test_large_scores_are_clamped(layer):
    twins(layer, scale=5.0)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (".clamp(-self.clamp, self.clamp)", ""),
        (".sum(-1)", ".mean(-1)"),
        ("index_add(0, target, weights)", "index_add(0, source, weights)"),
        ("found.flatten(1) + x", "found.flatten(1)"),
    ],
)
def test_another_formula_is_noticed(plant, layer, old, new):
    plant(GraphTransformer, "forward", old, new)
    with pytest.raises(AssertionError):
        twins(layer, scale=5.0)


def test_a_node_that_no_edge_reaches_is_its_own_norm(layer):
    x = torch.randn(6, 12, dtype=torch.float64)
    torch.testing.assert_close(layer(x, EDGES)[5], layer.norm(x[5]))


def test_edges_carry_messages_in_their_direction_alone(layer):
    x = torch.randn(6, 12, dtype=torch.float64)
    changed = x.clone()
    changed[1] += 1
    differs = (layer(x, EDGES) != layer(changed, EDGES)).any(1)
    assert differs.tolist() == [True, True, False, False, False, False]


def test_widths_must_be_equal_and_divided_by_the_heads():
    with pytest.raises(ValueError, match="the widths must be equal, got 8 and 4"):
        GraphTransformer(in_channels=8, out_channels=4)
    with pytest.raises(ValueError, match="num_heads must divide the width 8, got 3"):
        GraphTransformer(in_channels=8, out_channels=8, num_heads=3)


def embeddings():
    torch.manual_seed(0)
    return [normalize(torch.randn(5, 4, dtype=torch.float64), dim=-1) for _ in range(3)]


def contrastive(h, t, around):
    terms = TextGraphContrastive(edge_coef=10.0)(node_embedding=h, text_embedding=t, around_embedding=around)
    return sum(weight * total / count for total, count, weight in terms.values())


def test_the_loss_has_three_symmetric_terms():
    assert_twins(contrastive, lambda h, t, u: naive_contrastive(h, t, u, 1 / 0.07, 10.0), *embeddings())


@pytest.mark.parametrize(("old", "new"), [("scores.T", "scores"), ("self.logit_scale * ", "")])
def test_another_loss_is_noticed(plant, old, new):
    plant(TextGraphContrastive, "_pairs", old, new)
    with pytest.raises(AssertionError):
        test_the_loss_has_three_symmetric_terms()

"""pLSTM: each parallel form against its recurrence, states and gradients included; arrows; bounds of both modes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rk_plstm import gates as gates_module
from rk_plstm import naive
from rk_plstm.arrows import ArrowPointing, draw
from rk_plstm.gates import GridGates, grid_matrix
from rk_plstm.graph import PLSTMGraph
from rk_plstm.image import PLSTM2D
from rk_plstm.layer import PLSTM
from rk_plstm.ops import plstm_1d, plstm_2d

from rk.testing import assert_twins

EXACT = 1e-12


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def line_inputs(t: int) -> list[torch.Tensor]:
    """Queries, keys, values, gates of any sign, and a state that is not zero."""
    gates = [normal(2, 3, t, seed=i).tanh() for i in range(4)]
    return [
        normal(2, 3, t, 4, seed=5),
        normal(2, 3, t, 4, seed=6),
        normal(2, 3, t, 5, seed=7),
        *gates,
        normal(2, 3, 4, 5),
    ]


def grid_inputs(height: int, width: int) -> list[torch.Tensor]:
    gates = [normal(2, 4, height, width, seed=i).tanh() for i in range(8)]
    q, k, v = (normal(2, height, width, n, seed=20 + n) for n in (3, 3, 5))
    return [q, k, v, normal(2, height, width, seed=9), *gates]


# the operations


@pytest.mark.parametrize("chunk", [1, 5, 16])
@pytest.mark.parametrize("t", [1, 2, 7, 16, 33])
def test_a_line_in_parallel_is_its_recurrence_to_1e_12(t, chunk):
    assert_twins(lambda *x: plstm_1d(*x, chunk=chunk), naive.line, *line_inputs(t), relative=EXACT)


@given(st.integers(1, 40), st.integers(1, 40))
@settings(max_examples=20, deadline=None)
def test_a_line_may_be_cut_anywhere(first, second):
    *steps, state = line_inputs(first + second)
    whole, after = plstm_1d(*steps, state, chunk=8)
    y1, state = plstm_1d(*(x[:, :, :first] for x in steps), state, chunk=8)
    y2, state = plstm_1d(*(x[:, :, first:] for x in steps), state, chunk=8)
    torch.testing.assert_close(torch.cat([y1, y2], 2), whole)
    torch.testing.assert_close(state, after)


def grid_fast(q, k, v, direct, *gates):
    return plstm_2d(q, k, v, GridGates(*gates), direct)


def grid_slow(q, k, v, direct, *gates):
    return naive.grid(q, k, v, GridGates(*gates), direct)


@pytest.mark.parametrize("size", [(3, 4), (7, 6)], ids=str)
def test_a_grid_in_parallel_is_its_recurrences_to_1e_12(size):
    assert_twins(grid_fast, grid_slow, *grid_inputs(*size), relative=EXACT)


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (4, 1), (2, 2)], ids=str)
def test_a_small_grid_may_be_a_line(size):
    inputs = grid_inputs(*size)
    torch.testing.assert_close(grid_fast(*inputs), grid_slow(*inputs), rtol=EXACT, atol=EXACT)


@pytest.mark.parametrize(("t", "rounds"), [(2, 1), (64, 6), (1024, 10)])
def test_rounds_grow_with_the_logarithm_of_the_line(t, rounds, monkeypatch):
    calls = []
    merge = gates_module.merge
    monkeypatch.setattr(gates_module, "merge", lambda a, b: calls.append(1) or merge(a, b))
    gates_module.line_segment(*(torch.rand(t) for _ in range(4)))
    assert len(calls) == rounds


@pytest.mark.parametrize(("height", "width", "rounds"), [(1, 1, 0), (8, 4, 2 + 3), (16, 16, 4 + 4), (5, 8, 3 + 3)])
def test_rounds_grow_with_the_logarithm_of_the_sides_of_a_grid(height, width, rounds, monkeypatch):
    calls = []
    for name in ("merge", "_stacked"):
        inner = getattr(gates_module, name)
        monkeypatch.setattr(gates_module, name, lambda *x, inner=inner: calls.append(1) or inner(*x))
    grid_matrix(GridGates(*(torch.rand(4, height, width) for _ in range(8))), torch.rand(height, width))
    assert len(calls) == rounds


def only_right_and_down(number: torch.Tensor) -> torch.Tensor:
    """Returns it for the first of four orientations, 0 for the others."""
    return torch.stack([number, *[torch.zeros_like(number)] * 3], -3)


def test_the_gate_matrix_is_the_sum_over_all_paths():
    """Two by two: from the first node to the last, over the right and over below."""
    g = GridGates(*(normal(4, 2, 2, seed=i) for i in range(8)))
    direct = normal(2, 2, seed=9)
    matrix = grid_matrix(g, direct)
    torch.testing.assert_close(matrix.diagonal(), direct.flatten())
    found = matrix[3, 0]
    right = g.source_right[0, 0, 0] * g.right_down[0, 0, 1] * g.mark_down[0, 1, 1]
    down = g.source_down[0, 0, 0] * g.down_right[0, 1, 0] * g.mark_right[0, 1, 1]
    torch.testing.assert_close(found, right + down)


# the layers


def make(**settings) -> PLSTM:
    torch.manual_seed(0)
    layer = PLSTM(d_model=8, num_heads=2, chunk_size=4, **settings).double()
    for p in layer.parameters():
        torch.nn.init.normal_(p, std=0.3)
    return layer


def stepwise(layer: PLSTM, x: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Each row by the recurrence over the steps that exist alone."""
    found, states = torch.zeros_like(x), []
    for row in range(len(x)):
        u = x[row : row + 1, mask[row]]
        q, k, v = layer.heads.project(u)
        y, state = naive.line(q, k, v, *layer.gate_values(u), layer.initial_state(1))
        found[row, mask[row]] = layer.heads(y)[0]
        states.append(state)
    return found, torch.cat(states)


@pytest.mark.parametrize("sizes", [(1,) * 13, (4, 9), (13,)], ids=str)
@pytest.mark.parametrize("settings", [{}, {"transition": "positive"}, {"gates": "constant"}], ids=str)
def test_pieces_with_gaps_give_what_the_recurrence_gives(settings, sizes):
    layer, x = make(**settings), normal(3, 13, 8)
    mask = torch.rand(3, 13, generator=torch.Generator().manual_seed(5)) > 0.4
    mask[0], mask[1, :3] = True, False
    expected, last = stepwise(layer, x, mask)
    state, given = layer.initial_state(3), []
    for piece, part in zip(x.split(sizes, 1), mask.split(sizes, 1), strict=True):
        y, state = layer.scan(piece, state, part)
        given.append(y)
    torch.testing.assert_close(torch.cat(given, 1)[mask], expected[mask])
    torch.testing.assert_close(layer(x, mask)[mask], expected[mask])
    torch.testing.assert_close(state, last)


def test_the_layer_learns_as_the_recurrence():
    layer, x = make(), normal(3, 11, 8)
    everything = torch.ones(3, 11, dtype=torch.bool)
    assert_twins(layer, lambda u: stepwise(layer, u, everything)[0], x, parameters=layer.parameters())


def test_a_step_reads_itself_through_the_direct_gate_alone():
    layer = make()
    torch.nn.init.constant_(layer.gates.bias[:, 3], -80.0)
    layer.gates.weight.data.zero_()
    x = normal(1, 1, 8)
    torch.testing.assert_close(layer(x), layer.heads.out_proj.bias.expand(1, 1, 8))


def test_a_new_layer_forgets_nothing_and_takes_little():
    transition, source, mark, direct = PLSTM(d_model=8).gate_values(torch.randn(1, 3, 8))
    assert transition.min().item() == pytest.approx(math.tanh(5), abs=1e-6)
    assert source.max().item() == pytest.approx(1 / (1 + math.exp(4)), abs=1e-6)
    assert mark.max().item() == pytest.approx(1 / (1 + math.exp(4)), abs=1e-6)
    assert direct.max().item() == pytest.approx(1 / (1 + math.exp(6)), abs=1e-6)


def make_grid(mode: str, **settings) -> PLSTM2D:
    torch.manual_seed(0)
    layer = PLSTM2D(in_channels=8, out_channels=6, mode=mode, num_heads=2, **settings).double()
    for p in layer.parameters():
        torch.nn.init.normal_(p)
    return layer


@pytest.mark.parametrize("gates", ["input", "constant"])
@pytest.mark.parametrize("mode", ["P", "D"])
def test_the_image_layer_learns_as_the_recurrences(mode, gates):
    layer, x = make_grid(mode, gates=gates), normal(2, 8, 3, 5)

    def slow(x):
        x = x.movedim(1, -1)
        y = naive.grid(*layer.heads.project(x), layer.gate_values(x), layer.direct(x).sigmoid())
        return layer.heads(y).movedim(-1, 1)

    assert_twins(layer, slow, x, parameters=layer.parameters())


def test_propagation_divides_what_enters():
    g = make_grid("P").gate_values(normal(2, 3, 5, 8))
    total = (g.right_right + g.right_down, g.down_right + g.down_down, g.source_right + g.source_down)
    for part in total:
        torch.testing.assert_close(part, torch.ones_like(part))


def test_propagation_keeps_what_a_node_adds_on_every_diagonal():
    """With marks of 1, the states of one node that enter the nodes of a diagonal sum to its source: P neither grows nor
    forgets, however far."""
    side = 24
    g = make_grid("P").gate_values(normal(1, side, side, 8))
    one = torch.ones_like(g.mark_right[..., 0, :, :])
    mark = only_right_and_down(one)
    entering = grid_matrix(g._replace(mark_right=mark, mark_down=mark), one)[0, 0, :, 0].reshape(side, side)
    for number in range(1, side):
        diagonal = torch.stack([entering[y, number - y] for y in range(number + 1)])
        torch.testing.assert_close(diagonal.sum(), torch.tensor(1.0, dtype=torch.float64))


def test_distribution_has_one_path_between_two_nodes():
    g = make_grid("D").gate_values(normal(2, 3, 5, 8))
    assert not bool(g.right_down.any())
    one = torch.ones(4, 5)
    ones = only_right_and_down(one)
    paths = grid_matrix(GridGates(ones, ones, ones, 0 * ones, *[ones] * 4), one).reshape(4, 5, 4, 5)
    counted = paths[3, 4, 0]  # down along a column of the first row's nodes, then right; or right, and never down
    torch.testing.assert_close(counted, torch.ones(5))


def test_a_stride_leaves_positions_out():
    layer, whole = make_grid("P", stride=2), make_grid("P")
    x = normal(1, 8, 5, 4)
    torch.testing.assert_close(layer(x), whole(x)[..., ::2, ::2])
    assert layer(x).shape == (1, 6, 3, 2)


def two_molecules() -> tuple[torch.Tensor, torch.Tensor]:
    """A ring of five with a tail, and a tree of four: nodes of both take turns; bonds go both ways."""
    bonds = torch.tensor([[0, 2, 4, 6, 8, 8, 1, 1, 5], [2, 4, 6, 8, 0, 9, 3, 5, 7]])
    return normal(10, 6), torch.cat([bonds, bonds.flip(0)], 1)


def test_the_graph_layer_learns_as_the_recurrence_over_its_edges():
    torch.manual_seed(0)
    layer = PLSTMGraph(in_channels=6, out_channels=3, num_heads=2, head_dim=4).double()
    for p in layer.parameters():
        torch.nn.init.normal_(p, std=0.5)
    x, edge_index = two_molecules()

    def slow(x):
        u = x.unsqueeze(0)
        q, k, v = (part[0] for part in layer.heads.project(u))
        gates, direct = layer.gates(u)[0], layer.direct(u)[0].sigmoid()
        answers = []
        for head in range(2):
            total = torch.zeros_like(v[0])
            for way, kept in enumerate((edge_index[0] < edge_index[1], edge_index[0] > edge_index[1])):
                edges = [(int(a), int(b)) for a, b in edge_index[:, kept].T]
                leaving = torch.tensor([max(1, sum(a == n for a, _ in edges)) for n in range(10)])
                transition = (5 * gates[head, way, 0]).tanh() / leaving
                source, mark = gates[head, way, 1].sigmoid() / leaving, gates[head, way, 2].sigmoid()
                own = direct[head] if way == 0 else 0 * direct[head]
                order = range(10) if way == 0 else range(9, -1, -1)
                total = total + naive.dag(q[head], k[head], v[head], edges, order, transition, source, mark, own)
            answers.append(total)
        return layer.heads(torch.stack(answers).unsqueeze(0))[0]

    assert_twins(lambda x: layer(x, edge_index), slow, x, parameters=layer.parameters())


def test_a_graph_does_not_change_what_another_answers():
    torch.manual_seed(0)
    layer = PLSTMGraph(in_channels=6, out_channels=3).double()
    x, edge_index = two_molecules()
    ring = torch.tensor([0, 2, 4, 6, 8, 9])
    kept = edge_index[:, torch.isin(edge_index[0], ring)]
    torch.testing.assert_close(layer(x, edge_index)[ring], layer(x[ring], torch.searchsorted(ring, kept)))


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="num_heads must divide a width of 8, got 3"):
        PLSTM(d_model=8, num_heads=3)


# the arrows


def arrows(**settings) -> ArrowPointing:
    sizes = {"image_size": 64, "length": (8, 12), "radius": (6, 10), "padding": 8, "batch_size": 16, "test_images": 20}
    return ArrowPointing(seed=3, **(sizes | settings))


def test_arrows_point_at_the_disc_or_miss_it_by_a_margin():
    data = arrows()
    for number in range(300):
        scene = data.scene(np.random.default_rng(number), 64)
        dx, dy = scene.disc[0] - scene.arrow[0], scene.disc[1] - scene.arrow[1]
        ahead = dx * math.cos(scene.angle) + dy * math.sin(scene.angle)
        beside = abs(dy * math.cos(scene.angle) - dx * math.sin(scene.angle))
        meets = {
            factor: ahead > 0 and beside <= factor * scene.radius * (1 + 1e-9) for factor in (1 / 1.2, 1.2 * 0.999999)
        }
        assert meets[1 / 1.2] if scene.points else not meets[1.2 * 0.999999]
        assert min(abs(dx), abs(dy)) >= 2 * scene.radius - 1e-9
        assert 8 <= min(*scene.arrow, *scene.disc) <= max(*scene.arrow, *scene.disc) <= 56


def test_images_show_the_scene():
    data = arrows()
    for number in range(20):
        scene = data.scene(np.random.default_rng(number), 64)
        black = draw(scene, 64) == 0
        y, x = np.mgrid[:64, :64]
        away = np.hypot(x - scene.disc[0], y - scene.disc[1])
        assert black[away < scene.radius - 1].all()
        assert 0 < black[away > scene.radius + 1.5].sum() < 12 * 12
        assert black[
            int(scene.arrow[1]) - 1 : int(scene.arrow[1]) + 3, int(scene.arrow[0]) - 1 : int(scene.arrow[0]) + 3
        ].any()


def test_on_a_black_ground_what_is_empty_is_0():
    white, black = (arrows(ground=ground).batch("train", 0) for ground in ("white", "black"))
    assert torch.equal(black["inputs"], 1 - white["inputs"])
    assert torch.equal(black["targets"], white["targets"])
    assert black["inputs"].mean() < 0.2


def test_batches_are_a_function_of_seed_split_and_number():
    data = arrows(test_sizes=[128], train_images=40)
    assert data.splits == ("train", "val", "test", "test-128")
    one, other = data.batch("train", 1), data.batch("train", 4)  # batch 1 of the second pass over 40 images
    torch.testing.assert_close(one["inputs"], other["inputs"])
    assert not torch.equal(one["inputs"], arrows(train_images=40).batch("val", 1)["inputs"])
    assert [len(data.batch("test", i)["targets"]) for i in range(data.batches("test"))] == [16, 4]
    large = data.batch("test-128", 0)["inputs"]
    assert large.shape == (4, 1, 128, 128)  # as many pixels as 16 small ones
    assert data.batches("test-128") == 5


def test_images_too_small_for_disc_and_arrow_are_refused():
    with pytest.raises(ValueError, match="images must be >= 56, twice the padding and four radii, got 48"):
        arrows(image_size=48)
    with pytest.raises(ValueError, match="radius must be from less to more, got 9 and 6"):
        arrows(radius=(9, 6))


def test_answers_and_sheet(tmp_path):
    data = arrows()
    batch = data.batch("test", 0)
    outputs = {"logits": torch.nn.functional.one_hot(batch["targets"], 2) * 4.0}
    answers = data.answers(batch, outputs)
    assert [a["class"] for a in answers] == [("misses", "points")[t] for t in batch["targets"]]
    (sheet,) = data.render(batch, outputs, tmp_path / "sheet")
    assert np.allclose(data.read(sheet)["inputs"].shape, (1, 1, 64, 64))

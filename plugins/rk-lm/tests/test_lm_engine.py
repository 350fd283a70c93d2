"""The engine computes what the naive twin computes, in whatever order, batch and memory."""

import random

import pytest
import torch
from rk_lm import naive
from rk_lm.engine import Engine
from rk_lm.items import Item
from rk_lm.layered import full_path
from rk_lm.pretrained import FAMILIES, Layered
from rk_lm.slabs import Slabs
from rk_lm.tiny import tiny_model


def make_items(n: int, seed: int = 0) -> list[Item]:
    """Items with prompts of 3 to 9 tokens and one to three continuations of one to four."""
    draw = random.Random(seed)

    def tokens(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw.randrange(256) for _ in range(draw.randint(low, high)))

    return [Item(tokens(3, 9), tuple(tokens(1, 4) for _ in range(draw.randint(1, 3)))) for _ in range(n)]


def make_paths(n: int, depth: int = 8, seed: int = 0) -> list[tuple[int, ...]]:
    """Paths with skips and repeats, most of which begin like the full one."""
    draw, found = random.Random(seed), []
    for _ in range(n):
        path = tuple(range(depth))
        for _ in range(draw.randint(0, 3)):
            k = draw.randint(1, 3)
            start = draw.randrange(len(path) - k + 1)
            block = path[start : start + k]
            path = path[:start] + block * draw.choice((0, 2, 3)) + path[start + k :]
            path = path or (0,)
        found.append(path)
    return found


@pytest.fixture(scope="module")
def llama():
    return Layered(tiny_model("llama"))


@pytest.fixture(scope="module")
def requests():
    items = make_items(7)
    return items, [(i % 7, path) for i, path in enumerate(make_paths(40))]


@pytest.fixture(scope="module")
def expected(llama, requests):
    items, pairs = requests
    return [naive.score(llama, items[i], path) for i, path in pairs]


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.log_probs, other.log_probs, rtol=1e-4, atol=1e-4)
        assert one.greedy.tolist() == other.greedy.tolist()


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_are_those_of_one_forward_pass_per_continuation(family):
    layered, items = Layered(tiny_model(family, seed=3)), make_items(4, seed=1)
    pairs = [(i % 4, path) for i, path in enumerate(make_paths(10, seed=2))]
    assert_same(Engine(layered, items).score(pairs), [naive.score(layered, items[i], p) for i, p in pairs])


@pytest.mark.parametrize(
    "settings",
    [
        {"batch_tokens": 1},
        {"batch_tokens": 30},
        {"cache_bytes": 1},
        {"cache_bytes": 20_000},
        {"padding": 0.0},
        {"padding": 1.0},
        {"reuse": False},
        {"depth_first": True},
        {"reuse": False, "depth_first": True},
    ],
    ids=str,
)
def test_batching_and_caching_do_not_change_the_scores(llama, requests, expected, settings):
    items, pairs = requests
    engine = Engine(llama, items, **settings)
    engine.pin(full_path(llama))
    assert_same(engine.score(pairs[:25]), expected[:25])
    assert_same(engine.score(pairs[25:] + pairs[:5]), expected[25:] + expected[:5])


def test_every_layer_runs_once_over_all_states_that_need_it(llama):
    items = [Item((i, i + 1, i + 2), ((7,),)) for i in range(5)]
    engine = Engine(llama, items)
    full = full_path(llama)
    engine.score([(i, full) for i in range(5)])
    assert (engine.counts.layer_calls, engine.counts.layer_rows, engine.counts.layer_steps) == (8, 40, 40)


def test_the_head_runs_once_where_continuations_begin(llama):
    item = Item((1, 2, 3), ((7,), (8, 9), (10,), (7, 5, 6)))
    engine = Engine(llama, [item])
    engine.score([(0, full_path(llama))])
    assert engine.counts.head_rows == 1 + 1 + 2


def test_states_that_go_back_share_the_next_sweep(llama):
    """Two paths repeat blocks that end on different layers: both are taken up once more, together."""
    items = [Item((1, 2, 3), ((7,),)), Item((4, 5, 6), ((8,),))]
    engine = Engine(llama, items)
    engine.score([(0, (1, 2, 3, 1, 2, 3, 4, 5, 6, 7)), (1, (1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7))])
    assert engine.counts.layer_rows == 10 + 11
    assert engine.counts.layer_calls == 4 + 7


def test_items_of_similar_length_run_together(llama):
    items = [Item(tuple(range(n)), ((7,),)) for n in (10, 9, 8, 7, 3)]
    engine = Engine(llama, items, padding=0.2)
    engine.score([(i, (0,)) for i in range(5)])
    assert (engine.counts.layer_calls, engine.counts.layer_tokens) == (3, 3 * 10 + 7 + 3)


def test_a_prefix_is_computed_once_for_all_paths(llama):
    items = [Item((1, 2, 3), ((7,),))]
    engine = Engine(llama, items)
    full = full_path(llama)
    engine.score([(0, full)])
    engine.score([(0, (*full[:6], 5, 6, 7)), (0, (*full[:6], 5, 6))])
    assert engine.counts.layer_rows == 8 + 3, "6 layers were there, and the shorter path is the beginning of the longer"
    engine.score([(0, full), (0, full[:3])])
    assert engine.counts.layer_rows == 8 + 3, "nothing new"


def test_all_exits_of_a_model_cost_one_pass(llama):
    items = make_items(3)
    engine = Engine(llama, items)
    pairs = [(i, full_path(llama)[:n]) for i in range(3) for n in range(1, 9)]
    found = engine.score(pairs)
    assert engine.counts.layer_rows == 3 * 8
    assert_same(found, [naive.score(llama, items[i], path) for i, path in pairs])


def kept(engine) -> int:
    return sum(cache.bytes for cache in engine._caches)


def test_states_beyond_the_limit_are_given_up_and_computed_again(llama, requests, expected):
    items, pairs = requests
    small, large = Engine(llama, items, cache_bytes=20_000), Engine(llama, items)
    for engine in (small, large):
        for pair in pairs:
            engine.score([pair])
    assert kept(small) <= 20_000 < kept(large)
    assert small.counts.layer_rows > large.counts.layer_rows


def test_pinned_states_stay(llama):
    items = make_items(2)
    engine = Engine(llama, items, cache_bytes=1)
    full = full_path(llama)
    engine.pin(full)
    engine.score([(0, full), (1, full)])
    for path in make_paths(10, seed=5):
        engine.score([(0, path)])
    before = engine.counts.layer_rows
    engine.score([(0, full), (1, full)])
    assert engine.counts.layer_rows == before


def test_the_tree_of_prefixes_does_not_grow_beyond_what_it_keeps(llama, requests):
    items, pairs = requests
    engine = Engine(llama, items, cache_bytes=1)
    engine.score(pairs)

    def size(node) -> int:
        return 1 + sum(map(size, node.children.values()))

    most = len(engine.groups) * max(len(p) for _, p in pairs)
    assert sum(map(size, engine._roots)) <= len(items) + most, "one state of each length is kept, and the way there"


def test_slots_are_taken_again_and_their_number_is_kept():
    slabs = Slabs(torch.Size([2, 3]), torch.zeros(()), limit=2)
    (first, a), (second, b) = slabs.take(), slabs.take()
    assert slabs.full and first != second and a.shape == b.shape == (2, 3)
    a.fill_(1), b.fill_(2)
    assert a.eq(1).all()
    slabs.give_back(first)
    assert not slabs.full and slabs.take()[1].data_ptr() == a.data_ptr()


def test_slots_beyond_one_piece_are_distinct(monkeypatch):
    monkeypatch.setattr("rk_lm.slabs.SLAB_BYTES", 100)
    slabs = Slabs(torch.Size([5]), torch.zeros(()))
    taken = [slabs.take() for _ in range(23)]
    assert len({number for number, _ in taken}) == len({slot.data_ptr() for _, slot in taken}) == 23


def test_an_empty_path_is_the_head_over_the_embedding(llama):
    items = make_items(2)
    assert_same(Engine(llama, items).score([(1, ())]), [naive.score(llama, items[1], ())])


def test_no_requests_do_no_work(llama):
    assert Engine(llama, make_items(1)).score([]) == []


def test_a_model_of_another_library_needs_five_methods_only():
    class Plain:
        """Adds numbers: a "layer" i adds i + 1 to every state."""

        depth, device = 3, "cpu"

        def embed(self, tokens):
            return tokens.unsqueeze(-1).float()

        def context(self, tokens, branches=None):
            from rk_lm.layered import Context

            return Context(torch.zeros_like(tokens), {}, {})

        def layer(self, i, hidden, context):
            return hidden + i + 1

        def head(self, hidden):
            return -((torch.arange(20.0) - hidden) ** 2)

    model, items = Plain(), [Item((4,), ((10,), (5, 5)))]
    (found,) = Engine(model, items).score([(0, (0, 1, 2))])  # 4 + 1 + 2 + 3 = 10
    assert found.greedy.tolist() == [True, False]
    assert_same([found], [naive.score(model, items[0], (0, 1, 2))])

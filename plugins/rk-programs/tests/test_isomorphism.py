"""Graphs are the same up to the names of their nodes, and only then."""

import itertools

import networkx
import pytest
from rk_programs.isomorphism import GraphSet, isomorphic, key, neighbours


def test_direction_repetition_and_names_do_not_count():
    one = neighbours([(4, 7), (7, 9), (9, 7)])
    assert one == (frozenset({1}), frozenset({0, 2}), frozenset({1}))
    assert isomorphic(one, neighbours([(1, 0), (0, 2)]))
    assert not isomorphic(one, neighbours([(0, 1), (1, 2), (2, 0)]))


@pytest.mark.parametrize(("nodes", "count"), [(2, 1), (3, 2), (4, 6), (5, 21)])
def test_there_are_as_many_connected_graphs_as_are_known(nodes, count):
    pairs = list(itertools.combinations(range(nodes), 2))
    found = GraphSet()
    for chosen in range(2 ** len(pairs)):
        edges = [pair for i, pair in enumerate(pairs) if chosen >> i & 1]
        graph = networkx.Graph(edges)
        if len(graph) == nodes and networkx.is_connected(graph):
            found.add(neighbours(edges))
    assert len(found) == count


def test_graphs_with_the_same_colours_are_distinguished():
    hexagon = [(i, (i + 1) % 6) for i in range(6)]
    triangles = [(0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 3)]
    one, other = neighbours(hexagon), neighbours(triangles)
    assert key(one) == key(other) and not isomorphic(one, other)
    found = GraphSet()
    assert [found.add(one), found.add(other), found.add(neighbours([(5 - a, 5 - b) for a, b in hexagon]))] == [
        True,
        True,
        False,
    ]
    assert len(found) == 2

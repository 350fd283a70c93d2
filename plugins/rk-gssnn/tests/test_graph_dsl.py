"""Programs build graphs as the paper's state machine does; the enumeration misses none."""

import itertools
import random

import pytest
from rk_gssnn.dsl import Edge, GraphDsl, GraphState
from rk_gssnn.proposals import Exploration, proposed_at_random, written
from rk_programs.chain_enumeration import ChainEnumeration
from rk_programs.isomorphism import isomorphic, neighbours
from rk_programs.naive import all_terms
from rk_programs.terms import parse

PAIR = GraphState((Edge(2, 1, 0, 0),), created=3, pos=1, stack=(0,))


def chain(*names):
    return parse(" ".join(f"({name}" for name in names) + " identity" + ")" * len(names))


def after(name, state, dsl=None):
    return (dsl or GraphDsl()).steps[name].apply(state)


def test_the_port_turns_around():
    assert after("prev_port", GraphState()).port == 9
    assert after("next_port", GraphState(port=9)).port == 0


def test_the_cursor_moves_along_the_edge_at_its_port():
    assert after("move", PAIR).pos == 0
    assert after("move", PAIR._replace(port=1)).pos == 1, "there is no edge"


def test_a_node_is_added_if_something_was_pushed_and_the_graph_is_connected():
    assert after("add", GraphState()) == GraphState()
    lonely = after("add", PAIR)
    assert (lonely.pos, lonely.lonely, lonely.created) == (3, 3, 4)
    assert after("add", lonely) == lonely


def test_nodes_and_edges_are_numbered_together():
    dsl = GraphDsl()
    made = dsl.made(dsl.run(chain("push", "add", "connect", "next_port", "add", "connect")))
    assert made.nodes == (0, 1, 3) and made.edges == (Edge(2, 1, 0, 0), Edge(4, 3, 0, 1))
    assert str(made) == "1-0 3-0"


def test_an_edge_needs_a_free_port_at_both_ends_and_two_nodes():
    assert after("connect", PAIR) == PAIR
    again = after("connect", PAIR._replace(port=1))
    assert again.edges[1] == Edge(3, 1, 0, 1), "two nodes may have several edges"
    assert after("connect", PAIR._replace(pos=0, port=1)).edges == PAIR.edges
    assert after("connect", PAIR._replace(stack=(), port=1)).edges == PAIR.edges


def test_pop_keeps_what_a_lonely_node_needs():
    assert after("pop", PAIR).stack == () == after("pop", PAIR._replace(stack=())).stack
    lonely = GraphState(PAIR.edges, created=4, lonely=3, pos=3, stack=(1, 0))
    assert after("pop", lonely).stack == (0,)
    assert after("pop", lonely._replace(stack=(0,))).stack == (0,)
    assert after("pop", lonely._replace(stack=(1, 3))).stack == (1, 3), "the rest has only the node itself"
    assert after("pop", lonely._replace(stack=())) is None


def test_a_function_changes_the_graph_alone():
    dsl = GraphDsl()
    state = dsl.run(parse("(push (next_port (func (add (connect identity)) identity)))"))
    assert (state.pos, state.port, state.stack) == (0, 1, (0,)) and len(state.edges) == 1
    unconnected = dsl.run(parse("(push (func (add identity) identity))"))
    assert unconnected == GraphState(stack=(0,)), "a graph that is not connected is thrown away"


@pytest.mark.parametrize(("test", "port"), [("identity", 1), ("(move identity)", 9)])
def test_a_condition_compares_where_two_programs_lead(test, port):
    dsl = GraphDsl()
    program = f"(if_positions_equal identity {test} (next_port identity) (prev_port identity) (push identity))"
    state = dsl(dsl.parse(program), ())(PAIR)
    assert (state.port, state.pos, state.stack) == (port, 1, (1, 0))


def test_what_is_not_a_connected_graph_of_two_nodes_is_refused():
    dsl = GraphDsl()
    for text in ("identity", "(push (add identity))"):
        with pytest.raises(ValueError, match="connected graph of two nodes"):
            dsl.graph(text)


def test_states_that_are_alike_have_the_same_future():
    dsl, draws = GraphDsl(4), random.Random(0)
    groups = {}
    for _ in range(6000):
        state = dsl.initial()._replace(port=draws.randrange(4))
        for name in draws.choices(list(dsl.steps), k=draws.randrange(3, 12)):
            state = state and dsl.steps[name].apply(state)
        groups.setdefault(dsl.alike(state), set()).add(state)
    checked = 0
    for states in (group for group in groups.values() if len(group) > 1):
        for _ in range(4):
            word = draws.choices(list(dsl.steps), k=12)
            made = []
            for state in sorted(states)[:3]:
                for name in word:
                    state = state and dsl.steps[name].apply(state)
                made.append(dsl.made(state) if state else None)
            first, *others = [graph and graph.simple for graph in made]
            assert all((other is None) == (first is None) for other in others)
            assert first is None or all(isomorphic(first, other) for other in others)
            checked += first is not None
    assert checked > 30


def test_it_finds_what_the_plain_recursion_over_all_programs_finds():
    dsl = GraphDsl(3)
    smallest = {}
    for size in range(1, 7):
        for term in all_terms(dsl, (), "chain", size):
            state = dsl.run(term)
            if state is not None:
                smallest.setdefault(dsl.alike(state), size)
    found = {}
    for one in ChainEnumeration(dsl, max_size=6).programs():
        found.setdefault(dsl.alike(one.state), one.term.size)
    assert found == smallest and len(smallest) > 20


def test_exploration_finds_graphs_once_cheapest_first_and_stops_when_there_are_enough():
    found, tried = Exploration(100_000, 150, 64).run(GraphDsl(4), None, ())
    assert [str(one.graph) for one in found] == ["1-0", "1-0 3-0", "1-0 3-0 5-0"]
    assert [one.term.size for one in found] == [4, 7, 10] and tried == 100_000
    one, tried = Exploration(100_000, 150, 64).run(GraphDsl(4), None, [found[0].graph.simple], wanted=1)
    assert str(one[0].graph) == "1-0 3-0" and tried < 10_000
    small, _ = Exploration(5_000, 150, 3).run(GraphDsl(4), None, ())
    assert len(small) == 1, "graphs with more nodes and edges than allowed are left out"


def test_every_graph_can_be_written_as_a_program():
    dsl = GraphDsl()
    for edges in ([(0, 1)], [(0, 1), (1, 2), (2, 3), (0, 4), (3, 0)], [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]):
        made = dsl.graph(str(written(dsl, edges)))
        assert isomorphic(made.simple, neighbours(edges)) and len(made.edges) == len(edges)
    assert written(GraphDsl(2), [(0, 1), (0, 2), (0, 3)]) is None, "a node has two ports"


def test_random_graphs_are_a_function_of_the_seed_and_all_different():
    dsl = GraphDsl()
    one, again, other = (proposed_at_random(dsl, Exploration(1, 150, 30), (), 12, seed, 0)[0] for seed in (1, 1, 2))
    assert [str(p.plain) for p in one] == [str(p.plain) for p in again] != [str(p.plain) for p in other]
    assert len(one) == 12
    assert not any(isomorphic(a.graph.simple, b.graph.simple) for a, b in itertools.combinations(one, 2))
    assert all(len(p.graph.nodes) + len(p.graph.edges) <= 30 and p.plain.size <= 150 for p in one)

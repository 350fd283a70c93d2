"""The tree search and its rivals: what they propose, on problems whose answers are known."""

import math

import pytest
from rk_cola.mcts import Finding, Node, TreeSearch
from rk_cola.rivals import Beam, RandomPaths, SingleEdits
from rk_cola.spaces import Edits, Limits, Segments

LIMITS = Limits(depth=12, max_length=18)
RIGHT, WRONG = Finding(True, 0.0), Finding(False, -1.0)


def make(name: str, seed: str = "0", space=None):
    space = space or Edits(LIMITS)
    return {
        "mcts": lambda: TreeSearch(space, 12, seed),
        "random": lambda: RandomPaths(space, seed),
        "exhaustive-1": lambda: SingleEdits(space, seed),
        "beam": lambda: Beam(space, seed),
    }[name]()


def run(method, n: int, judge=lambda path: WRONG) -> list:
    """Returns the first n proposals; fewer where the method ends."""
    paths = []
    while len(paths) < n and (path := method.propose()) is not None:
        paths.append(path)
        method.observe(judge(path))
    return paths


METHODS = ["mcts", "random", "exhaustive-1", "beam"]


@pytest.mark.parametrize("name", METHODS)
def test_the_full_path_is_first_and_no_path_is_repeated(name):
    paths = run(make(name), 100)
    assert paths[0] == tuple(range(12))
    assert len(set(paths)) == len(paths) == 100


@pytest.mark.parametrize("name", METHODS)
def test_proposals_are_a_function_of_the_seed_and_of_what_was_found(name):
    def judge(path):
        return Finding(len(path) % 3 == 0, -float(len(path)))

    assert run(make(name), 80, judge) == run(make(name), 80, judge)
    assert run(make(name), 80, judge) != run(make(name, seed="1"), 80, judge)


@pytest.mark.parametrize("name", METHODS)
def test_a_space_that_is_used_up_ends_the_search(name):
    space = Segments(Limits(depth=3, max_length=4, max_block=1, protect_first=1))
    paths = run(make(name, space=space), 1000)
    assert len(paths) < 20
    assert {(0, 1, 2), (0, 2), (0, 1), (0, 1, 1, 2), (0, 1, 2, 2)} <= set(paths)


# -- the tree ----------------------------------------------------------------------------------------------------------


def test_the_bound_is_that_of_the_paper():
    tree = TreeSearch(Edits(LIMITS), 12, "0", c=1.5, length_penalty=5.0)
    tree.simulations = 50
    parent = Node(tree.root.state, 12, visits=9)
    child = Node(tree.root.state, 10, parent, visits=4, value=3.0)
    expected = 3 / 4 + 1.5 * math.sqrt(math.log(50) / 4) - 5 * 10 / 12
    assert tree._bound(child, parent) == pytest.approx(expected)
    tree.visits = "parent"
    assert tree._bound(child, parent) == pytest.approx(3 / 4 + 1.5 * math.sqrt(math.log(9) / 4) - 5 * 10 / 12)


def nodes(tree):
    stack = [tree.root]
    while stack:
        node = stack.pop()
        yield node
        stack += node.children


def test_every_simulation_is_backed_up_to_the_root():
    tree = make("mcts")
    paths = run(tree, 100, lambda path: RIGHT if len(path) < 12 else WRONG)
    assert tree.simulations == tree.root.visits == 100
    assert tree.root.value == sum(len(p) < 12 for p in paths)
    for node in nodes(tree):
        assert node.visits == 1 + sum(child.visits for child in node.children)
        assert node.value == node.reward + sum(child.value for child in node.children)
    assert sum(1 for _ in nodes(tree)) == 100


@pytest.mark.parametrize("epsilon", [0.0, 0.1, 1.0])
def test_a_new_child_is_taken_as_often_as_epsilon_says(epsilon):
    tree = TreeSearch(Edits(LIMITS), 12, "0", epsilon=epsilon, length_penalty=0.0)
    run(tree, 3, lambda path: RIGHT if len(path) < 12 else WRONG)
    tree.root.visits, tree.alpha, tree.simulations = 1, 2.0, 100  # as many children as its visits allow
    best = max(tree.root.children, key=lambda child: tree._bound(child, tree.root))
    assert len(tree.root.children) == 2
    draws = 2000
    chosen = [tree._select() for _ in range(draws)]
    share = sum(node is tree.root for node in chosen) / draws
    assert abs(share - epsilon) <= 4 * math.sqrt(epsilon * (1 - epsilon) / draws)
    assert all(node is best for node in chosen if node is not tree.root)


def test_widening_lets_the_tree_grow_deep():
    tree = make("mcts")
    run(tree, 200)
    assert tree.height >= 3, "without widening, every simulation would be a child of the root"
    for node in nodes(tree):
        assert len(node.children) <= math.ceil(2 * math.sqrt(node.visits)) + 20, "epsilon adds some beyond the width"
    narrow = TreeSearch(Edits(LIMITS), 12, "0", epsilon=0.0)
    run(narrow, 200)
    for node in nodes(narrow):
        assert len(node.children) <= math.ceil(2 * math.sqrt(node.visits))
    flat = TreeSearch(Edits(LIMITS), 12, "0", widening_alpha=1000.0)
    run(flat, 200)
    assert flat.height == 2


def test_mixed_programs_are_tried():
    def kinds(path):
        return len(set(path)) < 12, len(set(path)) < len(path)

    assert any(all(kinds(path)) for path in run(make("mcts"), 200))


def test_the_penalty_makes_paths_shorter():
    def mean(penalty):
        tree = TreeSearch(Edits(LIMITS), 12, "0", length_penalty=penalty)
        paths = run(tree, 200)
        return sum(map(len, paths)) / len(paths)

    assert mean(5.0) < mean(0.0) - 1


def test_reward_leads_the_tree():
    """Only paths without layer 5 are right: with that as feedback, more of the tried paths leave it out."""

    def without(judge):
        paths = run(TreeSearch(Edits(LIMITS), 12, "0", length_penalty=0.0), 200, judge)
        return sum(5 not in path for path in paths)

    assert without(lambda path: RIGHT if 5 not in path else WRONG) > 1.5 * without(lambda path: WRONG)


# -- rivals ------------------------------------------------------------------------------------------------------------


def test_random_programs_do_not_care_what_became_of_the_others():
    assert run(make("random"), 60, lambda path: RIGHT) == run(make("random"), 60)


def test_single_edits_are_all_there_is_in_random_order():
    space = Edits(LIMITS)
    paths = run(make("exhaustive-1"), 10_000)
    assert set(paths[1:]) == set(space.singles()) - {space.root}
    assert len(paths[1:]) == len(set(paths[1:]))
    assert paths != run(make("exhaustive-1", seed="1"), 10_000)


def test_a_beam_follows_the_score():
    """The score counts how often layer 3 runs: a beam piles it up, far beyond chance."""

    def judge(path):
        return Finding(False, float(path.count(3)))

    best = max(path.count(3) for path in run(make("beam"), 200, judge))
    blind = max(path.count(3) for path in run(make("beam"), 200))
    assert best > blind

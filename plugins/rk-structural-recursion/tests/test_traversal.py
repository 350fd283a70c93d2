"""Trees: texts, traversals and states of many are those of the recursion in plain Python."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from rk_sequence.metrics import first_errors
from rk_structural_recursion import naive
from rk_structural_recursion.forest import CALL, WORDS, Forest
from rk_structural_recursion.shapes import chains, random_insertion_shapes, uniform_shapes
from rk_structural_recursion.traversal import TreeTraversal, forest_of
from rk_structural_recursion.tree_files import dependency_shapes, parse_tree

from rk import UserError

ORDERS = ("pre", "in", "post")
NAMES = [*WORDS, *(str(k) for k in range(10))]
EXAMPLE = "( 3 ( 1 . ( 2 . . ) ) ( 5 ( 4 . . ) . ) )"


def tree_of(words):
    """Returns the tree that tokens are, read by recursion."""
    tokens = iter(words)

    def read():
        if next(tokens) == ".":
            return None
        node = naive.Node(next(tokens), read(), read())
        assert next(tokens) == ")"
        return node

    return read()


@pytest.fixture(scope="module")
def forest():
    """60 trees of up to seven nodes, of all kinds of shapes, and their trees in plain Python."""
    random = torch.Generator().manual_seed(0)
    nodes = torch.randint(0, 8, (20,), generator=random)
    items = [make(nodes, random) for make in (uniform_shapes, random_insertion_shapes, chains)]
    items = torch.cat(items)
    labels = torch.randint(10, items.shape, generator=random)
    found = Forest(items, labels)
    tokens, counts = found.texts()
    return found, [
        tree_of([NAMES[t] for t in row[:n]]) for row, n in zip(tokens.tolist(), counts.tolist(), strict=True)
    ]


def test_the_example_of_the_paper():
    tree = tree_of(EXAMPLE.split())
    assert [" ".join(naive.traversal(tree, order)) for order in ORDERS] == ["3 1 2 5 4", "1 2 3 4 5", "2 1 4 5 3"]
    assert len(list(naive.reduced(tree, "in"))) - 1 == 11


def test_texts_and_heights_are_those_of_the_trees(forest):
    found, trees = forest
    tokens, counts = found.texts()
    for row, n, tree, height, nodes in zip(
        tokens.tolist(), counts.tolist(), trees, found.heights, found.nodes, strict=True
    ):
        assert [NAMES[t] for t in row[:n]] == naive.serialised(tree)
        assert height == naive.height(tree)
        assert n == 4 * nodes + 1


@pytest.mark.parametrize("order", ORDERS)
def test_traversals_of_many_are_those_of_the_recursion(forest, order):
    found, trees = forest
    labels, counts = found.traversals(order)
    for row, n, tree in zip(labels.tolist(), counts.tolist(), trees, strict=True):
        assert [str(label) for label in row[:n]] == naive.traversal(tree, order)


@pytest.mark.parametrize("order", ORDERS)
def test_states_after_any_number_of_steps_are_those_of_the_reduction(forest, order):
    found, trees = forest
    states = [list(naive.reduced(tree, order)) for tree in trees]
    assert [len(each) for each in states] == (2 * found.nodes + 2).tolist()
    for k in range(0, 16):
        steps = torch.minimum(torch.full_like(found.nodes, k), 2 * found.nodes + 1)
        tokens, counts = found.states(steps, order)
        for row, n, each in zip(tokens.tolist(), counts.tolist(), states, strict=True):
            assert [NAMES[t] for t in row[:n]] == naive.state_words(each[min(k, len(each) - 1)])


def test_each_shape_of_four_nodes_is_equally_likely():
    random = torch.Generator().manual_seed(1)
    counts = Counter(map(tuple, uniform_shapes(torch.full((7000,), 4), random).tolist()))
    assert len(counts) == 14
    assert all(abs(count - 500) < 5 * 500**0.5 for count in counts.values())


def test_random_insertion_takes_each_key_as_the_root_alike():
    random = torch.Generator().manual_seed(1)
    items = random_insertion_shapes(torch.full((3000,), 3), random)
    sizes = Counter((Forest(items, torch.zeros_like(items))._left_sizes[:, 0] // 2).tolist())
    assert sorted(sizes) == [0, 1, 2]
    assert all(abs(count - 1000) < 5 * 1000**0.5 for count in sizes.values())


def test_chains_are_as_high_as_they_have_nodes():
    nodes = torch.arange(1, 12)
    items = chains(nodes, torch.Generator().manual_seed(0))
    assert torch.equal(Forest(items, torch.zeros_like(items)).heights, nodes)


def make(**changes):
    data = TreeTraversal(**({"seed": 1, "max_nodes": 4, "num_labels": 6, "eval_examples": 200} | changes))
    data.prepare()
    return data


def texts(data, batch):
    """Returns inputs and answers as lists of words."""
    for tokens, n, targets in zip(
        batch["tokens"].tolist(), batch["lengths"].tolist(), batch["targets"].tolist(), strict=True
    ):
        yield [data.source_words[t] for t in tokens[:n]], [data.answer_words[t] for t in targets if t > 0]


@pytest.mark.parametrize("order", ORDERS)
def test_full_answers_and_traces_are_those_of_the_recursion(order):
    for mode in ("full", "trace"):
        data = make(order=order, mode=mode)
        for words, answer in texts(data, data.batch("train", 3)):
            expected = naive.traversal(tree_of(words), order)
            unfolded = [word for word in words if word not in "()"]
            assert answer == (expected if mode == "full" else [*unfolded, "=", *expected])
            assert len(set(expected)) == len(expected), "labels differ"


@pytest.mark.parametrize("order", ORDERS)
def test_a_step_is_that_of_the_reduction(order):
    data = make(order=order, mode="step")
    batch = data.batch("train", 0)
    share = 0
    for (words, answer), tree in zip(texts(data, batch), texts(data, data.beginnings("train", 0)), strict=True):
        start, labels = tree
        assert start[0] == "UNROLL"
        states = [naive.state_words(state) for state in naive.reduced(tree_of(start[1:]), order)]
        assert states[-1] == labels
        assert states[states.index(words) + 1] == answer
        share += words == start
    assert share < 40, "all steps are trained on"


def test_no_tree_is_in_two_splits():
    data = make(max_nodes=3)
    seen = {split: set() for split in ("train", "val", "test", "test-depth")}
    for split, found in seen.items():
        for i in range(data.batches(split) or 40):
            found |= {tuple(words) for words, _ in texts(data, data.batch(split, i))}
    assert not seen["train"] & (seen["val"] | seen["test"] | seen["test-depth"])
    assert not seen["val"] & (seen["test"] | seen["test-depth"])


def test_oversampled_edges_are_chains():
    usual, edges = (make(max_nodes=6, edge_oversample=share).batch("train", 0) for share in (0.0, 1.0))
    nodes = [(b["lengths"] - 1) // 4 for b in (usual, edges)]
    assert (usual["depth"] < nodes[0]).any()
    assert torch.equal(edges["depth"], nodes[1])


def test_larger_trees_have_their_number_of_nodes():
    data = make(test_nodes=[6])
    assert (data.batch("test-6", 0)["lengths"] == 25).all()


def test_texts_are_read_back_as_trees(forest):
    found, _ = forest
    again = forest_of(*found.texts())
    assert torch.equal(again.items, found.items)
    assert torch.equal(again.labels * again.is_node, found.labels * found.is_node)


@pytest.mark.parametrize("order", ORDERS)
def test_programs_are_right_exactly_where_their_shortcut_holds(order):
    data = make(order=order, max_nodes=5)
    for name, limits in (("asm", {}), ("input-order", {}), ("bounded", {"levels": 2})):
        batch = data.batch("test", 0)
        right = (first_errors(data.run_program(batch, name, limits), batch["targets"]) < 0).tolist()
        for (words, answer), ok in zip(texts(data, batch), right, strict=True):
            tree = tree_of(words)
            holds = {
                "asm": True,
                "input-order": naive.traversal(tree, "pre") == answer,
                "bounded": naive.height(tree) <= 2,
            }
            assert ok == holds[name]


def test_own_trees_bring_their_own_labels_and_are_answered(tmp_path):
    file = tmp_path / "trees.txt"
    names = ("plus", "times", "x", "y")
    file.write_text("".join(f"( {a} ( {b} . . ) ( {c} . . ) )\n" for a in names for b in names for c in names))
    data = make(file=file, order="in")
    assert sorted(data.label_words) == sorted(names)
    for words, answer in texts(data, data.batch("train", 0)):
        assert answer == naive.traversal(tree_of(words), "in")
    again = TreeTraversal(seed=1, file=file, order="in")
    again.load_state_dict(data.state_dict())
    own = tmp_path / "own.txt"
    own.write_text("( plus ( x . . ) . )\n")
    [row] = again.answers(
        again.read(own),
        {"decoded": torch.tensor([[again.answer_words.index("x"), again.answer_words.index("plus"), 0]])},
    )
    assert row == {"input": "( plus ( x . . ) . )", "answer": "x plus"}


def test_a_tree_begins_its_reduction_with_a_call(tmp_path):
    file = tmp_path / "trees.txt"
    file.write_text("( 3 . . )\n3 UNROLL . UNROLL .\n")
    tokens = make(mode="step").read(file)["tokens"]
    assert tokens[:, 0].tolist() == [CALL, 7]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("( 3 . )", r"expected '\(' or '\.', got '\)'"),
        ("( 3 . .", r"expected '\)', got the end"),
        ("( 3 . . ) .", r"expected the end, got '\.'"),
        ("( . . )", r"expected a label, got '\.'"),
        ("3", r"expected '\(' or '\.', got '3'"),
    ],
)
def test_a_line_that_is_not_a_tree_is_refused_with_its_place(tmp_path, line, said):
    file = tmp_path / "trees.txt"
    file.write_text(f"( 3 . . )\n\n{line}\n")
    with pytest.raises(UserError, match=rf"trees\.txt:3: {said}"):
        make(file=file)
    with pytest.raises(UserError, match=said):
        make().read(file)


def test_parsed_trees_are_those_of_the_text(forest):
    found, trees = forest
    for tree, items in zip(trees, found.items.tolist(), strict=True):
        assert list(parse_tree(naive.serialised(tree), "here").items) == [item for item in items if item >= 0]


SENTENCE = """# text = the old dog barks loudly
1\tthe\t_\t_\t_\t_\t3\tdet\t_\t_
2\told\t_\t_\t_\t_\t3\tamod\t_\t_
3\tdog\t_\t_\t_\t_\t4\tnsubj\t_\t_
3.1\tx\t_\t_\t_\t_\t_\t_\t_\t_
4\tbarks\t_\t_\t_\t_\t0\troot\t_\t_
5\tloudly\t_\t_\t_\t_\t4\tadvmod\t_\t_

"""


def test_a_sentence_is_a_tree_of_first_dependents_and_next_siblings(tmp_path):
    file = tmp_path / "trees.conllu"
    file.write_text(SENTENCE * 2)
    # barks( dog( the( ., old ), loudly ), . )
    assert dependency_shapes(file) == [(1, 1, 1, 0, 1, 0, 0, 1, 0, 0, 0)] * 2
    data = make(file=file, max_nodes=5)
    assert (data.batch("train", 0)["lengths"] == 21).all()


def test_a_sentence_that_is_not_a_tree_is_refused_with_its_place(tmp_path):
    file = tmp_path / "trees.conllu"
    file.write_text(SENTENCE + SENTENCE.replace("\t0\troot", "\t3\troot"))
    with pytest.raises(UserError, match=r"trees\.conllu:10: the sentence is not one tree: 0 of its 5 words"):
        dependency_shapes(file)
    file.write_text(SENTENCE.replace("5\tloudly", "6\tloudly"))
    with pytest.raises(UserError, match=r"trees\.conllu:7: expected word 5 of a sentence"):
        dependency_shapes(file)


def test_published_sentences_give_shapes(published):
    data = published(TreeTraversal(seed=1, shape="ud-english-ewt", max_nodes=6, order="post"))
    for words, answer in texts(data, data.batch("test", 0)):
        assert answer == naive.traversal(tree_of(words), "post")
    assert data.batch("test-depth", 0)["depth"].max() >= 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"min_nodes": 5}, "min_nodes must be <= max_nodes 4, got 5"),
        ({"num_labels": 3}, "num_labels must be >= 4"),
        ({"test_nodes": [7]}, "num_labels must be >= 7"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        make(**changes)

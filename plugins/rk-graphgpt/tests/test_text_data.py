"""Graphs of texts, questions about them, and documents without graph tokens."""

from __future__ import annotations

import json
import random

import pytest
import torch
from rk_graphgpt.documents import GraphDocuments
from rk_graphgpt.ego import EgoGraphs, graph_key
from rk_graphgpt.instructions import GraphInstructions
from rk_graphgpt.prompts import GRAPH, LETTERS, check_template

from rk import UserError
from rk.fields import IGNORED


@pytest.fixture(scope="module")
def graph(small_graph, ready):
    return ready(small_graph())


def test_seen_and_unseen_classes_are_two_graphs(graph):
    found = graph.text_graph()
    unseen = found.targets >= found.seen
    source, target = found.edge_index
    assert torch.equal(unseen[source], unseen[target])
    assert sorted(found.targets.unique().tolist()) == list(range(8)) and found.seen == 4


def test_neighbours_have_the_class_more_often_than_chance(graph):
    found = graph.text_graph()
    source, target = found.edge_index
    assert (found.targets[source] == found.targets[target]).float().mean() > 0.75


def test_no_node_is_in_two_splits(graph):
    nodes = torch.cat(list(graph.parts.values()))
    assert len(nodes) == len(nodes.unique()) == graph.text_graph().num_nodes


def test_features_are_standardised_and_depend_on_the_words_alone(graph):
    texts = graph.text_graph().texts
    x = graph.features(texts)
    torch.testing.assert_close(x.mean(0), torch.zeros(16), atol=1e-5, rtol=0)
    torch.testing.assert_close(x.std(0), torch.ones(16), atol=1e-4, rtol=0)
    shuffled = " ".join(reversed(texts[3].split()))
    assert torch.equal(graph.features([shuffled])[0], graph.features([texts[3]])[0])


def test_a_batch_reads_a_node_and_texts_of_its_neighbours(graph):
    batch = graph.batch("train", 0)
    found = graph.text_graph()
    code = {tuple(row.tolist()): node for node, row in enumerate(graph._tokens)}
    for node, texts in zip(batch["asked"].tolist(), batch["texts"], strict=True):
        read = [code[tuple(row.tolist())] for row in texts]
        neighbours = set(found.edge_index[0][found.edge_index[1] == node].tolist()) or {node}
        assert read[0] == node and set(read[1:]) <= neighbours


# -- graphs around nodes -----------------------------------------------------------------------------------------------


def test_the_graph_around_a_node_begins_with_it_and_is_always_the_same(graph):
    found = graph.text_graph()
    egos = [EgoGraphs(found.edge_index, found.num_nodes, hops=2, fanout=3, max_nodes=6) for _ in range(2)]
    linked = set(map(tuple, found.edge_index.T.tolist()))
    for node in (0, 7, 70):
        (nodes, edges), (again, _) = (ego.around(node) for ego in egos)
        assert nodes[0] == node and len(nodes) <= 6 and torch.equal(nodes, again)
        assert all((int(nodes[a]), int(nodes[b])) in linked for a, b in edges.T.tolist())
        assert torch.equal(edges.unique(dim=1), edges.flip(0).unique(dim=1))


def test_graphs_with_other_edges_have_another_key():
    x, edges = torch.rand(3, 2), torch.tensor([[0, 1], [1, 2]])
    assert graph_key(x, edges) == graph_key(x.clone(), edges.clone()) != graph_key(x, edges.flip(0))
    assert graph_key(x + 1, edges) != graph_key(x, edges)


# -- questions ---------------------------------------------------------------------------------------------------------


def test_a_question_lists_the_classes_in_any_order_and_has_the_right_answer(questions):
    data = questions()
    labels = data.base.text_graph().labels
    orders = set()
    for i in range(4):
        batch = data.batch("train", i)
        for instruction, target in zip(batch["instructions_meta"], batch["targets"].tolist(), strict=True):
            listed = instruction.prompt.split(" of : ")[1].split(" ? ")[0].split(" , ")
            assert sorted(listed) == sorted(instruction.choices) == sorted(labels[:4])
            assert instruction.choices[target] == instruction.answer
            orders.add(tuple(listed))
    assert len(orders) > 5


def test_unseen_classes_are_asked_about_in_their_own_split_alone(questions):
    data = questions()
    for split, start in (("train", 0), ("val", 0), ("test", 0), ("test-unseen", 4)):
        names = {name for each in data.batch(split, 0)["instructions_meta"] for name in each.choices}
        assert names == set(data.base.text_graph().labels[start : start + 4])


def test_controls_ask_the_same_with_other_graphs_or_none(questions):
    data = questions()
    real, shuffled, none = (data.batch_with(kind, "test", 0) for kind in ("real", "shuffled", "none"))
    assert torch.equal(real["targets"], shuffled["targets"]) and torch.equal(real["targets"], none["targets"])
    assert not (real["graph_keys"] == shuffled["graph_keys"]).any()
    assert none["x"].shape == (0, 16) and none["graph_sizes"].tolist() == [0] * 6
    for one, other, plain in zip(*(b["instructions_meta"] for b in (real, shuffled, none)), strict=True):
        assert one.prompt == other.prompt and plain.prompt == " ".join(one.prompt.replace(GRAPH, "").split())


def test_matching_gives_the_letters_in_the_order_of_the_tokens(questions):
    data = questions("matching")
    batch = data.batch("train", 0)
    texts = data.base.text_graph().texts
    xs = batch["x"].split(batch["graph_sizes"].tolist())
    for instruction, x in zip(batch["instructions_meta"], xs, strict=True):
        body = instruction.prompt.split("texts ")[1].split(" in the graph")[0]
        given = dict(part.split(" : ") for part in body.split(" ; "))
        ordered = [given[letter] for letter in instruction.answer.split()]
        assert torch.equal(data.base.features(ordered), x) and set(ordered) <= set(texts)
        assert len(instruction.choices) == 24


def test_a_nodes_text_is_one_of_four_and_the_prompt_does_not_have_it(questions):
    data = questions("text")
    batch = data.batch("test", 0)
    texts = data.base.text_graph().texts
    places = set()
    for instruction, target in zip(batch["instructions_meta"], batch["targets"].tolist(), strict=True):
        assert len(set(instruction.choices)) == 4 and set(instruction.choices) <= set(texts)
        assert instruction.choices[target] == instruction.answer and instruction.answer not in instruction.prompt
        places.add(target)
    assert len(places) > 1


@pytest.mark.parametrize("task", ["matching", "text"])
def test_tasks_without_labels_train_on_nodes_of_unseen_classes_too(questions, task):
    data = questions(task)
    graph = data.base.text_graph()
    unseen = {
        split: {bool(graph.targets[each.nodes[0]] >= graph.seen) for each in data._questions[split]}
        for split in data.splits
    }
    assert unseen == {"train": {False, True}, "val": {False}, "test": {False}, "test-unseen": {True}}


def test_links_that_are_asked_about_are_in_no_graph(questions):
    data = questions("link")
    kept, asked = data._hide_links(data.base.text_graph())
    pairs = {frozenset(pair) for pair in kept.T.tolist()}
    for split in data.splits:
        for question in data._questions[split]:
            assert frozenset(question.nodes) not in pairs
    assert len(asked.T) + len(pairs) == data.base.text_graph().edge_index.shape[1] // 2
    answers = [question.answer for question in data._questions["test"]]
    assert sum(answers) * 2 == len(answers)


def test_a_template_without_its_fields_is_refused(small_graph):
    check_template("look at <graph> with {text} : {classes} ?", "node")
    for template, said in (
        ("{text} {classes}", "must have <graph> 1 times"),
        ("<graph> {text}", r"must have \{classes\}"),
        ("<graph> {text} {classes} {more}", "braces"),
    ):
        with pytest.raises(ValueError, match=said):
            GraphInstructions(small_graph(), seed=0, template=template)
    with pytest.raises(ValueError, match="max_nodes must be from 2 to 5, got 9"):
        GraphInstructions(small_graph(), seed=0, task="matching", max_nodes=9)


# -- documents ---------------------------------------------------------------------------------------------------------


def test_documents_have_words_in_the_place_of_graphs_and_right_answers(small_graph, ready):
    data = ready(GraphDocuments(small_graph(), seed=0, tasks=("matching",), plain=0.0))
    for seed in range(5):
        prompt, answer = data.document(random.Random(seed))
        assert GRAPH not in prompt and set(answer.split()) <= set(LETTERS)
        body, words = prompt.split("texts ")[1].split(" in the graph ")
        given = dict(part.split(" : ") for part in body.split(" ; "))
        words = words.split(" ? ")[0].split()
        assert len(words) == 4
        for word, letter in zip(words, answer.split(), strict=True):
            assert word in given[letter].split()


def test_only_answers_are_learned_where_that_is_asked(small_graph, ready):
    data = ready(GraphDocuments(small_graph(), seed=0, answers_only=True, batch_size=4))
    batch = data.batch("train", 0)
    names = set(data.base.text_graph().labels) | {"<eos>"}
    targets = batch["targets"][batch["targets"] != IGNORED].tolist()
    assert {data._vocabulary.tokens[token] for token in targets} <= names and len(targets) == 8
    assert 0 not in ready(GraphDocuments(small_graph(), seed=0)).batch("train", 0)["targets"]


# -- a user's file -----------------------------------------------------------------------------------------------------


def test_a_file_is_a_graph_whose_first_text_is_asked_about(tmp_path, questions):
    data = questions()
    texts = data.base.text_graph().texts
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"texts": texts[:3], "edges": [[0, 2], [2, 1]], "classes": ["topic-1", "topic-7"]}))
    batch = data.read(path)
    assert batch["instructions_meta"][0].choices == ("topic-1", "topic-7") and batch["graph_sizes"].tolist() == [3]
    assert torch.equal(batch["x"][0], data.base.features(texts[:1])[0])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([], "must be an object"),
        ({"texts": []}, "texts: must begin with the text"),
        ({"texts": ["a", 1]}, "texts: must be a list of texts"),
        ({"texts": ["a"], "edges": [[0, 1]]}, r"edges\[0\]: must be two nodes, from 0 to 0"),
        ({"texts": ["a"], "classes": ["x"]}, "classes: must be at least two"),
        ({"texts": ["a"], "label": 1}, "there is no key 'label'"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path, content, said, questions):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=said):
        questions().read(path)

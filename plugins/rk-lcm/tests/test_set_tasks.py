"""The tasks against Python's own functions on lists, the batches, and users' files."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from rk_lcm.bits import ExactMatch, from_bits, to_bits
from rk_lcm.set_tasks import NeighbourTasks, SetTasks
from rk_lcm.tasks import TASKS, answer, answer_bits
from torch import Tensor

BITS, LARGEST = 3, 7
EXPECTED: dict[str, Callable[[list[int]], int]] = {
    "min": lambda values: min([*values, LARGEST]),
    "max": lambda values: max([*values, 0]),
    "sum": sum,
    "second-min": lambda values: sorted([*values, LARGEST, LARGEST])[1],
    "kth-min": lambda values: sorted([*values, LARGEST, LARGEST, LARGEST, LARGEST])[3],
    "mod-sum": lambda values: sum(values) % 8,
    "distinct-count": lambda values: len(set(values)),
}
SETS = [[], [5], [2, 2], [7, 0, 3], [4, 4, 4, 1], [1, 2, 3, 4, 5, 6]]


@pytest.mark.parametrize("task", TASKS)
def test_an_answer_is_that_of_the_list(task):
    values = torch.zeros(len(SETS), 6, dtype=torch.int64)
    mask = torch.zeros(len(SETS), 6, dtype=torch.bool)
    for row, items in enumerate(SETS):
        values[row, : len(items)] = torch.tensor(items, dtype=torch.int64)
        mask[row, : len(items)] = True
    found = answer(task, values, mask, value_bits=BITS, k=4).tolist()
    assert found == [EXPECTED[task](items) for items in SETS]
    assert max(found).bit_length() <= answer_bits(task, BITS, 6)


def test_bits_come_back_as_the_integer():
    numbers = torch.arange(70)
    assert torch.equal(from_bits(to_bits(numbers, 7)), numbers)
    assert to_bits(torch.tensor(6), 4).tolist() == [0, 1, 1, 0]


def test_an_answer_counts_when_all_of_its_bits_are_right():
    targets = to_bits(torch.tensor([5, 5, 5]), 3)
    logits = torch.tensor([[1.0, -1, 1], [1, 1, 1], [-1, 1, -1]])
    hits, count = ExactMatch()(logits=logits, targets=targets)
    assert (int(hits), count) == (1, 3)


def sets_of(batch: Any) -> list[list[int]]:
    return [values.tolist() for values in from_bits(batch["x"]).split(batch["graph_sizes"].tolist())]


def test_sets_have_the_sizes_of_their_split_and_the_answers_of_their_values():
    data = SetTasks(seed=3, value_bits=BITS, train_min_size=2, train_max_size=6, test_sizes=(9, 40), test_examples=200)
    assert data.splits == ("train", "val", "test-9", "test-40") and data.batches("train") is None
    sizes = {int(data.batch("train", i)["graph_sizes"].unique()) for i in range(60)}
    assert sizes == {2, 3, 4, 5, 6}
    last = data.batch("test-40", 1)
    assert last["graph_sizes"].tolist() == [40] * 72
    for batch in (data.batch("train", 5), data.batch("test-9", 0)):
        expected = [EXPECTED["second-min"](values) for values in sets_of(batch)]
        assert from_bits(batch["targets"]).tolist() == expected


def test_neighbours_are_linked_both_ways_and_asked_about():
    data = NeighbourTasks(seed=3, task="second-min", value_bits=BITS, batch_size=30, edge_probability=0.25)
    batch = data.batch("test-16", 0)
    values, edges = from_bits(batch["x"]).tolist(), batch["edge_index"]
    pairs = {tuple(edge) for edge in edges.T.tolist()}
    assert len(pairs) == edges.shape[1] and {(b, a) for a, b in pairs} == pairs
    assert all(batch["graph_index"][a] == batch["graph_index"][b] and a != b for a, b in pairs)
    assert len(pairs) / (30 * 16 * 15) == pytest.approx(0.25, abs=0.02)
    around = [[values[a] for a, b in pairs if b == node] for node in range(len(values))]
    assert from_bits(batch["targets"]).tolist() == [EXPECTED["second-min"](items) for items in around]


def outputs(batch: Any) -> dict[str, Tensor]:
    return {"logits": 4 * batch["targets"] - 2}


def test_sets_are_read_from_json_lines_and_from_rows(tmp_path):
    data = SetTasks(seed=1, task="sum", value_bits=BITS)
    (tmp_path / "sets.jsonl").write_text('{"values": [3, 7, 4]}\n\n{"values": [5]}\n')
    (tmp_path / "sets.csv").write_text("3,7,4\n5\n")
    for name in ("sets.jsonl", "sets.csv"):
        batch = data.read(tmp_path / name)
        assert sets_of(batch) == [[3, 7, 4], [5]]
        answers = data.answers(batch, outputs(batch))
        assert [a["answer"] for a in answers] == [a["right"] for a in answers] == [14, 5]
        assert answers[0]["probability"] == pytest.approx(0.8808)


def test_graphs_are_read_from_json_lines(tmp_path):
    lines = [{"values": [3, 1, 4], "edges": [[0, 1], [1, 2], [2, 1]]}, {"values": [2], "edges": []}]
    (tmp_path / "graphs.jsonl").write_text("\n".join(map(json.dumps, lines)))
    data = NeighbourTasks(seed=1, task="sum", value_bits=BITS)
    batch = data.read(tmp_path / "graphs.jsonl")
    assert batch["edge_index"].T.tolist() == [[0, 1], [1, 0], [1, 2], [2, 1]]
    answers = data.answers(batch, outputs(batch))
    assert [a["answers"] for a in answers] == [a["right"] for a in answers] == [[1, 7, 1], [0]]


@pytest.mark.parametrize(
    ("data", "name", "text", "message"),
    [
        (
            "set-tasks",
            "a.jsonl",
            '{"values": [1]}\n{"values": [3, 99]}\n',
            "a.jsonl:2: values: must be an integer from 0 to 63, got 99",
        ),
        ("set-tasks", "a.jsonl", '{"values": [1.5]}', "a.jsonl:1: values: must be an integer from 0 to 63, got 1.5"),
        ("set-tasks", "a.jsonl", '{"values": []}', "a.jsonl:1: values: must be a list of integers, got an empty list"),
        ("set-tasks", "a.jsonl", '{"value": [1]}', "a.jsonl:1: must be an object with values, got the keys value"),
        ("set-tasks", "a.csv", "1,2\nx,3\n", "a.csv:2: must be an integer from 0 to 63, got 'x'"),
        ("set-tasks", "a.csv", "\n", "a.csv is empty"),
        (
            "neighbour-tasks",
            "a.jsonl",
            '{"values": [1]}',
            "must be an object with values and edges, got the keys values",
        ),
        ("neighbour-tasks", "a.jsonl", '{"values": [1], "edges": [[0, 1]]}', "a.jsonl:1: edges: must be an integer"),
        ("neighbour-tasks", "a.jsonl", '{"values": [1], "edges": [[0, 0]]}', "two different nodes, got [0, 0]"),
        ("neighbour-tasks", "a.jsonl", '{"values": [1], "edges": 3}', "edges must be a list of pairs, got 3"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_its_line(tmp_path, data, name, text, message):
    from rk import UserError

    (tmp_path / name).write_text(text)
    task = {"set-tasks": SetTasks, "neighbour-tasks": NeighbourTasks}[data](seed=1, value_bits=6)
    with pytest.raises(UserError) as raised:
        task.read(tmp_path / name)
    assert message in str(raised.value)


def test_sizes_that_contradict_each_other_are_refused():
    with pytest.raises(ValueError, match="train_min_size must be <= train_max_size, got 5 > 4"):
        SetTasks(seed=1, train_min_size=5, train_max_size=4)

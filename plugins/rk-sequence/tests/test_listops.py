"""ListOps: expressions of the wanted size, and values that another way of evaluating gives too."""

from __future__ import annotations

import statistics

import pytest
import torch
from rk_sequence.listops import NUMBER, TOKENS, ListOps, longest

from rk import UserError


def evaluated(tokens: list[str]) -> int:
    """Returns the value of an expression with a stack of lists, closed one after the other."""
    open_lists: list[tuple[str, list[int]]] = []
    for token in tokens:
        if token.startswith("["):
            open_lists.append((token[1:], []))
            continue
        if token == "]":
            name, values = open_lists.pop()
            value = {
                "MIN": sorted(values)[0],
                "MAX": sorted(values)[-1],
                "MED": int(statistics.median(values)),
                "SM": sum(values) % 10,
            }[name]
            if not open_lists:
                return value
        else:
            value = int(token)
        open_lists[-1][1].append(value)
    raise AssertionError("a list is left open")


def words(text: str) -> list[str]:
    return text.split()


def depth(tokens: list[str]) -> int:
    """Returns the most lists that are open at once."""
    level, most = 0, 0
    for token in tokens:
        level += token.startswith("[") - (token == "]")
        most = max(most, level)
    return most


def expressions(batch):
    """Returns the tokens of each row of a batch."""
    return [
        [TOKENS[token] for token, exists in zip(*row, strict=True) if exists]
        for row in zip(batch["tokens"].tolist(), batch["mask"].tolist(), strict=True)
    ]


@pytest.fixture(scope="module")
def batch():
    return ListOps(seed=1, length=60, max_depth=4, max_args=5, batch_size=300).batch("train", 0)


def test_the_value_is_that_of_the_expression(batch):
    assert [evaluated(row) for row in expressions(batch)] == batch["targets"].tolist()


def test_an_example_of_each_operator():
    assert evaluated(words("[SM 4 [MED 1 2 5 2 ] [MAX 3 9 ] [MIN 8 6 ] ]")) == (4 + 2 + 9 + 6) % 10


def test_sizes_are_as_asked_for(batch):
    rows = expressions(batch)
    assert all(15 <= len(row) <= 60 for row in rows)
    assert max(len(row) for row in rows) == batch["tokens"].shape[1]
    assert {depth(row) for row in rows} == {2, 3, 4}


def test_lists_have_from_two_to_the_most_arguments():
    data = ListOps(seed=1, length=20, max_depth=1, max_args=7, batch_size=400)
    sizes = {len(row) - 2 for row in expressions(data.batch("train", 0))}
    assert sizes == {3, 4, 5, 6, 7}  # two arguments would be fewer than five tokens


def test_all_operators_and_values_come(batch):
    assert set(batch["tokens"][batch["mask"]].tolist()) == set(range(len(TOKENS)))
    assert set(batch["targets"].tolist()) == set(range(10))


def test_a_batch_is_a_function_of_seed_split_and_number():
    one, other = (ListOps(seed=2, length=40, max_depth=3, max_args=4, test_lengths=[60]) for _ in range(2))
    for split, i in [("train", 3), ("val", 1), ("test-60", 0)]:
        assert torch.equal(one.batch(split, i)["tokens"], other.batch(split, i)["tokens"])
    assert not torch.equal(one.batch("train", 3)["targets"], one.batch("train", 4)["targets"])


def test_the_longest_expression_is_full_of_lists():
    assert longest(1, 2) == len(words("[MIN 1 2 ]"))
    assert longest(2, 2) == len(words("[MIN [MIN 1 2 ] [MIN 1 2 ] ]"))


def test_lengths_that_no_expression_has_are_refused():
    message = "a length of 100 needs 25 tokens at least, max_depth 1 and max_args 5 allow 7"
    with pytest.raises(ValueError, match=message):
        ListOps(seed=1, length=100, max_depth=1, max_args=5)


def test_a_file_is_read_line_by_line(tmp_path):
    path = tmp_path / "own.txt"
    path.write_text("[MAX 4 [MIN 2 3 ] 1 ]\n\n[SM 1 2 ]\n", encoding="utf-8")
    data = ListOps(seed=1)
    assert expressions(data.read(path)) == [words("[MAX 4 [MIN 2 3 ] 1 ]"), words("[SM 1 2 ]")]
    logits = torch.nn.functional.one_hot(torch.tensor([4, 3]), 10) * 9.0
    assert [answer["value"] for answer in data.answers({}, {"logits": logits})] == [4, 3]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[MAX 4 2 ]\n[SUM 1 2 ]", r"own.txt:2: expected \[MIN, \[MAX, \[MED, \[SM, \] or a digit, got '\[SUM'"),
        ("[MAX 12 2 ]", "got '12'"),
        ("\n", "the file is empty"),
    ],
)
def test_a_file_with_other_tokens_is_refused(tmp_path, content, message):
    path = tmp_path / "own.txt"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        ListOps(seed=1).read(path)


def test_tokens_are_numbered_in_order():
    assert [NUMBER[token] for token in TOKENS] == list(range(15))

"""Numbers as terms: the successor of many is the recursive one; splits are by value; programs fail where they must."""

from __future__ import annotations

import pytest
import torch
from rk_sequence.metrics import first_errors
from rk_structural_recursion import naive, numbers
from rk_structural_recursion.successor import BinarySuccessor, number_or_none, value_of

from rk import UserError

EXAMPLES = {1: "01", 2: "X0 01", 5: "X1 X0 01", 7: "X1 X1 01", 8: "X0 X0 X0 01", 11: "X1 X1 X0 01", 12: "X0 X0 X1 01"}


def make(**changes):
    data = BinarySuccessor(**({"seed": 1, "max_length": 8} | changes))
    data.prepare()
    return data


def all_of(data, split):
    """Returns the examples of a split as pairs of texts, with their depths."""
    found = []
    for i in range(data.batches(split)):
        batch = data.batch(split, i)
        for row in range(len(batch["tokens"])):
            words = [data.source_words[t] for t in batch["tokens"][row, : batch["lengths"][row]].tolist()]
            answer = [data.answer_words[t] for t in batch["targets"][row].tolist() if t > 0]
            found.append((words, answer, int(batch["depth"][row])))
    return found


@pytest.mark.parametrize(("n", "term"), EXAMPLES.items())
def test_the_outermost_constructor_is_the_lowest_digit(n, term):
    assert naive.term(n) == term.split()
    assert number_or_none(term.split()) == n


@pytest.mark.parametrize("reverse", [False, True])
def test_terms_successors_and_depths_of_many_are_those_of_the_recursion(reverse):
    n = torch.arange(1, 600)
    lengths = numbers.digit_counts(n)
    tokens, answers = numbers.terms(n, lengths, reverse), numbers.successors(n, reverse)
    for i, row in enumerate(tokens.tolist()):
        words = [numbers.WORDS[token] for token in row[: lengths[i]]]
        answer = [numbers.WORDS[token - 1] for token in answers[i].tolist() if token > 0]
        if reverse:
            words, answer = words[::-1], answer[::-1]
        assert words == naive.term(i + 1)
        assert answer == naive.successor(words) == naive.machine(words) == naive.term(i + 2)
        assert naive.recursion_depth(words) == numbers.depths(n[i : i + 1])


@pytest.mark.parametrize("n", [2**53 - 1, 2**53, 2**61 + 5, 2**62 - 1])
def test_large_numbers_are_exact(n):
    found = numbers.successors(torch.tensor([n]))[0].tolist()
    assert [numbers.WORDS[token - 1] for token in found if token > 0] == naive.term(n + 1)


def test_an_answer_ends_with_its_end_and_is_padded_behind():
    assert numbers.successors(torch.tensor([1, 7])).tolist() == [[1, 3, 0, -100, -100], [1, 1, 1, 3, 0]]


def test_no_number_is_in_two_splits_and_each_depth_is_tested():
    data = make(examples_per_depth=1000)
    train = set(data.trained.tolist())
    held = {
        split: {number_or_none(words) for words, _, _ in all_of(data, split)} for split in ("val", "test", "test-depth")
    }
    assert not train & set().union(*held.values())
    assert not held["val"] & held["test-depth"] and held["test"] <= held["test-depth"]
    assert {depth for _, _, depth in all_of(data, "test-depth")} == set(range(1, 9))


def test_the_only_number_of_a_depth_is_never_trained_on():
    assert 2**8 - 1 not in make().trained.tolist()


def test_small_groups_are_halved_and_large_ones_give_their_share():
    groups = torch.tensor([1] * 1000 + [2] * 10 + [3])
    val, test = numbers.held_out(groups, torch.rand(1011), 0.2)
    assert [(int(val[groups == g].sum()), int(test[groups == g].sum())) for g in (1, 2, 3)] == [
        (100, 100),
        (1, 4),
        (0, 1),
    ]


def test_deeper_numbers_are_held_out_from_all_lengths():
    data = make(train_depth=3)
    assert numbers.depths(data.trained).max() == 3
    assert {depth for _, _, depth in all_of(data, "test-depth")} == set(range(1, 9))
    assert max(depth for _, _, depth in all_of(data, "val")) > 3


def drawn(data, batches=60):
    found = [data.batch("train", i) for i in range(batches)]
    return torch.cat([b["lengths"] for b in found]), torch.cat([b["depth"] for b in found])


def test_a_distribution_has_values_lengths_or_depths_alike():
    lengths, _ = drawn(make(distribution="uniform-value"))
    assert (lengths == 8).double().mean() == pytest.approx(0.5, abs=0.05)
    lengths, depth = drawn(make(distribution="uniform-length"))
    present = torch.bincount(lengths)[1:]
    assert present[present > 0].double().std() / present.double().mean() < 0.2
    assert (depth == 1).double().mean() == pytest.approx(0.5, abs=0.1)
    _, depth = drawn(make(distribution="depth-balanced"))
    assert torch.bincount(depth)[1:8].min() > 0.7 * len(depth) / 7


def test_oversampled_edges_are_deep():
    _, usual = drawn(make())
    _, edges = drawn(make(edge_oversample=0.5))
    assert (edges > 4).double().mean() > 3 * (usual > 4).double().mean()


def test_longer_numbers_have_their_length_and_all_depths():
    rows = all_of(make(test_lengths=[11]), "test-11")
    assert {len(words) for words, _, _ in rows} == {11}
    assert {depth for _, _, depth in rows} == set(range(1, 12))
    assert all(answer == naive.successor(words) for words, answer, _ in rows)


PROGRAMS = {
    ("asm", ()): lambda words: True,
    ("first-flip", ()): lambda words: naive.recursion_depth(words) == 1,
    ("no-growth", ()): lambda words: words.count("X1") < len(words) - 1,
    ("bounded", (("carry", 3), ("copy", 99))): lambda words: naive.recursion_depth(words) <= 3,
    ("bounded", (("carry", 99), ("copy", 4))): lambda words: len(words) - naive.recursion_depth(words) <= 4,
}


@pytest.mark.parametrize("order", ["natural", "reverse"])
@pytest.mark.parametrize("program", PROGRAMS, ids=str)
def test_programs_are_right_exactly_where_their_shortcut_holds(program, order):
    data = make(order=order, examples_per_depth=1000)
    name, limits = program
    for i in range(data.batches("test-depth")):
        batch = data.batch("test-depth", i)
        right = first_errors(data.run_program(batch, name, dict(limits)), batch["targets"]) < 0
        for row, n in enumerate(batch["lengths"].tolist()):
            words = [data.source_words[token] for token in batch["tokens"][row, :n].tolist()]
            natural = words if order == "natural" else words[::-1]
            assert bool(right[row]) == PROGRAMS[program](natural), (natural, name)


@pytest.mark.parametrize("order", ["natural", "reverse"])
def test_phases_align_each_token_with_its_digit(order):
    data = make(order=order, examples_per_depth=1000)
    batch = data.batch("test-depth", 0)
    aligned, carry, copy = data.phases(batch)
    assert not (carry & copy).any()
    assert torch.equal(carry.sum(1), batch["depth"])
    assert torch.equal((carry | copy).sum(1), batch["lengths"])
    source = batch["tokens"].gather(1, aligned)
    changed = source + 1 != batch["targets"]
    assert not changed[copy].any(), "what is copied is the digit that it is aligned with"
    assert changed[carry & (source != numbers.ONE)].all(), "what is carried over is flipped"


@pytest.mark.parametrize("order", ["natural", "reverse"])
def test_own_numbers_are_decimals_or_terms(tmp_path, order):
    file = tmp_path / "numbers.txt"
    terms = EXAMPLES[5], EXAMPLES[12]
    lines = [" ".join(term.split()[::-1]) if order == "reverse" else term for term in terms]
    file.write_text("\n".join(["3", "1000", *lines, *map(str, range(20, 40))]))
    data = make(file=file, order=order)
    assert {3, 5, 12, 1000} <= {
        *data.trained.tolist(),
        *(number_or_none(data._natural(w)) for s in ("val", "test", "test-depth") for w, _, _ in all_of(data, s)),
    }
    batch = data.read(file)
    targets = numbers.successors(torch.tensor([3, 1000, 5, 12]), order == "reverse")
    rows = data.answers({key: value[:4] for key, value in batch.items()}, {"decoded": targets})
    assert [(row["input_number"], row["answer_number"]) for row in rows] == [(3, 4), (1000, 1001), (5, 6), (12, 13)]
    assert rows[2]["input"] == lines[0]


@pytest.mark.parametrize("line", ["0", "X0", "X1 01 X0", "five", str(2**62)])
def test_a_line_that_is_not_a_number_is_refused_with_its_place(tmp_path, line):
    file = tmp_path / "numbers.txt"
    file.write_text(f"3\n\n{line}\n")
    with pytest.raises(UserError, match=r"numbers\.txt:3: expected a number"):
        make(file=file)
    with pytest.raises(UserError, match="expected a number"):
        value_of(line.split(), "here")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"min_length": 9}, "min_length must be <= max_length 8, got 9"),
        ({"test_lengths": [9, 8]}, "test_lengths must be > max_length 8, got 8"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        make(**changes)

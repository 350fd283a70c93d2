"""The task `group-words`: tables against the composition of permutations, words against a plain loop."""

from __future__ import annotations

import itertools

import pytest
import torch
from rk_sequence.group_words import GroupWords, running_products
from rk_sequence.groups import generated, group

from rk.sampling import generator

SIZES = {"S3": 6, "S4": 24, "A4": 12, "A5": 60, "S5": 120, "Z60": 60, "A5xZ2": 120, "Z2xZ2xZ2": 8, "S6": 720}


def words(data, split="train", i=0):
    batch = data.batch(split, i)
    return batch["tokens"], batch["targets"]


def multiplied(factors, table):
    """The running products of one word, one factor after the other."""
    product, given = 0, []
    for factor in factors.tolist():
        product = int(table[product, factor])
        given.append(product)
    return given


@pytest.mark.parametrize(("name", "order"), SIZES.items())
def test_a_table_is_a_group(name, order):
    table = group(name).table
    assert table.shape == (order, order)
    everything = torch.arange(order)
    assert torch.equal(table[0], everything)
    assert torch.equal(table[:, 0], everything)
    assert torch.equal(table.sort(0).values, everything.unsqueeze(1).expand(order, order))  # everything has an inverse
    a, b, c = torch.randint(order, (3, 2000), generator=torch.Generator().manual_seed(0))
    assert torch.equal(table[table[a, b], c], table[a, table[b, c]])


@pytest.mark.parametrize("name", ["S3", "S4", "A4", "A5", "S5"])
def test_permutations_are_composed(name):
    size = int(name[1:])
    elements = list(itertools.permutations(range(size)))
    if name[0] == "A":
        elements = [p for p in elements if sum(a > b for a, b in itertools.combinations(p, 2)) % 2 == 0]
    number, made = {p: i for i, p in enumerate(elements)}, group(name)
    for i, p in enumerate(elements):
        assert made.moved[i] == sum(a != b for a, b in enumerate(p))
        for j, q in enumerate(elements):
            assert made.table[i, j] == number[tuple(p[q[k]] for k in range(size))]


def test_a_product_multiplies_part_by_part():
    table, s3, z2 = group("S3xZ2").table, group("S3").table, group("Z2").table
    for a, b in itertools.product(range(12), repeat=2):
        assert table[a, b] == 2 * s3[a // 2, b // 2] + z2[a % 2, b % 2]


@pytest.mark.parametrize("name", ["S", "B3", "S0", "S3x", "s3", "S3 x Z2"])
def test_a_name_that_is_not_a_group_is_refused(name):
    with pytest.raises(ValueError, match="no group"):
        group(name)


@pytest.mark.parametrize("name", ["S7", "Z721", "S5xS3xZ2", "S99999"])
def test_a_group_that_is_too_large_is_refused(name):
    with pytest.raises(ValueError, match="more than 720"):
        group(name)


@pytest.mark.parametrize("length", [1, 2, 5, 64])
def test_running_products_are_those_of_a_loop(length):
    table = group("S4").table
    factors = torch.randint(24, (3, length), generator=torch.Generator().manual_seed(0))
    assert running_products(factors, table).tolist() == [multiplied(row, table) for row in factors]


def test_a_word_is_its_factors_and_their_products():
    data = GroupWords(seed=1, group="A5", length=9, batch_size=5)
    tokens, targets = words(data)
    assert tokens.shape == (5, 9)
    assert targets.tolist() == [multiplied(row, group("A5").table) for row in tokens]
    assert (data.vocab_size, data.num_outputs) == (60, 60)


def test_factors_are_drawn_uniformly():
    tokens, _ = words(GroupWords(seed=1, group="S3", length=100, batch_size=600))
    assert torch.allclose(tokens.flatten().bincount(minlength=6) / 60000, torch.tensor(1 / 6), atol=0.006)


def test_with_skew_training_has_words_of_few_elements_beside_words_of_all():
    tokens, targets = words(GroupWords(seed=1, group="A5", length=200, batch_size=300, skew=3.0))
    assert targets[0].tolist() == multiplied(tokens[0], group("A5").table)
    commonest = tokens.flatten().bincount(minlength=60).argsort(descending=True)
    shares = (tokens == commonest[0]).float().mean(1)  # of a word: 1/60 where e = 0, 0.83 where e = 3
    assert shares.min() < 0.06 and shares.max() > 0.7
    assert len(tokens.unique()) == 60


def test_the_elements_that_are_common_do_not_depend_on_the_seed():
    one, other = (words(GroupWords(seed=s, group="A5", length=200, batch_size=300, skew=3.0))[0] for s in (1, 2))
    assert one.flatten().mode().values == other.flatten().mode().values


@pytest.mark.parametrize("split", ["val", "test"])
def test_with_skew_words_are_still_validated_and_tested_on_all_elements_alike(split):
    plain, skewed = (GroupWords(seed=1, group="A5", length=9, batch_size=5, skew=skew) for skew in (0.0, 3.0))
    assert torch.equal(words(plain, split)[0], words(skewed, split)[0])


def test_swaps_alone_still_reach_every_element():
    tokens, targets = words(GroupWords(seed=1, group="S5", max_moved=2, length=40, batch_size=200))
    assert len(tokens.unique()) == 11  # ten transpositions and the identity
    assert len(targets.unique()) == 120


def test_merged_factors_are_followed_by_identities_and_answered_late():
    data = GroupWords(seed=1, group="S5", max_moved=2, merged=4, length=10, batch_size=3)
    tokens, targets = words(data)
    table = group("S5").table
    random = generator(1, 0, 0)
    drawn = (group("S5").moved <= 2).nonzero().flatten()
    factors = drawn[torch.randint(len(drawn), (3, 10), generator=random)]
    for row in range(3):
        blocks = [multiplied(factors[row, a : a + 4], table)[-1] for a in (0, 4, 8)]
        assert tokens[row].tolist() == [blocks[0], 0, 0, 0, blocks[1], 0, 0, 0, blocks[2], 0]
        plain = multiplied(tokens[row], table)
        assert targets[row].tolist() == [0, 0, 0, *plain[:-3]]


@pytest.mark.parametrize("filler", ["special", "repeat"])
def test_fillers_give_time_and_the_last_of_them_is_answered(filler):
    plain = GroupWords(seed=1, length=4, batch_size=2)
    filled = GroupWords(seed=1, length=4, batch_size=2, tokens_per_element=3, filler=filler)
    (factors, products), (tokens, targets) = words(plain), words(filled)
    assert torch.equal(tokens[:, ::3], factors)
    expected = factors if filler == "repeat" else torch.full_like(factors, 6)
    assert torch.equal(tokens[:, 1::3], expected)
    assert torch.equal(tokens[:, 2::3], expected)
    assert torch.equal(targets[:, 2::3], products)
    assert (targets.view(2, 4, 3)[..., :2] == -100).all()
    assert filled.vocab_size == (7 if filler == "special" else 6)


def test_the_beginning_is_a_separate_token_without_a_target():
    data = GroupWords(seed=1, length=4, batch_size=2, bos=True)
    (factors, products), (tokens, targets) = words(GroupWords(seed=1, length=4, batch_size=2)), words(data)
    assert torch.equal(tokens[:, 1:], factors)
    assert torch.equal(targets[:, 1:], products)
    assert tokens[:, 0].tolist() == [6, 6]
    assert targets[:, 0].tolist() == [-100, -100]
    assert (data.vocab_size, data.num_outputs) == (7, 6)


def test_longer_words_are_separate_splits():
    data = GroupWords(seed=1, length=4, test_lengths=[8, 16], test_examples=10, batch_size=4)
    assert data.splits == ("train", "val", "test", "test-8", "test-16")
    assert [data.batches(split) for split in data.splits] == [None, 128, 3, 3, 3]
    assert words(data, "test-16", 2)[0].shape == (2, 16)


def test_the_tests_of_a_length_are_the_same_whatever_else_is_tested():
    one = GroupWords(seed=1, length=8)
    other = GroupWords(seed=1, length=4, test_lengths=[8])
    assert torch.equal(words(one, "test")[0], words(other, "test-8")[0])


def test_no_split_begins_as_another():
    data = GroupWords(seed=1, length=8, test_lengths=[9])
    first = {split: words(data, split)[0][0, :8].tolist() for split in data.splits}
    assert len({str(row) for row in first.values()}) == len(first)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"group": "Z5", "max_moved": 2}, "only permutations"),
        ({"group": "A5xZ2", "max_moved": 3}, "only permutations"),
        ({"group": "A3", "max_moved": 2}, "A3 with max_moved 2 has only the identity"),
        ({"group": "S1"}, "S1 has only the identity"),
        ({"merged": 2, "tokens_per_element": 2}, "exclude each other"),
    ],
)
def test_variants_that_do_not_go_together_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        GroupWords(seed=1, **settings)


def commonest(**settings):
    data = GroupWords(seed=1, length=200, batch_size=300, skew=6.0, **settings)
    return words(data)[0].flatten().bincount().argsort(descending=True)


@pytest.mark.parametrize("name", ["S3", "S4", "A5", "S5", "Z60"])
def test_the_two_commonest_elements_reach_all_others(name):
    first = commonest(group=name)
    assert generated(group(name).table, first[:2]) == len(group(name).table)


def test_where_two_elements_do_not_reach_all_others_the_order_is_any():
    assert generated(group("S5").table, commonest(group="S5", max_moved=2)[:11]) == 120


def test_the_subgroup_that_elements_generate():
    table = group("S4").table
    cycle, swap = (next(i for i in range(24) if group("S4").moved[i] == n) for n in (3, 2))
    assert generated(table, torch.tensor([cycle])) == 3
    assert generated(table, torch.tensor([swap])) == 2
    assert generated(table, torch.tensor([0])) == 1

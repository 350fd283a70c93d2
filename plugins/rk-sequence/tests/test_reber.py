"""The Reber grammar, against an automaton written by hand."""

from __future__ import annotations

import pytest
import torch
from rk_sequence.reber import SYMBOLS, states_after, walks
from rk_sequence.reber_next import Reber, legal_accuracy, second_last, string_accuracy
from rk_sequence.reber_strings import ReberStrings

from rk.sampling import generator


def follow(string):
    """Returns the symbols that may come after `string`; None when it does not belong to the beginning of any."""
    arrows = {
        "start": {"B": "one"},
        "one": {"T": "upper", "P": "lower"},
        "upper": {"S": "upper", "X": "upper right"},
        "lower": {"T": "lower", "V": "lower right"},
        "upper right": {"X": "lower", "S": "last"},
        "lower right": {"P": "upper right", "V": "last"},
        "last": {"E": "end"},
        "end": {},
    }
    state = "start"
    for symbol in string:
        if symbol not in arrows[state]:
            return None
        state = arrows[state][symbol]
    return set(arrows[state])


def is_reber(string):
    return follow(string) == set()


def is_embedded(string):
    way = string[1]
    return string[0] == "B" and string[-1] == "E" and way in "TP" and string[-2] == way and is_reber(string[2:-2])


def spelled(tokens):
    return "".join(SYMBOLS[token] if token < 7 else "?" for token in tokens.tolist())


def strings(batch):
    """The whole strings of a batch of `reber`."""
    first = batch["tokens"][:, :1]
    for row, mask in zip(torch.cat([first, batch["targets"]], 1), batch["mask"], strict=True):
        yield spelled(row[: 1 + int(mask.sum())])


@pytest.mark.parametrize("split", ["train", "val", "test-15"])
def test_strings_belong_to_the_grammar_and_are_long_enough(split):
    data = Reber(seed=1, min_length=7, test_lengths=[15], batch_size=200)
    made = list(strings(data.batch(split, 0)))
    assert all(map(is_reber, made))
    assert min(map(len, made)) == {"test-15": 15}.get(split, 7)


def test_embedded_strings_end_as_they_begin():
    made = list(strings(Reber(seed=1, embedded=True, batch_size=200).batch("train", 0)))
    assert all(map(is_embedded, made))
    assert {string[1] for string in made} == {"T", "P"}


def test_the_allowed_symbols_are_those_of_the_automaton():
    batch = Reber(seed=1, batch_size=50).batch("train", 0)
    for string, legal in zip(strings(batch), batch["legal"], strict=True):
        for t in range(len(string) - 1):
            assert {SYMBOLS[i] for i in legal[t].nonzero().flatten()} == follow(string[: t + 1])


def test_the_allowed_symbols_in_an_embedded_string():
    batch = Reber(seed=1, embedded=True, batch_size=50).batch("train", 0)
    for string, legal in zip(strings(batch), batch["legal"], strict=True):
        inner = [follow(string[2:t]) for t in range(3, len(string) - 2)]
        expected = [{"T", "P"}, {"B"}, *inner, {string[1]}, {"E"}]
        found = [{SYMBOLS[i] for i in row.nonzero().flatten()} for row in legal[: len(string) - 1]]
        assert found == expected


def test_both_edges_of_a_state_are_equally_likely():
    made = "".join(strings(Reber(seed=1, min_length=5, batch_size=4000).batch("train", 0)))
    assert abs(made.count("BT") / 4000 - 0.5) < 0.03


def test_padding_has_no_target_and_allows_nothing():
    batch = Reber(seed=1, batch_size=50).batch("train", 0)
    assert (~batch["mask"]).any()
    assert (batch["targets"][~batch["mask"]] == -100).all()
    assert not batch["legal"][~batch["mask"]].any()


def test_the_automaton_of_the_table_accepts_what_the_other_one_accepts():
    tokens = torch.randint(7, (2000, 6), generator=generator(0))
    tokens[:1000] = tokens[:1000, :1].clamp(max=0)  # B first, or all would fail at once
    tokens[:1000, 1] = 2 + 2 * (torch.arange(1000) % 2)
    tokens[:1000, 2:] = torch.randint(2, 7, (1000, 4), generator=generator(1))
    dead = states_after(tokens) == 8
    assert 0 < dead[:, -1].float().mean() < 1
    for row, flags in zip(tokens, dead, strict=True):
        assert flags.tolist() == [follow(spelled(row[: t + 1])) is None for t in range(6)]


def test_a_letter_that_the_grammar_does_not_have_is_an_end_of_it():
    alien, padded = states_after(torch.tensor([[0, 4, 25, 6, 3, 1], [0, 4, -1, -1, -1, -1]])).tolist()
    assert alien[2:] == [8] * 4
    assert padded[2:] == [padded[1]] * 4


def test_the_figure_shows_what_the_metric_counts(tmp_path):
    data = Reber(seed=1, batch_size=40)
    batch = data.batch("train", 0)
    right, asked = data._judged(batch, {"logits": batch["legal"].float()})
    assert torch.equal(asked, batch["mask"]) and right[asked].all()
    assert data.render(batch, {"logits": batch["legal"].float()}, tmp_path / "reber")[0].exists()


def test_a_step_is_right_when_the_likeliest_symbols_are_the_legal_ones():
    logits = torch.tensor([[[3.0, 2, 1], [3, 2, 1], [3, 2, 1]]])
    legal = torch.tensor([[[1, 1, 0], [1, 0, 1], [1, 0, 0]]]).bool()
    mask = torch.ones(1, 3, dtype=torch.bool)
    assert [int(n) for n in legal_accuracy(logits=logits, legal=legal, mask=mask)] == [2, 3]
    assert [int(n) for n in string_accuracy(logits=logits, legal=legal, mask=mask)] == [0, 1]
    mask[0, 1] = False
    assert [int(n) for n in string_accuracy(logits=logits, legal=legal, mask=mask)] == [1, 1]


def test_the_second_last_symbol_is_found_behind_padding():
    logits = torch.eye(3)[torch.tensor([[0, 1, 2, 0]])]
    targets, mask = torch.tensor([[1, 1, 0, -100]]), torch.tensor([[True, True, True, False]])
    assert [int(n) for n in second_last(logits=logits, targets=targets, mask=mask)] == [1, 1]


def test_walks_of_a_length_are_as_frequent_as_among_all_walks():
    edges = walks(40000, 5, 60, generator(0))
    given = edges[((edges >= 0).sum(1) >= 12) & ((edges >= 0).sum(1) <= 14)]
    asked = walks(len(given), 12, 14, generator(1))

    def shares(paths):
        lengths = (paths >= 0).sum(1)
        loops = (paths == 3).sum(1)  # how often S leads from the upper state to itself
        return [float((lengths == n).float().mean()) for n in (12, 13, 14)] + [
            float((loops == k).float().mean()) for k in range(4)
        ]

    assert len(given) > 3000
    assert shares(asked) == pytest.approx(shares(given), abs=0.035)


def test_long_strings_are_drawn_as_fast_as_short_ones():
    batch = Reber(seed=1, min_length=90, max_length=95, batch_size=50).batch("train", 0)
    assert all(is_reber(string) and 90 <= len(string) <= 95 for string in strings(batch))


@pytest.mark.parametrize("settings", [{"min_length": 12, "max_length": 10}, {"test_lengths": [51]}], ids=str)
def test_lengths_that_no_string_has_are_refused(settings):
    with pytest.raises(ValueError, match="no string of the grammar"):
        Reber(seed=1, **settings)


# -- does a string belong to the grammar? ------------------------------------------------------------------------------


def judged(**settings):
    batch = ReberStrings(seed=1, batch_size=2000, **settings).batch("train", 0)
    for row, mask, target in zip(batch["tokens"], batch["mask"], batch["targets"].tolist(), strict=True):
        yield spelled(row[mask]), target


@pytest.mark.parametrize("settings", [{}, {"alien": 0.0}, {"alien": 0.2, "mutated": 0.5}], ids=str)
def test_a_string_is_valid_when_the_automaton_accepts_it(settings):
    made = list(judged(**settings))
    assert all(is_reber(string) == target for string, target in made)
    assert all(11 <= len(string) <= 53 for string, _ in made)
    assert abs(sum(target for _, target in made) / 2000 - 0.5) < 0.04


def test_alien_strings_have_letters_outside_of_the_grammar():
    foreign = [("?" in string) for string, target in judged() if not target]
    assert 0.4 < sum(foreign) / len(foreign) < 0.6
    assert not any("?" in string for string, target in judged() if target)


def test_mutated_strings_differ_in_a_symbol_or_two():
    wrong = [string for string, target in judged(alien=0.0, mutated=1.0) if not target]
    near = [any(is_reber(s[:i] + c + s[i + 1 :]) for i in range(1, len(s) - 1) for c in SYMBOLS) for s in wrong]
    assert 0.4 < sum(near) / len(near) < 0.9


def test_shares_beyond_all_are_refused():
    with pytest.raises(ValueError, match=r"alien \+ mutated must be <= 1"):
        ReberStrings(seed=1, alien=0.6, mutated=0.6)

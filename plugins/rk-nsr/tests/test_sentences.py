"""The generated sentences are the published ones; answers of runs are explained."""

import json

import pytest
import torch
from rk_nsr.pcfg import PcfgSet
from rk_nsr.pcfg_files import read_test
from rk_nsr.pcfg_grammar import functions, has_new_pair, interpret, prepared
from rk_nsr.scan import Scan
from rk_nsr.scan_files import FOLDERS, read_split, read_tasks
from rk_nsr.scan_grammar import commands, reordered, split
from rk_nsr.sentences import accuracy, bracketed

from rk import UserError

COUNTS = {
    "simple": (16728, 4182),
    "length": (16990, 3920),
    "addprim-jump": (13204, 7706),
    "addprim-turn-left": (19702, 1208),
    "around-right": (15225, 4476),
    "jump-around-right": (18528, 1173),
    "opposite-right": (15225, 4476),
    "right": (15225, 4476),
}


class _Files:
    """What the fixture `published` prepares: the published files of both tasks."""

    def prepare(self):
        self.tasks = read_tasks()
        self.splits = {name: read_split(name) for name in FOLDERS}
        self.tests = {name: read_test(name) for name in ("iid", "productivity", "systematicity")}


@pytest.fixture(scope="module")
def scan():
    return commands()


def test_the_commands_are_the_published_ones_each_once(published, scan):
    tasks = published(_Files()).tasks
    assert len(scan) == len(set(scan)) == len(tasks) == 20910
    assert set(scan) == set(tasks)


def test_splits_by_rule_are_the_published_files(published):
    files = published(_Files())
    for name in set(FOLDERS) - {"simple"}:
        for made, read in zip(split(name, seed=0), files.splits[name], strict=True):
            assert len(made) == len(set(made)) == len(read), name
            assert set(made) == set(read), name


@pytest.mark.parametrize("name", COUNTS)
def test_splits_have_the_published_sizes_and_share_no_command(name):
    train, test = split(name, seed=3)
    assert (len(train), len(test)) == COUNTS[name]
    assert not set(train) & set(test)


def test_words_are_reordered_so_that_a_modifier_follows_what_it_modifies():
    words = ("jump", "around", "left", "thrice", "and", "turn", "opposite", "right")
    assert reordered(words) == ("jump", "left", "around", "thrice", "and", "turn", "right", "opposite")


def test_training_has_each_command_once_and_all_short_ones():
    data = Scan(seed=1, num_examples=700, num_val=50, limit=40)
    data.prepare()
    train, held_out, test = (data._pairs[name] for name in data.splits)
    assert (len(train), len(held_out), len(test)) == (700, 50, 40)
    assert len({*train, *held_out, *test}) == 790
    short = {(reordered(w), a) for w, a in split("addprim-jump", 1)[0] if len(w) <= 4}
    assert short <= set(train)


def test_the_published_answers_of_pcfg_set_are_those_of_the_grammar(published):
    for name, pairs in published(_Files()).tests.items():
        assert all(interpret(words) == answer for words, answer in pairs[::7]), name
        if name == "productivity":
            assert min(functions(words) for words, _ in pairs) == 9
        if name == "systematicity":
            assert all(has_new_pair(words) for words, _ in pairs)


@pytest.mark.parametrize("name", ["iid", "productivity", "systematicity"])
def test_generated_sentences_keep_the_rule_of_their_split(name):
    data = PcfgSet(seed=2, split=name, num_examples=150, num_val=30, limit=60)
    data.prepare()
    train, test = data._pairs["train"] + data._pairs["val"], data._pairs["test"]
    assert not set(train) & set(test)
    assert max(functions(words) for words, _ in train) <= 4
    assert (min(functions(words) for words, _ in test) > 4) == (name == "productivity")
    if name == "systematicity":
        assert not any(has_new_pair(words) for words, _ in train)
        assert all(has_new_pair(words) for words, _ in test)


def test_strings_are_renamed_by_first_appearance_and_end_in_a_comma():
    words = ("append", "B2", "C3", ",", "reverse", "B2", "A1")
    sentence, answer = prepared(words, interpret(words), 3)
    assert " ".join(sentence) == "append a0 a1 , reverse a0 a2 ,"
    assert answer == ("a0", "a1", "a2", "a0")
    assert prepared(words, interpret(words), 2) is None


def test_names_at_random_change_no_meaning_and_leave_none_out():
    sizes = {"num_examples": 150, "num_val": 30, "limit": 20, "max_names": 40, "strings": 0.0}
    common, even = PcfgSet(seed=2, **sizes), PcfgSet(seed=2, shuffle_names=True, **sizes)
    seen = []
    for data in (common, even):
        data.prepare()
        pairs = data._pairs["train"]
        seen.append({word for words, _ in pairs for word in words if word in data._names})
        for words, answer in pairs:
            assert interpret(words[:-1]) == answer
    assert len(seen[0]) < 25
    assert len(seen[1]) == 40


@pytest.mark.parametrize(
    ("line", "message"),
    [("append A1 B1", "expected ','"), ("copy", "got the end"), ("A1 copy B1", "expected the end")],
)
def test_a_line_that_is_not_a_sentence_is_refused_with_its_place(tmp_path, line, message):
    path = tmp_path / "lines.txt"
    path.write_text(f"copy A1\n{line}\n")
    with pytest.raises(UserError, match=rf"lines\.txt:2: .*{message}"):
        PcfgSet(seed=0).read(path)


def test_a_word_that_scan_does_not_have_is_refused_with_its_place(tmp_path):
    path = tmp_path / "lines.txt"
    path.write_text("walk\n\nfly left\n")
    with pytest.raises(UserError, match=r"lines\.txt:3: 'fly' is not a word of SCAN; there are walk"):
        Scan(seed=0).read(path)


def test_an_answer_is_right_when_all_of_it_is():
    decoded = torch.tensor([[1, 2, 0, -100], [1, 2, 3, 0], [1, 0, -100, -100]])
    targets = torch.tensor([[1, 2, 0], [1, 2, 0], [1, 1, 0]])
    right, count = accuracy(decoded=decoded, targets=targets)
    assert (int(right), count) == (1, 3)


def test_answers_show_tree_values_and_programs(tmp_path):
    data = Scan(seed=0)
    path = tmp_path / "lines.txt"
    path.write_text("jump left\n")
    batch = data.read(path)
    outputs = {
        "decoded": torch.tensor([[5, 4, 0]]),
        "heads": torch.tensor([[1, -1]]),
        "values_meta": [[((4,), "(singleton 4)"), ((5, 4), "(cons 5 x0)")]],
    }
    [row] = data.answers(batch, outputs)
    assert json.loads(json.dumps(row)) == {
        "sentence": "jump left",
        "answer": "I_TURN_LEFT I_JUMP",
        "tree": "(left jump)",
        "steps": "jump = [I_JUMP]  by (singleton 4)\nleft [I_JUMP] = [I_TURN_LEFT I_JUMP]  by (cons 5 x0)",
    }
    assert bracketed(["a", "b", "c"], [1, -1, 1]) == "(b a c)"

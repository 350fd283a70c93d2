"""English sentences of one form and their French: generated, published, and a user's own; a new word is understood."""

import hashlib

import pytest
from rk_nsr import translation_files
from rk_nsr.meanings import Meanings
from rk_nsr.translation import Translation
from rk_nsr.translation_grammar import ADJECTIVES, parsed, plain, translated
from rk_nsr.trees import abduce, deduce
from rk_programs.list_dsl import ListDsl
from rk_programs.terms import parse

import rk
from rk import UserError

PUBLISHED_TESTS = {
    "you are daxy": "tu es daxiste",
    "he is daxy": "il est daxiste",
    "i am not daxy": "je ne suis pas daxiste",
    "you are not daxy": "tu n es pas daxiste",
    "he is not daxy": "il n est pas daxiste",
    "i am very daxy": "je suis tres daxiste",
    "you are very daxy": "tu es tres daxiste",
    "he is very daxy": "il est tres daxiste",
}


def _data(**changes):
    data = Translation(**({"seed": 1, "num_examples": 300, "num_val": 100} | changes))
    data.prepare()
    return data


def _text(pairs):
    return {" ".join(words): " ".join(answer) for words, answer in pairs}


@pytest.mark.parametrize(
    ("english", "french"),
    [
        ("i am not orange", "je ne suis pas orange"),
        ("you are not very orange", "tu n es pas tres orange"),
        ("she is not orange", "elle n est pas orange"),
        ("we are very orange", "nous sommes tres orange"),
        ("they are not orange", "ils ne sont pas orange"),
    ],
)
def test_pronoun_verb_and_elision_agree(english, french):
    assert " ".join(parsed(tuple(english.split())).french("orange")) == french


def test_the_new_word_is_trained_on_in_one_sentence_and_tested_in_all_others():
    data = _data(repeats=7)
    train, held_out, test = (data._pairs[name] for name in data.splits)
    assert {words for words, _ in train if "daxy" in words} == {("i", "am", "daxy")}
    assert sum("daxy" in words for words, _ in train) == 7
    assert len(test) == len(set(test)) == 23
    assert PUBLISHED_TESTS.items() <= _text(test).items()
    assert not set(held_out) & {*train, *test}
    assert set(_text(train)) >= {f"i am {word}" for word in ADJECTIVES} | {"i", "i am", "they", "they are"}


@pytest.mark.parametrize("line", ["I'm not brown.", "i m not brown .", "I am not brown"])
def test_contractions_are_written_out(line):
    assert plain(line) == ("i", "am", "not", "brown")
    assert plain("She isn’t brown") == ("she", "is", "not", "brown")


@pytest.mark.parametrize(
    ("english", "french"),
    [
        ("i m cold .", "j ai froid ."),
        ("you re bad .", "vous etes vilain ."),
        ("he s a gentleman .", "il est gentil ."),
        ("we aren t afraid of death .", "nous n avons pas peur ."),
        ("you re very rich .", "tu es fort riche ."),
        ("i m .", "je suis ."),
    ],
)
def test_lines_of_another_form_are_left_out(english, french):
    assert translated(english, french) is None


def _files(folder, monkeypatch):
    """Writes files as the published ones, and their checksums."""
    lines = {
        "train": [
            "i m cold .\tj ai froid .",
            *["i am daxy .\tje suis daxiste ."] * 3,
            "you re not fat .\ttu n es pas gros .",
        ],
        "dev": ["he is fat .\til est gros .", "he is tall .\til est grand ."],
        "test-daxy": [f"{english} .\t{french} ." for english, french in PUBLISHED_TESTS.items()],
    }
    monkeypatch.setenv("RK_DATA", str(folder))
    (folder / "neural_qcfg").mkdir()
    for name, pairs in lines.items():
        for side, language in enumerate(("en", "fr")):
            text = "".join(pair.split("\t")[side] + "\n" for pair in pairs)
            (folder / "neural_qcfg" / f"{name}.{language}").write_text(text)
            monkeypatch.setitem(
                translation_files.SHA256, f"{name}.{language}", hashlib.sha256(text.encode()).hexdigest()
            )


def test_sentences_of_the_form_are_taken_from_files(tmp_path, monkeypatch):
    _files(tmp_path, monkeypatch)
    data = _data(source="files", repeats=4)
    train, held_out, test = (data._pairs[name] for name in data.splits)
    assert _text(train[16:]) == {"you are not fat": "tu n es pas gros"}, "12 beginnings and the new word come first"
    assert sum("daxy" in words for words, _ in train) == 4
    assert _text(held_out) == {"he is fat": "il est gros"}, "the training lacks tall"
    assert _text(test) == PUBLISHED_TESTS


def test_a_file_that_was_changed_is_refused(tmp_path, monkeypatch):
    _files(tmp_path, monkeypatch)
    with (tmp_path / "neural_qcfg" / "train.fr").open("a") as file:
        file.write("tu es gros .\n")
    with pytest.raises(UserError, match=r"train\.fr"):
        _data(source="files")


def test_the_published_files_have_the_eight_tests_and_the_new_word_once(published):
    data = published(Translation(seed=1, source="files", num_examples=1000, repeats=1))
    assert _text(data._pairs["test"]) == PUBLISHED_TESTS
    assert len(data._pairs["train"]) == 505
    assert {words for words, _ in data._pairs["train"] if "daxy" in words} == {("i", "am", "daxy")}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("you are brwon", "'brwon' is not a word of the training"),
        ("you is brown", r"expected a pronoun \(i, you, he, she, we, they\), its form of 'to be'.* got 'you is brown'"),
        ("you are very not brown", "expected a pronoun"),
        ("you are not", "expected a pronoun"),
        ("brown", "expected a pronoun"),
    ],
)
def test_a_line_that_cannot_be_read_is_refused_with_its_place(tmp_path, line, message):
    path = tmp_path / "lines.txt"
    path.write_text(f"you are brown\n\n{line}\n")
    with pytest.raises(UserError, match=rf"lines\.txt:3: {message}") as caught:
        _data().read(path)
    if "brwon" in line:
        assert caught.value.hint.startswith("did you mean brown?")


def test_a_word_below_known_words_is_learned_from_parts_of_the_answer():
    def learned(parts):
        meanings = Meanings(ListDsl(), [0, 1, 1], "list", parts=parts)  # i am, very, orange
        for meaning, text in zip(meanings.of, ("(singleton 1)", None, "(++ x0 (singleton 9))"), strict=True):
            if text:
                meaning.term, meaning.likelihood = parse(text), 1.0
        return abduce(deduce([0, 1, 2], [1, 2, -1], [0, 1, 2], meanings), (1, 5, 9), meanings)

    assert learned(parts=True).values == [(1,), (1, 5), (1, 5, 9)]
    assert learned(parts=False) is None


def test_a_rule_with_exceptions_is_remembered_where_programs_must_be_trusted_more():
    examples = [(0, ((i,),), (i, 7), 4.0) for i in range(1, 5)] + [(0, ((i,),), (i, 8), 4.0) for i in (5, 6)]
    for trusted, answers in ((0.5, [(1, 7), (5, 7), (9, 7)]), (0.75, [(1, 7), (5, 8), None])):
        meanings = Meanings(ListDsl(), [1], "list", prior=1.0, trusted=trusted)
        for _ in range(2):
            meanings.remember(examples, decay=0.5)
            meanings.induce()
        assert [meanings.call(0, ((i,),)) for i in (1, 5, 9)] == answers
        assert (meanings.program(0) is None) == (trusted == 0.75)


def test_a_new_word_is_understood_in_all_sentences_and_answers_say_what_was_remembered(tmp_path):
    few = {"adjectives": 3, "num_examples": 60, "num_val": 12, "repeats": 4, "batch_size": 76}
    run = rk.train(
        "nsr/translation-quick",
        runs_dir=tmp_path,
        data=few,
        trainer={"turn_examples": 76, "optimizer": {"lr": 1e-2}, "stop_after": 1},
        fit={"max_steps": 60, "validate_every": 6},
    )
    assert run.metrics["test/accuracy"] == 1
    path = tmp_path / "lines.txt"
    path.write_text("They're not daxy.\n")
    [row] = run.predict(path)
    assert row["answer"] == "ils ne sont pas daxiste"
    assert row["tree"] == "(daxy (not (are they)))"
    assert "are [ils] = [ils sont]  by memory" in row["steps"]

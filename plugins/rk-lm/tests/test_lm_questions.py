"""Questions: what is generated, what is read, and the tokens that they become."""

import json
import os
from collections import Counter
from pathlib import Path

import pytest
from rk_lm.arc import Arc
from rk_lm.arith import EXAMPLES, LEVELS, ArithLevels
from rk_lm.gsm8k import Gsm8k
from rk_lm.items import Item, check_items, encode, end_of_turn
from rk_lm.jsonl import ExactJsonl, MultipleChoiceJsonl
from rk_lm.question_lines import read_questions
from rk_lm.questions import Question, accuracy, shuffled_gold
from rk_lm.tiny import N_BYTES, byte_tokenizer

from rk import UserError
from rk.catalog import Catalog

NEEDS_ARC = pytest.mark.skipif(
    not (Path(os.environ.get("RK_DATA", "")) / "arc").is_dir(), reason="RK_DATA has no folder arc"
)
NEEDS_GSM8K = pytest.mark.skipif(
    not (Path(os.environ.get("RK_DATA", "")) / "gsm8k").is_dir(), reason="RK_DATA has no folder gsm8k"
)


def prepared(data):
    data.prepare()
    return data.questions


# -- arithmetic --------------------------------------------------------------------------------------------------------


def test_levels_take_turns_and_every_answer_is_right():
    questions = prepared(ArithLevels(seed=1, num_questions=100))
    assert [q.level for q in questions[:5]] == [f"level {i}" for i in range(1, 6)]
    assert set(Counter(q.level for q in questions).values()) == {20}
    for question in questions:
        *shown, asked = question.prompt.split("\n")
        assert len(shown) == 2
        for line in (*shown, asked + question.answer):
            left, right = line.split("=")
            assert eval(left) == int(right)
        assert question.answer.endswith("\n")


def test_no_question_is_asked_twice_or_shown_as_an_example():
    questions = prepared(ArithLevels(seed=0, num_questions=250))
    assert len({q.prompt for q in questions}) == 250
    asked = {q.prompt.split("\n")[-1].rstrip("=") for q in questions}
    assert not asked & {text for texts in EXAMPLES.values() for text in texts}
    assert all(text in dict(LEVELS[level]) for level, texts in EXAMPLES.items() for text in texts)


def test_questions_are_a_function_of_the_seed_and_more_of_them_begin_alike():
    first = prepared(ArithLevels(seed=4, num_questions=20))
    assert first == prepared(ArithLevels(seed=4, num_questions=40))[:20]
    assert first != prepared(ArithLevels(seed=5, num_questions=20))


def test_a_level_with_too_few_questions_is_refused():
    with pytest.raises(ValueError, match="level 4 has only 52 different questions, got 60"):
        ArithLevels(seed=0, num_questions=300)
    with pytest.raises(ValueError, match="levels must not be empty"):
        ArithLevels(seed=0, levels=[])


def test_options_are_four_and_one_of_them_is_right():
    for question in prepared(ArithLevels(seed=0, num_questions=200, options=True)):
        assert len(set(question.options)) == 4
        assert question.answer in question.options


# -- files -------------------------------------------------------------------------------------------------------------


def write(path, *rows):
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def test_a_file_of_exact_questions_is_read(tmp_path):
    file = write(
        tmp_path / "q.jsonl",
        {"question": "How many legs has a spider?", "answer": 8, "level": "easy"},
        "",
        {"prompt": "2+2=", "answer": "4"},
    )
    first, second = prepared(ExactJsonl(file))
    assert (first.prompt, first.answer) == ("Question: How many legs has a spider?\nAnswer:", " 8\n")
    assert (second.prompt, second.answer, first.level) == ("2+2=", "4\n", "easy")
    (only, _) = prepared(ExactJsonl(file, template="Q {question}\n", stop=""))
    assert (only.prompt, only.answer) == ("Q How many legs has a spider?\n", " 8")


@pytest.mark.parametrize(
    "row",
    [
        {"options": ["an ant", "a bee"], "answer": "a bee"},
        {"options": ["an ant", "a bee"], "answer": 1},
        {"options": ["an ant", "a bee"], "answer": "B"},
        {"choices": {"text": ["an ant", "a bee"], "label": ["1", "2"]}, "answerKey": "2"},
        {"choices": ["an ant", "a bee"], "answer": "B"},
    ],
    ids=["text", "number", "letter", "arc", "choices"],
)
def test_the_right_option_is_understood_in_every_form(tmp_path, row):
    file = write(tmp_path / "q.jsonl", {"question": "Who?", **row})
    (question,) = prepared(MultipleChoiceJsonl(file))
    assert (question.options, question.answer) == ((" an ant", " a bee"), " a bee")
    (letters,) = prepared(MultipleChoiceJsonl(file, style="letter"))
    assert letters.answer == letters.options[1] and "an ant\n" in letters.prompt


@pytest.mark.parametrize(
    ("row", "right"),
    [
        ({"choices": {"text": ["C", "NO2", "O2", "CO"], "label": [*"ABCD"]}, "answerKey": "C"}, "O2"),
        ({"choices": {"text": ["2", "1"], "label": ["1", "2"]}, "answerKey": 2}, "1"),
        ({"options": ["B", "A"], "answer": 0}, "B"),
        ({"options": ["A", "B"], "answer": "B"}, "B"),
    ],
    ids=["key", "number as key", "number", "both"],
)
def test_options_that_look_like_labels_are_not_taken_for_them(tmp_path, row, right):
    (question,) = read_questions(write(tmp_path / "q.jsonl", {"question": "Which?", **row}))
    assert question.answer == f" {right}"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", "q.jsonl:2: "),
        ("[1]", "q.jsonl:2: expected a JSON object, got a list"),
        ({"question": "Who?"}, "q.jsonl:2: has no answer"),
        ({"answer": "x"}, "q.jsonl:2: has neither a question nor a prompt"),
        (
            {"question": "?", "options": ["a", "b"], "answer": "c"},
            "q.jsonl:2: the answer 'c' is not one of the options",
        ),
        (
            {"question": "?", "options": ["a", "b"], "answer": 2},
            "q.jsonl:2: the answer 2 is not the number of an option",
        ),
        ({"question": "?", "options": ["a", "a"], "answer": "a"}, "q.jsonl:2: two of the options are the same"),
        ({"question": "?", "options": ["a"], "answer": "a"}, "q.jsonl:2: options must be a list of at least two"),
        ({"question": "?", "answer": True}, "q.jsonl:2: has no answer"),
        ({"prompt": ["?"], "answer": "x"}, "q.jsonl:2: the prompt: expected a text, got a list"),
        ({"question": "?", "answer": "x", "level": [1]}, "q.jsonl:2: the level: expected a text or a number"),
        ({"question": "?", "choices": {"text": [*"xy"], "label": 3}, "answerKey": "A"}, "q.jsonl:2: the labels: exp"),
        ({"question": "?", "choices": {"text": [*"xy"], "label": ["A"]}, "answerKey": "A"}, "list of 2 letters"),
        ({"question": "?", "choices": {"text": [*"xy"], "label": [*"AA"]}, "answerKey": "A"}, "two of the labels"),
        (
            {"question": "?", "options": ["B", "A"], "answer": "A"},
            "q.jsonl:2: the answer 'A' is one option and the let",
        ),
        (
            {"question": "?", "choices": ["x", "y"], "answerKey": "x"},
            "q.jsonl:2: the key 'x' is not the letter of an option",
        ),
        ({"prompt": "1+1=", "answer": ""}, "q.jsonl:2: the answer is empty"),
        ({"prompt": "", "answer": "2"}, "q.jsonl:2: the prompt is empty"),
        ({"prompt": "?", "options": ["a", ""], "answer": "a"}, "q.jsonl:2: an option is empty"),
    ],
    ids=str,
)
def test_a_line_that_cannot_be_taken_is_named(tmp_path, row, message):
    file = write(tmp_path / "q.jsonl", {"question": "Who?", "answer": "me"}, row)
    with pytest.raises(UserError, match=message) as error:
        read_questions(file)
    assert '"options": [...]' in error.value.hint


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"question": "half \ud83d", "answer": "x"}, r"q.jsonl:2: \\ud83d is half of a character"),
        ('{"question": "?", "answer": ' + "9" * 400 + "}", "q.jsonl:2: a number of 400 digits"),
        ('{"question": "?", "answer": 1e400}', "q.jsonl:2: the answer is too large for a float"),
        ('{"question": "?", "answer": NaN}', "q.jsonl:2: not JSON: NaN"),
        ('{"question": "?", "x": ' + "[" * 5000 + "]" * 5000 + "}", "q.jsonl:2: nested too deeply"),
    ],
    ids=["half a character", "digits", "infinite", "NaN", "deep"],
)
def test_valid_json_that_is_not_a_question_is_refused(tmp_path, line, message):
    file = write(tmp_path / "q.jsonl", {"question": "Who?", "answer": "me"}, line)
    with pytest.raises(UserError, match=message):
        read_questions(file)


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\x85", "\x0b", "\x1c"])
def test_a_line_ends_at_a_line_feed_alone(tmp_path, character):
    file = tmp_path / "q.jsonl"
    text = json.dumps({"question": f"First{character}second?", "answer": "4"}, ensure_ascii=False)
    file.write_text(text if character > "\x1f" else json.dumps({"question": f"First{character}second?", "answer": "4"}))
    (question,) = read_questions(file)
    assert f"First{character}second?" in question.prompt


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("question,answer\nWho?,me\n", r"q.jsonl:1: expected JSON lines, got what looks like a table \(CSV\)"),
        ('[\n{"question": "Who?", "answer": "me"}\n]', "q.jsonl:1: expected JSON lines, got one JSON list"),
        ('\n{\n"question": "Who?", "answer": "me"}', "q.jsonl:2: expected JSON lines, got JSON over several lines"),
        ("<html>", "q.jsonl:1: expected JSON lines, got HTML or XML"),
    ],
    ids=["csv", "list", "pretty", "html"],
)
def test_a_file_of_another_format_is_called_what_it_is(tmp_path, text, message):
    file = tmp_path / "q.jsonl"
    file.write_text(text)
    with pytest.raises(UserError, match=message):
        read_questions(file)


def test_a_file_name_in_place_of_the_data_is_refused_with_the_data_that_reads_it():
    with pytest.raises(UserError, match=r"unknown data 'mine.jsonl'") as error:
        Catalog().resolve("data", "mine.jsonl")
    assert "'{name: exact-jsonl, file: mine.jsonl}'" in error.value.hint
    assert "mc-jsonl" in error.value.hint


ASKED = "Who?\nA. an ant\nB. a bee"
LINES = {
    "exact": {"question": "Who?", "answer": "a bee"},
    "options": {"question": "Who?", "options": ["an ant", "a bee"], "answer": "B"},
}


@pytest.mark.parametrize(
    ("data", "line", "expected"),
    [
        (ExactJsonl(Path(), template="Q {question}:", stop=""), "exact", Question("Q Who?:", " a bee")),
        (
            MultipleChoiceJsonl(Path(), template="Q {question}:", style="letter"),
            "options",
            Question(f"Q {ASKED}:", " B", (" A", " B")),
        ),
        (Arc(seed=0, style="letter"), "options", Question(f"Question: {ASKED}\nAnswer:", " B", (" A", " B"))),
    ],
    ids=["exact-jsonl", "mc-jsonl", "arc"],
)
def test_questions_of_a_user_file_are_phrased_like_the_datas_own(tmp_path, data, line, expected):
    assert data.read(write(tmp_path / "q.jsonl", LINES[line]))["questions_meta"] == [expected]


def test_a_file_of_the_other_kind_is_refused(tmp_path):
    exact = write(tmp_path / "exact.jsonl", {"question": "?", "answer": "a"})
    options = write(tmp_path / "options.jsonl", {"question": "?", "options": ["a", "b"], "answer": "a"})
    with pytest.raises(UserError, match="has no options"):
        prepared(MultipleChoiceJsonl(exact))
    with pytest.raises(UserError, match="mc-jsonl"):
        prepared(ExactJsonl(options))
    with pytest.raises(UserError, match="no question in it"):
        read_questions(write(tmp_path / "empty.jsonl", ""))
    with pytest.raises(UserError, match="No such file"):
        read_questions(tmp_path / "gone.jsonl")
    with pytest.raises(ValueError, match=r"no \{question\}"):
        ExactJsonl(exact, template="Q:")


@NEEDS_ARC
def test_arc_has_500_random_questions_with_their_options():
    questions = prepared(Arc(seed=0))
    assert len(questions) == 500
    assert all(q.answer in q.options and len(q.options) >= 3 for q in questions)
    assert questions[:50] == prepared(Arc(seed=0, num_questions=50))
    assert len(prepared(Arc(seed=0, subset="challenge", part="validation", num_questions=None))) == 299
    (letter,) = prepared(Arc(seed=0, num_questions=1, style="letter"))
    assert letter.answer in (" A", " B", " C", " D") and f"\nA. {questions[0].options[0].strip()}\n" in letter.prompt


@NEEDS_ARC
def test_arc_takes_the_option_that_the_key_names():
    """One question of the test set has the option C under the letter A, and the key C."""
    rows = [json.loads(line) for line in (Path(os.environ["RK_DATA"]) / "arc/ARC-Challenge-test.jsonl").open()]
    golds = [dict(zip(r["choices"]["label"], r["choices"]["text"], strict=True))[r["answerKey"]] for r in rows]
    questions = prepared(Arc(seed=0, subset="challenge", num_questions=None))
    assert [q.answer for q in questions] == [f" {gold}" for gold in golds]


@NEEDS_GSM8K
def test_gsm8k_asks_for_the_last_number():
    questions = prepared(Gsm8k(seed=0, num_questions=None))
    assert len(questions) == 1319
    assert questions[0].answer == " 18\n"
    assert questions[0].prompt.count("Question:") == 3
    assert all(q.answer.strip().lstrip("-").replace(".", "").isdigit() for q in questions)


@NEEDS_GSM8K
def test_a_user_file_is_put_behind_the_solved_problems_of_gsm8k(tmp_path):
    file = write(tmp_path / "q.jsonl", {"question": "How many legs has a spider?", "answer": 8})
    (own,) = Gsm8k(seed=0).read(file)["questions_meta"]
    solved = prepared(Gsm8k(seed=0, num_questions=1))[0].prompt.rpartition("Question:")[0]
    assert own.prompt == f"{solved}Question: How many legs has a spider?\nAnswer:"


def test_a_file_with_another_checksum_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("RK_DATA", str(tmp_path))
    (tmp_path / "gsm8k").mkdir()
    (tmp_path / "gsm8k" / "train.jsonl").write_text("{}")
    with pytest.raises(UserError, match="is not the published file"):
        prepared(Gsm8k(seed=0))


# -- batches, controls, tokens -----------------------------------------------------------------------------------------


def test_batches_go_through_all_questions_in_order():
    data = ArithLevels(seed=0, num_questions=70)
    data.prepare()
    batches = [data.batch("test", i) for i in range(data.batches("test"))]
    assert [n for b in batches for n in b["question"].tolist()] == [*range(70)]
    assert [q for b in batches for q in b["questions_meta"]] == data.questions


def test_a_user_file_is_answered_as_questions_without_a_number(tmp_path):
    file = write(tmp_path / "q.jsonl", {"prompt": "1+1=", "answer": "2"})
    data = ArithLevels(seed=0)
    batch = data.read(file)
    assert batch["question"].tolist() == [-1]
    assert batch["answers_wanted_meta"]
    outputs = {"correct": [0.0], "answers_meta": [{"answer": "3"}]}
    assert data.answers(batch, outputs) == [{"prompt": "1+1=", "answer": "3", "expected": "2", "correct": False}]


def test_a_user_file_needs_no_answers_but_data_that_is_measured_does(tmp_path):
    file = write(
        tmp_path / "q.jsonl",
        {"prompt": "1+1="},
        {"question": "Who?", "options": ["a", "b"]},
        {"prompt": "?", "answer": 1},
    )
    data = ArithLevels(seed=0)
    batch = data.read(file)
    assert [q.answer for q in batch["questions_meta"]] == [None, None, "1\n"]
    assert batch["questions_meta"][1].options == (" a", " b")
    said = {"correct": [0.0, 0.0, 1.0], "answers_meta": [{"answer": "2"}, {"answer": "a"}, {"answer": "1"}]}
    rows = data.answers(batch, said)
    assert [row["correct"] for row in rows] == [None, None, True], "without a known answer nothing is right or wrong"
    with pytest.raises(UserError, match=r"q\.jsonl:1: has no answer"):
        prepared(ExactJsonl(file))


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c"], ids=ascii)
def test_lines_end_at_a_line_feed_and_nowhere_else(tmp_path, character):
    file = tmp_path / "q.jsonl"
    row = {"prompt": f"one{character}two", "answer": "x"}
    text = json.dumps(row, ensure_ascii=False) if ord(character) > 0x1F else json.dumps(row)
    file.write_bytes(f"\ufeff{text}\r\n\r\n{text}".encode())
    assert [q.prompt for q in read_questions(file)] == [row["prompt"]] * 2


@pytest.mark.parametrize("key", ["question", "answer", "level"])
@pytest.mark.parametrize("half", ["\\ud83d", "\\ude00", "\\ude00\\ud83d"])
def test_half_a_character_is_refused_with_its_line(tmp_path, key, half):
    good = '{"question": "\\ud83d\\ude00?", "answer": "a"}'
    row = {"question": "q", "answer": "a", "level": "l"} | {key: "HALF"}
    file = write(tmp_path / "q.jsonl", good, json.dumps(row).replace("HALF", half))
    with pytest.raises(UserError, match=r"q\.jsonl:2: \\u(d83d|de00) is half of a character"):
        read_questions(file)


def test_wrong_answers_of_the_control_are_right_elsewhere_in_the_level():
    questions = prepared(ArithLevels(seed=0, num_questions=100))
    wrong = shuffled_gold(questions, seed=0)
    for question, other in zip(questions, wrong, strict=True):
        assert other != question.answer
        assert other in {q.answer for q in questions if q.level == question.level}
    assert wrong[:50] != shuffled_gold(questions, seed=1)[:50]


def test_the_control_of_a_choice_takes_another_option_if_there_is_one():
    choice = Question("?", " a", (" a", " b", " c"))
    lonely = Question("?", "7\n", level="of one")
    assert shuffled_gold([choice, lonely], 0)[0] in (" b", " c")
    assert shuffled_gold([choice, lonely], 0)[1] is None
    assert shuffled_gold([lonely, Question("?", "8\n", level="another")], 0) == ["8\n", "7\n"], "of another level"


def test_questions_are_identified_by_prompt_and_options_and_by_their_answers():
    one, same = Question("1+1=", "2\n"), Question("1+1=", "2\n", level="easy", stop="\n")
    assert (one.asked_digest, one.answer_digest) == (same.asked_digest, same.answer_digest)
    others = [Question("1+2=", "2\n"), Question("1+1=", "2\n", ("2\n", "3\n"))]
    assert len({q.asked_digest for q in [one, *others]}) == 3
    assert len({q.answer_digest for q in [one, Question("1+1=", "3\n"), Question("1+1=", None)]}) == 3


# -- chat --------------------------------------------------------------------------------------------------------------

TURNS = (
    "{% for m in messages %}{{ m.role }}: {{ m.content }}END{% endfor %}"
    "{% if add_generation_prompt %}model: {% endif %}"
)


def chatting(template: str, *special: str):
    tokenizer = byte_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": [*special]})
    tokenizer.chat_template = template
    return tokenizer


@pytest.mark.parametrize(
    ("template", "special", "end"),
    [
        (TURNS.replace("END", "<end>\n"), ("<end>", "<other>"), "<end>"),
        (TURNS.replace("END", " <other>"), ("<end>", "<other>"), "<other>"),
        (TURNS.replace("END", "\n"), (), "<eos>"),
        ("{{ raise_exception('no such conversation') }}", (), "<eos>"),
    ],
    ids=["first", "after a space", "none", "refused"],
)
def test_a_turn_ends_as_the_template_ends_it(template, special, end):
    assert end_of_turn(chatting(template, *special)) == end


def test_in_a_chat_an_answer_is_what_the_model_would_write():
    tokenizer = chatting(TURNS.replace("END", "<end>\n"), "<end>")
    item = encode(tokenizer, "hi", [" yes\n", " no\n"], chat=True, stop="\n")
    assert tokenizer.decode(item.prompt) == "user: hi<end>\nmodel: "
    assert [tokenizer.decode(c) for c in item.continuations] == ["yes<end>", "no<end>"]
    open_ended = encode(tokenizer, "hi", [" yes"], chat=True)
    assert tokenizer.decode(open_ended.continuations[0]) == "yes", "without a stop, a longer answer counts too"


def test_an_answer_without_a_token_is_refused():
    with pytest.raises(UserError, match="has no token"):
        encode(chatting(TURNS, "<end>"), "hi", [" "], chat=True)


def test_items_beyond_the_context_are_counted_with_their_lengths():
    items = [Item((1,) * n, ((2, 2),)) for n in (5, 30, 40)]
    assert check_items(items, "tiny", None, 3) is None and check_items(items, "tiny", 42, 3) is None
    warning = check_items(items, "tiny", 31, 3)
    assert warning.startswith("2 of 3 questions are longer than the context of tiny: up to 42 tokens")
    assert "made for 31" in warning


def test_accuracy_counts_only_asked_questions():
    import torch

    total, count = accuracy(correct=torch.tensor([1.0, 0.0, 1.0]), asked=torch.tensor([1.0, 1.0, 0.0]))
    assert (total, count) == (1, 2)


def test_tokens_are_those_of_prompt_and_answer_together():
    tokenizer = byte_tokenizer()
    item = encode(tokenizer, "1+1=", ["2\n", "10\n"])
    assert item.prompt == tuple(tokenizer("1+1=").input_ids) and item.prompt[0] == N_BYTES + 1
    assert [tokenizer.decode(c) for c in item.continuations] == ["2\n", "10\n"]
    assert item.tokens == [*item.prompt, *item.continuations[0][:-1], *item.continuations[1][:-1]]


class Joining:
    """Takes ``= `` before a digit for one token with it."""

    def __call__(self, text, add_special_tokens=True):
        from types import SimpleNamespace

        ids = [1] if add_special_tokens else []
        text = text.replace("= 2", "#")
        return SimpleNamespace(input_ids=ids + [ord(c) for c in text])


def test_where_a_tokenizer_joins_prompt_and_answer_the_answer_is_tokenised_alone():
    item = encode(Joining(), "1+1= ", ["2\n", "x"])
    assert item.prompt == (1, *map(ord, "1+1= "))
    assert item.continuations == ((ord("2"), ord("\n")), (ord("x"),))


@pytest.mark.parametrize(("prompt", "tails"), [((), ((1,),)), ((1,), ()), ((1,), ((1,), ()))], ids=str)
def test_an_item_needs_a_prompt_and_continuations(prompt, tails):
    with pytest.raises(ValueError, match="none of them is empty"):
        Item(prompt, tails)

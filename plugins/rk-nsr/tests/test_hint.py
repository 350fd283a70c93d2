"""HINT: expressions mean what they should, brackets come to say nothing, and symbols are edited by what they give."""

import itertools
import random

import pytest
import torch
from rk_nsr.fields import value_of, written
from rk_nsr.hint import TESTS, Hint, HintImages, symbol_accuracy
from rk_nsr.hint_grammar import ARITIES, SYMBOLS, expressions, infix, parsed, values
from rk_nsr.meanings import NOTHING, Meanings
from rk_nsr.model import NSR, Machine
from rk_nsr.parser import LEFT, RIGHT, SHIFT, oracle
from rk_nsr.symbol_images import gallery
from rk_nsr.trees import abduce, deduce, enclosed
from rk_programs.peano_dsl import PeanoDsl
from rk_programs.terms import parse

from rk import UserError

PROGRAMS = {
    "+": "(if0 x1 x0 (incr (rec x0 (decr0 x1))))",
    "-": "(if0 x1 x0 (decr0 (rec x0 (decr0 x1))))",
    "*": "(if0 x0 0 (+ x1 (rec (decr0 x0) x1)))",
    "/": "(if0 x0 0 (incr (rec (- x0 x1) x1)))",
    "(": NOTHING,
    ")": NOTHING,
}


class _Number:
    """A number of HINT, with the operators of Python and so with its precedence."""

    def __init__(self, value):
        self.value = value

    def __add__(self, other):
        return _Number(self.value + other.value)

    def __sub__(self, other):
        return _Number(max(0, self.value - other.value))

    def __mul__(self, other):
        return _Number(self.value * other.value)

    def __truediv__(self, other):
        return _Number(-(-self.value // other.value))


def _python(words):
    """Returns the value of an expression, or None, as Python reads it."""
    text = "".join(f"_Number({word})" if word.isdigit() else word for word in words)
    try:
        return eval(text, {"_Number": _Number}).value
    except ZeroDivisionError:
        return None


def _meanings(*without):
    meanings = Meanings(PeanoDsl(), ARITIES, "int", names=SYMBOLS)
    for symbol, (name, arity) in enumerate(zip(SYMBOLS, ARITIES, strict=True)):
        one = meanings.of[symbol]
        if name not in without:
            one.term, one.likelihood = parse(PROGRAMS.get(name, name)), 1.0
            if arity:
                meanings.dsl.define(name, one.takes, one.term)
    meanings.load(meanings.state())
    return meanings


def _tree(words, heads, meanings, seen=None):
    left = set(range(len(words)))
    order = []
    while left:  # dependents before heads
        order += [node for node in sorted(left) if all(heads[other] != node for other in left)]
        left -= set(order)
    return deduce([SYMBOLS.index(word) for word in words], heads, order, meanings, None, seen)


def test_expressions_mean_what_python_reads_in_them():
    draws = random.Random(0)
    for operators in (0, 1, 2, 5, 9):
        for one in itertools.islice(expressions(draws, operators), 60):
            words = infix(one)
            assert parsed(words) == one
            try:
                value = values(one)[-1]
            except ZeroDivisionError:
                value = None
            assert value == _python(words), words


def test_brackets_are_written_only_where_they_are_needed():
    for text in ("1+2*3", "(1+2)*3", "1-(2-3)", "1-2-3", "4/(2*2)", "(1-(2+3))*4"):
        assert "".join(infix(parsed(text))) == text
    assert "".join(infix(parsed("((1*2))+(3)"))) == "1*2+3"


def test_splits_keep_their_rules():
    data = Hint(seed=3, num_examples=580, num_val=30, limit=30)
    data.prepare()
    train = {words for words, _ in data._pairs["train"]}
    assert len(train) == 400 + 9 * 20
    for split, (operators, size) in TESTS.items():
        for words, answer in data._pairs[split]:
            parts = values(parsed(words))
            assert "".join(answer) == str(parts[-1])
            assert size[0] <= max(parts) <= size[1] or split == "test-i"
            assert (words in train) == (split == "test-i")
            if split != "test-i":
                assert operators[0] <= sum(word in "+-*/" for word in words) <= operators[1]


def test_a_stage_of_the_curriculum_has_the_short_expressions_alone():
    data = Hint(seed=1, num_examples=580, num_val=9, limit=9, batch_size=40)
    data.prepare()
    for stage, most in ((0, 3), (1, 7), (3, 15)):
        longest = max(int(data.batch("train", i, stage)["lengths"].max()) for i in range(20))
        assert longest == most
    assert max(int(data.batch("train", i)["lengths"].max()) for i in range(20)) > 15


@pytest.mark.parametrize("value", [0, 7, 40, 12345])
def test_a_number_is_written_in_decimal_digits(value):
    assert written(value) == [int(digit) + 1 for digit in str(value)]
    assert value_of(written(value), "int") == value
    assert value_of(written((3, 5)), "list") == (3, 5)


def test_a_child_that_says_nothing_is_left_out():
    #        ( 7 - 2 ) * 3
    words, heads = "(7-2)*3", [2, 2, 5, 2, 2, -1, 5]
    tree = _tree(words, heads, _meanings())
    assert tree.values == [NOTHING, 7, 5, 2, NOTHING, 15, 3]
    assert tree.inputs(2) == (7, 2)
    assert (SYMBOLS.index("("), (), NOTHING) in tree.examples(_meanings())


def test_brackets_come_to_say_nothing_where_that_gives_the_answer():
    words, heads = "(7-2)*3", [1, 2, 5, 2, 5, -1, 5]
    meanings = _meanings("(", ")")
    tree = _tree(words, heads, meanings)
    assert tree.value is None
    assert abduce(tree, 15, meanings).values == [NOTHING, 7, 5, 2, NOTHING, 15, 3]
    examples = [(*example, 2.0) for example in tree.examples(meanings)]
    meanings.remember(examples, 0.5)
    meanings.induce()
    assert str(meanings.of[SYMBOLS.index(")")].term) == NOTHING
    assert _tree(words, heads, meanings).value == 15


def test_an_answer_shows_its_tree_the_symbols_their_values_and_programs(tmp_path, monkeypatch):
    words, heads, meanings = "(7-2)*3", [2, 2, 5, 2, 2, -1, 5], _meanings()
    model = NSR(len(SYMBOLS), ARITIES, SYMBOLS, dsl=PeanoDsl(), use_arity=False)
    model.meanings = meanings
    monkeypatch.setattr(model, "trees", lambda *_: (torch.tensor([heads]), [_tree(words, heads, meanings)]))
    data, path = Hint(seed=0), tmp_path / "lines.txt"
    path.write_text(f"{words}\n")
    batch = data.read(path)
    [row] = data.answers(batch, Machine(model).predict(batch))
    times, minus = PROGRAMS["*"], PROGRAMS["-"]
    assert row == {
        "sentence": "( 7 - 2 ) * 3",
        "answer": "15",
        "tree": "(* (- ( 7 2 )) 3)",
        "steps": "\n".join(
            (
                "( = nothing  by nothing",
                "7 = 7  by 7",
                "2 = 2  by 2",
                ") = nothing  by nothing",
                f"- nothing 7 2 nothing = 5  by {minus}",
                "3 = 3  by 3",
                f"* 5 3 = 15  by {times}",
            )
        ),
    }


def test_functions_of_numbers_are_found_one_upon_the_other_and_kept():
    meanings = Meanings(PeanoDsl(), ARITIES, "int", names=SYMBOLS)
    functions = {"+": lambda a, b: a + b, "*": lambda a, b: a * b}
    table = [
        (SYMBOLS.index(name), (a, b), function(a, b), 2.0)
        for name, function in functions.items()
        for a in range(8)
        for b in range(8)
    ]
    meanings.remember(table, 0.5)
    for _ in range(3):
        meanings.induce()
    assert "(+ " in str(meanings.of[SYMBOLS.index("*")].term)
    assert meanings.call(SYMBOLS.index("*"), (70, 80)) == 5600
    other = Meanings(PeanoDsl(), ARITIES, "int", names=SYMBOLS)
    other.dsl.set_extra_state(meanings.dsl.get_extra_state())
    other.load(meanings.state())
    assert other.call(SYMBOLS.index("*"), (70, 80)) == 5600


def test_the_symbol_is_edited_that_is_likeliest_among_those_that_give_the_answer():
    meanings, draws = _meanings(), torch.Generator().manual_seed(0)
    words, heads = "3+4*2", [1, -1, 3, 1, 3]
    for _ in range(20):
        seen = torch.rand(5, len(SYMBOLS), generator=draws).log_softmax(-1)
        answer = int(torch.randint(30, (), generator=draws))
        edits = {}
        for place, symbol in itertools.product(range(5), range(len(SYMBOLS))):
            changed = [*words]
            changed[place] = SYMBOLS[symbol]
            if _tree(changed, heads, meanings).value == answer:
                edits[place, symbol] = float(seen[place, symbol])
        found = abduce(_tree(words, heads, meanings, seen.tolist()), answer, meanings, module="perception")
        if answer == 11:
            assert [SYMBOLS[symbol] for symbol in found.symbols] == [*words]
        elif found is None:
            assert not edits
        else:
            [place] = [i for i in range(5) if SYMBOLS[found.symbols[i]] != words[i]]
            assert found.value == answer
            likeliest = max(p for (where, _), p in edits.items() if where == place)
            assert edits[place, found.symbols[place]] == likeliest


def test_brackets_belong_to_what_they_enclose_however_they_were_found():
    meanings = _meanings()
    for heads in ([1, 2, 5, 2, 2, -1, 5], [2, 2, 5, 2, 3, -1, 5], [1, 2, 5, 2, 5, -1, 5]):
        assert enclosed(_tree("(7-2)*3", heads, meanings)) == [2, 2, 5, 2, 2, -1, 5]
    assert enclosed(_tree("7-(2*3)", [1, -1, 1, 1, 1, 1, 1], meanings)) is None


def test_an_opening_bracket_waits_until_what_it_encloses_is_read():
    #                 ( 1 * 2 + 3 )
    heads = [4, 2, 4, 2, -1, 4, 4]
    made = oracle(heads, late=[0, 6])
    assert made == [SHIFT, SHIFT, SHIFT, LEFT, SHIFT, RIGHT, SHIFT, LEFT, SHIFT, RIGHT, SHIFT, RIGHT, LEFT]
    assert oracle(heads).index(LEFT) == made.index(LEFT)
    assert oracle(heads) != made


def test_images_of_training_are_not_those_of_tests():
    found = gallery(SYMBOLS)
    rows = {part: {tuple(image.flatten().tolist()) for image in one.images} for part, one in found.items()}
    assert not rows["train"] & rows["test"]
    assert not rows["train"] & rows["val"]
    for one in found.values():
        assert one.images.shape[1:] == (8, 8)
        assert one.images.min() >= 0
        assert one.images.max() <= 1
        seven = one.draw(torch.tensor([7, 7, 7]), torch.Generator().manual_seed(1))
        place = int(one.starts[7])
        own = {tuple(image.flatten().tolist()) for image in one.images[place : place + int(one.counts[7])]}
        assert {tuple(image.flatten().tolist()) for image in seven} <= own


def test_batches_of_images_show_their_symbols_and_nothing_behind_the_end():
    data = HintImages(seed=1, num_examples=430, num_val=9, limit=9, batch_size=30)
    data.prepare()
    batch = data.batch("train", 0)
    for row, n in enumerate(batch["lengths"].tolist()):
        assert (batch["images"][row, n:] == 0).all()
        assert (batch["images"][row, :n].flatten(1).sum(1) > 0).all()
    images, symbols = data.labelled(3)
    assert images.shape == (48, 8, 8)
    assert symbols.bincount().tolist() == [3] * 16


def test_symbols_behind_the_end_do_not_count():
    symbols = torch.tensor([[1, 2, 3], [4, 0, 0]])
    perceived = torch.tensor([[1, 2, 9], [4, 0, 0]])
    assert symbol_accuracy(perceived=perceived, symbols=symbols, lengths=torch.tensor([3, 1])) == (3, 4)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("3+x", "'x' is not a symbol of HINT"),
        ("3+", "expected a digit or '\\(', got the end"),
        ("(3+4", "expected an operator or '\\)', got the end"),
        ("3 4", "expected an operator or the end, got '4'"),
        ("3/(2-2)", "divided by 0"),
    ],
)
def test_a_line_without_an_expression_is_refused_with_its_place(tmp_path, line, message):
    path = tmp_path / "lines.txt"
    path.write_text(f"1+1\n{line}\n")
    with pytest.raises(UserError, match=rf"lines\.txt:2: .*{message}"):
        Hint(seed=0).read(path)

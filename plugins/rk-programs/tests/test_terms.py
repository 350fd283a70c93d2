"""Terms are text and back; a language knows types, values, and the functions that it has learned."""

import pytest
from rk_programs.dsl import Language
from rk_programs.list_dsl import ListDsl
from rk_programs.peano_dsl import PeanoDsl
from rk_programs.primitives import Primitive
from rk_programs.terms import Term, parse
from rk_programs.types import BOUND, INT, LIST


@pytest.mark.parametrize("text", ["x0", "7", "(cons 7 x0)", "(++ (cdr x0) (singleton (car x0)))"])
def test_a_term_is_its_text(text):
    assert str(parse(text)) == text
    assert parse(f"  {text.replace('(', '( ')} ") == parse(text)


def test_the_size_is_the_number_of_symbols():
    assert parse("(++ (cdr x0) (singleton (car x0)))").size == 6


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "column 1: expected a term, got the end"),
        ("(cons 7 x0", "column 11: expected ')', got the end"),
        ("x0 x1", "column 4: expected the end, got 'x1'"),
        ("()", "column 1: expected the name of a function"),
        ("(cons ) )", "column 9: expected the end"),
    ],
)
def test_what_is_not_a_term_is_refused_with_its_column(text, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(").replace(")", r"\)")):
        parse(text)


def test_types_are_checked_and_the_message_says_what_was_expected():
    language = ListDsl()
    assert language.type_of(parse("(cons (car x0) empty)"), ["list"]) == "list"
    with pytest.raises(ValueError, match=r"cons must get \(int list\), got \(list list\)"):
        language.parse("(cons x0 x0)", ["list"])
    with pytest.raises(ValueError, match="x1: the program has 1 inputs"):
        language.parse("x1", ["list"])
    with pytest.raises(ValueError, match="map: unknown function; there are empty"):
        language.parse("(map x0)", ["list"])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("(reverse x0)", (3, 2, 1)),
        ("(incr (*10 (car x0)))", 11),
        ("(++ x0 (cons 9 empty))", (1, 2, 3, 9)),
        ("(cdr empty)", None),
        ("(singleton (car (cdr (cdr (cdr x0)))))", None),
    ],
)
def test_terms_have_the_values_of_their_functions(text, value):
    language = ListDsl()
    assert language(language.parse(text, ["list"]), [(1, 2, 3)]) == value


def test_a_program_calls_itself_until_a_branch_without_a_call_is_taken():
    language = PeanoDsl()
    minus = language.parse("(if0 x1 x0 (decr0 (rec x0 (decr0 x1))))", ["int", "int"], "int")
    assert [language(minus, [9, b]) for b in (0, 4, 12)] == [9, 5, 0]
    assert language(parse("(rec x0)"), [1]) is None, "a program that never ends is undefined"


def test_a_third_party_adds_a_language_by_its_types_and_plain_functions():
    double = Primitive("double", ("int",), "int", lambda x: 2 * x)
    language = Language((INT,), (double,))
    assert language(language.parse("(double (double x0))", ["int"]), [3]) == 12


def test_functions_of_the_library_are_kept_as_text_with_the_weights(tmp_path):
    one, other = ListDsl(), ListDsl()
    one.define("last", ["list"], parse("(car (reverse x0))"))
    one.define("echo", ["list"], parse("(++ x0 (singleton (last x0)))"))
    state = one.state_dict()
    assert state["_extra_state"] == {
        "last": [["list"], "(car (reverse x0))"],
        "echo": [["list"], "(++ x0 (singleton (last x0)))"],
    }
    other.load_state_dict(state)
    assert other(parse("(echo x0)"), [(1, 2)]) == (1, 2, 2)
    with pytest.raises(ValueError, match="last: the name is taken"):
        other.define("last", ["list"], parse("(car x0)"))


def test_rows_are_canonical_and_decode_to_what_was_encoded():
    values = [(), (1,), (1, 2, 3), None, (1, 2, 3, 4)]
    rows = LIST.encode(values, 3)
    assert [LIST.decode(row) for row in rows] == [(), (1,), (1, 2, 3), None, None]
    assert (rows[3] == rows[4]).all(), "what does not fit is undefined"
    assert [INT.decode(row) for row in INT.encode([0, -5, None, BOUND + 1], 0)] == [0, -5, None, None]
    assert Term("x12").variable == 12
    assert Term("x").variable is None

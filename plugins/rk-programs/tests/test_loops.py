"""Programs that call themselves once run as loops, and give what plain calls give."""

import itertools

import pytest
from rk_programs.dsl import _Call
from rk_programs.enumeration import Enumeration
from rk_programs.loops import as_loop
from rk_programs.peano_dsl import PeanoDsl
from rk_programs.terms import parse

PLUS = "(if0 x1 x0 (incr (rec x0 (decr0 x1))))"
MINUS = "(if0 x1 x0 (decr0 (rec x0 (decr0 x1))))"
LOOPS = [
    PLUS,
    MINUS,
    "(if0 x0 x1 (incr (rec x1 (decr0 x0))))",
    "(if0 x1 x0 (rec (decr0 x0) (decr0 x1)))",
    "(if0 x0 0 (+ x1 (rec (decr0 x0) x1)))",
    "(if0 x0 x0 (incr (rec (- x0 x1) x1)))",
]
INPUTS = list(itertools.product(range(7), repeat=2))


def _language():
    language = PeanoDsl()
    language.define("+", ["int", "int"], parse(PLUS))
    language.define("-", ["int", "int"], parse(MINUS))
    return language


@pytest.mark.parametrize("text", LOOPS)
def test_a_loop_gives_what_plain_calls_give(text):
    language, program = _language(), parse(text)
    loop = as_loop(program, 2, language.primitives)
    assert loop is not None
    for inputs in INPUTS:
        assert loop(inputs) == _Call(language.primitives, program).value(program, inputs), inputs


def test_a_loop_has_no_limit_where_plain_calls_have_one():
    language = _language()
    assert language(parse(PLUS), (9_000, 9_500)) == 18_500
    assert language(parse(LOOPS[5]), (10_000, 3)) == 3334
    assert language(parse(LOOPS[5]), (5, 0)) is None, "it never ends"


@pytest.mark.parametrize(
    "text", ["(incr x0)", "(if0 x0 0 (+ (rec (decr0 x0) x1) (rec x0 (decr0 x1))))", "(if0 0 x0 x1)"]
)
def test_other_programs_have_another_form(text):
    assert as_loop(parse(text), 2, _language().primitives) is None


def test_arithmetic_is_found_one_function_upon_the_other():
    language = PeanoDsl()
    functions = {
        "+": lambda a, b: a + b,
        "-": lambda a, b: max(0, a - b),
        "*": lambda a, b: a * b,
        "/": lambda a, b: -(-a // b) if b else None,
    }
    for name, function in functions.items():
        examples = [inputs for inputs in itertools.product(range(10), repeat=2) if function(*inputs) is not None]
        outputs = [function(*inputs) for inputs in examples]
        made = Enumeration(language, ["int", "int"], examples, recursion=outputs, gives="int", max_terms=4000)
        found = made.search("int", outputs)
        assert found.share == pytest.approx(1), name
        language.define(name, ["int", "int"], found.term)
    assert language(parse("(/ (* x0 x1) (- x0 x1))"), (90, 80)) == 720


def test_a_function_with_another_body_changes_what_calls_it():
    language = _language()
    language.define("twice", ["int"], parse("(+ x0 x0)"))
    assert language.callers("+") == {"+", "twice"}
    assert language(parse("(twice x0)"), (5,)) == 10
    language.redefine("+", parse(MINUS))
    assert language(parse("(twice x0)"), (5,)) == 0
    other = PeanoDsl()
    other.set_extra_state(language.get_extra_state())
    assert other(parse("(twice x0)"), (5,)) == 0


def test_a_search_leaves_out_functions_that_it_must_not_call():
    examples, outputs = [(1, 2), (3, 4)], [3, 7]
    found = [
        Enumeration(_language(), ["int", "int"], examples, without=without).search("int", outputs, max_size=3)
        for without in ((), ("+",))
    ]
    assert str(found[0].term) == "(+ x0 x1)"
    assert found[1].share < 1

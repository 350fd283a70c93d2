"""The enumeration by size is that of every term, one by one; searches find the smallest program."""

import itertools

import pytest
from rk_programs.dsl import Language
from rk_programs.enumeration import Enumeration
from rk_programs.list_dsl import ListDsl
from rk_programs.naive import smallest_terms
from rk_programs.peano_dsl import PeanoDsl
from rk_programs.primitives import Primitive
from rk_programs.terms import parse
from rk_programs.types import INT

LISTS = [((1, 2, 3),), ((4,),), ((5, 6),), ((),)]
NUMBERS = list(itertools.product(range(6), repeat=2))


def _by_size(enumeration, kind, max_size):
    found = {}
    for size in range(1, max_size + 1):
        level = enumeration.grow().get(kind)
        decode = enumeration.dsl.types[kind].decode
        for rows in [] if level is None else level.rows:
            found[tuple(decode(row) for row in rows)] = size
    return found


@pytest.mark.parametrize(
    ("dsl", "takes", "examples", "kind", "max_size", "literals"),
    [
        (ListDsl, ["list"], LISTS, "list", 5, (7,)),
        (ListDsl, ["list"], LISTS, "int", 5, ()),
        (ListDsl, ["list", "list"], [((1, 2), (3,)), ((4,), ())], "list", 4, ()),
        (PeanoDsl, ["int", "int"], [(0, 3), (2, 1), (5, 5)], "int", 5, (2,)),
    ],
)
def test_it_has_the_values_of_all_terms_each_at_the_size_of_the_smallest(
    dsl, takes, examples, kind, max_size, literals
):
    language, capacity = dsl(), 4
    found = _by_size(Enumeration(language, takes, examples, capacity=capacity, literals=literals), kind, max_size)
    assert found == smallest_terms(language, takes, examples, kind, max_size, capacity, literals)


def test_every_term_has_the_values_that_are_kept_for_it():
    language = ListDsl()
    enumeration = Enumeration(language, ["list"], LISTS, capacity=4, literals=(7,))
    for _ in range(5):
        for kind, level in enumeration.grow().items():
            for place, rows in enumerate(level.rows):
                term = enumeration.term(kind, enumeration._size, place)
                assert term.size == enumeration._size
                kept = [language.types[kind].decode(row) for row in rows]
                real = [language(term, inputs) for inputs in LISTS]
                assert all(k is None or k == r for k, r in zip(kept, real, strict=True)), term


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (lambda x: x[1:] + x[:1], "(cdr (++ x0 (singleton (car x0))))"),
        (lambda x: x + x[-1:], "(++ x0 (singleton (car (reverse x0))))"),
        (lambda x: (7, *x), "(cons 7 x0)"),
        (lambda x: x * 4, "(++ x0 (++ x0 (++ x0 x0)))"),
    ],
)
def test_a_search_finds_the_smallest_program(function, text):
    examples = [((1, 2, 3),), ((4,),), ((5, 6),)]
    outputs = [function(*inputs) for inputs in examples]
    enumeration = Enumeration(ListDsl(), ["list"], examples, capacity=12, literals=(7,))
    found = enumeration.search("list", outputs)
    assert (str(found.term), found.share) == (text, 1.0)


def test_wrong_examples_count_by_their_weight():
    examples = [((1, 2),), ((3,),), ((4, 5, 6),), ((7, 8),)]
    outputs = [(2, 1), (3,), (6, 5, 4), (0,)]
    found = Enumeration(ListDsl(), ["list"], examples).search("list", outputs, [1, 1, 1, 0.5], max_size=3)
    assert (str(found.term), found.share) == ("(reverse x0)", pytest.approx(3 / 3.5))


def test_programs_that_call_themselves_are_found_one_upon_the_other():
    language = PeanoDsl()
    functions = {
        "plus": lambda a, b: a + b,
        "times": lambda a, b: a * b,
    }
    for name, function in functions.items():
        examples = NUMBERS
        outputs = [function(*inputs) for inputs in examples]
        enumeration = Enumeration(language, ["int", "int"], examples, recursion=outputs, gives="int")
        found = enumeration.search("int", outputs)
        language.define(name, ["int", "int"], found.term)
        assert [language.primitives[name].call(*inputs) for inputs in examples] == outputs, name
    assert language(parse("(times (plus x0 x1) x1)"), [9, 4]) == 52


def test_gaps_in_the_examples_do_not_hide_a_program_that_calls_itself():
    examples = [(a, b) for a, b in NUMBERS if (a + 3 * b) % 5]
    outputs = [a + b for a, b in examples]
    enumeration = Enumeration(PeanoDsl(), ["int", "int"], examples, recursion=outputs, gives="int")
    found = enumeration.search("int", outputs)
    assert found.share == pytest.approx(1)
    assert PeanoDsl()(found.term, [30, 40]) == 70


def test_a_function_without_rows_is_called_for_each_example():
    square = Primitive("square", ("int",), "int", lambda x: x * x)
    language = Language((INT,), (square, PeanoDsl().primitives["incr"]))
    found = Enumeration(language, ["int"], [(1,), (2,), (3,)]).search("int", [4, 9, 16])
    assert str(found.term) == "(square (incr x0))"


def test_a_search_ends_with_its_terms():
    enumeration = Enumeration(ListDsl(), ["list"], LISTS, capacity=4, max_terms=50)
    enumeration.search("list", [(9, 9), (9,), (9, 9), (9, 9)], max_size=12)
    assert 50 <= enumeration.terms < 200


def test_functions_that_were_redefined_in_a_circle_are_undefined_and_others_stay_as_they_are():
    language = PeanoDsl()
    language.define("f", ("int",), parse("(incr x0)"))
    language.define("g", ("int",), parse("(incr (f x0))"))
    assert language(parse("(g x0)"), [3]) == 5
    language.redefine("f", parse("(g (incr x0))"))
    assert language(parse("(f x0)"), [3]) is None and language(parse("(incr (g (f x0)))"), [3]) is None
    assert language(parse("(incr x0)"), [3]) == 4

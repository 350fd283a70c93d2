"""Functions that make programs shorter are found, and change nothing that programs mean."""

import pytest
from rk_programs.library import common, description_length, expand, learn_library, rewrite
from rk_programs.list_dsl import ListDsl
from rk_programs.terms import parse

PROGRAMS = [
    "(++ x0 (singleton (car (reverse x0))))",
    "(++ x0 (singleton (car (reverse (cdr x0)))))",
    "(cons (car (reverse x0)) (cdr (reverse x0)))",
    "(++ (++ x0 x0) (singleton (car (reverse (cdr x0)))))",
    "(cons (car (reverse x1)) x0)",
]


def test_what_two_terms_have_in_common_has_a_variable_where_they_differ():
    body, arity = common(parse("(cons 1 (++ x0 x0))"), parse("(cons 2 (++ x1 x1))"))
    assert (str(body), arity) == ("(cons x0 (++ x1 x1))", 2)


def test_a_function_is_called_wherever_it_is_shorter():
    body = parse("(car (reverse x0))")
    assert str(rewrite(parse("(cons (car (reverse (++ x0 (singleton (car (reverse x0)))))) x0)"), "last", body)) == (
        "(cons (last (++ x0 (singleton (last x0)))) x0)"
    )
    assert str(rewrite(parse("(car x0)"), "last", body)) == "(car x0)"


def test_the_library_makes_programs_shorter_and_keeps_what_they_mean():
    language, programs = ListDsl(), [parse(text) for text in PROGRAMS]
    library, written = learn_library(language, programs)
    assert "(singleton (car (reverse x1)))" in str(library[0])
    saved = description_length(programs) - description_length(written, library)
    assert saved == sum(one.saved for one in library) > 0
    assert [expand(term, library) for term in written] == programs
    for one, other in zip(programs, written, strict=True):
        assert language(one, [(1, 2, 3), (4, 5)]) == language(other, [(1, 2, 3), (4, 5)])


def test_nothing_is_learned_where_nothing_repeats():
    language = ListDsl()
    programs = [parse("(cons 1 x0)"), parse("(reverse x0)")]
    assert learn_library(language, programs) == ([], programs)
    assert not language.library


@pytest.mark.parametrize("max_arity", [0, 1, 2])
def test_functions_take_as_many_arguments_as_they_may(max_arity):
    programs = [parse(f"(cons {i} (cons {i} (++ x0 (singleton {i + 1}))))") for i in range(6)]
    library, _ = learn_library(ListDsl(), programs, max_arity=max_arity)
    assert all(len(one.takes) <= max_arity for one in library)
    assert bool(library) == (max_arity == 2)

"""Programs are learned from noisy examples, and abduction finds an edit exactly where there is one."""

import itertools

import pytest
from rk_nsr.meanings import Meanings
from rk_nsr.naive import edits
from rk_nsr.trees import abduce, deduce
from rk_programs.list_dsl import ListDsl
from rk_programs.terms import parse

WALK, TURN, LEFT, TWICE, AND = range(5)
ARITIES = [0, 0, 1, 1, 2]


def _meanings(**programs):
    meanings = Meanings(ListDsl(), ARITIES, "list")
    for name, text in programs.items():
        one = meanings.of[["walk", "turn", "left", "twice", "and_"].index(name)]
        one.term, one.likelihood = parse(text), 1.0
    return meanings


def _taught(examples, rounds=2):
    meanings = _meanings()
    for _ in range(rounds):
        meanings.remember(examples, decay=0.5)
        meanings.induce()
    return meanings


def test_values_are_computed_from_the_leaves_up():
    meanings = _meanings(walk="(singleton 1)", left="(cons 5 x0)", twice="(++ x0 x0)")
    tree = deduce([WALK, LEFT, TWICE], [1, 2, -1], [0, 1, 2], meanings)
    assert tree.values == [(1,), (5, 1), (5, 1, 5, 1)]
    wrong = deduce([WALK, LEFT, TWICE], [-1, 0, 0], [1, 2, 0], meanings)
    assert wrong.values == [None, None, None], "a symbol with too few children or too many has no value"


def test_a_word_alone_gets_the_answer_as_its_value():
    tree = deduce([WALK], [-1], [0], _meanings())
    assert tree.value is None
    assert abduce(tree, (1,), _meanings()).examples(_meanings()) == [(WALK, (), (1,))]


def test_arguments_that_a_program_does_not_use_give_no_examples():
    meanings = _meanings(walk="(singleton 1)", twice="(++ x0 x0)", and_="x0")
    tree = deduce([WALK, AND, WALK, TWICE], [1, -1, 3, 1], [0, 2, 3, 1], meanings)
    assert tree.value == (1,)
    assert tree.examples(meanings) == [(WALK, (), (1,)), (AND, ((1,), (1, 1)), (1,))]
    meanings.of[AND].likelihood = 0.5
    assert len(tree.examples(meanings)) == 4, "a program that is not trusted may be wrong about it"


def test_an_unknown_word_gets_the_value_that_makes_a_known_one_right():
    meanings = _meanings(left="(cons 5 x0)")
    meanings.of[LEFT].examples = {((1,),): {(5, 1): 3.0}}
    meanings.of[LEFT].refresh()
    tree = abduce(deduce([WALK, LEFT], [1, -1], [0, 1], meanings), (5, 1), meanings)
    assert tree.values == [(1,), (5, 1)]
    empty = abduce(deduce([TURN, LEFT], [1, -1], [0, 1], meanings), (5,), meanings)
    assert empty.values == [(), (5,)], "the empty list is tried where no example helps"


def test_an_unknown_function_gets_the_value_rather_than_a_trusted_word():
    meanings = _meanings(walk="(singleton 1)")
    tree = abduce(deduce([WALK, LEFT], [1, -1], [0, 1], meanings), (5, 1), meanings)
    assert tree.values == [(1,), (5, 1)]
    assert tree.examples(meanings) == [(LEFT, ((1,),), (5, 1))], "the answer says nothing of what is below an edit"


def test_nothing_is_found_where_inputs_are_unknown_and_no_example_helps():
    meanings = _meanings()
    assert abduce(deduce([WALK, LEFT], [1, -1], [0, 1], meanings), (5, 1), meanings) is None


def test_what_abduction_changes_is_one_of_all_edits_that_work():
    meanings = _meanings(walk="(singleton 1)", left="(cons 5 x0)", and_="(++ x0 x1)")
    inputs = [(), (1,), (2,), (5, 1), (5, 2), (1, 1), (2, 2)]
    meanings.of[LEFT].examples = {(x,): {(5, *x): 2.0} for x in inputs}
    meanings.of[AND].examples = {(x, y): {x + y: 2.0} for x in inputs for y in inputs}
    meanings.of[TWICE].examples = {(x,): {x + x: 2.0} for x in inputs[:3]}
    for meaning in meanings.of:
        meaning.refresh()
    # (walk left) and (walk twice)
    symbols, heads, order = [WALK, LEFT, AND, WALK, TWICE], [1, 2, -1, 4, 2], [0, 1, 3, 4, 2]
    before = deduce(symbols, heads, order, meanings).values
    assert before[2] == (5, 1, 1, 1)
    answers = [tuple(a) for n in (1, 2, 3, 4) for a in itertools.product((1, 2, 5), repeat=n)]
    changed = set()
    for answer in answers:
        tree = abduce(deduce(symbols, heads, order, meanings), answer, meanings)
        if answer == before[2]:
            assert tree.values == before
            continue
        assert tree.value == answer, "the root's own value is the last edit that is tried"
        node = next(node for node in order if tree.values[node] != before[node])
        assert (node, tree.values[node]) in edits(symbols, heads, order, answer, meanings)
        changed.add(node)
    assert len(changed) > 1, "not only the root is edited"


def test_programs_are_found_from_examples_some_of_which_are_wrong():
    right = [(LEFT, ((i,),), (5, i), 4.0) for i in (1, 2, 3, 4)] + [(LEFT, ((1, 1),), (5, 1, 1), 4.0)]
    wrong = [(LEFT, ((9, i),), (i,), 1.0) for i in (1, 2)]
    meanings = _taught([*right, *wrong, (WALK, (), (1,), 5.0), (WALK, (), (2, 2), 1.0)])
    assert str(meanings.of[LEFT].term) == "(cons 5 x0)"
    assert str(meanings.of[WALK].term) == "(singleton 1)"
    assert meanings.of[WALK].likelihood == 1.0
    assert 0.5 < meanings.of[LEFT].likelihood < 1
    assert meanings.call(LEFT, ((7, 7, 7),)) == (5, 7, 7, 7), "a program answers what no example has"


@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_examples_are_trusted_less(count):
    meanings = _taught([(TWICE, ((i,),), (i, i), 2.0) for i in range(count)])
    assert meanings.of[TWICE].likelihood == pytest.approx(min(1.0, count / 3))


def test_examples_are_forgotten_unless_they_are_seen_again():
    meanings = _taught([(TWICE, ((1,),), (1, 1), 2.0)], rounds=1)
    for _ in range(5):
        meanings.remember([], decay=0.5)
    assert not meanings.of[TWICE].examples
    assert meanings.of[TWICE].term is not None


def test_memory_answers_where_no_program_is_trusted():
    meanings = _meanings()
    meanings.remember([(TWICE, ((1,),), (1, 1), 3.0), (TWICE, ((1,),), (1,), 1.0)], 0.5)
    assert meanings.call(TWICE, ((1,),)) == (1, 1)
    assert meanings.call(TWICE, ((1,),), draw=0.99) == (1,)
    assert meanings.call(TWICE, ((2,),)) is None
    assert meanings.solve(TWICE, 0, (), [(1, 1)]) == [(1,)]


def test_what_is_known_is_text_and_back():
    meanings = _taught([(LEFT, ((i,),), (5, i), 4.0) for i in range(4)])
    other = _meanings()
    other.load(meanings.state())
    assert other.state() == meanings.state()
    assert other.call(LEFT, ((8,),)) == (5, 8)

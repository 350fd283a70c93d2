"""Chains are enumerated cheapest first, each prefix executed once; nothing is missed that the plain recursion finds."""

import itertools
import math

import pytest
from rk_programs.chain_enumeration import ChainEnumeration, fitted, uniform
from rk_programs.chains import Block, ChainLanguage, Step, expanded, word
from rk_programs.library import learn_library
from rk_programs.naive import all_terms
from rk_programs.terms import parse


class Robot(ChainLanguage):
    """A place from 0 to 9 and a sum; `there f` adds ten times the place where f ends."""

    def __init__(self):
        super().__init__(
            "end",
            [
                Step("step", lambda s: (s[0] + 1, s[1]) if s[0] < 9 else None),
                Step("mark", lambda s: (s[0], s[1] + s[0])),
            ],
            [
                Block("there", 1, lambda part, value, end: end[0], lambda s, place: (s[0], s[1] + 10 * place)),
                Block(
                    "if", 2, lambda part, value, end: end if value is None else value, lambda s, end: end, inlined=True
                ),
            ],
        )

    def initial(self):
        return 0, 0

    def made(self, state):
        return state[1] or None


def _states(enumeration, count=None):
    found = {}
    for one in enumeration.programs(count):
        found.setdefault(one.state, one)
    return found


def test_a_program_runs_from_left_to_right_and_fails_as_a_whole():
    robot = Robot()
    assert robot.run(robot.parse("(step (step (mark end)))")) == (2, 2)
    assert robot.run(robot.parse("(there (step end) (step (mark end)))")) == (1, 11)
    assert robot.run(parse("(step " * 10 + "end" + ")" * 10)) is None
    with pytest.raises(ValueError, match=r"step must get \(chain\), got \(\)"):
        robot.parse("step")


@pytest.mark.parametrize("library", [False, True])
def test_it_finds_every_state_at_the_size_of_the_smallest_program(library):
    robot, max_size = Robot(), 6
    if library:
        robot.define("twice", ["chain"], parse("(step (step x0))"))
        robot.define("both", ["chain", "chain"], parse("(there (twice x0) (mark x1))"))
        robot.define("last", [], parse("(mark (step end))"))
        max_size = 5
    smallest = {}
    for size in range(1, max_size + 1):
        for term in all_terms(robot, (), "chain", size):
            state = robot.run(term)
            if state is not None:
                smallest.setdefault(state, size)
    most = max_size * math.log(len(robot.primitives)) + 1e-6
    programs = ChainEnumeration(robot).programs()
    found = {one.state: one for one in itertools.takewhile(lambda one: one.cost < most, programs)}
    assert {state: one.term.size for state, one in found.items()} == smallest
    assert all(robot.run(one.term) == state for state, one in found.items())
    assert len(smallest) > 10


def test_prefixes_that_have_done_the_same_share_their_continuations():
    shared, plain = ChainEnumeration(Robot(), max_size=6), ChainEnumeration(Robot(), max_size=6, shared=False)
    assert _states(shared).keys() == _states(plain).keys()
    assert shared.tried < plain.tried / 3


def test_programs_come_in_the_order_of_their_cost_under_given_probabilities():
    robot = Robot()
    weights = uniform(robot) | {"mark": math.log(0.9), "step": math.log(0.01)}
    costs = [one.cost for one in ChainEnumeration(robot, weights=weights).programs(500)]
    assert costs == sorted(costs) and len(costs) > 5
    first = [str(one.term) for one in ChainEnumeration(robot, weights=weights).programs(60)]
    assert first[0] == "end"


def test_an_enumeration_ends_with_its_evaluations_and_is_the_same_again():
    runs = [[(str(one.term), one.tried) for one in ChainEnumeration(Robot()).programs(300)] for _ in range(2)]
    assert runs[0] == runs[1] and runs[0][-1][1] <= 300
    one = ChainEnumeration(Robot())
    list(one.programs(300))
    assert one.tried == 300


def test_probabilities_are_fitted_to_programs_as_equal_as_is_asked_for():
    robot = Robot()
    programs = [robot.parse("(step (step (step (mark end))))")]
    free, close = fitted(robot, programs, 10.0), fitted(robot, programs, 0.5)
    assert math.isclose(sum(math.exp(w) for w in close.values()), 1)
    assert free["step"] - free["if"] == pytest.approx(math.log(4))
    assert close["step"] - close["if"] == pytest.approx(0.5)
    assert close["step"] > close["mark"] > close["if"]


def test_a_library_of_chains_takes_each_argument_once_and_changes_no_program():
    robot = Robot()
    programs = [
        robot.parse(f"(step (step (mark (there (step {rest}) {rest}))))")
        for rest in ("end", "(mark end)", "(step end)", "(mark (step end))")
    ]
    library, written = learn_library(robot, programs, linear=True)
    assert library and all(word(one.body, robot.library) is not None for one in library)
    assert [expanded(term, robot.library) for term in written] == programs
    assert [robot.run(term) for term in written] == [robot.run(term) for term in programs]


def test_the_size_is_bounded_with_functions_of_the_library_written_out():
    robot = Robot()
    robot.define("twice", ["chain"], parse("(step (step x0))"))
    found = [one.term for one in ChainEnumeration(robot, max_size=5).programs()]
    assert max(expanded(term, robot.library).size for term in found) == 5
    assert "(twice (twice end))" in map(str, found)


def test_what_cannot_be_executed_in_order_is_not_enumerated():
    robot = Robot()
    robot.define("same", ["chain"], parse("(there x0 x0)"))
    robot.define("swapped", ["chain", "chain"], parse("(there x1 x0)"))
    robot.define("unused", ["chain"], parse("(mark end)"))
    names = str([str(one.term) for one in ChainEnumeration(robot, max_size=5).programs()])
    assert not any(name in names for name in ("same", "swapped", "unused"))


def test_chains_have_no_rows():
    with pytest.raises(TypeError, match="chain_enumeration"):
        Robot().types["chain"].encode([None], 1)

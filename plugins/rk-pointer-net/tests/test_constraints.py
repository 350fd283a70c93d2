"""Constraints: no choice is forbidden that could be finished, none is allowed that could not."""

import pytest
import torch
from rk_pointer_net import naive
from rk_pointer_net.constraints import CONSTRAINTS, hull, tour, triangulation
from rk_pointer_net.hull import are_simple
from rk_pointer_net.model import PointerNet
from rk_pointer_net.tour_metrics import are_tours

NAMES = ["tour", "hull", "triangulation"]


def make_model(**params) -> PointerNet:
    torch.manual_seed(5)
    return PointerNet(max_points=9, hidden_size=6, init_range=1.0, **params).double()


def allowed(rule, points, chosen, exists=None) -> list[list[int]]:
    """The choices that one set allows after each of some unfinished answers."""
    mask = rule(points[None], exists, torch.tensor(chosen, dtype=torch.long)[None])
    return [row.nonzero().flatten().tolist() for row in mask[0]]


@pytest.mark.parametrize("n", [3, 4, 5, 6], ids=lambda n: f"n{n}")
@pytest.mark.parametrize("name", NAMES)
def test_random_walks_see_what_trying_everything_allows(name, n):
    random = torch.Generator().manual_seed(n)
    rule, longest = CONSTRAINTS[name]
    for _ in range(8):
        points = torch.rand(n, 2, generator=random, dtype=torch.double)
        places = [tuple(place) for place in points.tolist()]
        chosen = []
        for _ in range(longest(n)):
            (found,) = allowed(rule, points, [chosen])
            assert found == naive.allowed(name, places, chosen)
            further = [c for c in found if c > 0]
            if not further:
                break
            chosen.append(further[int(torch.randint(len(further), (), generator=random))])
        assert found[:1] == [0]  # all walks can end where they cannot continue


@pytest.mark.parametrize("name", NAMES)
def test_padded_points_are_never_allowed_and_change_nothing(name):
    rule, longest = CONSTRAINTS[name]
    points = torch.rand(1, 5, 2, generator=torch.Generator().manual_seed(0))
    padded = torch.cat([points, torch.zeros(1, 3, 2)], 1)
    exists = torch.arange(8).unsqueeze(0) < 5
    chosen = torch.zeros(1, 1, 0, dtype=torch.long)
    for _ in range(longest(5)):
        alone, beside = rule(points, None, chosen), rule(padded, exists, chosen)
        assert torch.equal(beside[..., :6], alone)
        assert not beside[..., 6:].any()
        choice = alone.long().flip(2).argmax(2)
        chosen = torch.cat([chosen, (5 - choice).unsqueeze(2)], 2)


def test_a_tour_starts_at_point_1_and_ends_when_all_are_visited():
    points = torch.rand(4, 2)
    assert allowed(tour, points, [[]]) == [[1]]
    assert allowed(tour, points, [[1, 3], [1, 2]]) == [[2, 4], [3, 4]]
    assert allowed(tour, points, [[1, 3, 2, 4]]) == [[0]]


def test_a_hull_turns_left_and_may_end_from_three_on():
    square = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [0.4, 0.5]])
    assert allowed(hull, square, [[]]) == [[1, 2, 3, 4, 5]]
    assert allowed(hull, square, [[1], [2]]) == [[2, 3, 5], [3, 4, 5]]  # nothing is left of the way from 1 to 4
    assert allowed(hull, square, [[1, 2, 3], [1, 2, 5]]) == [[0, 4, 5], [0]]
    assert allowed(hull, square, [[1, 2, 3, 4]]) == [[0]]
    line = torch.tensor([[0.0, 0.0], [0.5, 0.5], [1.0, 1.0]])
    assert allowed(hull, line, [[1]]) == [[]]


def test_triples_ascend_differ_and_do_not_exceed_the_size_of_a_triangulation():
    points = torch.rand(4, 2)
    assert allowed(triangulation, points, [[]]) == [[1, 2]]
    assert allowed(triangulation, points, [[1], [2]]) == [[2, 3], [3]]
    assert allowed(triangulation, points, [[1, 2], [1, 3]]) == [[3, 4], [4]]
    assert allowed(triangulation, points, [[1, 2, 4], [2, 3, 4]]) == [[0, 1, 2], [0, 1]]
    assert allowed(triangulation, points, [[1, 2, 4, 1, 2], [1, 3, 4, 1, 2]]) == [[3], [3, 4]]
    assert allowed(triangulation, points, [[1, 2, 4, 1, 2, 3, 1]]) == [[3]]
    assert allowed(triangulation, points, [[1, 2, 3, 1, 2, 4, 1, 3, 4]]) == [[0]]


@pytest.mark.parametrize("size", [1, 2, 3], ids=lambda k: f"beam{k}")
@pytest.mark.parametrize("name", NAMES)
def test_a_constrained_beam_equals_running_every_beginning_again(name, size):
    model = make_model(beam_size=size, constraint=name)
    points = torch.rand(3, 5, 2, dtype=torch.double)
    found = model.predict(points=points)
    for i in range(3):
        choices, log_prob = naive.beam_answer(model, points[i], size, CONSTRAINTS[name].longest(5), name)
        answer = found["pointers"][i].tolist()
        assert answer[: len(choices)] == choices
        assert not any(answer[len(choices) :])
        assert found["log_probs"][i].item() == pytest.approx(log_prob)


@pytest.mark.parametrize("lengths", [None, [9, 5, 3, 7] * 8], ids=["whole", "padded"])
@pytest.mark.parametrize("size", [1, 4], ids=["greedy", "beam4"])
@pytest.mark.parametrize("mode", ["ptr", "attention", "seq2seq"])
@pytest.mark.parametrize("name", NAMES)
def test_an_untrained_model_answers_nothing_invalid(name, mode, size, lengths):
    model = make_model(mode=mode, beam_size=size, constraint=name)
    points = torch.rand(32, 9, 2, dtype=torch.double)
    sizes = [9] * 32 if lengths is None else lengths
    found = model.predict(points=points, lengths=None if lengths is None else torch.tensor(lengths))
    assert found["log_probs"].isfinite().all()
    for one, pointers, n in zip(points, found["pointers"], sizes, strict=True):
        assert pointers.max() <= n
        numbers = pointers.tolist()
        if name == "tour":
            assert are_tours(pointers[None], n).item()
            assert numbers[0] == 1
        elif name == "hull":
            assert 0 in numbers
            assert are_simple(one[None], pointers[None]).item()
        else:
            numbers = numbers[: numbers.index(0)]
            triples = [tuple(numbers[i : i + 3]) for i in range(0, len(numbers), 3)]
            assert 0 < len(set(triples)) == len(triples) <= 2 * n - 5
            assert all(len(triple) == 3 and triple[0] < triple[1] < triple[2] for triple in triples)


def test_where_nothing_is_allowed_the_answer_ends():
    points = torch.tensor([[[0.0, 0.0], [0.5, 0.5], [1.0, 1.0]]], dtype=torch.double)
    for size in (1, 3):
        found = make_model(beam_size=size, constraint="hull").predict(points=points)
        assert found["pointers"][0, 1:].tolist() == [0, 0, 0]
        assert found["log_probs"].isfinite().all()


@pytest.mark.skipif(torch.__version__ < "2.13", reason="torch before 2.13 traces an LSTM for one batch size only")
@pytest.mark.filterwarnings("ignore:The tensor attributes:UserWarning")  # on the attributes of torch's own LSTM
@pytest.mark.parametrize(("name", "size"), [("tour", 1), ("hull", 2), ("triangulation", 1)])
def test_a_constrained_search_can_be_traced_for_any_batch(name, size):
    class Answer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = make_model(beam_size=size, constraint=name)

        def forward(self, points):
            return self.model.predict(points=points)

    answer = Answer()
    batch = torch.export.Dim("batch", min=2)
    points = torch.rand(3, 3, 2, dtype=torch.double)
    program = torch.export.export(answer, (points,), dynamic_shapes=({0: batch},), strict=False)
    more = torch.rand(7, 3, 2, dtype=torch.double)
    assert torch.equal(program.module()(more)["pointers"], answer(more)["pointers"])

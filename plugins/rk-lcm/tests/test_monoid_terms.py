"""The regulariser's terms and the probe's numbers against the definitions, on operators whose defects are known."""

from __future__ import annotations

import pytest
import rk_lcm.monoids
import torch
from rk_graphs.aggregators import GRUAggregator, MaxAggregator, SumAggregator
from rk_lcm import monoids, naive
from rk_lcm.aggregator import LCM
from rk_lcm.probe import permutation_spread, probe
from rk_lcm.regularizer import MonoidRegularizer
from torch import Tensor, nn

from rk import UserError
from rk.builtin.backprop import Supervised
from rk.testing import assert_close, assert_twins


class Difference(nn.Module):
    """An aggregator by a - b: neither commutative nor associative; 0 is its identity from one side alone."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("identity", torch.zeros(3))
        self.scale = nn.Parameter(torch.ones(()))

    def binary_op(self, a: Tensor, b: Tensor) -> Tensor:
        return self.scale * (a - b)

    def forward(self, x: Tensor, index: Tensor, num_groups: int) -> Tensor:
        return torch.zeros(num_groups, x.shape[1]).index_add(0, index, x)


class Model(nn.Module):
    def __init__(self, aggregator: nn.Module) -> None:
        super().__init__()
        self.aggregator = aggregator

    def forward(self, *, x: Tensor, graph_index: Tensor) -> dict[str, Tensor]:
        return {"values": self.aggregator(x, graph_index, 4)}


class Task:
    def __call__(self, *, values: Tensor) -> tuple[Tensor, int]:
        return values.square().sum(), len(values)


def batch() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return {"x": torch.randn(20, 3), "graph_index": torch.arange(20) % 4}


@pytest.mark.parametrize("symmetrize", ["mean", "none"])
def test_each_term_is_its_definition_over_single_triples(symmetrize):
    torch.manual_seed(0)
    layer = LCM(d_model=3, symmetrize=symmetrize, identity="learned").double()
    layer.identity.data.normal_()
    a, b, c = torch.randn(3, 6, 3, dtype=torch.float64)

    def fast(a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, ...]:
        shares = (
            monoids.commutativity(layer.binary_op, a, b),
            monoids.associativity(layer.binary_op, a, b, c),
            monoids.identity(layer.binary_op, a, layer.identity),
        )
        return tuple(total / count for total, count in shares)

    def slow(a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, ...]:
        def op(x: Tensor, y: Tensor) -> Tensor:
            return naive.binary_op(layer, x, y)

        return naive.commutativity(op, a, b), naive.associativity(op, a, b, c), naive.identity(op, a, layer.identity)

    if symmetrize == "mean":  # identically 0: rounding alone is left
        assert_close(fast(a, b, c)[1:], slow(a, b, c)[1:])
        assert fast(a, b, c)[0] < 1e-25
    else:
        assert_twins(fast, slow, a, b, c, parameters=[*layer.operator.parameters(), layer.identity])


def test_a_triple_in_the_wrong_order_is_noticed(plant):
    plant(rk_lcm.monoids, "both_ways", "torch.cat([c, bc])", "torch.cat([bc, c])")
    with pytest.raises(AssertionError):
        test_each_term_is_its_definition_over_single_triples("none")


def test_the_terms_of_a_known_operator_are_those_of_its_algebra():
    """a - b: |a-b - (b-a)|^2 = 4 |a-b|^2; (a-b)-c - (a-(b-c)) = -2c; a - 0 = a."""
    op = Difference().binary_op
    a, b, c = torch.randn(3, 5, 3)
    assert_close(monoids.commutativity(op, a, b)[0], 4 * (a - b).square().sum())
    assert_close(monoids.associativity(op, a, b, c)[0], 4 * c.square().sum())
    assert monoids.identity(op, a, torch.zeros(3))[0] == 0


def test_the_loss_adds_weighted_terms_and_trains_the_operator_alone():
    loss = MonoidRegularizer(Task(), comm_weight=0.5, assoc_weight=0.25, identity_weight=0.125, num_triples=7)
    encoder, model = nn.Linear(3, 3), Model(LCM(d_model=3, symmetrize="none", identity="learned"))
    learner = Supervised(model, loss)
    fields = batch()
    terms = learner({**fields, "x": encoder(fields["x"])})
    assert {name: term[1:] for name, term in terms.items()} == {
        "task": (4,),
        "commutativity": (7, 0.5),
        "associativity": (7, 0.25),
        "identity": (7, 0.125),
    }
    assert all(term[0] > 0 for term in terms.values())
    sum(term[0] for name, term in terms.items() if name != "task").backward()
    assert all(weight.grad is not None for weight in model.aggregator.operator.parameters())
    assert encoder.weight.grad is None and model.aggregator.projection.weight.grad is None
    assert [name for name in learner.state_dict() if "loss" in name] == []


def test_a_regularised_operator_becomes_associative():
    torch.manual_seed(0)
    model = Model(LCM(d_model=3, project=False))
    learner = Supervised(model, MonoidRegularizer(Task(), assoc_weight=1.0))
    optimizer = torch.optim.Adam(learner.parameters(), 1e-2)
    defects = []
    for _ in range(60):
        total, count, _ = learner(batch())["associativity"]
        defects.append(float(total.detach() / count))
        (total / count).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert defects[-1] < 0.2 * defects[0]


def test_a_weight_of_zero_leaves_its_term_out_and_a_base_with_terms_keeps_them():
    class Terms(Task):
        def __call__(self, *, values: Tensor) -> dict[str, tuple[Tensor, int]]:
            return {"fit": super().__call__(values=values)}

    learner = Supervised(Model(LCM(d_model=3)), MonoidRegularizer(Terms(), assoc_weight=0.0))
    assert list(learner(batch())) == ["fit"]


def test_a_model_without_a_binary_operator_is_refused():
    with pytest.raises(UserError, match="no aggregator with a binary_op"):
        Supervised(Model(SumAggregator(d_model=3)), MonoidRegularizer(Task()))


def test_a_trainer_that_gives_losses_no_model_is_refused():
    with pytest.raises(UserError, match="does not give losses the model"):
        MonoidRegularizer(Task())(values=torch.ones(1))


def test_the_probe_finds_no_defect_in_a_sum_and_those_of_a_difference():
    class Sum(Difference):
        def binary_op(self, a: Tensor, b: Tensor) -> Tensor:
            return a + b

    def defects(aggregator: nn.Module) -> dict[str, float]:
        model = Model(aggregator).eval()
        return probe(model, lambda fields: model(**fields), batch(), num_triples=4000)

    exact = defects(Sum())
    assert len(exact) == 5 and max(exact.values()) < 1e-5
    found = defects(Difference())
    assert max(found["answer-spread"], found["permutation-spread"], found["identity-defect"]) < 1e-5
    assert found["commutativity-defect"] == pytest.approx(2, rel=0.1)  # (a-b) - (b-a) = 2 (a-b)
    # -2c relative to a - b - c: independent elements with one variance, 2 / sqrt(3)
    assert found["associativity-defect"] == pytest.approx(2 / 3**0.5, rel=0.1)


def test_the_probe_takes_aggregators_without_an_operator():
    model = Model(MaxAggregator(d_model=3)).eval()
    assert probe(model, lambda fields: model(**fields), batch()) == {"answer-spread": 0, "permutation-spread": 0}


def test_the_spread_is_that_of_random_orders():
    class First(nn.Module):
        """Gives the first item that it is given: as different over orders as over groups, or more."""

        def forward(self, x: Tensor, index: Tensor, num_groups: int) -> Tensor:
            first = torch.stack([(index == group).nonzero()[0, 0] for group in range(num_groups)])
            return x[first]

    torch.manual_seed(0)
    fields = {"x": torch.randn(1200, 3), "index": torch.arange(1200) % 300, "num_groups": 300}
    # within groups 3/4 of the variance of 4 items; across groups that of their means, 1/4
    assert permutation_spread(First(), **fields, permutations=100) == pytest.approx(3**0.5, rel=0.1)
    fold = GRUAggregator(d_model=3).eval()
    assert permutation_spread(fold, **fields, permutations=4) > 0.01


def test_an_answer_spreads_as_far_as_what_reads_the_aggregator_lets_it():
    """A head that multiplies by zero hides the order; one that passes results on shows it."""
    torch.manual_seed(0)
    fold = GRUAggregator(d_model=3).eval()

    def answered(scale: float) -> float:
        model = Model(fold)

        def predict(fields: dict[str, Tensor]) -> dict[str, Tensor]:
            return {"logits": scale * model(**fields)["values"]}

        return probe(model, predict, batch(), permutations=50)["answer-spread"]

    assert answered(0.0) == 0
    assert answered(2.0) == pytest.approx(
        permutation_spread(fold, batch()["x"], batch()["graph_index"], 4, 50), rel=0.3
    )

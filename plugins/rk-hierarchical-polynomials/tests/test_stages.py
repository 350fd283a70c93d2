"""Training in stages: exact stages against naive twins, other plugins' models, resuming, and what is refused."""

from __future__ import annotations

import pytest
import torch
from rk_hierarchical_polynomials.exact import LinearPart, Products, solved
from rk_hierarchical_polynomials.model import ThreeLayerResNet
from rk_hierarchical_polynomials.naive import descend, ridge_by_lstsq
from rk_hierarchical_polynomials.stages import Redraw, Stage, Stages
from rk_kernels.ntk_mlp import NTKMLP

from rk import Runtime, UserError
from rk.builtin.losses import CrossEntropy, MeanSquaredError
from rk.builtin.mlp import MLP
from rk.builtin.optimizers import Adam


class Rows:
    """Eight batches of six rows, of real numbers or of classes."""

    splits = ("train",)

    def __init__(self, classes=False):
        torch.manual_seed(1)
        x = torch.randn(48, 4)
        targets = (x[:, 0] > 0).long() + (x[:, 1] > 0).long() if classes else x[:, :1] * x[:, 1:2]
        self.rows = [{"inputs": x[i : i + 6], "targets": targets[i : i + 6]} for i in range(0, 48, 6)]
        self.taken = []

    def batches(self, split):
        return len(self.rows)

    def batch(self, split, i, stage=0):
        self.taken.append(i)
        return self.rows[i]

    def whole(self):
        return {name: torch.cat([row[name] for row in self.rows]) for name in self.rows[0]}


def trained(model, stages, data, loss=None, optimizer=None, steps=None):
    trainer = Stages(stages, optimizer)
    trainer.setup(model=model, loss=loss, data=data, runtime=Runtime())
    trainer.runtime.step = 0
    while steps != 0 and trainer.step() is not None:
        steps = None if steps is None else steps - 1
    return trainer


def resnet():
    torch.manual_seed(0)
    return ThreeLayerResNet(num_features=4, inner_size=20, outer_size=10)


def products(features, wanted):
    found = Products()
    for part in range(0, len(wanted), 7):
        found.add(features[part : part + 7], wanted[part : part + 7])
    return found


def test_sums_of_products_give_what_all_rows_at_once_give():
    features, wanted = torch.randn(50, 6).double(), torch.randn(50).double()
    wanted_solution = ridge_by_lstsq(features, wanted, 0.1)
    torch.testing.assert_close(products(features, wanted).solve(0.1), wanted_solution)
    torch.testing.assert_close(descend(features, wanted, 0.1, 500), wanted_solution)


def test_a_path_of_ridges_is_each_of_them_solved_for():
    features, wanted = torch.randn(50, 6).double(), torch.randn(50).double()
    sums = products(features, wanted)
    path = sums.path([0.01, 1.0])
    for found, ridge in zip(path, (0.01, 1.0), strict=True):
        torch.testing.assert_close(found, sums.solve(ridge))
    errors = (features @ path.T - wanted.unsqueeze(1)).square().mean(0)
    torch.testing.assert_close(sums.error(path), errors)


def test_rows_that_are_held_out_choose_the_ridge_and_are_fitted_to():
    torch.manual_seed(0)
    features = torch.randn(60, 40).double()
    wanted = features[:, 0] + 2 * torch.randn(60).double()
    fitted, held = products(features[:45], wanted[:45]), products(features[45:], wanted[45:])
    solution, ridge = solved(fitted, held, [1e-8, 1.0])
    errors = [(features[45:] @ fitted.solve(r) - wanted[45:]).square().mean() for r in (1e-8, 1.0)]
    assert errors[1] < errors[0] and ridge == 1.0
    torch.testing.assert_close(solution, ridge_by_lstsq(features, wanted, 1.0))


def test_algorithm_1_is_two_regressions_each_on_its_half():
    model, data = resnet(), Rows()
    stages = [
        Stage(("u",), (0, 0.5), "exact", ridge=(1e-2,)),
        Stage(("c",), (0.5, 1), "exact", ridge=(1e-3,), reinit={"b": Redraw("uniform", 2.0)}),
    ]
    trained(model, stages, data)
    whole = data.whole()
    x, y = whole["inputs"], whole["targets"][:, 0].double()
    phi = ((x @ model.v.T + model.s) ** 2 / 20**0.5).detach().double()
    torch.testing.assert_close(model.u.double(), ridge_by_lstsq(phi[:24], y[:24], 1e-2), rtol=1e-3, atol=1e-4)
    g = model.feature(x).detach()[24:]
    z = (g - g.mean()) / g.std(correction=0)
    outer = (torch.relu(model.a * z.unsqueeze(1) + model.b) / 10**0.5).detach().double()
    torch.testing.assert_close(model.c.double(), ridge_by_lstsq(outer, y[24:] - g, 1e-3), rtol=1e-3, atol=1e-3)
    assert model.b.abs().max() <= 2 and not torch.equal(model.b, resnet().b)
    assert torch.equal(model.v, resnet().v)


def test_stages_take_their_shares_alone():
    data = Rows()
    trained(resnet(), [Stage(("u",), (0, 0.25), "exact"), Stage(("c",), (0.5, 1), "exact")], data)
    shown = [0, 1], [4, 5, 6, 7]  # the model looks at the rows of a stage before it begins
    assert data.taken == [i for share in shown for i in share * 2]


def test_another_plugins_model_has_an_exact_head_on_classes():
    torch.manual_seed(0)
    model, data = NTKMLP(num_features=4, num_outputs=3, hidden_size=12), Rows(classes=True)
    trained(model, [Stage(("weights.1",), solver="exact", ridge=(1e-3,))], data)
    whole = data.whole()
    hidden = (torch.relu(whole["inputs"] @ model.weights[0].T / 2) / 12**0.5).detach().double()
    for k in range(3):
        wanted = ridge_by_lstsq(hidden, (whole["targets"] == k).double(), 1e-3)
        torch.testing.assert_close(model.weights[1][k].double(), wanted, rtol=1e-3, atol=1e-3)


def test_stages_by_gradients_change_what_they_train_alone():
    torch.manual_seed(0)
    model = MLP(num_features=4, num_classes=3, hidden_sizes=[8])
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    first = next(iter(before))
    trained(model, [Stage((first,), steps=5)], Rows(classes=True), CrossEntropy(), Adam(lr=0.1))
    changed = [name for name, p in model.named_parameters() if not torch.equal(p, before[name])]
    assert changed == [first]


@pytest.mark.parametrize("cut", [3, 6, 9])
def test_a_stopped_training_resumes_bit_equal(cut):
    stages = [Stage(("u",), (0, 0.5), "exact", ridge=(1e-3, 1e-1)), Stage(("c",), (0.5, 1), "exact")]
    whole, part = resnet(), resnet()
    trained(whole, stages, Rows())
    state = trained(part, stages, Rows(), steps=cut).state_dict()
    further, fresh = Stages(stages), resnet()
    fresh.load_state_dict(part.state_dict())
    further.setup(model=fresh, data=Rows(), runtime=Runtime())
    further.load_state_dict(state)
    while further.step() is not None:
        pass
    assert all(torch.equal(p, q) for p, q in zip(whole.parameters(), fresh.parameters(), strict=True))


def test_a_stage_that_is_cut_off_is_solved_with_the_rows_that_it_has_seen():
    model, data = resnet(), Rows()
    stages = [Stage(("u",), solver="exact", ridge=(1e-2,))]
    state = trained(model, stages, data, steps=3).state_dict()
    further, fresh = Stages(stages), resnet()
    further.setup(model=fresh, data=data, runtime=Runtime())
    further.load_state_dict(state)
    further.finish()
    short = Rows()
    short.rows = short.rows[:3]
    model = resnet()
    trained(model, stages, short)
    torch.testing.assert_close(fresh.u, model.u)
    assert fresh.v.requires_grad


@pytest.mark.parametrize("names", [["weights.0"], ["weights.0", "weights.1"]])
def test_what_the_answer_is_not_linear_in_is_refused(names):
    model = NTKMLP(num_features=4, num_outputs=1, hidden_size=12)
    with pytest.raises(UserError, match="must train what the answer is linear in"):
        LinearPart(model, names).check(Rows().rows[0])
    LinearPart(model, ["weights.1"]).check(Rows().rows[0])


def test_a_parameter_without_effect_is_refused():
    model = resnet()
    with pytest.raises(UserError, match="does not depend on b"):
        LinearPart(model, ["b"]).check(Rows().rows[0])


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (Stage(("head.*",), solver="exact"), "no parameter that is trained matches 'head.*'"),
        (Stage(("u",), solver="exact", reinit={"w": Redraw("zeros")}), "matches 'w'"),
        (Stage(("u",)), "must have a loss"),
    ],
)
def test_stages_that_do_not_fit_the_recipe_are_refused(stage, message):
    with pytest.raises(UserError, match=message):
        trained(resnet(), [stage], Rows(), optimizer=Adam())


def test_a_share_without_a_batch_is_refused():
    with pytest.raises(UserError, match="its share of 8 batches has none"):
        trained(resnet(), [Stage(("u",), (0, 0.01), "exact")], Rows())


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([], "at least one stage"),
        ([Stage(("u",), (0.5, 0.5), "exact")], "two rising numbers"),
        ([Stage(("u",), solver="exact", held_out=1.0)], "held_out"),
        ([Stage(("u",), solver="exact", ridge=())], "at least one number"),
        ([Stage(("u",), solver="exact", ridge=(0.0, 1.0))], "must be > 0"),
        ([Stage(("u",))], "needs an optimizer"),
    ],
)
def test_stages_without_sense_are_refused(stages, message):
    with pytest.raises(ValueError, match=message):
        Stages(stages)


def test_the_distributions_of_new_values():
    torch.manual_seed(0)
    like = torch.empty(1000)
    assert not Redraw("zeros")(like).any()
    assert Redraw("sign", 2.0)(like).unique().tolist() == [-2.0, 2.0]
    uniform, normal = Redraw("uniform", 3.0)(like), Redraw("normal", 3.0)(like)
    assert 2.9 < uniform.abs().max() <= 3 and uniform.mean().abs() < 0.3
    assert 2.7 < normal.std() < 3.3


def test_exact_stages_with_a_loss_and_without_one_give_the_same_answers():
    with_loss, without = resnet(), resnet()
    stages = [Stage(("u",), solver="exact")]
    trained(with_loss, stages, Rows(), MeanSquaredError())
    trained(without, stages, Rows())
    assert torch.equal(with_loss.u, without.u)

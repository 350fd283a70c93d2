"""Targets, data, the model, metrics and the sample complexity."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from rk_hierarchical_polynomials import complexity
from rk_hierarchical_polynomials.complexity import SampleComplexity
from rk_hierarchical_polynomials.data import HierarchicalPolynomial
from rk_hierarchical_polynomials.metrics import FeatureCorrelation, NormalisedError
from rk_hierarchical_polynomials.model import ThreeLayerResNet
from rk_hierarchical_polynomials.targets import hermite, linear_component, link_of, quadratic, separable

from rk import UserError


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_hermite_polynomials_are_orthonormal(degree):
    nodes, weights = (torch.from_numpy(a) for a in np.polynomial.hermite_e.hermegauss(20))
    weights = weights / weights.sum()
    products = [float(weights @ (hermite(nodes, degree) * hermite(nodes, other))) for other in (1, 2, 3)]
    assert products == pytest.approx([float(degree == other) for other in (1, 2, 3)], abs=1e-9)


@pytest.mark.parametrize("form", ["separable", "quadratic"])
def test_the_hidden_polynomial_is_centred_and_of_unit_variance(form):
    torch.manual_seed(0)
    x = torch.randn(40000, 20)
    signs = torch.randint(2, (20,)) * 2.0 - 1
    p = separable(x, signs, 2) if form == "separable" else quadratic(x, torch.randn(20, 20))
    assert float(p.mean()) == pytest.approx(0, abs=0.03) and float(p.std()) == pytest.approx(1, abs=0.03)


def test_separable_and_quadratic_forms_are_their_sums():
    x, a = torch.randn(3, 4), torch.randn(4, 4)
    signs = torch.tensor([1.0, -1.0, 1.0, 1.0])
    wanted = [sum(float(signs[i] / 2 * (x[n, i] ** 2 - 1) / math.sqrt(2)) for i in range(4)) for n in range(3)]
    assert separable(x, signs, 2).tolist() == pytest.approx(wanted, abs=1e-5)
    s = (a + a.T) / (a + a.T).norm() / math.sqrt(2)
    wanted = [float(x[n] @ s @ x[n] - s.trace()) for n in range(3)]
    assert quadratic(x, a).tolist() == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize(("name", "found"), [("z3", math.sqrt(0.6)), ("he3plus1", math.sqrt(0.5)), ("tanh", 0.85)])
def test_links_have_a_linear_component(name, found):
    assert linear_component(link_of(name)) == pytest.approx(found, abs=0.05 if name == "tanh" else 1e-6)


def test_a_link_without_a_linear_component_is_warned_of(capsys):
    HierarchicalPolynomial(0, 4, link="polynomial", coefficients=(-1.0, 0.0, 1.0), train_examples=8).prepare()
    assert "almost no linear component" in capsys.readouterr().err
    HierarchicalPolynomial(0, 4, train_examples=8).prepare()
    assert not capsys.readouterr().err


def test_splits_share_the_polynomial_and_only_training_targets_are_noisy():
    data = HierarchicalPolynomial(3, 6, noise_std=0.5, train_examples=50, val_examples=20, test_examples=20)
    data.prepare()
    train, test = data.batch("train", 0), data.batch("test", 0)
    torch.testing.assert_close(test["targets"][:, 0], torch.tanh(3 * test["polynomial"]))
    assert 0.2 < (train["targets"][:, 0] - torch.tanh(3 * train["polynomial"])).std() < 0.8
    p = hermite(test["inputs"], 2)
    weights = torch.linalg.lstsq(p, test["polynomial"].unsqueeze(1)).solution[:, 0]
    torch.testing.assert_close(weights.abs(), torch.full((6,), 6**-0.5), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    "settings", [{"form": "quadratic", "degree": 3}, {"coefficients": (1.0,)}, {"link": "polynomial"}]
)
def test_data_without_sense_is_refused(settings):
    with pytest.raises(ValueError, match=r"must have degree 2|coefficients"):
        HierarchicalPolynomial(0, 4, **settings)


def test_the_model_is_its_sums():
    torch.manual_seed(0)
    model = ThreeLayerResNet(num_features=3, inner_size=5, outer_size=4)
    with torch.no_grad():
        model.u.normal_()
        model.c.normal_()
    x = torch.randn(2, 3)
    out = model(inputs=x)
    for n in range(2):
        g = sum(model.u[j] * (model.v[j] @ x[n] + model.s[j]) ** 2 for j in range(5)) / 5**0.5
        h = g + sum(model.c[i] * torch.relu(model.a[i] * g + model.b[i]) for i in range(4)) / 2
        torch.testing.assert_close(out["feature"][n], g)
        torch.testing.assert_close(out["values"][n, 0], h)
    torch.testing.assert_close(model.v.norm(dim=1), torch.ones(5))


def test_metrics_are_those_of_all_rows_whatever_the_batches():
    torch.manual_seed(0)
    values, targets, p = torch.randn(30, 1), torch.randn(30, 1) + 5, torch.randn(30)
    error, other = NormalisedError(), NormalisedError()
    error.update(values=values[:10], targets=targets[:10])
    other.update(values=values[10:], targets=targets[10:])
    error.merge(other)
    wanted = (values - targets).square().mean() / targets.var(correction=0)
    assert error.compute() == pytest.approx(float(wanted), rel=1e-5)
    correlation = FeatureCorrelation()
    correlation.update(polynomial=p, values=values, feature=-2 * p + 1)
    assert correlation.compute() == pytest.approx(1)
    correlation.reset()
    correlation.update(polynomial=p, values=values)
    wanted = abs(np.corrcoef(p.numpy(), values[:, 0].numpy())[0, 1])
    assert correlation.compute() == pytest.approx(wanted, rel=1e-5)
    correlation.reset()
    correlation.update(polynomial=p, values=torch.zeros(30, 1))
    assert correlation.compute() == 0
    assert math.isnan(NormalisedError().compute()) and math.isnan(FeatureCorrelation().compute())


class Trained:
    """Trainings whose metric passes 0.9 at n = 3 d^2."""

    def __init__(self, recipe, metric, within):
        self.metric = metric

    def train(self, name, seed, overrides):
        values = dict(change.split("=") for change in overrides)
        d, n = int(values["data.num_features"]), int(values["data.train_examples"])
        return SimpleNamespace(metrics={self.metric: 0.9 + 0.2 * math.log(n / (3 * d**2))})

    def score(self, run):
        return run.metrics[self.metric]


def test_the_exponent_of_the_rows_that_it_takes_is_found(monkeypatch, tmp_path):
    monkeypatch.setattr(complexity, "Trainings", Trained)
    found = SampleComplexity("any", dims=(8, 16, 32), seeds=2).analyze(tmp_path)
    assert found["exponent"] == pytest.approx(2, abs=0.01) and found["rows/16"] == pytest.approx(3 * 256, rel=0.01)
    assert (tmp_path / "sample-complexity.csv").is_file() and (tmp_path / "sample-complexity.png").is_file()


@pytest.mark.parametrize(("multiples", "side"), [((1, 2), "larger"), ((4, 8), "smaller")])
def test_rows_on_one_side_of_the_threshold_are_refused(monkeypatch, tmp_path, multiples, side):
    monkeypatch.setattr(complexity, "Trainings", Trained)
    with pytest.raises(UserError, match="does not pass") as error:
        SampleComplexity("any", multiples=multiples).analyze(tmp_path)
    assert side in error.value.hint

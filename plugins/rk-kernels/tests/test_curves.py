"""Learning curves and their exponents, and the closed form for fixed features."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from rk_kernels.classifier import KernelRidge
from rk_kernels.curves import Curve
from rk_kernels.feature_regression import FeatureRegression, solve
from rk_kernels.kernel_curve import KernelCurve
from rk_kernels.learning_curve import LearningCurve
from rk_kernels.mlp_kernel import MLPKernel
from rk_kernels.power_law import fit_power_law
from rk_kernels.spectrum import Spectrum
from torch import nn

from rk import Runtime, UserError


def test_an_exact_power_law_is_found():
    law = fit_power_law({n: [3 * n**-0.7] for n in (10, 20, 40, 80)})
    assert law.exponent == pytest.approx(0.7) and law.scale == pytest.approx(3)
    assert law.low == pytest.approx(0.7, abs=1e-6) and law(160) == pytest.approx(3 * 160**-0.7)


def test_the_interval_covers_the_exponent_about_as_often_as_it_says():
    random = np.random.default_rng(0)
    covered = 0
    for k in range(100):
        values = {n: list(n**-0.5 * np.exp(0.2 * random.standard_normal(20))) for n in (64, 128, 256, 512)}
        law = fit_power_law(values, draws=200, seed=k)
        covered += law.low <= 0.5 <= law.high
    assert 80 <= covered <= 98


@pytest.mark.parametrize(
    ("values", "message"),
    [({10: [1.0]}, "two sizes"), ({10: [1.0], 20: [0.0]}, "above 0"), ({1: [1], 2: [np.nan]}, "fin")],
)
def test_what_has_no_exponent_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        fit_power_law(values)


@pytest.mark.parametrize("bias", [True, False])
def test_the_head_is_that_of_ridge_regression(bias):
    linear_model = pytest.importorskip("sklearn.linear_model")
    x, y = torch.randn(40, 5).double() + 1, torch.randn(40, 2).double()
    ones = torch.cat([x, torch.ones(40, 1).double()], 1)
    weight, offset = solve(ones.T @ ones, ones.T @ y, 0.1, bias=bias)
    alpha = 0.1 * float(x.square().sum(0).mean())
    wanted = linear_model.Ridge(alpha=alpha, fit_intercept=bias).fit(x, y)
    np.testing.assert_allclose(weight, wanted.coef_, atol=1e-10)
    np.testing.assert_allclose(offset, wanted.intercept_ if bias else [0, 0], atol=1e-10)


class Rows:
    """Two batches of real numbers."""

    def __init__(self):
        x = torch.linspace(-1, 1, 12).reshape(6, 2)
        self.rows = [{"inputs": x[i : i + 3], "targets": x[i : i + 3].sum(1, keepdim=True).sin()} for i in (0, 3)]

    def batches(self, split):
        return 2


def test_kernel_ridge_without_ridge_goes_through_its_training_rows():
    data, runtime = Rows(), Runtime()
    trainer = KernelRidge(MLPKernel(depth=2, kind="ntk"))
    learner = trainer.setup(data=data, runtime=runtime)
    assert [trainer.step(batch) for batch in data.rows] == [{}, {}] and trainer.step(data.rows[0]) is None
    trainer.finish()
    for batch in data.rows:
        torch.testing.assert_close(learner.predict(batch)["values"], batch["targets"].double(), atol=1e-6, rtol=0)


class Cosines(nn.Module):
    """A head over random cosines."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(2, 30).requires_grad_(False)
        self.head = nn.Linear(30, 1)

    def features(self, *, inputs):
        return (3 * self.inner(inputs)).cos()

    def forward(self, *, inputs):
        return {"values": self.head(self.features(inputs=inputs))}


def test_a_head_over_random_features_is_learned_in_one_pass_and_survives_a_stop():
    data, whole, stopped, resumed = Rows(), *(FeatureRegression(ridge=1e-6) for _ in range(3))
    torch.manual_seed(0)
    model = Cosines()
    learner = whole.setup(model=model, data=data, runtime=Runtime())
    assert [whole.step(batch) for batch in data.rows] == [{}, {}] and whole.step(data.rows[0]) is None
    whole.finish()
    for batch in data.rows:
        torch.testing.assert_close(learner.predict(batch)["values"], batch["targets"], atol=1e-3, rtol=0)
    found = model.head.weight.clone()
    stopped.setup(model=model, data=data, runtime=Runtime())
    stopped.step(data.rows[0])
    resumed.setup(model=model, data=data, runtime=Runtime())
    resumed.load_state_dict(stopped.state_dict())
    resumed.step(data.rows[1])
    resumed.finish()
    assert torch.equal(model.head.weight, found)


RECIPE = """
rk: 1
model: {name: mlp, hidden_sizes: [16]}
data: digits
loss: cross-entropy
trainer: {name: backprop, optimizer: {name: adam, lr: 0.01}}
fit: {max_steps: 4, seed: 1, threads: 1}
"""


def test_a_learning_curve_of_any_recipe_has_an_exponent(tmp_path):
    recipe = tmp_path / "line.yaml"
    recipe.write_text(RECIPE)
    out = tmp_path / "out"
    out.mkdir()
    found = LearningCurve(str(recipe), values=(8, 2), parameter="fit.max_steps", seeds=2).analyze(out)
    assert found["exponent/low"] <= found["exponent"] <= found["exponent/high"]
    assert found["at/2"] > found["at/8"] and found["exponent"] > 0
    rows = (out / "learning-curve.csv").read_text().splitlines()
    assert rows[0] == "fit.max_steps,test/loss,fit,theory,seed 1,seed 2" and len(rows) == 3
    assert (out / "learning-curve.png").is_file()


def test_a_metric_that_is_not_measured_is_named_with_those_that_are(tmp_path):
    recipe = tmp_path / "line.yaml"
    recipe.write_text(RECIPE)
    with pytest.raises(UserError, match="measures no 'test/error'"):
        LearningCurve(str(recipe), (1, 2), "fit.max_steps", metric="test/error", seeds=1).analyze(tmp_path)


class Splits(Rows):
    """The same rows as training and test split."""

    splits = ("train", "test")

    def batch(self, split, i, stage=0):
        return self.rows[i]


def test_the_curve_of_a_kernel_is_that_of_regressions_on_each_size(tmp_path):
    data, runtime, kernel = Splits(), Runtime(folder=tmp_path), MLPKernel().requires_grad_(False)
    search = KernelCurve(MLPKernel(), sizes=(4, 2, 3), ridge=1.0, expected=0.5)
    learner = search.setup(data=data, runtime=runtime)
    first = search.step()
    resumed = KernelCurve(MLPKernel(), sizes=(4, 2, 3), ridge=1.0, expected=0.5)
    resumed.load_state_dict(search.state_dict())
    learner = resumed.setup(data=data, runtime=runtime)
    assert float(first["rows"]) == 2 and [*resumed.step()] and [*resumed.step()] and resumed.step() is None
    resumed.finish()
    found = resumed.results()
    inputs, targets = (torch.cat([row[name] for row in data.rows]).double() for name in ("inputs", "targets"))
    for n in (2, 3, 4):
        gram = kernel(inputs[:n])
        alpha = torch.linalg.solve(gram + gram.diagonal().mean() * torch.eye(n).double(), targets[:n])
        answers = kernel(inputs, inputs[:n]) @ alpha
        assert found[f"error-{n}"] == pytest.approx(float((answers - targets).square().mean()))
    torch.testing.assert_close(learner.predict({"inputs": inputs})["values"], answers)
    law = fit_power_law({n: [found[f"error-{n}"]] for n in (2, 3, 4)})
    assert found["exponent"] == pytest.approx(law.exponent)
    assert (tmp_path / "figures" / "kernel-curve.png").stat().st_size > 5000
    curve = Curve.read(tmp_path / "kernel-curve.csv", 0.5)
    assert curve.law.exponent == pytest.approx(law.exponent) and curve.theory(4) == pytest.approx(law(2) / 2**0.5)


def test_more_rows_than_there_are_cannot_be_learned_from():
    search = KernelCurve(MLPKernel(), sizes=(4, 8))
    search.setup(data=Splits(), runtime=Runtime())
    with pytest.raises(UserError, match="sizes must be at most the 6 training rows, got 8"):
        search.step()
    with pytest.raises(ValueError, match="two different numbers"):
        KernelCurve(MLPKernel(), sizes=(4, 4))


def test_a_spectrum_of_several_targets_sums_their_forms():
    gram, targets = torch.eye(5).double() * 2, torch.randn(5, 3).double()
    noise = torch.tensor([0.5, 1.0]).double()
    found = Spectrum(gram, targets).quadratic(noise)
    torch.testing.assert_close(found, sum(Spectrum(gram, column).quadratic(noise) for column in targets.T))

"""Learning in closed form: solvers, the exact process, its trainer, and kernel regression on classes."""

from __future__ import annotations

import math

import pytest
import torch
from rk_kernels.classifier import KernelRegression
from rk_kernels.conv_kernel import ConvKernel
from rk_kernels.evidence import MarginalLikelihood
from rk_kernels.hierarchical_kernel import HierarchicalKernel
from rk_kernels.linalg import (
    cholesky,
    gp_posterior,
    gradient_descent_ensemble,
    kernel_regression,
    log_determinant,
    with_ridge,
)
from rk_kernels.metrics import CalibrationError, NegativeLogLikelihood
from rk_kernels.mlp_kernel import MLPKernel
from rk_kernels.predictive import central_probability, half_width, log_density
from rk_kernels.process import ContextProcess, ExactProcess, GaussianProcess
from rk_kernels.rbf_kernel import RBFKernel
from rk_kernels.scale import FixedScale
from rk_kernels.uci import UCI
from scipy import stats

from rk import Runtime
from rk.builtin.optimizers import SGD
from rk.errors import RecipeError
from rk.runs import RunFolder


def table(n=30, seed=0):
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 3, generator=random)
    y = (x[:, :1].sin() + 0.1 * torch.randn(n, 1, generator=random)).double()
    return x, y


@pytest.mark.parametrize(
    "kernel",
    [MLPKernel(1), RBFKernel(), ConvKernel((3, 3), depth=1), HierarchicalKernel((3, 3), 9)],
    ids=lambda kernel: type(kernel).__name__,
)
@pytest.mark.parametrize("observed", [0, 4])
def test_a_process_is_a_graph_of_any_batch(kernel, observed):
    process = GaussianProcess(kernel)
    random = torch.Generator().manual_seed(0)
    if observed:
        process.observe(torch.rand(observed, 9, generator=random), torch.rand(observed, 1, generator=random))
        process.condition()
    graph = torch.export.export(
        process, (), {"inputs": torch.rand(3, 9)}, dynamic_shapes={"inputs": {0: torch.export.Dim("batch")}}
    ).module()
    for rows in (2, 7):
        x = torch.rand(rows, 9, generator=random)
        torch.testing.assert_close(graph(inputs=x), process(inputs=x))


def grams(n=12, m=4):
    x = torch.randn(n + m, 5, generator=torch.Generator().manual_seed(0))
    nngp, ntk = MLPKernel(2, learned=False)(x).detach(), MLPKernel(2, kind="ntk", learned=False)(x).detach()
    y = torch.randn(n, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return nngp[:n, :n], nngp[n:, :n], nngp[n:, n:], ntk[:n, :n], ntk[n:, :n], y


def test_a_singular_matrix_is_solved_with_the_least_jitter():
    ones = torch.ones(3, 3, dtype=torch.float64)
    factor = cholesky(ones)
    assert float((factor @ factor.mT - ones).abs().max()) < 1e-9
    assert torch.equal(cholesky(2 * torch.eye(3).double()), math.sqrt(2) * torch.eye(3).double())


def test_jitter_is_given_to_those_of_a_batch_that_need_it():
    good, bad = 4 * torch.eye(2, dtype=torch.float64), torch.ones(2, 2, dtype=torch.float64)
    factors = cholesky(torch.stack([good, bad]))
    assert torch.equal(factors[0], 2 * torch.eye(2).double())
    assert factors[1].isfinite().all()


@pytest.mark.parametrize("matrix", [-torch.eye(2), torch.full((2, 2), torch.nan)], ids=["negative", "nan"])
def test_a_matrix_that_is_not_a_covariance_is_refused(matrix):
    with pytest.raises(ValueError, match="positive definite"):
        cholesky(matrix.double())


def test_regression_without_ridge_interpolates():
    k, *_, y = grams()
    torch.testing.assert_close(k @ kernel_regression(k, y), y, atol=1e-7, rtol=0)


@pytest.mark.parametrize("diagonal", [[1.0, 1.0, 1.0], [1.0, 2.0, 4.0]])
def test_a_diagonal_matrix_is_divided_by(diagonal):
    k, y = torch.diag(torch.tensor(diagonal).double()), torch.ones(3, 2).double()
    found = kernel_regression(k, y, ridge=1.0)
    torch.testing.assert_close(found, torch.linalg.solve(k + torch.eye(3).double(), y))


def test_a_posterior_is_that_of_the_joint_gaussian():
    k, cross, test, *_, y = grams()
    found = gp_posterior(k, cross, test, y, noise=0.3)
    inverse = torch.linalg.inv(with_ridge(k, 0.3))
    torch.testing.assert_close(found.mean, cross @ inverse @ y)
    torch.testing.assert_close(found.covariance, test - cross @ inverse @ cross.mT)


def test_an_ensemble_of_long_descent_is_that_of_infinite_time():
    parts = grams()
    found, expected = gradient_descent_ensemble(*parts, time=1e9), gradient_descent_ensemble(*parts)
    torch.testing.assert_close(found.mean, expected.mean, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.covariance, expected.covariance, atol=1e-6, rtol=0)


def test_an_ensemble_before_descent_is_the_prior():
    k, cross, test, ntk, ntk_cross, y = grams()
    found = gradient_descent_ensemble(k, cross, test, ntk, ntk_cross, y, time=0.0)
    assert float(found.mean.abs().max()) == 0
    torch.testing.assert_close(found.covariance, test)


def test_an_ensemble_answers_as_linearised_networks_that_descend_step_by_step():
    """Random features as networks: the NTK is their Gram matrix, the NNGP what their start gives."""
    torch.manual_seed(0)
    features = torch.randn(16, 400, dtype=torch.float64) / 20
    train, test = features[:12], features[12:]
    ntk, ntk_cross = train @ train.mT, test @ train.mT
    y = torch.randn(12, 1, dtype=torch.float64)
    weights = torch.randn(400, 5000, dtype=torch.float64)
    rate, steps = 0.05, 20
    for _ in range(steps):
        weights -= rate * train.mT @ (train @ weights - y)
    answers = test @ weights
    found = gradient_descent_ensemble(ntk, ntk_cross, test @ test.mT, ntk, ntk_cross, y, time=rate * steps)
    assert float((answers.mean(1, keepdim=True) - found.mean).abs().max()) < 0.06
    assert float((torch.cov(answers) - found.covariance).abs().max()) < 0.06


def test_evidence_and_answers_are_those_of_the_textbook():
    x, y = table()
    process = GaussianProcess(RBFKernel(2.0), noise=0.1, scale=0.7)
    process.observe(x[:20], y[:20])
    process.observe(x[20:25], y[20:25])
    x, rest, y, truth = x[:25], x[25:], y[:25], y[25:]
    mean, deviation = y.mean(), y.std(correction=0)
    cov = 0.7 * deviation**2 * with_ridge(process.kernel(x), 0.1)
    joint = torch.distributions.MultivariateNormal(mean.expand(25), cov.detach())
    assert process.log_evidence().item() == pytest.approx(float(joint.log_prob(y[:, 0])), abs=1e-8)
    answer = process(inputs=rest)
    cross = 0.7 * deviation**2 * process.kernel(rest, x)
    expected = mean + cross @ torch.linalg.solve(cov, y - mean)
    variance = 0.7 * deviation**2 * 1.1 - (cross * torch.linalg.solve(cov, cross.mT).mT).sum(1)
    torch.testing.assert_close(answer["values"], expected)
    density = torch.distributions.Normal(expected, variance.sqrt().unsqueeze(1)).log_prob(truth)
    torch.testing.assert_close(log_density(**answer, targets=truth), density)


def test_a_step_on_the_evidence_follows_its_gradient_per_target():
    class Rows:
        def batches(self, split):
            return 2

    x, y = table()
    trainer = MarginalLikelihood(SGD(lr=0.1))
    process = GaussianProcess(RBFKernel(2.0), noise=0.1)
    trainer.setup(model=process, data=Rows(), runtime=Runtime())
    twin = GaussianProcess(RBFKernel(2.0), noise=0.1)
    twin.observe(x, y)
    before = [p.detach().clone() for p in process.parameters()]
    gradients = torch.autograd.grad(twin.log_evidence(), [*twin.parameters()])
    for batch in ((x[:20], y[:20]), (x[20:], y[20:]), (x, y)):
        logs = trainer.step({"inputs": batch[0], "targets": batch[1]})
    assert float(logs["loss"]) == pytest.approx(-float(twin.log_evidence().detach()) / 30, abs=1e-8)
    for old, new, gradient in zip(before, process.parameters(), gradients, strict=True):
        torch.testing.assert_close(new.detach(), old + 0.1 * gradient / 30)


def test_a_kernel_machine_regresses_onto_centred_indicators():
    class Rows:
        def batches(self, split):
            return 2

    x, targets = table()[0], torch.arange(30) % 3
    trainer = KernelRegression(RBFKernel(2.0), num_classes=3, ridge=0.1)
    learner = trainer.setup(data=Rows(), runtime=Runtime())
    for rows in (slice(0, 20), slice(20, 30)):
        trainer.step({"inputs": x[rows], "targets": targets[rows]})
    trainer.finish()
    kernel = RBFKernel(2.0)
    with torch.no_grad():
        gram = kernel(x)
        indicators = torch.eye(3, dtype=torch.float64)[targets] - 1 / 3
        inverse = torch.linalg.inv(gram + 0.1 * gram.diagonal().mean() * torch.eye(30))
        expected = kernel(x + 0.2, x) @ inverse @ indicators
        torch.testing.assert_close(learner.predict({"inputs": x + 0.2})["logits"], expected)


MISTAKES = {
    "evidence: the determinant once too often": (
        ExactProcess,
        "log_evidence",
        "log_determinant(factor) / 2",
        "log_determinant(factor)",
    ),
    "evidence: in standardised units": (
        ExactProcess,
        "log_evidence",
        "evidence - len(targets) * deviation.log().sum()",
        "evidence",
    ),
    "evidence: the prior's variance": (ExactProcess, "forward", "prior - half.square().sum(0)", "prior"),
    "evidence: answers without noise": (
        ExactProcess,
        "forward",
        "self.kernel.diagonal(x) + self.noise()",
        "self.kernel.diagonal(x)",
    ),
    "evidence: answers in standardised units": (ExactProcess, "forward", " * deviation + self", " + self"),
    "evidence: no constant": (FixedScale, "forward", "2 * math.pi", "1"),
    "step: downhill": (MarginalLikelihood, "step", "(-evidence, ", "(evidence, "),
    "step: not per target": (MarginalLikelihood, "step", "model.observed_targets.numel()", "1"),
    "classes: not centred": (KernelRegression, "_regressed", " - 1 / self.num_classes", ""),
    "classes: an absolute ridge": (KernelRegression, "_solve", " * float(gram.diagonal().mean())", " * 2"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_noticed(plant, mistake):
    plant(*MISTAKES[mistake])
    with pytest.raises(AssertionError):
        match mistake.partition(":")[0]:
            case "evidence":
                test_evidence_and_answers_are_those_of_the_textbook()
            case "step":
                test_a_step_on_the_evidence_follows_its_gradient_per_target()
            case "classes":
                test_a_kernel_machine_regresses_onto_centred_indicators()


def test_a_solution_is_kept_and_dropped_without_changing_an_answer():
    x, y = table()
    process = GaussianProcess(MLPKernel(2))
    process.observe(x, y)
    before = process(inputs=x)
    process.condition()
    for name, value in process(inputs=x).items():
        torch.testing.assert_close(value, before[name])
    process.release()
    assert process.factor.numel() == 0


def test_the_profiled_scale_has_the_highest_evidence():
    x, y = table()
    best = GaussianProcess(RBFKernel(2.0))
    best.observe(x, y)
    for scale in (0.1, 0.5, 1.0, 2.0):
        other = GaussianProcess(RBFKernel(2.0), scale=scale)
        other.observe(x, y)
        assert best.log_evidence() >= other.log_evidence()


def test_before_any_observation_the_prior_answers():
    answer = GaussianProcess(RBFKernel(), noise=0.5, scale=2.0)(inputs=torch.zeros(3, 2))
    assert answer["values"].tolist() == [[0.0]] * 3
    torch.testing.assert_close(answer["scales"].flatten(), torch.full((3,), 3.0).sqrt().double())


@pytest.mark.parametrize("value", [3.0, 0.1], ids=["exact", "rounded"])
@pytest.mark.parametrize("scale", [1.0, "profile"])
def test_a_constant_target_does_not_divide_by_zero(scale, value):
    x, _ = table()
    targets = torch.full((30, 1), value).double()
    process = GaussianProcess(RBFKernel(), scale=scale)
    process.observe(x, targets)
    evidence = process.log_evidence()
    assert evidence.isfinite()
    assert all(g.isfinite() for g in torch.autograd.grad(evidence, [*process.parameters()]))
    with torch.no_grad():
        answer = process(inputs=x)
    torch.testing.assert_close(answer["values"], targets)
    assert float(answer["scales"].min()) > 0
    assert log_density(**answer, targets=answer["values"]).isfinite().all()


@pytest.mark.parametrize("scale", [None, FixedScale(1.0)], ids=["profile", "fixed"])
@pytest.mark.parametrize("size", [0.0, 1.0], ids=["zeros", "values"])
def test_without_noise_a_context_is_given_back_with_certainty(scale, size):
    x, y = table()
    y = size * y.mT
    process = ContextProcess(RBFKernel(learned=False), scale, noise=0.0)
    answer = process(context_inputs=x[None], context_targets=y, inputs=x[None])
    torch.testing.assert_close(answer["values"], y, atol=1e-6, rtol=0)
    assert 0 < float(answer["scales"].min()) <= float(answer["scales"].max()) < 1e-4
    assert log_density(**answer, targets=answer["values"]).isfinite().all()


def test_a_problem_in_context_is_answered_as_by_the_process():
    x, y = table()
    kernel = RBFKernel(2.0)
    context = ContextProcess(kernel, noise=0.1)
    together = context(context_inputs=x[None, :20], context_targets=y[None, :20, 0], inputs=x[None, 20:])
    process = GaussianProcess(kernel, noise=0.1)
    process.observe(x[:20], y[:20])
    process._standardised = lambda: (process.observed_targets, torch.ones(1).double())
    alone = process(inputs=x[20:])
    mean = process.observed_targets.mean(0)  # the process puts it back
    torch.testing.assert_close(together["values"][0], (alone["values"] - mean)[:, 0])
    torch.testing.assert_close(together["scales"][0], alone["scales"][:, 0])


# -- distributions -----------------------------------------------------------------------------------------------------

DISTRIBUTIONS = {
    "gauss": ([1.5], [1.0], [math.inf]),
    "student": ([1.5], [1.0], [5.0]),
    "mixture": ([0.5, 1.5, 4.0], [0.2, 0.5, 0.3], [math.inf, math.inf, 3.0]),
}


@pytest.fixture(params=DISTRIBUTIONS)
def distribution(request):
    scales, weights, degrees = DISTRIBUTIONS[request.param]
    fields = {
        "values": torch.zeros(7, 1).double() + 0.3,
        "scales": torch.tensor(scales).double().expand(7, 1, -1),
        "log_weights": torch.tensor(weights).double().log().expand(7, -1),
        "degrees": torch.tensor(degrees).double().expand(7, -1),
    }
    parts = [stats.norm(0.3, s) if math.isinf(d) else stats.t(d, 0.3, s) for s, d in zip(scales, degrees, strict=True)]
    return fields, list(zip(weights, parts, strict=True))


def test_density_and_intervals_are_scipys(distribution):
    fields, parts = distribution
    y = torch.linspace(-6, 6, 7).double().unsqueeze(1)
    density = sum(w * p.pdf(y.numpy()) for w, p in parts)
    torch.testing.assert_close(log_density(**fields, targets=y).exp(), torch.from_numpy(density))
    distance = (y - 0.3).abs().numpy()
    inside = sum(w * (p.cdf(0.3 + distance) - p.cdf(0.3 - distance)) for w, p in parts)
    torch.testing.assert_close(central_probability(**fields, targets=y), torch.from_numpy(inside))


@pytest.mark.parametrize("level", [0.05, 0.5, 0.99])
def test_an_interval_has_its_probability(distribution, level):
    fields, _ = distribution
    half = half_width(fields["scales"], fields["log_weights"], fields["degrees"], level)
    found = central_probability(**fields, targets=fields["values"] + half)
    torch.testing.assert_close(found, torch.full_like(found, level), atol=1e-9, rtol=0)


def test_targets_of_the_distribution_itself_are_calibrated():
    torch.manual_seed(0)
    one = torch.zeros(20_000, 1).double()
    fields = {"values": one, "scales": (one + 2).unsqueeze(1), "log_weights": one, "degrees": one + math.inf}
    targets = 2 * torch.randn(20_000, 1).double()
    right, wrong = CalibrationError(), CalibrationError()
    right.update(**fields, targets=targets)
    wrong.update(**fields, targets=2 * targets)
    assert right.compute() < 0.01 < 0.1 < wrong.compute()
    total, count = NegativeLogLikelihood()(**fields, targets=targets)
    assert float(total / count) == pytest.approx(0.5 * math.log(2 * math.pi * 4) + 0.5, abs=0.02)


# -- in the loop -------------------------------------------------------------------------------------------------------


@pytest.fixture
def yacht(published):
    return published(UCI("yacht", seed=0))


@pytest.mark.usefixtures("yacht")
def test_all_rows_are_observed_once_and_the_evidence_rises(rk_folder):
    run = rk_folder.train(
        "kernels/yacht", "data.batch_size=100", "fit.max_steps=20", "fit.log_every=1", "trainer.optimizer.schedule=null"
    )
    losses = [r["train/loss"] for r in run.metrics() if "train/loss" in r]
    assert len(losses) == 17, "three steps only observed"
    assert losses[-1] < losses[0] - 0.3
    assert run.read()["metrics"]["test/rmse"] < 2


@pytest.mark.usefixtures("yacht")
def test_without_an_optimizer_one_pass_is_all(rk_folder):
    run = rk_folder.train("kernels/yacht", "trainer.optimizer=null").read()
    assert run["step"] == 1
    assert run["metrics"]["test/rmse"] < 4


@pytest.mark.usefixtures("yacht")
def test_it_ends_when_the_evidence_no_longer_rises(rk_folder):
    run = rk_folder.train(
        "kernels/yacht",
        "trainer.patience=2",
        "trainer.tolerance=10",
        "trainer.optimizer.schedule=null",
        "~fit.max_steps",
    )
    assert run.read()["step"] <= 5


def test_a_kernel_machine_classifies_digits_without_gradient_descent(rk_folder):
    assert rk_folder.train("kernels/digits").read()["metrics"]["test/accuracy"] > 0.97


def test_a_kernel_machine_that_has_not_seen_all_rows_predicts_no_class(rk_folder):
    run = rk_folder.train("kernels/digits", "fit.validate_every=5", "fit.monitor=val/accuracy")
    assert [r["val/accuracy"] < 0.2 for r in run.metrics() if "val/accuracy" in r] == [True] * 3 + [False]
    assert run.read()["metrics"]["test/accuracy"] > 0.97


def test_filters_that_do_not_divide_the_data_are_refused_before_the_run(rk_folder):
    kernel = "trainer.kernel={{name: hierarchical-kernel, filter_sizes: {}}}"
    with pytest.raises(RecipeError, match="must divide inputs of 64 features"):
        rk_folder.rk("train", "kernels/digits", kernel.format([3]))
    assert rk_folder.train("kernels/digits", kernel.format([4, 2, 8])).read()["metrics"]["test/accuracy"] > 0.8


@pytest.mark.usefixtures("yacht")
def test_the_calibration_of_two_runs_is_drawn_side_by_side(rk_folder):
    first = rk_folder.train("kernels/yacht", "trainer.optimizer=null", runs="a").path
    second = rk_folder.train("kernels/yacht", "trainer.optimizer=null", "model.noise=0.5", runs="b").path
    assert rk_folder.rk("analyze", "calibration", "--run", first, "--baseline", second, "--runs-dir", "looks") == 0
    look = next(RunFolder.all(rk_folder.folder / "looks"))
    assert (look.figures / "calibration.png").stat().st_size > 5000
    assert len((look.figures / "calibration.csv").read_text().splitlines()) == 20
    assert set(look.read()["metrics"]) == {"yacht/calibration-error", "yacht (baseline)/calibration-error"}


def test_log_determinants_are_torchs():
    matrix = grams()[0]
    assert float(log_determinant(cholesky(matrix))) == pytest.approx(float(torch.logdet(matrix)), rel=1e-6)

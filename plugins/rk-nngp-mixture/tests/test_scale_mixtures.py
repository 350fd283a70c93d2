"""Priors of the scale and processes with them: against quadrature, scipy, draws and the Gaussian process."""

from __future__ import annotations

import math

import pytest
import torch
from rk_kernels.linalg import with_ridge
from rk_kernels.mlp_kernel import MLPKernel
from rk_kernels.predictive import half_width, log_density
from rk_kernels.process import ContextProcess, ExactProcess, GaussianProcess
from rk_kernels.rbf_kernel import RBFKernel
from rk_nngp_mixture import naive
from rk_nngp_mixture.burr import Burr, HalfCauchy
from rk_nngp_mixture.inverse_gamma import InverseGamma
from rk_nngp_mixture.problems import ScaleProblems
from rk_nngp_mixture.process import ScaleMixtureProcess
from rk_nngp_mixture.quadrature import QuadraturePrior
from scipy import stats

PRIORS = {
    "inverse-gamma": (lambda: InverseGamma(1.7, 0.6), stats.invgamma(1.7, scale=0.6)),
    "burr": (lambda: Burr(2.0, 1.5), stats.burr12(2.0, 1.5)),
    "half-cauchy": (lambda: HalfCauchy(0.8), None),
}


@pytest.fixture(params=PRIORS)
def prior(request):
    make, reference = PRIORS[request.param]

    def log_density_of_log(t):
        if reference is None:  # sigma = exp(t / 2) is half-Cauchy
            return torch.from_numpy(stats.halfcauchy(scale=0.8).logpdf((t / 2).exp().numpy())) + t / 2 - math.log(2)
        return torch.from_numpy(reference.logpdf(t.exp().numpy())) + t

    return make(), log_density_of_log


@pytest.mark.parametrize(("quadratic", "count"), [(0.0, 0), (3.0, 1), (0.01, 4), (50.0, 12), (900.0, 1000), (1e5, 20)])
def test_the_evidence_of_a_scale_is_that_of_dense_quadrature(prior, quadratic, count):
    found = prior[0](torch.tensor(quadratic, dtype=torch.float64), count)
    expected = naive.log_integral(prior[1], quadratic, count)
    assert found.item() == pytest.approx(expected, abs=1e-8 * max(1, abs(expected)))


@pytest.mark.parametrize(("quadratic", "count"), [(0.0, 0), (3.0, 2), (50.0, 12), (900.0, 1000)])
def test_the_predictive_density_is_the_ratio_of_evidences(prior, quadratic, count):
    """p(y* | y) = p(y, y*) / p(y): a point at distance z adds z^2 to D and one to n."""
    d, z = torch.tensor(quadratic, dtype=torch.float64), torch.tensor([0.1, 0.5, 3.0], dtype=torch.float64)
    scales = prior[0].posterior(d, count)
    fields = {
        "values": torch.zeros(3, 1).double(),
        "scales": scales.variances.sqrt().expand(3, 1, -1),
        "log_weights": scales.log_weights.expand(3, -1),
        "degrees": scales.degrees.expand(3, -1),
    }
    found = log_density(**fields, targets=z.unsqueeze(1)).squeeze(1)
    expected = prior[0](d + z.square(), count + 1) - prior[0](d, count)
    # A prior alone is wide: the same nodes are farther apart
    torch.testing.assert_close(found, expected, atol=1e-8 if count else 1e-6, rtol=0)


def test_problems_are_integrated_together_as_one_by_one(prior):
    d = torch.tensor([0.5, 30.0, 2000.0], dtype=torch.float64)
    together = prior[0](d, 9), prior[0].posterior(d, 9).variances
    for i in range(3):
        torch.testing.assert_close(together[0][i], prior[0](d[i], 9))
        torch.testing.assert_close(together[1][i], prior[0].posterior(d[i], 9).variances)


def test_the_evidence_has_the_gradient_of_finite_differences(prior):
    d = torch.tensor(7.0, dtype=torch.float64, requires_grad=True)
    inputs = [d, *prior[0].parameters()]
    found = torch.autograd.grad(prior[0](d, 9), inputs)
    for parameter, gradient in zip(inputs, found, strict=True):
        with torch.no_grad():
            parameter += 1e-5
            above = prior[0](d, 9).item()
            parameter -= 2e-5
            below = prior[0](d, 9).item()
            parameter += 1e-5
        assert gradient.item() == pytest.approx((above - below) / 2e-5, abs=1e-6)


def table(n=25):
    random = torch.Generator().manual_seed(0)
    x = torch.randn(n, 3, generator=random)
    return x, (x[:, :1].sin() + 0.1 * torch.randn(n, 1, generator=random)).double()


def test_an_inverse_gamma_makes_the_evidence_multivariate_t():
    x, y = table()
    process = ScaleMixtureProcess(RBFKernel(2.0), InverseGamma(1.7, 0.6), noise=0.1)
    process.observe(x, y)
    with torch.no_grad():
        shape = 0.6 / 1.7 * float(y.std(correction=0)) ** 2 * with_ridge(process.kernel(x), 0.1)
        joint = stats.multivariate_t([float(y.mean())] * 25, shape.numpy(), df=3.4)
        assert float(process.log_evidence()) == pytest.approx(joint.logpdf(y[:, 0].numpy()), abs=1e-7)
        assert float(process(inputs=x)["degrees"][0, 0]) == pytest.approx(3.4 + 25)


def test_an_inverse_gamma_makes_the_answer_the_conditional_of_a_multivariate_t():
    """p(y* | y) is the ratio of two joint densities, of scipy."""
    x, y = table(9)
    process = ScaleMixtureProcess(RBFKernel(2.0), InverseGamma(1.7, 0.6), noise=0.1)
    process.observe(x[:8], y[:8])
    with torch.no_grad():
        mean, deviation = float(y[:8].mean()), float(y[:8].std(correction=0))
        shape = 0.6 / 1.7 * deviation**2 * with_ridge(process.kernel(x), 0.1).numpy()
        joint, seen = (stats.multivariate_t([mean] * n, shape[:n, :n], df=3.4) for n in (9, 8))
        expected = joint.logpdf(y[:, 0].numpy()) - seen.logpdf(y[:8, 0].numpy())
        found = log_density(**process(inputs=x[8:]), targets=y[8:])
    assert float(found) == pytest.approx(expected, abs=1e-7)


MISTAKES = {
    "evidence: n for n / 2": (InverseGamma, "forward", "count / 2", "count"),
    "evidence: D for D / 2": (InverseGamma, "forward", "quadratic / (2 * b)", "quadratic / b"),
    "evidence: no normalising constant": (InverseGamma, "forward", "- torch.lgamma(a)\n", "\n"),
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
    "answer: a + n degrees of freedom": (InverseGamma, "posterior", "2 * self.a() + count", "self.a() + count"),
    "answer: the prior's scale": (InverseGamma, "posterior", "2 * self.b() + quadratic", "2 * self.b()"),
    "answer: the prior's variance": (ExactProcess, "forward", "prior - half.square().sum(0)", "prior"),
    "quadrature: no spacing": (QuadraturePrior, "forward", " + spacing.log()", ""),
    "quadrature: D for D / 2": (QuadraturePrior, "_integrand", "0.5 * quadratic", "quadratic"),
    "quadrature: without its Jacobian": (Burr, "log_density", "c * t - (d + 1)", "(c - 1) * t - (d + 1)"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_noticed(plant, mistake):
    plant(*MISTAKES[mistake])
    kind = mistake.partition(":")[0]
    with pytest.raises(AssertionError):
        if kind == "evidence":
            test_an_inverse_gamma_makes_the_evidence_multivariate_t()
        elif kind == "answer":
            test_an_inverse_gamma_makes_the_answer_the_conditional_of_a_multivariate_t()
        else:
            burr = PRIORS["burr"]
            test_the_evidence_of_a_scale_is_that_of_dense_quadrature(
                (burr[0](), lambda t: torch.from_numpy(burr[1].logpdf(t.exp().numpy())) + t), 50.0, 12
            )


def test_the_mean_is_the_gaussian_processs(prior):
    x, y = table()
    processes = GaussianProcess(RBFKernel(2.0)), ScaleMixtureProcess(RBFKernel(2.0), prior[0])
    for process in processes:
        process.observe(x, y)
    gauss, mixture = (p(inputs=x + 0.1) for p in processes)
    torch.testing.assert_close(gauss["values"], mixture["values"])


def test_many_observations_make_the_prior_irrelevant(prior):
    scales = prior[0].posterior(torch.tensor(30_000.0, dtype=torch.float64), 10_000)
    assert (scales.log_weights.exp() * scales.variances).sum().item() == pytest.approx(3.0, rel=2e-3)


def test_the_papers_importance_sampling_agrees_with_quadrature_where_it_is_stable():
    x, y = table(8)
    kernel, draws = RBFKernel(2.0), 400_000
    with torch.no_grad():
        gram, cross = with_ridge(kernel(x[:6]), 0.1), kernel(x[6:], x[:6])
        scales = torch.from_numpy(stats.burr12(2.0, 1.5).rvs(draws, random_state=0))
        weights, mean, variance = naive.importance(scales, gram, y[:6, 0], cross, torch.full((2,), 1.1).double())
        density = torch.distributions.Normal(mean, variance.sqrt()).log_prob(y[6:, 0]).exp()
        expected = (weights[:, None] * density).sum(0)
        process = ContextProcess(kernel, Burr(2.0, 1.5), noise=0.1)
        answer = process(context_inputs=x[None, :6], context_targets=y[None, :6, 0], inputs=x[None, 6:])
        found = log_density(**answer, targets=y[None, 6:, 0]).exp()[0]
    torch.testing.assert_close(found, expected, rtol=5e-3, atol=0)


def test_the_limit_of_networks_with_a_random_last_scale_has_the_tails_of_student_t():
    """sigma^2 per network, shared by all its inputs: kurtosis, and a common factor, that no Gaussian process has."""
    torch.manual_seed(0)
    networks, width, a = 20_000, 256, 4.0
    x = torch.randn(2, 5)
    hidden = torch.relu(torch.randn(networks, width, 5) @ x.T / math.sqrt(5))
    last = torch.randn(networks, 1, width) * (a / torch._standard_gamma(torch.full((networks, 1, 1), a))).sqrt()
    outputs = (last @ hidden / math.sqrt(width)).squeeze(1).double()
    variance = MLPKernel(1, w_std=1.0, b_std=0.0).diagonal(x).detach()
    expected = stats.t(2 * a, scale=float(variance[0].sqrt()))
    assert stats.kstest(outputs[:, 0].numpy(), expected.cdf).statistic < 0.015
    gauss = stats.norm(scale=float((variance[0] * a / (a - 1)).sqrt()))
    assert stats.kstest(outputs[:, 0].numpy(), gauss.cdf).statistic > 0.02


@pytest.mark.parametrize("a", [1.0, 2.0])
def test_with_few_observations_the_mixture_beats_the_best_single_scale(a):
    kernel = MLPKernel(2, learned=False)
    data = ScaleProblems(kernel, seed=0, a=a, contexts=(5,), num_problems=300, batch_size=300)
    batch = data.batch("test-5", 0)
    context = {name: batch[name] for name in ("context_inputs", "context_targets", "inputs")}
    densities = [
        log_density(**ContextProcess(kernel, scale, 0.05)(**context), targets=batch["targets"]).mean()
        for scale in (InverseGamma(a, a, learned=False), None)
    ]
    assert densities[0] > densities[1] + 0.03


def test_problems_do_not_depend_on_the_batch():
    kernel = MLPKernel(1, learned=False)
    small, large = (ScaleProblems(kernel, 0, num_problems=70, batch_size=size) for size in (30, 70))
    whole = large.batch("test-10", 0)
    for name, value in whole.items():
        assert torch.equal(torch.cat([small.batch("test-10", i)[name] for i in range(3)]), value)


def test_intervals_of_the_mixture_are_wider_than_those_of_the_best_scale():
    x, y = table(8)
    kernel = RBFKernel(2.0)
    widths = []
    for scale in (InverseGamma(1.0, 1.0), None):
        answer = ContextProcess(kernel, scale, 0.1)(
            context_inputs=x[None, :5], context_targets=y[None, :5, 0], inputs=x[None, 5:]
        )
        widths.append(half_width(answer["scales"], answer["log_weights"], answer["degrees"], 0.95))
    assert (widths[0] > widths[1]).all()


@pytest.mark.parametrize("make", [lambda: InverseGamma(a=0.0), lambda: Burr(c=-1.0), lambda: HalfCauchy(0.0)])
def test_an_invalid_prior_is_refused(make):
    with pytest.raises(ValueError, match="must be > 0"):
        make()

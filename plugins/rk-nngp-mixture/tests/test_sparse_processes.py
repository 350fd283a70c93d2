"""Classification by a sparse process, and images that differ from those it was trained on."""

from __future__ import annotations

import math

import pytest
import torch
from rk_kernels.linalg import with_ridge
from rk_kernels.rbf_kernel import RBFKernel
from rk_nngp_mixture import naive
from rk_nngp_mixture.class_metrics import ClassNLL, Confidence, ExpectedCalibrationError
from rk_nngp_mixture.elbo import ELBO
from rk_nngp_mixture.shifted import Shifted, turned
from rk_nngp_mixture.sparse import SparseProcess
from scipy import stats

from rk.builtin.digits import Digits


def process(mixture=True, **settings):
    torch.manual_seed(0)
    made = SparseProcess(RBFKernel(2.0), 3, 4, num_train=50, num_inducing=6, mixture=mixture, **settings)
    with torch.no_grad():
        made.mean.normal_()
        made.log_deviation.normal_(-1, 0.3)
    return made


def test_the_divergence_is_that_of_its_definition():
    made = process(a=3.0, b=1.5)
    with torch.no_grad():
        made.a.raw.fill_(2.2)
        made.b.raw.fill_(0.4)
        expected = naive.divergence(
            made.mean, made.log_deviation.exp(), made.kernel(made.inducing), float(made.a()), float(made.b()), 3.0, 1.5
        )
        assert float(made.divergence()) == pytest.approx(expected, abs=1e-6)


def test_the_divergence_from_the_prior_itself_is_zero_and_else_above():
    made = process()
    assert float(made.divergence().detach()) > 0
    inducing = torch.eye(4).repeat(2, 1)[:6] * 100  # so far apart that the kernel is the identity
    inducing[4:] *= -1
    with torch.no_grad():
        made.inducing.copy_(inducing)
        made.mean.zero_()
        made.log_deviation.zero_()
        assert float(made.divergence()) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("mixture", [True, False])
def test_marginals_are_those_of_the_textbook(mixture):
    made = process(mixture)
    x = torch.randn(5, 4)
    with torch.no_grad():
        mean, variance, _ = made._marginals(x)
        kzz, kxz = made.kernel(made.inducing), made.kernel(x, made.inducing)
        a = kxz @ torch.linalg.inv(kzz)
        torch.testing.assert_close(mean, a @ made.mean)
        for c in range(3):
            s = (2 * made.log_deviation[:, c]).exp().diag()
            whole = a @ s @ a.mT + made.kernel(x) - a @ kxz.mT
            torch.testing.assert_close(variance[:, c], whole.diagonal(), atol=1e-9, rtol=1e-6)


def test_draws_are_student_t_and_share_their_scale_over_classes():
    made = process(draws=200_000)
    x = torch.randn(1, 4)
    with torch.no_grad():
        variance = made._marginals(x)[1]
        made.mean.zero_()
        draws = made(inputs=x)["draws"][0] / variance.sqrt()
        a, b = float(made.a()), float(made.b())
    levels = torch.tensor([0.1, 0.5, 0.9]).double()
    expected = torch.tensor(stats.t(2 * a, scale=math.sqrt(b / a)).ppf(levels.numpy()))
    torch.testing.assert_close(draws[:, 0].quantile(levels), expected, atol=0.02, rtol=0)
    sizes = draws.abs().log()
    assert float(torch.corrcoef(sizes.T)[0, 1]) > 0.1, "large for one class is large for the others"


@pytest.mark.parametrize("mixture", [True, False])
def test_the_objective_is_the_bound_draw_by_draw(mixture):
    made = process(mixture, draws=3, a=3.0, b=1.2)
    x, targets = torch.randn(5, 4), torch.tensor([0, 2, 1, 1, 0])
    with torch.no_grad():
        torch.manual_seed(4)
        total, count = ELBO()(**made(inputs=x), targets=targets)
        means, variances, _ = made._marginals(x)
        torch.manual_seed(4)
        noise = torch.randn(5, 3, 3, dtype=torch.float64)
        if mixture:  # sigma^2 = b / gamma, with a gamma of shape a: InvGamma(a, b)
            scales = made.b() / torch.distributions.Gamma(made.a(), 1.0).rsample((5, 3))
        else:
            scales = made.scale().expand(5, 3)
        divergence = float(made.divergence())
    expected = naive.objective(means, variances, noise, scales, targets, divergence, num_train=50)
    assert count == 5 and float(total) / count == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("mixture", [True, False])
def test_answers_are_the_mean_probabilities_of_the_classes(mixture):
    made = process(mixture, answer_draws=100_000)
    x = torch.randn(2, 4)
    with torch.no_grad():
        found = made.predict(inputs=x)["logits"].exp()
        means, variances, _ = made._marginals(x)
        torch.manual_seed(1)
        scales = (made.b() / torch.distributions.Gamma(made.a(), 1.0).sample((100_000,))) if mixture else made.scale()
        noise = torch.randn(100_000, 3, dtype=torch.float64)
        for row, mean, variance in zip(found, means, variances, strict=True):
            draws = mean + (torch.as_tensor(scales).reshape(-1, 1) * variance).sqrt() * noise
            torch.testing.assert_close(row, draws.softmax(-1).mean(0), atol=6e-3, rtol=0)


def test_training_draws_one_scale_per_example_and_answers_share_one_scale():
    made = process(draws=1, answer_draws=1)
    x = torch.zeros(400, 4)  # the same point 400 times
    with torch.no_grad():
        made.mean.zero_()
        sizes = made(inputs=x)["draws"].square().mean((1, 2)).log()
    assert float(sizes.std()) > 1, "draws of sigma^2 differ from example to example, not the noise alone"
    answers = made.predict(inputs=x)["logits"]
    torch.testing.assert_close(answers, answers[:1].expand(400, 3))


MISTAKES = {
    "objective: a variance for a deviation": (
        SparseProcess,
        "forward",
        "(self.b() / gammas).sqrt()",
        "(self.b() / gammas)",
    ),
    "objective: a for b": (SparseProcess, "forward", "self.b() / gammas", "self.a() / gammas"),
    "objective: the divergence for each example": (SparseProcess, "forward", " / self.num_train", ""),
    "objective: a sum over draws": (ELBO, "__call__", ".mean(1).sum()", ".sum()"),
    "objective: the divergence for a reward": (ELBO, "__call__", "+ divergence.sum()", "- divergence.sum()"),
    "answers: a mean of logarithms": (
        SparseProcess,
        "predict",
        "draws.log_softmax(-1).logsumexp(1) - math.log(self.answer_draws)",
        "draws.log_softmax(-1).mean(1)",
    ),
    "answers: a variance for a deviation": (SparseProcess, "predict", "variance.sqrt()", "variance"),
    "divergence: no determinant": (SparseProcess, "divergence", "classes * log_determinant(factor)", "0"),
    "divergence: one over the precision": (
        SparseProcess,
        "divergence",
        "self.a() / self.b() if",
        "self.b() / self.a() if",
    ),
    "divergence: p for q": (SparseProcess, "divergence", "(a - a0) * torch.digamma(a)", "(a0 - a) * torch.digamma(a)"),
    "divergence: of q's scale left out": (SparseProcess, "divergence", "(b0 - b) * a / b", "0"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_noticed(plant, mistake):
    plant(*MISTAKES[mistake])
    with pytest.raises(AssertionError):
        match mistake.partition(":")[0]:
            case "objective":
                test_the_objective_is_the_bound_draw_by_draw(True)
            case "answers":
                test_answers_are_the_mean_probabilities_of_the_classes(True)
            case "divergence":
                test_the_divergence_is_that_of_its_definition()


def test_a_sparse_process_with_all_rows_inducing_has_the_evidence_of_no_more():
    """The bound: below the log probability of the labels, by draws from the prior."""
    made = process(mixture=False)
    with torch.no_grad():
        x, y = made.inducing.clone(), torch.tensor([0, 1, 2, 0, 1, 2])
        made.mean.zero_()
        prior = torch.distributions.MultivariateNormal(torch.zeros(6).double(), with_ridge(made.kernel(x), 1e-9))
        draws = prior.sample((100_000, 3)).movedim(1, -1)
        log_evidence = draws.log_softmax(-1)[:, torch.arange(6), y].sum(1).logsumexp(0) - math.log(100_000)
        made.draws, made.num_train = 5000, 6
        total, count = ELBO()(**made(inputs=x), targets=y)
    assert count == 6
    assert -float(total) < float(log_evidence)


@pytest.mark.parametrize("mixture", [True, False])
def test_answers_are_probabilities_and_the_same_each_time(mixture):
    made = process(mixture).eval()
    x = torch.randn(5, 4)
    logits = made.predict(inputs=x)["logits"]
    torch.testing.assert_close(logits.exp().sum(-1), torch.ones(5).double())
    torch.testing.assert_close(made.predict(inputs=x[2:3])["logits"][0], logits[2])


@pytest.mark.parametrize("mixture", [True, False])
def test_far_from_all_inducing_inputs_no_class_is_likelier(mixture):
    x = torch.full((1, 4), 50.0)
    logits = process(mixture, answer_draws=20_000).predict(inputs=x)["logits"]
    torch.testing.assert_close(logits.exp(), torch.full((1, 3), 1 / 3).double(), atol=0.01, rtol=0)


def test_the_prior_of_the_scale_is_learned_with_the_mixture_and_absent_without():
    made = process()
    with torch.no_grad():
        made.a.raw += 1  # where q is the prior, the divergence of the scale is at its lowest
    assert all(g != 0 for g in torch.autograd.grad(made.divergence(), [made.prior_a.raw, made.prior_b.raw]))
    names = {name for name, _ in process(False).named_parameters()}
    assert names == {"inducing", "mean", "log_deviation", "scale.raw", "kernel.length.raw"}


@pytest.fixture(scope="module")
def shifted():
    data = Shifted(Digits(seed=0), seed=0, train_limit=60, unseen=(2, 5), noise=0.3, angle=90.0)
    data.prepare()
    return data


def test_few_training_rows_have_every_class_that_is_trained():
    for seed in range(5):
        data = Shifted(Digits(seed=0), seed=seed, train_limit=8, unseen=(2, 5))
        data.prepare()
        assert sorted(whole(data, "train")[1].tolist()) == [0, 1, 3, 4, 6, 7, 8, 9]


def whole(data, split):
    batches = [data.batch(split, i) for i in range(data.batches(split))]
    return tuple(torch.cat([b[name] for b in batches]) for name in ("inputs", "targets"))


def test_left_out_classes_are_only_in_their_own_split(shifted):
    for split in shifted.splits:
        found = set(whole(shifted, split)[1].tolist())
        assert found == {2, 5} if split == "test-unseen" else not found & {2, 5}
    assert shifted.num_train == len(whole(shifted, "train")[1]) == 60


def test_shifted_splits_are_the_test_rows(shifted):
    inputs, targets = whole(shifted, "test")
    noisy, turned_by = whole(shifted, "test-noise"), whole(shifted, "test-turned")
    assert torch.equal(targets, noisy[1]) and torch.equal(targets, turned_by[1])
    assert 0.05 < float((noisy[0] - inputs).std()) < 0.3
    torch.testing.assert_close(turned_by[0], torch.rot90(inputs, 1, (1, 2)), atol=1e-5, rtol=0)


def test_a_rotation_by_360_degrees_changes_nothing():
    pictures = torch.rand(2, 3, 6, 6)
    torch.testing.assert_close(turned(pictures, 360.0), pictures, atol=1e-4, rtol=0)


def test_classes_that_are_not_there_are_refused():
    with pytest.raises(ValueError, match="unseen"):
        Shifted(Digits(seed=0), seed=0, unseen=(10,)).prepare()


def test_inducing_inputs_begin_at_rows_of_all_classes(rk_folder):
    run = rk_folder.train("nngp-mixture/digits-svtp", "fit.max_steps=1", "trainer.optimizer.lr=1e-9")
    from safetensors.torch import load_file

    data = Shifted(Digits(seed=0), seed=0, train_limit=200, unseen=(2, 5, 8))
    data.prepare()
    inputs, targets = whole(data, "train")
    inducing = load_file(run.model)["model.inducing"]
    nearest = torch.cdist(inducing, inputs.flatten(1).double()).min(1)
    assert float(nearest.values.max()) < 1e-5
    counts = targets[nearest.indices].bincount(minlength=10)
    assert int(counts[counts > 0].min()) >= 10 and int((counts > 0).sum()) == 7


def test_a_confident_classifier_that_is_half_right_is_badly_calibrated():
    logits, targets = torch.tensor([[9.0, 0.0]] * 4), torch.tensor([0, 1, 0, 1])
    error = ExpectedCalibrationError()
    error.update(logits=logits, targets=targets)
    assert error.compute() == pytest.approx(0.5, abs=1e-3)
    assert float(Confidence()(logits=logits)[0]) == pytest.approx(4, abs=1e-3)
    total, count = ClassNLL()(logits=logits, targets=targets)
    assert (float(total), count) == (pytest.approx(18, abs=1e-2), 4)

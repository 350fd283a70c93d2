"""Kernels of infinite depth: the recursions, the taxonomy, the exponents, and the classifiers that come out."""

from __future__ import annotations

import math

import pytest
import torch
from rk_kernels.classifier import KernelClassifier
from rk_kernels.depth import depth_map
from rk_kernels.duals import Relu
from rk_kernels.linalg import kernel_regression
from rk_kernels.process import GaussianProcess
from rk_kernels.series import Hermite
from rk_wide_deep import naive
from rk_wide_deep.activations import NAMES, dual, optimal_coefficients, sine_coefficients, sine_frequency
from rk_wide_deep.analysis import DepthLimit, measured_alpha
from rk_wide_deep.data import DirichletSphere
from rk_wide_deep.deep import log_deep, log_diagonal, log_singular
from rk_wide_deep.kernel import DeepKernel, limit_weights
from rk_wide_deep.smoothers import HilbertKernel, MajorityKernel, NearestKernel
from rk_wide_deep.taxonomy import limit_of
from scipy import stats
from torch.nn import functional

from rk.errors import UserError

H2 = (0.0, 0.0, 1.0)
MIXED = (0.0, 0.3, 0.0, -0.5, 0.7, 0.2)


def sphere(dimension=2, train=400, test=500, seed=0):
    data = DirichletSphere(seed, dimension, train_examples=train, test_examples=test)
    data.prepare()
    return data.batch("train", 0), data.batch("test", 0)


def classes(kernel, train, new, ridge=0.0):
    learner = KernelClassifier(kernel, 2)
    learner.inputs = train["inputs"].double()
    targets = functional.one_hot(train["targets"], 2).double() - 0.5
    learner.coefficients = kernel_regression(kernel(learner.inputs), targets, ridge)
    return learner.predict({"inputs": new["inputs"]})["logits"].argmax(1)


@pytest.mark.parametrize("dimension", [1, 2, 3, 4, 8, 63])
def test_an_optimal_activation_is_normalised_and_has_its_exponent(dimension):
    limit = limit_of(Hermite(optimal_coefficients(dimension)))
    assert sum(a**2 for a in optimal_coefficients(dimension)) == pytest.approx(1)
    assert limit.dimension == dimension
    assert limit.far == pytest.approx(limit.near ** (-dimension / 2))


@pytest.mark.parametrize(("dimension", "c"), [(2, 2.676), (4, 6.13539), (8, 13.8258)])
def test_the_optimal_sine_is_optimal(dimension, c):
    assert sine_frequency(dimension) == pytest.approx(c, abs=1e-3)
    limit = limit_of(Hermite(sine_coefficients(dimension)))
    assert (limit.dimension, limit.far) == (dimension, pytest.approx(c / math.sinh(c), rel=1e-3))


def test_the_series_of_the_optimal_sine_is_that_of_the_function():
    c = sine_frequency(4)
    scale = (math.exp(-c) * math.sinh(c)) ** -0.5
    from rk_kernels.series import hermite_coefficients

    found = hermite_coefficients(lambda x: scale * torch.sin(math.sqrt(c) * x), 20)
    assert found == pytest.approx(sine_coefficients(4)[:21], abs=1e-9)


@pytest.mark.parametrize("dimension", [1, 2, 4, 8])
def test_the_measured_exponent_is_the_dimension_to_a_thousandth(dimension):
    series = Hermite(optimal_coefficients(dimension))
    assert measured_alpha(series, limit_of(series)) == pytest.approx(dimension, rel=1e-3)


@pytest.mark.parametrize("dimension", [1, 2, 4, 8])
def test_near_inputs_have_the_exponent_of_the_slope_in_a_tangent_kernel_of_finite_depth(dimension):
    series = Hermite(optimal_coefficients(dimension))
    assert measured_alpha(series, limit_of(series), "ntk") == pytest.approx(dimension + 2, rel=1e-3)


def test_far_inputs_have_the_same_limit_in_a_tangent_kernel():
    series, apart, depth = Hermite(MIXED), torch.linspace(0.3, 0.9, 20).double(), 2000
    nngp, ntk = (log_deep(series, apart, depth, kind)[0] for kind in ("nngp", "ntk"))
    assert (ntk - nngp).exp().div(depth).tolist() == pytest.approx([1.0] * 20, abs=0.02)


@pytest.mark.parametrize(
    ("activation", "shared", "far", "near", "alpha"),
    [
        ("tanh", 0, 0.93047, 1.17781, 0.8807),
        ("sin", 0, 0.85092, 1.31304, 1.1856),
        ("erf", 0, 0.91358, 1.22570, 0.8882),
        ("gelu", 0.18714, None, 1.072, 0),
        ("silu", 0.12000, None, 1.067, 0),
        ("sigmoid", 0.85214, None, 0.153, 0),
        ("softplus", 0.70527, None, 0.318, 0),
        ("relu", 1 / math.pi, 0.5, 1.0, 0),
        (H2, 0, 0, 2, math.inf),
    ],
)
def test_the_constants_and_the_classes_are_those_of_the_table(activation, shared, far, near, alpha):
    limit = limit_of(dual(activation, 2))
    assert limit.shared == pytest.approx(shared, abs=1e-5)
    assert limit.near == pytest.approx(near, abs=6e-4)
    assert far is None or limit.far == pytest.approx(far, abs=1e-5)
    assert limit.alpha == pytest.approx(alpha, abs=1e-4)


def test_a_function_is_taken_by_import():
    assert limit_of(dual("torch.nn:Tanh", 2)).alpha == pytest.approx(limit_of(dual("tanh", 2)).alpha)
    assert limit_of(dual("torch:tanh", 2)).rule == "singular"


@pytest.mark.parametrize(
    ("activation", "message"),
    [
        ("tan", "there is no activation 'tan'"),
        ("torch:no_such", "must be an elementwise function"),
        ("torch:sum", "the shape that it is given"),
        ((0.0, 0.0), "all zero"),
    ],
)
def test_what_is_not_an_activation_is_refused(activation, message):
    with pytest.raises(ValueError, match=message):
        DeepKernel(activation)


@pytest.mark.parametrize("coefficients", [optimal_coefficients(4), H2, MIXED])
@pytest.mark.parametrize("kind", ["nngp", "ntk"])
def test_the_logarithm_of_a_deep_kernel_is_that_of_sixty_digits(coefficients, kind):
    apart = [1e-13, 1e-7, 1e-3, 0.2, 0.9, 1.3, 1.8]
    logs, signs = log_deep(Hermite(coefficients), torch.tensor(apart).double(), 12, kind)
    for gap, log, sign in zip(apart, logs.tolist(), signs.tolist(), strict=True):
        exact = naive.deep_entry(coefficients, torch.tensor(gap).double().item(), 12)[kind == "ntk"]
        assert log == pytest.approx(float(abs(exact).ln()), rel=1e-6, abs=1e-12)
        assert sign == (1 if exact > 0 else -1)


def test_the_diagonal_of_a_deep_kernel_is_what_the_recursion_has_at_cosine_one():
    series = Hermite(MIXED)
    one = torch.ones((), dtype=torch.float64)
    assert log_diagonal(series, 9, "ntk") == pytest.approx(math.log(float(depth_map(series, one, 9, "ntk"))))
    assert log_diagonal(series, 9, "nngp") == 0


@pytest.mark.parametrize("activation", ["opt", "opt-sine", MIXED])
def test_the_limit_from_a_spline_is_that_of_many_layers(activation):
    series, depth = dual(activation, 4), 400
    apart = torch.cat([torch.logspace(-9, -0.01, 200), torch.linspace(1.01, 1.9, 50)]).double()
    logs, signs = log_singular(series, apart)
    deep, deep_signs = log_deep(series, apart, depth)
    torch.testing.assert_close(logs + depth * math.log(limit_of(series).far), deep, atol=1e-6, rtol=0)
    assert torch.equal(signs, deep_signs)


def test_the_weights_of_the_hilbert_estimate_are_powers_of_distances():
    train, new = sphere(test=20)
    weights = HilbertKernel(alpha=3.0)(new["inputs"], train["inputs"])
    unit = functional.normalize(train["inputs"].double()).tolist()
    for row, x in zip(weights, functional.normalize(new["inputs"].double()).tolist(), strict=True):
        expected = naive.hilbert_class(x, unit, train["targets"].tolist(), 3.0)
        assert float(row @ train["targets"].double()) == pytest.approx(expected)


@pytest.mark.parametrize("dimension", [2, 4])
def test_the_optimal_network_is_as_accurate_as_the_hilbert_estimate(dimension):
    train, new = sphere(dimension, 1000, 1500)
    found = {
        name: float((classes(kernel, train, new) == new["targets"]).double().mean())
        for name, kernel in {
            "deep": DeepKernel(),
            "hilbert": HilbertKernel(),
            "nearest": NearestKernel(),
            "majority": MajorityKernel(),
        }.items()
    }
    assert abs(found["deep"] - found["hilbert"]) <= 0.005
    assert found["deep"] >= found["majority"] + 0.2
    assert found["deep"] >= found["nearest"] + (0.01 if dimension == 4 else 0)


def test_sixty_layers_and_the_dense_solve_give_the_classes_of_infinitely_many():
    train, new = sphere(4)
    limit = classes(DeepKernel(), train, new)
    for kernel in (DeepKernel(depth=60), DeepKernel(depth=60, tolerance=0.0)):
        assert float((classes(kernel, train, new) == limit).double().mean()) >= 0.99
    assert not torch.equal(classes(DeepKernel(depth=1), train, new), limit)


@pytest.mark.parametrize("activation", [H2, (0.0, 0.0, 0.0, 1.0)])
def test_without_linear_term_the_limit_is_the_nearest_neighbour(activation):
    neighbors = pytest.importorskip("sklearn.neighbors")
    train, new = sphere(train=500, test=1000)
    model = neighbors.KNeighborsClassifier(1).fit(train["inputs"].numpy(), train["targets"].numpy())
    nearest = torch.from_numpy(model.predict(new["inputs"].numpy()))
    assert float((classes(DeepKernel(activation), train, new) == nearest).double().mean()) >= 0.999
    assert torch.equal(classes(NearestKernel(), train, new), nearest)


def test_with_a_constant_term_depth_ends_with_the_majority():
    train, new = sphere(train=60, test=100, seed=2)
    majority = classes(MajorityKernel(), train, new)
    assert torch.equal(majority, new["majority"])
    assert torch.equal(classes(DeepKernel("gelu"), train, new), majority)
    assert torch.equal(classes(DeepKernel("gelu", depth=400), train, new), majority)
    assert torch.equal(classes(DeepKernel("sigmoid", depth=40), train, new, ridge=1e-6), majority)
    assert not torch.equal(classes(DeepKernel("gelu", depth=1), train, new), majority)


def test_the_tangent_kernel_of_relu_goes_to_one_and_a_quarter():
    cosines = torch.tensor([0.0, 0.5, 0.9, 1.0]).double()
    found = depth_map(Relu(), cosines, 5000, "ntk") / 5001
    assert found.tolist() == pytest.approx([0.25, 0.25, 0.25, 1.0], abs=3e-3)


def test_a_kernel_is_symmetric_and_one_on_the_diagonal():
    x = torch.randn(30, 4, generator=torch.Generator().manual_seed(0))
    for kernel in (DeepKernel(depth=3, tolerance=0.0), DeepKernel("relu", depth=3, kind="ntk"), DeepKernel(depth=40)):
        matrix = kernel(x)
        assert torch.equal(matrix, matrix.mT)
        assert torch.equal(matrix.diagonal(), torch.ones(30).double())
    matrix = DeepKernel("gelu", depth=3)(x)
    torch.testing.assert_close(DeepKernel("gelu", depth=3)(x, x), matrix)


def test_a_negligible_rest_is_the_identity():
    x, _ = sphere(4)
    assert torch.equal(DeepKernel(depth=60)(x["inputs"]), torch.eye(400).double())
    assert DeepKernel(depth=60, tolerance=0.0)(x["inputs"]).count_nonzero() > 400


def test_a_process_takes_a_kernel_of_finite_depth():
    train, new = sphere(train=50, test=20)
    process = GaussianProcess(DeepKernel("erf", depth=4))
    process.observe(train["inputs"], train["targets"].float().unsqueeze(1))
    process.condition()
    answered = process(inputs=new["inputs"])
    right = (answered["values"][:, 0] > 0.5) == new["targets"].bool()
    assert float(right.double().mean()) > 0.7
    assert bool(answered["scales"].isfinite().all())


@pytest.mark.parametrize("kernel", [DeepKernel(), HilbertKernel()], ids=["deep", "hilbert"])
def test_a_process_with_a_vote_is_refused(kernel):
    with pytest.raises(UserError, match="process"):
        GaussianProcess(kernel)(inputs=torch.rand(3, 3))


def test_a_depth_at_which_everything_underflows_is_refused():
    train, new = sphere(train=20, test=5)
    with pytest.raises(UserError, match="below the smallest float"):
        DeepKernel(H2, depth=100)(new["inputs"], train["inputs"])


def test_a_linear_network_has_no_limit():
    with pytest.raises(ValueError, match="no limit of infinite depth"):
        DeepKernel("linear")
    x = torch.eye(3)
    assert torch.equal(DeepKernel("linear", depth=4)(x), torch.eye(3).double())


@pytest.mark.parametrize("dimension", [1, 2, 4, 8])
def test_the_bayes_rule_compares_the_densities(dimension):
    data = DirichletSphere(3, dimension, train_examples=50, test_examples=50, radius=3.0)
    data.prepare()
    batch = data.batch("test", 0)
    assert batch["inputs"].norm(dim=1).tolist() == pytest.approx([3.0] * 50, rel=1e-5)
    for x, answer in zip(batch["inputs"].double(), batch["bayes"].tolist(), strict=True):
        share = (x / x.sum()).clamp(min=1e-12).numpy()
        share = share / share.sum()
        densities = [math.log(prior) + stats.dirichlet(a).logpdf(share) for prior, a in zip((0.4, 0.6), data.alphas)]
        assert answer == int(densities[1] > densities[0])


def test_the_nearest_training_input_of_a_training_input_is_itself():
    train, _ = sphere(train=100, test=2)
    assert torch.equal(train["nearest"], train["targets"])


@pytest.mark.parametrize(
    ("text", "message"), [("1,2\n", "expected 3 columns, got 2"), ("1,2,3\n1,0,3\n", r":2: the numbers must be > 0")]
)
def test_a_file_that_is_not_on_the_simplex_is_refused(tmp_path, text, message):
    path = tmp_path / "points.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        DirichletSphere(0).read(path)


def test_answers_have_the_bayes_rule_beside_them(tmp_path):
    path = tmp_path / "points.csv"
    path.write_text("1,2,5\n5,1,1\n")
    data = DirichletSphere(0)
    batch = data.read(path)
    answered = data.answers(batch, {"logits": torch.tensor([[1.0, 0.0], [0.0, 1.0]])})
    assert [(a["class"], a["bayes"]) for a in answered] == [(0, 0), (1, 1)]


@pytest.mark.parametrize(("alpha1", "alpha2"), [((1.0, 2.0), None), ((1.0, 2.0), (1.0, 2.0, 3.0))])
def test_concentrations_come_in_pairs(alpha1, alpha2):
    with pytest.raises(ValueError, match="alpha1 and alpha2 must"):
        DirichletSphere(0, alpha1=alpha1, alpha2=alpha2)


def test_the_analysis_has_predictions_beside_measurements(tmp_path):
    found = DepthLimit("opt", dimension=2, rows=40, depths=(1, 40)).analyze(tmp_path)
    assert found["alpha"] == pytest.approx(2)
    assert found["alpha/measured"] == pytest.approx(2, rel=1e-3)
    assert found["agreement/40"] >= 0.99 > found["agreement/1"]
    assert (tmp_path / "depth-limit.png").stat().st_size > 1000
    assert (tmp_path / "depth-limit.csv").read_text().startswith("depth,agreement")


@pytest.mark.parametrize("activation", [H2, "gelu", "sigmoid", "linear"])
def test_the_analysis_takes_every_class(activation, tmp_path):
    analysis = DepthLimit(activation, rows=20)
    needed = math.ceil(limit_of(analysis.dual).depth(20, 2)) if activation != "linear" else None
    found = analysis.analyze(tmp_path)
    assert needed is None or found[f"agreement/{needed}"] >= 0.98


def test_limit_weights_keep_signs():
    weights = limit_weights(Hermite([0.0, 1.0, 0.0, 1.0]), torch.tensor([[0.5, 1.5]]).double())
    assert weights.tolist() == [[pytest.approx(0.5), pytest.approx(-0.5)]]


def test_every_name_is_an_activation():
    assert {limit_of(dual(name, 2)).rule for name in NAMES} == {"singular", "majority", "linear"}

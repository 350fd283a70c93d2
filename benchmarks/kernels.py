"""rk-kernels and rk-nngp-mixture against loops over entries, draws and refactorisations, and, where they are installed,
neural-tangents, GPyTorch and scikit-learn on the same kernels; one thread.

python benchmarks/kernels.py            all
python benchmarks/kernels.py rivals     other programs alone

pip install --no-deps gpytorch linear_operator. neural-tangents 0.6.5 needs jax==0.4.30, in an environment of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

import numpy as np
import torch
from paired import interleave, report, seconds
from rk_kernels import naive
from rk_kernels.covariance import inner_products
from rk_kernels.duals import Relu
from rk_kernels.layers import Activation, Dense, serial
from rk_kernels.linalg import cholesky, kernel_regression, log_determinant, whiten, with_ridge
from rk_kernels.mlp_kernel import MLPKernel
from rk_kernels.process import GaussianProcess
from rk_kernels.rbf_kernel import RBFKernel
from rk_kernels.spectrum import Spectrum
from rk_kernels.tiles import tiled
from rk_nngp_mixture import naive as mixture
from rk_nngp_mixture.burr import Burr
from torch import Tensor

DEPTH, W_STD, B_STD, FEATURES = 4, 1.4, 0.1, 16
LENGTH, NOISE = 3.0, 0.1


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if sys.argv[1:] != ["rivals"]:
        entries(40)
        halves(600)
        tiles(1500)
        grid(400)
        scales(20)
    neural_tangents(500)
    for n in (300, 1500):
        ridges(n)
        evidences(n)


def entries(n: int) -> None:
    """All entries at once, against the recursion entry by entry."""
    x = torch.randn(n, FEATURES, dtype=torch.float64)
    kernel = MLPKernel(DEPTH, kind="ntk", w_std=W_STD, b_std=B_STD, learned=False)
    torch.testing.assert_close(kernel(x), naive.mlp_kernel(x, x, DEPTH, W_STD, B_STD)[1], atol=2e-7, rtol=0)
    timed = {
        "entry by entry": lambda: naive.mlp_kernel(x, x, DEPTH, W_STD, B_STD),
        "at once": lambda: kernel(x),
    }
    compare(f"NNGP and NTK of {n} inputs, {DEPTH} layers", timed, 5)


def network() -> Callable:
    return serial(*[Dense(W_STD, B_STD), Activation(Relu())] * DEPTH, Dense())


def halves(n: int) -> None:
    """The upper triangle, mirrored, against the whole matrix."""
    x, layers = torch.randn(n, FEATURES, dtype=torch.float64) / 4, network()
    whole, half = layers(inner_products(x, x)).matrix("ntk"), layers(inner_products(x)).matrix("ntk")
    torch.testing.assert_close(half, whole, atol=1e-6, rtol=0)
    timed = {
        "the whole matrix": lambda: layers(inner_products(x, x)).matrix("ntk"),
        "its upper triangle": lambda: layers(inner_products(x)).matrix("ntk"),
    }
    compare(f"A symmetric NTK of {n} inputs", timed, 5)


def tiles(n: int) -> None:
    """Tiles within 64 MiB, against all temporaries in full size."""
    x, layers = torch.randn(n, FEATURES, dtype=torch.float64) / 4, network()

    def kernel(a: Tensor, b: Tensor | None) -> Tensor:
        return layers(inner_products(a, b)).matrix("ntk")

    torch.testing.assert_close(tiled(kernel, x), kernel(x, None), atol=1e-12, rtol=0)
    timed = {"in one piece": lambda: kernel(x, None), "in tiles": lambda: tiled(kernel, x)}
    compare(f"An NTK of {n} inputs", timed, 3)


def grid(n: int, noises: int = 15) -> None:
    """The evidence at many noises from one eigendecomposition, against a Cholesky factor for each."""
    x, y = torch.randn(n, FEATURES), torch.randn(n, dtype=torch.float64)
    gram = MLPKernel(DEPTH, learned=False)(x)
    noise = torch.logspace(-4, 1, noises, dtype=torch.float64)

    def factors() -> tuple[Tensor, Tensor]:
        found = [cholesky(with_ridge(gram, e)) for e in noise]
        return (
            torch.stack([whiten(f, y.unsqueeze(1)).square().sum() for f in found]),
            torch.stack([log_determinant(f) for f in found]),
        )

    def spectrum() -> tuple[Tensor, Tensor]:
        found = Spectrum(gram, y)
        return found.quadratic(noise), found.log_determinant(noise)

    torch.testing.assert_close(spectrum(), factors(), rtol=1e-8, atol=1e-8)
    compare(
        f"Evidence at {noises} noises, {n} rows", {"a factor for each": factors, "one eigendecomposition": spectrum}, 5
    )


def scales(problems: int) -> None:
    """The Burr XII mixture on nodes that follow the integrand, against a dense grid and the paper's thousand draws."""
    prior = Burr(2.0, 1.5, learned=False)
    quadratic = torch.rand(problems, dtype=torch.float64) * 30
    u = torch.rand(1000, dtype=torch.float64)
    draws = ((1 - u).pow(-1 / 1.5) - 1).pow(1 / 2.0)  # Burr XII by its quantiles

    def dense() -> Tensor:
        found = [mixture.log_integral(prior.log_density, d, 10) for d in quadratic.tolist()]
        return torch.tensor(found, dtype=torch.float64)

    def weighted() -> Tensor:
        logs = -5.0 * torch.log(2 * torch.pi * draws) - quadratic.unsqueeze(1) / (2 * draws)
        return logs.logsumexp(1) - torch.tensor(1000.0).log()

    def nodes() -> Tensor:
        return prior(quadratic, 10)

    exact = dense()
    torch.testing.assert_close(nodes(), exact, atol=1e-8, rtol=0)
    timed = {"200001 nodes, one by one": dense, "200 nodes, all together": nodes, "a thousand draws": weighted}
    compare(f"Evidence of {problems} problems, Burr XII", timed, 3)
    print(f"  largest error of the draws, in nats: {float((weighted() - exact).abs().max()):.2g}")


def neural_tangents(n: int) -> None:
    """The same kernel by neural-tangents (JAX, compiled, float64), where it is installed."""
    try:
        import jax
        import neural_tangents as nt
        from neural_tangents import stax
    except ImportError:
        print("\nneural-tangents is not installed: nothing to compare with")
        return
    jax.config.update("jax_enable_x64", True)
    layers = [f for _ in range(DEPTH) for f in (stax.Dense(1, W_STD, B_STD), stax.Relu())]
    _, _, kernel_fn = stax.serial(*layers, stax.Dense(1, 1.0, None))
    compiled = jax.jit(lambda x: nt.batch(kernel_fn, 0)(x, None, ("nngp", "ntk")))
    x = torch.randn(n, FEATURES, dtype=torch.float64)
    theirs = compiled(x.numpy())
    for kind in ("nngp", "ntk"):
        ours = MLPKernel(DEPTH, kind=kind, w_std=W_STD, b_std=B_STD, learned=False)(x)
        torch.testing.assert_close(ours, torch.from_numpy(np.array(getattr(theirs, kind))), atol=1e-6, rtol=0)
    kernel = MLPKernel(DEPTH, kind="ntk", w_std=W_STD, b_std=B_STD, learned=False)
    timed = {
        "neural-tangents": lambda: compiled(x.numpy()).ntk.block_until_ready(),
        "rk-kernels": lambda: kernel(x),
    }
    compare(f"NNGP and NTK of {n} inputs, {DEPTH} layers", timed, 5)


def ridges(n: int) -> None:
    """Kernel ridge regression onto one number, fit and answers at as many points, against scikit-learn."""
    try:
        from sklearn.kernel_ridge import KernelRidge
    except ImportError:
        print("\nscikit-learn is not installed: nothing to compare with")
        return
    x, y, points = torch.randn(n, FEATURES).double(), torch.randn(n, 1).double(), torch.randn(n, FEATURES).double()
    kernel = RBFKernel(LENGTH, learned=False)

    def ours() -> Tensor:
        return kernel(points, x) @ kernel_regression(kernel(x), y, NOISE)

    def theirs() -> np.ndarray:
        machine = KernelRidge(kernel="rbf", gamma=0.5 / LENGTH**2, alpha=NOISE)
        return machine.fit(x.numpy(), y.numpy()).predict(points.numpy())

    torch.testing.assert_close(ours(), torch.from_numpy(theirs()), atol=1e-8, rtol=0)
    compare(f"Kernel ridge regression on {n} rows", {"scikit-learn": theirs, "rk-kernels": ours}, 5)


def evidences(n: int) -> None:
    """Evidence of an exact process with its gradient, answers with variances, against GPyTorch and scikit-learn."""
    x, y, points = torch.randn(n, FEATURES).double(), torch.randn(n).double(), torch.randn(n, FEATURES).double()
    y = (y - y.mean()) / y.std(correction=0)  # ours standardises
    process = GaussianProcess(RBFKernel(LENGTH), NOISE, scale=1.0)
    process.observe(x, y.unsqueeze(1))

    def ours() -> list[float]:
        process.zero_grad()
        process.release()
        evidence = process.log_evidence()
        evidence.backward()
        return [float(evidence.detach())]

    def answers() -> Tensor:
        with torch.no_grad():
            process.condition()
            found = process(inputs=points)
        return torch.stack([found["values"][:, 0], found["scales"][:, 0, 0].square()])

    found, answered = {"rk-kernels": ours}, {"rk-kernels": answers}
    for rival in (gpytorch_process, sklearn_process):
        try:
            found_by, answered_by = rival(x, y, points)
        except ImportError as error:
            print(f"\n{error.name} is not installed: nothing to compare with")
            continue
        name = rival.__name__.removesuffix("_process")
        torch.testing.assert_close(torch.tensor(found_by()), torch.tensor(ours()), atol=1e-5, rtol=0)
        torch.testing.assert_close(answered_by(), answers(), atol=1e-6, rtol=0)
        found, answered = {name: found_by, **found}, {name: answered_by, **answered}
    if len(found) > 1:
        compare(f"Evidence and its gradient, {n} rows", found, 5)
        compare(f"Answers and variances at {n} points, {n} rows", answered, 5)


Rival = tuple[Callable[[], list[float]], Callable[[], Tensor]]


def gpytorch_process(x: Tensor, y: Tensor, points: Tensor) -> Rival:
    """Returns evidence and answers by GPyTorch, with Cholesky factors, as ours."""
    import gpytorch

    class Process(gpytorch.models.ExactGP):
        def __init__(self, likelihood: gpytorch.likelihoods.GaussianLikelihood) -> None:
            super().__init__(x, y, likelihood)
            self.mean_module = gpytorch.means.ZeroMean()
            self.covar_module = gpytorch.kernels.RBFKernel()

        def forward(self, z: Tensor) -> gpytorch.distributions.MultivariateNormal:
            return gpytorch.distributions.MultivariateNormal(self.mean_module(z), self.covar_module(z))

    likelihood = gpytorch.likelihoods.GaussianLikelihood().double()
    process = Process(likelihood).double()
    process.initialize(**{"covar_module.lengthscale": LENGTH, "likelihood.noise": NOISE})
    objective = gpytorch.mlls.ExactMarginalLogLikelihood(likelihood, process)

    def evidence() -> list[float]:
        process.train()
        process.zero_grad()
        with gpytorch.settings.fast_computations(False, False, False):
            value = objective(process(x), y)
            value.backward()
        return [float(value.detach()) * len(y)]

    def answers() -> Tensor:
        process.train()  # drops the solution
        process.eval()
        with torch.no_grad(), gpytorch.settings.fast_computations(False, False, False):
            found = likelihood(process(points))
        return torch.stack([found.mean, found.variance])

    return evidence, answers


def sklearn_process(x: Tensor, y: Tensor, points: Tensor) -> Rival:
    """Returns evidence and answers by scikit-learn."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, WhiteKernel

    machine = GaussianProcessRegressor(RBF(LENGTH) + WhiteKernel(NOISE), alpha=0.0, optimizer=None)
    machine.fit(x.numpy(), y.numpy())
    theta = np.array(machine.kernel_.theta)

    def evidence() -> list[float]:
        return [float(machine.log_marginal_likelihood(theta, eval_gradient=True)[0])]

    def answers() -> Tensor:
        mean, deviation = machine.fit(x.numpy(), y.numpy()).predict(points.numpy(), return_std=True)
        return torch.stack([torch.from_numpy(mean), torch.from_numpy(deviation).square()])

    return evidence, answers


def compare(title: str, contestants: Mapping[str, Callable[[], object]], rounds: int) -> None:
    """Takes turns and reports medians; the first contestant is the baseline."""
    timed = {name: lambda call=call: seconds(call) for name, call in contestants.items()}
    report(title, interleave(timed, rounds), baseline=next(iter(contestants)))


if __name__ == "__main__":
    main()

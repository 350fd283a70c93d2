"""The sparse variational process over classes: Student's t (SVTP), or Gaussian (SVGP)."""

from __future__ import annotations

import math
from typing import Annotated, TypedDict

import torch
from annotated_types import Ge, Gt
from jaxtyping import Float
from rk_kernels.kernel import Kernel, Positive
from rk_kernels.linalg import cholesky, log_determinant, whiten
from torch import Tensor, nn

from rk.fields import LogitsOutputs
from rk.sampling import generator


class FunctionDraws(TypedDict):
    """Draws of the latent functions, and each example's share of the divergence from the prior."""

    draws: Float[Tensor, "batch draws classes"]
    divergence: Float[Tensor, "batch"]


class SparseProcess(nn.Module):
    """Classes by a variational Student's t process with inducing inputs (Lee et al. 2022, arXiv:2107.01408, sec. 4.3).

    q(u, sigma^2) = InvGamma(sigma^2; a', b') prod_c N(u_c; mu_c, sigma^2 S_c), with S_c diagonal: one sigma^2 for all
    classes. The prior's own shape and scale climb the bound with the rest (empirical Bayes). Without the mixture,
    sigma^2 is a number that is learned: the sparse variational Gaussian process that it is compared with (Hensman et
    al. 2015, arXiv:1411.2005).

    Train it with the loss `elbo`, which needs `num_train` right: it weighs the prior against the data.

    Args:
        kernel: The covariance; its own parameters are learned.
        num_classes: Classes; a fact of the data.
        num_features: Numbers per example; a fact of the data.
        num_train: Training examples; a fact of the data.
        num_inducing: Inducing inputs. They begin at random; `inducing-rows` puts training rows there.
        mixture: Whether sigma^2 has a distribution.
        a: Shape of the prior of sigma^2, and of q, where learning begins.
        b: Scale of both there; without the mixture, sigma^2 begins at b / a.
        draws: Of the latent functions, in training.
        answer_draws: Of the latent functions, in answers.

    Examples:
        model: {name: sparse-process, kernel: {name: mlp-kernel, depth: 2}, num_inducing: 70}

        >>> from rk_kernels.rbf_kernel import RBFKernel
        >>> process = SparseProcess(RBFKernel(), num_classes=3, num_features=4, num_train=50, num_inducing=10)
        >>> process(inputs=torch.randn(5, 4))["draws"].shape
        torch.Size([5, 20, 3])
    """

    def __init__(
        self,
        kernel: Kernel,
        num_classes: int,
        num_features: int,
        num_train: Annotated[int, Ge(1)],
        num_inducing: Annotated[int, Ge(1)] = 100,
        mixture: bool = True,
        a: Annotated[float, Gt(0)] = 2.0,
        b: Annotated[float, Gt(0)] = 2.0,
        draws: Annotated[int, Ge(1)] = 20,
        answer_draws: Annotated[int, Ge(1)] = 500,
    ) -> None:
        super().__init__()
        self.kernel = kernel
        self.num_train = num_train
        self.mixture = mixture
        self.draws = draws
        self.answer_draws = answer_draws
        self.inducing = nn.Parameter(torch.randn(num_inducing, num_features, dtype=torch.float64))
        self.mean = nn.Parameter(torch.zeros(num_inducing, num_classes, dtype=torch.float64))
        self.log_deviation = nn.Parameter(torch.zeros(num_inducing, num_classes, dtype=torch.float64))
        if mixture:
            self.prior_a, self.prior_b = Positive(a), Positive(b)
            self.a, self.b = Positive(a), Positive(b)
        else:
            self.scale = Positive(b / a)

    def forward(self, *, inputs: Float[Tensor, "batch *shape"]) -> FunctionDraws:
        """Returns draws through which gradients flow, and the divergence per training example."""
        mean, variance, factor = self._marginals(inputs)
        noise = torch.randn(len(mean), self.draws, mean.shape[1], dtype=mean.dtype, device=mean.device)
        if self.mixture:
            gammas = torch.distributions.Gamma(self.a(), 1.0).rsample((len(mean), self.draws))
            scale = (self.b() / gammas).sqrt().unsqueeze(-1)  # one for all classes of a draw
        else:
            scale = self.scale().sqrt()
        draws = mean.unsqueeze(1) + scale * variance.sqrt().unsqueeze(1) * noise
        divergence = self.divergence(factor) / self.num_train
        return {"draws": draws, "divergence": divergence.expand(len(mean))}

    def predict(self, *, inputs: Float[Tensor, "batch *shape"]) -> LogitsOutputs:
        """Returns the log of the mean probability of each class, over draws that are the same for every example."""
        mean, variance, _ = self._marginals(inputs)
        random = generator(0)
        noise = torch.randn(self.answer_draws, mean.shape[1], generator=random, dtype=mean.dtype).to(mean.device)
        if self.mixture:
            shape = self.a().detach().cpu().expand(self.answer_draws)
            scale = (self.b() / torch._standard_gamma(shape, generator=random).to(mean.device)).sqrt().unsqueeze(-1)
        else:
            scale = self.scale().sqrt()
        draws = mean.unsqueeze(1) + variance.sqrt().unsqueeze(1) * (scale * noise)
        return {"logits": draws.log_softmax(-1).logsumexp(1) - math.log(self.answer_draws)}

    def divergence(self, factor: Tensor | None = None) -> Float[Tensor, ""]:
        """Returns KL(q(u, sigma^2) || p(u, sigma^2)).

        Args:
            factor: Cholesky factor of the kernel at the inducing inputs, where it is known already.
        """
        factor = cholesky(self.kernel(self.inducing)) if factor is None else factor
        size, classes = self.mean.shape
        inverse_diagonal = torch.cholesky_inverse(factor).diagonal()
        quadratic = whiten(factor, self.mean).square().sum()
        deviation = self.log_deviation
        # 0.5 [C log|K| - sum log|S_c| - I C + sum tr(K^-1 S_c) + E[1 / sigma^2] sum mu_c' K^-1 mu_c]
        precision = self.a() / self.b() if self.mixture else 1 / self.scale()
        trace = (inverse_diagonal.unsqueeze(1) * (2 * deviation).exp()).sum()
        gauss = classes * log_determinant(factor) - 2 * deviation.sum() - size * classes + trace
        normal = 0.5 * (gauss + precision * quadratic)
        if not self.mixture:
            return normal
        a0, b0, a, b = self.prior_a(), self.prior_b(), self.a(), self.b()
        gamma = a0 * (b / b0).log() - torch.lgamma(a) + torch.lgamma(a0) + (a - a0) * torch.digamma(a)
        return normal + gamma + (b0 - b) * a / b

    def _marginals(self, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns means and variances at scale 1, (batch, classes) each, and the factor of K_ZZ."""
        x = inputs.flatten(1).double()
        factor = cholesky(self.kernel(self.inducing))
        half = whiten(factor, self.kernel(self.inducing, x))
        weights = torch.linalg.solve_triangular(factor.mT, half, upper=True).mT  # A = K_xZ K_ZZ^-1
        rest = (self.kernel.diagonal(x) - half.square().sum(0)).clamp(min=1e-12)
        variance = rest.unsqueeze(1) + weights.square() @ (2 * self.log_deviation).exp()
        return weights @ self.mean, variance, factor

"""The scale mixture of a Gaussian process: the limit of wide networks with a random last layer's scale."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Gt
from rk_kernels.kernel import Kernel
from rk_kernels.process import ExactProcess
from rk_kernels.scale import ScalePrior


class ScaleMixtureProcess(ExactProcess):
    """f | sigma^2 ~ GP(0, sigma^2 K), sigma^2 ~ H (Lee et al. 2022, arXiv:2107.01408), conditioned exactly.

    The mean is that of the Gaussian process; what the mixture changes is the width of its predictive intervals.

    Args:
        kernel: The covariance K; its last layer has variance 1, as b and that variance could not be identified
            separately.
        scale: The prior H of sigma^2, in units of the standardised targets.
        noise: Variance of the noise where learning begins, relative to sigma^2.
        learn_noise: Whether gradients change it.

    Examples:
        model:
          name: scale-mixture-process
          kernel: {name: mlp-kernel, depth: 4}
          scale: {name: inverse-gamma, a: 2.0, b: 2.0}

        >>> from rk_kernels.rbf_kernel import RBFKernel
        >>> from rk_nngp_mixture.inverse_gamma import InverseGamma
        >>> process = ScaleMixtureProcess(RBFKernel(), InverseGamma())
        >>> process.observe(torch.randn(10, 3), torch.randn(10, 1))
        >>> process.condition()
        >>> process(inputs=torch.randn(4, 3))["degrees"].unique().item()  # 2 a + n
        14.0
    """

    def __init__(
        self, kernel: Kernel, scale: ScalePrior, noise: Annotated[float, Gt(0)] = 0.05, learn_noise: bool = True
    ) -> None:
        super().__init__(kernel, scale, noise, learn_noise)

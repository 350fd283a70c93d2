"""What the search `locality` finds: a kernel machine that knows its own hierarchy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rk_kernels.classifier import KernelMachine
from rk_kernels.covariance import Kind
from rk_kernels.hierarchical_kernel import HierarchicalKernel
from rk_kernels.linalg import kernel_regression
from rk_kernels.ntk_mlp import NTKOutputs
from torch import Tensor

from rk.fields import InputsOnly
from rk_wide_cnn.image_kernel import ImageHierarchicalKernel


def kernel_of(
    shape: Sequence[int], filter_sizes: Sequence[int], kind: Kind, normalise: bool
) -> HierarchicalKernel | ImageHierarchicalKernel:
    """Returns the kernel of a hierarchy.

    Args:
        shape: Of an input: an image's, or (features,).
        filter_sizes: Sizes, or sides where inputs are images; 0 as the first one stands for the whole input.
        kind: ntk or nngp.
        normalise: Divides each patch by its norm.
    """
    features = math.prod(shape)
    if filter_sizes[0] == 0:
        return HierarchicalKernel((features, *filter_sizes[1:]), features, kind, normalise)
    if len(shape) == 1:
        return HierarchicalKernel(tuple(filter_sizes), features, kind, normalise)
    return ImageHierarchicalKernel(tuple(filter_sizes), tuple(shape), kind, normalise)


class LocalMachine(KernelMachine):
    """Answers by regression with the kernel of the hierarchy that was found.

    Args:
        num_features: Numbers per example.
        kind: ntk or nngp.
        normalise: Divides each patch by its norm.
    """

    lazy_buffers = (*KernelMachine.lazy_buffers, "center", "offset")
    center: Tensor
    offset: Tensor

    def __init__(self, num_features: int, kind: Kind, normalise: bool) -> None:
        super().__init__(kernel_of((num_features,), (0,), kind, normalise), 1)
        self.kind = kind
        self.normalise = normalise
        self.hierarchy: tuple[tuple[int, ...], tuple[int, ...]] = (num_features,), (0,)

    def learn(
        self, shape: Sequence[int], filter_sizes: Sequence[int], inputs: Tensor, targets: Tensor, noise: float
    ) -> None:
        """Takes the kernel of these filters, and regresses.

        Args:
            shape: Of an input: an image's, or (features,).
            filter_sizes: As in `kernel_of`.
            inputs: (n, features).
            targets: (n, outputs).
            noise: Added to the diagonal, relative to its mean.
        """
        self._choose(shape, filter_sizes)
        self.center, self.offset = inputs.mean(0), targets.mean(0)
        self.inputs = inputs - self.center
        gram = self.kernel(self.inputs)
        ridge = noise * float(gram.diagonal().mean())
        self.coefficients = kernel_regression(gram, targets - self.offset, ridge)

    def predict(self, batch: InputsOnly) -> NTKOutputs:
        """Returns (batch, outputs) under both names: scores of classes, or real numbers."""
        inputs = batch["inputs"].flatten(1)
        if self.center.numel():
            values = self.answer(inputs - self.center) + self.offset
        else:
            values = self.answer(inputs)
        return {"logits": values, "values": values}

    def _choose(self, shape: Sequence[int], filter_sizes: Sequence[int]) -> None:
        self.hierarchy = tuple(shape), tuple(filter_sizes)
        self.kernel = kernel_of(*self.hierarchy, self.kind, self.normalise).to(self.coefficients.device)

    def get_extra_state(self) -> dict[str, list[int]]:
        shape, filter_sizes = self.hierarchy
        return {"shape": list(shape), "filter_sizes": list(filter_sizes)}

    def set_extra_state(self, state: Mapping[str, Any]) -> None:
        self._choose(state["shape"], state["filter_sizes"])

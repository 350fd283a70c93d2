"""The model `snnk-mlp`: a multilayer perceptron of random-feature layers, apart, in pairs, or as one matrix."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor, nn

from rk import Factory
from rk.fields import LogitsOutputs
from rk_snnk.bundle import new_bundle
from rk_snnk.features import FeatureLayer


class SnnkMLP(nn.Module):
    """Layers y_k = Psi(W_k) Phi_k(y_{k-1}) over flattened inputs, bundled or not (arXiv:2310.13225).

    With ``bundle: full``, all of them are fixed random features and one matrix, the head: the trainer
    `feature-regression` of rk-kernels solves for it in one pass over the data, without gradients.

    Args:
        num_features: Numbers per example; a fact of the data.
        num_classes: Classes; a fact of the data.
        features: The random features of each layer.
        num_layers: Layers, the last of which gives the classes; 0: a linear model.
        hidden_size: Width of the layers before.
        bundle: Layers that share a trainable matrix: each its own, two, or all.
        bias: Whether the head has one; a layer of the paper has none.

    Attributes:
        blocks: What is before the last matrix's features; each a module.
        tower: The features that the head reads.
        head: The last matrix.

    Examples:
        model: {name: snnk-mlp, features: {name: relu-features, random_features: 256}, num_layers: 2}

        >>> from rk_snnk.features import ReluFeatures
        >>> SnnkMLP(num_features=64, num_classes=10, features=ReluFeatures)(inputs=torch.rand(2, 8, 8))["logits"].shape
        torch.Size([2, 10])
    """

    keeps_shape = False

    def __init__(
        self,
        num_features: int,
        num_classes: int,
        features: Factory[FeatureLayer],
        num_layers: Annotated[int, Ge(0)] = 1,
        hidden_size: Annotated[int, Ge(1)] = 64,
        bundle: Literal["none", "pairwise", "full"] = "full",
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList()
        self.tower: nn.Module = nn.Identity()
        self.head = nn.Linear(num_features, num_classes, bias=bias)
        if not num_layers:
            return
        size = {"none": 1, "pairwise": 2, "full": num_layers}[bundle]
        widths = [num_features, *[hidden_size] * (num_layers - 1), num_classes]
        groups = [widths[start : start + size + 1] for start in range(0, num_layers, size)]
        self.blocks.extend(new_bundle(features, group) for group in groups[:-1])
        last = new_bundle(features, groups[-1])
        self.tower = last.towers
        self.head = nn.Linear(last.weight.shape[1], num_classes, bias=bias)
        self.head.weight.data.copy_(last.weight)

    def features(self, *, inputs: Float[Tensor, "batch *shape"]) -> Float[Tensor, "batch size"]:
        """Returns what the head reads: fixed features of the inputs, where all layers are one bundle."""
        hidden = inputs.flatten(1)
        for block in self.blocks:
            hidden = block(hidden)
        found: Tensor = self.tower(hidden)
        return found

    def forward(self, *, inputs: Float[Tensor, "batch *shape"]) -> LogitsOutputs:
        """Returns logits of (batch, classes)."""
        return {"logits": self.head(self.features(inputs=inputs))}

    def enter(self, *, inputs: Float[Tensor, "batch *shape"]) -> tuple[Tensor, tuple[()]]:
        """Returns what the first block takes, of (batch, features)."""
        return inputs.flatten(1), ()

    def leave(self, hidden: Float[Tensor, "batch width"]) -> LogitsOutputs:
        """Returns logits of (batch, classes) from what the last block gave."""
        return {"logits": self.head(self.tower(hidden))}

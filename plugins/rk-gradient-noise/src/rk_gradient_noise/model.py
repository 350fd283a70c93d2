"""The paper's very deep network: twenty hidden layers of fifty units each."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor, nn

from rk.fields import LogitsOutputs
from rk_gradient_noise.inits import weight_std

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "gelu": nn.GELU}


class DeepMLP(nn.Module):
    """A deep and narrow multilayer perceptron over flattened inputs, with the paper's starting weights.

    Section 4.1 of arXiv:1511.06807. Biases start at zero.

    Args:
        num_features: Numbers per example, all input dimensions together.
        num_classes: Classes.
        num_layers: Hidden layers.
        hidden_size: Width of each.
        activation: The nonlinearity after each hidden layer.
        init: Starting weights, normal with mean 0: `simple` has the deviation `init_std`; `sussillo` is the random-walk
            initialisation (arXiv:1412.6558) and `he` that of arXiv:1502.01852, both made for ReLU; `xavier` is
            Glorot's; `zero` sets all weights to zero.
        init_std: Deviation of `simple`.

    Attributes:
        blocks: The hidden layers, each a module from (batch, width before) to (batch, hidden_size).
        head: The last, linear layer.

    Examples:
        model: {name: deep-mlp, num_layers: 20, hidden_size: 50, init: zero}

        >>> DeepMLP(num_features=64, num_classes=10)(inputs=torch.rand(2, 8, 8))["logits"].shape
        torch.Size([2, 10])
    """

    renamed = {"n_layers": "num_layers"}

    def __init__(
        self,
        num_features: Annotated[int, Ge(1)],
        num_classes: Annotated[int, Ge(1)],
        num_layers: Annotated[int, Ge(1)] = 20,
        hidden_size: Annotated[int, Ge(1)] = 50,
        activation: Literal["relu", "tanh", "sigmoid", "gelu"] = "relu",
        init: Literal["simple", "sussillo", "he", "xavier", "zero"] = "simple",
        init_std: Annotated[float, Ge(0)] = 0.1,
    ) -> None:
        super().__init__()
        widths = [num_features] + [hidden_size] * num_layers
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(before, hidden_size), ACTIVATIONS[activation]()) for before in widths[:-1]
        )
        self.head = nn.Linear(hidden_size, num_classes)
        self.keeps_shape = num_features == hidden_size
        for layer in self.layers():
            nn.init.normal_(layer.weight, 0.0, weight_std(init, layer.in_features, layer.out_features, init_std))
            nn.init.zeros_(layer.bias)

    def layers(self) -> list[nn.Linear]:
        """Returns the linear layers, from the inputs to the logits."""
        return [layer for layer in self.modules() if isinstance(layer, nn.Linear)]

    def forward(self, *, inputs: Float[Tensor, "batch *shape"]) -> LogitsOutputs:
        """Returns logits of (batch, classes)."""
        hidden = inputs.flatten(1)
        for block in self.blocks:
            hidden = block(hidden)
        return {"logits": self.head(hidden)}

    def enter(self, *, inputs: Float[Tensor, "batch *shape"]) -> tuple[Tensor, tuple[()]]:
        """Returns what the first block takes, of (batch, features)."""
        return inputs.flatten(1), ()

    def leave(self, hidden: Float[Tensor, "batch width"]) -> LogitsOutputs:
        """Returns logits of (batch, classes) from what the last block gave."""
        return {"logits": self.head(hidden)}

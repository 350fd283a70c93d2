"""A ReLU network by least squares: random hinges, one solution of a linear system, and units that one position owns."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from rk.sampling import generator
from rk_single_layer_transformer.feedforward import FeedForward
from rk_single_layer_transformer.slots import Slots

RCOND = 1e-10
"""Singular values below this share of the largest one count as zero where there is no ridge."""

Box = tuple[Float[Tensor, "m"], Float[Tensor, "m"]]
"""The least and the largest value of each coordinate of z."""


@dataclass(frozen=True)
class Hinges:
    """Hidden units before they are gated: relu(w . z + b) of random hinges, then z itself, then a constant.

    On the box, a coordinate is the unit relu(z_k - low_k) and its least value.

    Attributes:
        weights: w of each unit.
        biases: b of each unit.
    """

    weights: Float[Tensor, "units m"]
    biases: Float[Tensor, "units"]

    def __call__(self, z: Float[Tensor, "rows m"]) -> Float[Tensor, "rows units"]:
        """Returns what each unit gives."""
        return (z @ self.weights.T + self.biases).relu()

    def bound(self, box: Box) -> Float[Tensor, "units"]:
        """Returns the largest value of each unit on the box: the least M of Eq. 5, exactly.

        A value that attention copies is a weighted mean of inputs, so it is in the box, too.
        """
        low, high = box
        return (self.weights.clamp(min=0) @ high + self.weights.clamp(max=0) @ low + self.biases).clamp(min=0)


def random_hinges(z: Float[Tensor, "samples m"], box: Box, width: int, *key: int) -> Hinges:
    """Eq. 6: directions uniform on the sphere, each hinge through a random sample; then the coordinates and a constant.

    Args:
        z: The samples, float64.
        box: Bounds of the coordinates.
        width: Random hinges.
        key: Seeds of the choice.
    """
    random = generator(*key)  # of the CPU, so that the choice is the same on every device
    samples, m = z.shape
    directions = torch.randn(width, m, generator=random, dtype=torch.float64).to(z.device)
    directions = directions / directions.norm(dim=1, keepdim=True)
    through = z[torch.randint(samples, (width,), generator=random).to(z.device)]
    weights = torch.cat([directions, torch.eye(m, dtype=z.dtype, device=z.device), z.new_zeros(1, m)])
    biases = torch.cat([-(directions * through).sum(1), -box[0], z.new_ones(1)])
    return Hinges(weights, biases)


def least_squares(
    features: Float[Tensor, "samples units"], targets: Float[Tensor, "samples outputs"], ridge: float
) -> Float[Tensor, "units outputs"]:
    """Returns the weights of smallest mean squared error plus `ridge` times their squared norm.

    Args:
        features: float64.
        targets: float64.
        ridge: With 0, the solution of smallest norm, by singular values; else by a Cholesky factor of the units'
            products, which is several times as fast.
    """
    if ridge:
        gram = features.T @ features
        gram.diagonal().add_(ridge * len(features))
        factor, failed = torch.linalg.cholesky_ex(gram)
        if not int(failed):
            return torch.cholesky_solve(features.T @ targets, factor)
    driver = "gelsd" if features.device.type == "cpu" else "gels"
    found: Tensor = torch.linalg.lstsq(features, targets, rcond=RCOND, driver=driver).solution
    return found


@torch.no_grad()
def write_gated(
    ffn: FeedForward, slots: Slots, position: int, hinges: Hinges, readout: Float[Tensor, "units outputs"], box: Box
) -> None:
    """Eq. 5: writes the units of one position, relu(w . z + b - M (1 - p_i)): silent on all other positions.

    Args:
        ffn: With as many units for each position as there are in `hinges`; their readouts add up.
        slots: The columns of the stream.
        position: i.
        hinges: The units.
        readout: Their weights in the answer.
        box: Bounds of the coordinates.
    """
    size = len(hinges.biases)
    units = slice(position * size, (position + 1) * size)
    bound = hinges.bound(box)
    ffn.hidden.weight[units] = 0
    ffn.hidden.weight[units, slots.z] = hinges.weights
    ffn.hidden.weight[units, slots.positions.start + position] = bound
    ffn.hidden.bias[units] = hinges.biases - bound
    ffn.out.weight[:, units] = readout.T
    ffn.out.bias.zero_()

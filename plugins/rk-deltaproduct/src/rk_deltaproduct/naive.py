"""DeltaProduct one Householder step after the other: what the tests and the benchmark compare with."""

# b batch, t time, n Householder steps per token, h heads, k width of keys, v width of values

import torch
from jaxtyping import Float
from torch import Tensor


def delta_product(
    q: Float[Tensor, "b t h k"],
    k: Float[Tensor, "b t n h k"],
    v: Float[Tensor, "b t n h v"],
    beta: Float[Tensor, "b t n h"],
    g: Float[Tensor, "b t h"] | None = None,
    state: Float[Tensor, "b h k v"] | None = None,
    scale: float | None = None,
) -> tuple[Float[Tensor, "b t h v"], Float[Tensor, "b h k v"]]:
    """Returns what `rk_deltaproduct.ops.delta_product` does, by the recurrence as it is written."""
    b, t, n, h, width = k.shape
    state = v.new_zeros(b, h, width, v.shape[-1]) if state is None else state
    scale = width**-0.5 if scale is None else scale
    outputs = []
    for i in range(t):
        if g is not None:
            state = state * g[:, i, :, None, None].exp()
        for j in range(n):
            key = k[:, i, j, :, :, None]
            found = (state * key).sum(-2)
            wrong = beta[:, i, j, :, None] * (v[:, i, j] - found)
            state = state + key * wrong.unsqueeze(-2)
        outputs.append(scale * (state * q[:, i, :, :, None]).sum(-2))
    return torch.stack(outputs, 1), state

"""Whether a transform of `torch.func` is active: operations with a hand-written gradient then leave it to autograd."""

from __future__ import annotations

__all__ = ["is_transforming"]


def is_transforming() -> bool:
    """Returns whether `vmap`, `grad`, `jacrev`, `jvp` or another transform of `torch.func` runs the code that asks.

    A `torch.autograd.Function` that writes into tensors of its own cannot be transformed. What offers one for speed
    asks this first, and does the same in plain operations::

        if torch.is_grad_enabled() and not is_transforming():
            return _Fast.apply(x)
        return slow_but_plain(x)
    """
    import torch

    return torch._C._are_functorch_transforms_active()

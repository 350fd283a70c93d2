"""The tangent kernel of a network of finite width, from its own Jacobian."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap


def empirical_ntk(
    model: nn.Module, x1: Tensor, x2: Tensor | None = None, params: Mapping[str, Tensor] | None = None
) -> Tensor:
    """Returns the NTK of `model` at its weights: (n1, n2), the mean over its outputs.

    sum over the parameters of df_c(x) / dw . df_c(x') / dw, as in Jacot et al. 2018, arXiv:1806.07572, eq. 3. Jacobians
    are held tensor by tensor: memory is (n1 + n2) x outputs x the largest parameter.

    Args:
        model: Maps a batch (n, ...) to outputs (n, outputs).
        x1: (n1, ...).
        x2: (n2, ...); None: `x1` again.
        params: The parameters that count, by name; None: all that require a gradient.
    """
    chosen = dict(params if params is not None else {k: p for k, p in model.named_parameters() if p.requires_grad})
    fixed = {k: t.detach() for k, t in (*model.named_parameters(), *model.named_buffers()) if k not in chosen}
    total: Tensor | float = 0.0
    for name, value in chosen.items():
        others = {**fixed, **{k: p.detach() for k, p in chosen.items() if k != name}}

        def answer(tensor: Tensor, x: Tensor, name: str = name, others: dict[str, Tensor] = others) -> Tensor:
            return functional_call(model, {**others, name: tensor}, (x.unsqueeze(0),)).squeeze(0)

        jacobian = vmap(jacrev(answer), (None, 0))
        # One dimension more: a parameter that is a single number has none to flatten
        j1 = jacobian(value.detach(), x1).unsqueeze(-1).flatten(2)
        j2 = j1 if x2 is None else jacobian(value.detach(), x2).unsqueeze(-1).flatten(2)
        total = total + torch.einsum("ncp,mcp->nm", j1, j2) / j1.shape[1]
    return total

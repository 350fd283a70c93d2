"""The tangent kernel of a network of finite width, from its own Jacobian."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap


def empirical_ntk(
    model: nn.Module, x1: Tensor, x2: Tensor | None = None, params: Mapping[str, Tensor] | None = None
) -> Tensor:
    """Returns the NTK of `model` at its weights: (n1, n2), the mean over its outputs.

    sum over the parameters of df_c(x) / dw . df_c(x') / dw, as in Jacot et al. 2018, arXiv:1806.07572, Eq. 3. Jacobians
    are held tensor by tensor: memory is (n1 + n2) x outputs x the largest parameter. A module that `torch.func` cannot
    transform (torch's own recurrent kernels, gradients written by hand) is differentiated example by example.

    Args:
        model: Maps a batch (n, ...) to outputs (n, outputs).
        x1: (n1, ...).
        x2: (n2, ...); None: `x1` again.
        params: The parameters that count, by name; None: all that require a gradient.

    Examples:
        >>> empirical_ntk(torch.nn.Linear(3, 1), torch.eye(3))  # of a linear map: x . x' + 1
        tensor([[2., 1., 1.],
                [1., 2., 1.],
                [1., 1., 2.]])
    """
    chosen = dict(params if params is not None else {k: p for k, p in model.named_parameters() if p.requires_grad})
    fixed = {k: t.detach() for k, t in (*model.named_parameters(), *model.named_buffers()) if k not in chosen}
    total = x1.new_zeros(())
    for name, value in chosen.items():
        others = {**fixed, **{k: p.detach() for k, p in chosen.items() if k != name}}

        def answer(tensor: Tensor, x: Tensor, name: str = name, others: dict[str, Tensor] = others) -> Tensor:
            return functional_call(model, {**others, name: tensor}, (x.unsqueeze(0),)).squeeze(0)

        # One dimension more: a parameter that is a single number has none to flatten
        j1 = _jacobian(answer, value.detach(), x1).unsqueeze(-1).flatten(2)
        j2 = j1 if x2 is None else _jacobian(answer, value.detach(), x2).unsqueeze(-1).flatten(2)
        total = total + torch.einsum("ncp,mcp->nm", j1, j2) / j1.shape[1]
    return total


def _jacobian(answer: Callable[[Tensor, Tensor], Tensor], value: Tensor, x: Tensor) -> Tensor:
    """Returns d answer(value, x_i) / d value of every example: (n, outputs, *value.shape)."""
    try:
        return vmap(jacrev(answer), (None, 0))(value, x)
    except RuntimeError:  # an operation without a rule for vmap, or an autograd.Function without setup_context
        return torch.stack([_rows(answer, value.clone().requires_grad_(), example) for example in x])


@torch.enable_grad()
def _rows(answer: Callable[[Tensor, Tensor], Tensor], value: Tensor, example: Tensor) -> Tensor:
    outputs = answer(value, example)
    if not outputs.requires_grad:  # the answer does not depend on this parameter
        return outputs.new_zeros(*outputs.shape, *value.shape)
    rows = [
        torch.autograd.grad(output, value, retain_graph=True, allow_unused=True, materialize_grads=True)[0]
        for output in outputs
    ]
    return torch.stack(rows)

"""The layer `deltaproduct`: DeltaProduct (arXiv:2502.10297), of which DeltaNet is the case of one Householder step.

Parameters have the names, shapes and order of flash-linear-attention's layers.
"""

# b batch, t time, d width of the layer, n Householder steps per token, h heads, k width of keys, v width of values

import math
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from rk_deltaproduct.ops import delta_product, delta_product_step
from rk_deltaproduct.short_conv import ShortConv

XAVIER_GAIN = 2**-2.5
"""The gain of every projection's initial weights, in the authors' code."""
DECAY_RATES = (0.0, 16.0)
STEP_SIZES = (1e-3, 1e-1)
"""Ranges of the forget gate's starting values: uniform, and uniform in the logarithm (arXiv:2312.00752)."""

DeltaProductState = dict[str, Tensor]
"""``memory`` of (b, h, k, v); with short convolutions, the inputs that they still see: ``q``, ``k``, ``v``."""

NO_WEIGHT_DECAY = "no_weight_decay"
"""What marks a parameter for `rk.Runtime.optimizer`."""


class DeltaProduct(nn.Module):
    """A matrix-valued memory that each step multiplies by a product of generalized Householder matrices.

    A step writes `num_householder` values at as many keys by the delta rule. Its transition is the identity minus a
    matrix of at most that rank: n_h reflections permute n_h + 1 elements, or rotate space, in one step.

    Args:
        d_model: Width of input and output.
        num_householder: Householder matrices in the product of a step, n_h; 1 is DeltaNet.
        num_heads: Heads, each with its own memory.
        head_dim: Width of a key; null: `d_model` / `num_heads`.
        expand_v: Width of a value, as a multiple of `head_dim`.
        allow_neg_eigval: Step sizes beta in [0, 2] in place of [0, 1], so that eigenvalues are in [-1, 1]: reflections.
        use_forget_gate: Lets the memory decay, by a factor per head and step.
        use_output_gate: Multiplies the output by a gate.
        use_short_conv: Lets queries, keys and values see a few steps before theirs.
        conv_size: Steps that they see, their own included.
        norm_eps: Added to the mean square in the norm of the output.
        chunk_size: Tokens that training works on at once, a matter of speed alone; null chooses.

    Raises:
        ValueError: When heads do not divide the width, or a value would not have a whole number of entries.

    Examples:
        model: {name: sequence, layer: {name: deltaproduct, num_householder: 2, num_heads: 4}}

        >>> DeltaProduct(d_model=16)(torch.randn(2, 9, 16)).shape
        torch.Size([2, 9, 16])
    """

    renamed = {"n_heads": "num_heads"}

    def __init__(
        self,
        *,
        d_model: int,
        num_householder: Annotated[int, Ge(1)] = 2,
        num_heads: Annotated[int, Ge(1)] = 4,
        head_dim: Annotated[int, Ge(1)] | None = None,
        expand_v: Annotated[float, Gt(0)] = 1.0,
        allow_neg_eigval: bool = True,
        use_forget_gate: bool = False,
        use_output_gate: bool = False,
        use_short_conv: bool = False,
        conv_size: Annotated[int, Ge(1)] = 4,
        norm_eps: Annotated[float, Gt(0)] = 1e-5,
        chunk_size: Annotated[int, Ge(1)] | None = None,
    ) -> None:
        super().__init__()
        if head_dim is None:
            if d_model % num_heads:
                raise ValueError(f"num_heads must divide a width of {d_model}, got {num_heads}; or give head_dim")
            head_dim = d_model // num_heads
        value_dim = round(head_dim * expand_v)
        if not math.isclose(value_dim, head_dim * expand_v) or value_dim < 1:
            raise ValueError(f"expand_v * head_dim must be a whole number, got {expand_v} * {head_dim}")
        self.num_householder = num_householder
        self.num_heads = num_heads
        self.beta_range = 2.0 if allow_neg_eigval else 1.0
        self.chunk_size = chunk_size
        keys, values = num_heads * head_dim, num_heads * value_dim
        # rows of k, v and b in the order (n, h, .), as in flash-linear-attention
        self.q_proj = nn.Linear(d_model, keys, bias=False)
        self.k_proj = nn.Linear(d_model, num_householder * keys, bias=False)
        self.v_proj = nn.Linear(d_model, num_householder * values, bias=False)
        self.b_proj = nn.Linear(d_model, num_householder * num_heads, bias=False)
        self.o_norm = nn.RMSNorm(value_dim, eps=norm_eps)
        self.o_proj = nn.Linear(values, d_model, bias=False)
        self.a_proj = nn.Linear(d_model, num_heads, bias=False) if use_forget_gate else None
        self.g_proj = nn.Linear(d_model, values, bias=False) if use_output_gate else None
        self.q_conv1d = ShortConv(keys, conv_size) if use_short_conv else None
        self.k_conv1d = ShortConv(num_householder * keys, conv_size) if use_short_conv else None
        self.v_conv1d = ShortConv(num_householder * values, conv_size) if use_short_conv else None
        if use_forget_gate:
            self.A_log = nn.Parameter(torch.empty(num_heads))
            self.dt_bias = nn.Parameter(torch.empty(num_heads))
            for parameter in (self.A_log, self.dt_bias):
                setattr(parameter, NO_WEIGHT_DECAY, True)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws starting weights as the authors' code does."""
        for module in self.children():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight, gain=XAVIER_GAIN)
        if self.a_proj is not None:
            with torch.no_grad():
                self.A_log.uniform_(*DECAY_RATES).log_()
                dt = torch.empty_like(self.dt_bias).uniform_(*map(math.log, STEP_SIZES)).exp()
                self.dt_bias.copy_(dt + (-torch.expm1(-dt)).log())  # softplus takes it back to dt

    def forward(self, x: Float[Tensor, "b t d"], mask: Bool[Tensor, "b t"] | None = None) -> Float[Tensor, "b t d"]:
        """Maps `x` to the same shape; `mask` is True where a step exists."""
        return self.scan(x, self.initial_state(x.shape[0]), mask)[0]

    def initial_state(self, batch_size: int) -> DeltaProductState:
        """Returns an empty memory, of 32 bits at least, and zeros for what convolutions see before the first step."""
        weight = self.q_proj.weight
        head_dim, (value_dim,) = len(weight) // self.num_heads, self.o_norm.normalized_shape
        dtype = torch.promote_types(weight.dtype, torch.float32)
        state = {"memory": weight.new_zeros(batch_size, self.num_heads, head_dim, value_dim, dtype=dtype)}
        return state | {name: conv.initial_state(batch_size) for name, conv in self._convs().items()}

    def scan(
        self, x: Float[Tensor, "b t d"], state: DeltaProductState, mask: Bool[Tensor, "b t"] | None = None
    ) -> tuple[Float[Tensor, "b t d"], DeltaProductState]:
        """Maps a further piece of any length; see `rk.protocols.StatefulSequenceLayer`."""
        after: DeltaProductState = {}
        q, k, v = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        if convs := self._convs():
            q, after["q"] = convs["q"](q, state["q"], mask)
            k, after["k"] = convs["k"](k, state["k"], mask)
            v, after["v"] = convs["v"](v, state["v"], mask)
        n, h = self.num_householder, self.num_heads
        q = _unit(F.silu(q).unflatten(-1, (h, -1)))
        k = _unit(F.silu(k).unflatten(-1, (n, h, -1)))
        v = F.silu(v).unflatten(-1, (n, h, -1))
        beta = self.beta_range * self.b_proj(x).sigmoid().unflatten(-1, (n, h))
        g = None if self.a_proj is None else -self.A_log.exp() * F.softplus(self.a_proj(x) + self.dt_bias)
        if mask is not None:  # a step that writes nothing and forgets nothing leaves the memory as it is
            beta = beta * mask[..., None, None]
            g = None if g is None else g * mask.unsqueeze(-1)
        if x.shape[1] == 1:
            q, k, v, beta, g = (
                q.squeeze(1),
                k.squeeze(1),
                v.squeeze(1),
                beta.squeeze(1),
                g if g is None else g.squeeze(1),
            )
            o, after["memory"] = delta_product_step(q, k, v, beta, g, state["memory"])
            o = o.unsqueeze(1)
        else:
            o, after["memory"] = delta_product(q, k, v, beta, g, state["memory"], chunk_size=self.chunk_size)
        o = self.o_norm(o)
        if self.g_proj is not None:
            o = o * F.silu(self.g_proj(x).unflatten(-1, (h, -1)))
        return self.o_proj(o.flatten(-2)), after

    def _convs(self) -> dict[str, ShortConv]:
        q, k, v = self.q_conv1d, self.k_conv1d, self.v_conv1d
        return {} if q is None or k is None or v is None else {"q": q, "k": k, "v": v}


def _unit(x: Float[Tensor, "*shape k"]) -> Float[Tensor, "*shape k"]:
    """Divides by the norm, as flash-linear-attention does, with 1e-6 added to its square."""
    return x * (x.square().sum(-1, keepdim=True) + 1e-6).rsqrt()

"""The layer `lssl`: a linear state-space layer, which trains as a convolution and streams as a recurrence."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

import torch
from annotated_types import Ge, Gt, Lt
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from rk.protocols import Decode
from rk_lssl.hippo import Measure, assemble, hippo, structure
from rk_lssl.ops import Method, causal_convolution, discretize, krylov, power_times

T = TypeVar("T")

# b batch, t time, h features, n order of the state, m channels

Learned = Literal["fixed", "shared", "per-feature"]
"""What of A, B and the steps is trained: nothing, one A for all features, or one for each."""

NO_WEIGHT_DECAY = "no_weight_decay"
"""What marks a parameter for `rk.Runtime.optimizer`."""


class LSSL(nn.Module):
    """A linear state-space layer (Gu et al. 2021, arXiv:2110.13985).

    Each feature is the input of a system ``x' = A x + B u``, ``y = C x + D u`` with n numbers of state and a step of
    its own. A and B are HiPPO matrices. Whole sequences are mapped as a convolution with the kernel ``C Ab^t Bb``,
    pieces of them from state to state. The channels go through GELU, and one linear layer mixes all features.

    Args:
        d_model: Width of input and output.
        order: n, the numbers of a state of one feature.
        channels: Outputs of each system.
        measure: Which A and B: `legs`, `legt`, `lagt`, or `random`, the control.
        learned: Whether A, B and the steps stay as they are (LSSL-fixed), or are trained: with A `shared` by all
            features, or `per-feature`. Trained matrices begin as `legs` or `legt`.
        dt_min: Least length of a step at first: about one by the length of the sequences.
        dt_max: Most length of a step at first. Steps are uniform in the logarithm.
        method: How time becomes steps.
        rate: Steps of the data in a step of training: 2 where only every other one is given. It stretches the system's
            steps, without training.
        lr_scale_a: Factor of the learning rate of A and B.
        lr_scale_dt: Factor of that of the steps.
        dropout: Share of the channels that is dropped in training.

    Raises:
        ValueError: When `learned` matrices are to begin as others than `legs` or `legt`, or `dt_min` exceeds `dt_max`.

    Examples:
        model: {name: sequence, layer: {name: lssl, order: 64, dt_min: 1e-3}, d_model: 64, num_layers: 2}

        >>> LSSL(d_model=16, order=8)(torch.randn(2, 9, 16)).shape
        torch.Size([2, 9, 16])
    """

    A: Tensor
    B: Tensor

    def __init__(
        self,
        *,
        d_model: int,
        order: Annotated[int, Ge(1)] = 64,
        channels: Annotated[int, Ge(1)] = 1,
        measure: Measure = "legs",
        learned: Learned = "fixed",
        dt_min: Annotated[float, Gt(0)] = 1e-3,
        dt_max: Annotated[float, Gt(0)] = 1e-1,
        method: Method = "bilinear",
        rate: Decode[Annotated[float, Gt(0)]] = 1.0,
        lr_scale_a: Annotated[float, Ge(0)] = 0.1,
        lr_scale_dt: Annotated[float, Ge(0)] = 1.0,
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.0,
    ) -> None:
        super().__init__()
        if dt_min > dt_max:
            raise ValueError(f"dt_min must be at most dt_max, got {dt_min} and {dt_max}")
        self.order = order
        self.method = method
        self.rate = rate
        self.learned = learned
        log_dt = torch.empty(d_model).uniform_(math.log(dt_min), math.log(dt_max))
        if learned == "fixed":
            seed = int(torch.randint(2**31, ()))  # of the random matrices: drawn as the other weights are
            a, b = hippo(measure, order, torch.Generator().manual_seed(seed))
            self.register_buffer("A", a.float())
            self.register_buffer("B", b.float())
            self.register_buffer("log_dt", log_dt)
        else:
            if measure not in ("legs", "legt"):
                raise ValueError(f"matrices that are learned begin as legs or legt, got {measure}")
            self.matrices = nn.ParameterDict()
            for name, value in structure(measure, order).items():
                if name == "diagonal" and measure == "legt":
                    value = value + 1e-2 * torch.randn_like(value)  # without it, T is singular for an odd order
                each = value if learned == "shared" else value.expand(d_model, -1)
                self.matrices[name] = _special(each.float().clone(), lr_scale_a)
            self.log_dt = _special(log_dt, lr_scale_dt)
        self.C = nn.Parameter(torch.randn(d_model, channels, order))
        self.D = nn.Parameter(torch.randn(d_model, channels))
        self.mix = nn.Linear(d_model * channels, d_model)
        self.dropout = nn.Dropout(dropout)
        self._cache: dict[str, tuple[Any, Any]] = {}  # Any: a key and what it stands for

    def extra_repr(self) -> str:
        return f"order={self.order}, learned={self.learned}, method={self.method}, rate={self.rate:g}"

    # -- the system ----------------------------------------------------------------------------------------------------

    def system(self) -> tuple[Float[Tensor, "h n n"], Float[Tensor, "h n"]]:
        """Returns Ab and Bb of each feature, computed in 64 bits where the device has them, in the dtype of C."""
        return self._kept("system", self._discretized)

    def _discretized(self) -> tuple[Tensor, Tensor]:
        wide = torch.float32 if self.C.device.type == "mps" else torch.float64
        if self.learned == "fixed":
            a, b = self.A.to(wide), self.B.to(wide)
        else:
            a, b = assemble({name: value.to(wide) for name, value in self.matrices.items()})
        found = discretize(a, b, self.log_dt.to(wide).exp() * self.rate, self.method)
        return found[0].to(self.C.dtype), found[1].to(self.C.dtype)

    def _basis(self, length: int) -> Float[Tensor, "h n t"]:
        """Returns ``[Bb, Ab Bb, ...]``, which does not depend on C."""
        return self._kept(length, lambda: krylov(length, *self.system()))

    def _kept(self, what: object, compute: Callable[[], T]) -> T:
        """Returns what A, B and the steps lead to, kept for as long as they stay: of lengths, only the last.

        Where they are learned, it changes with each update, and nothing that was kept outlives a training step: fused
        optimizers change weights without counting it in their versions.
        """
        sources = [self.log_dt, *([self.A, self.B] if self.learned == "fixed" else self.matrices.values())]
        learns = torch.is_grad_enabled() and any(s.requires_grad for s in sources)
        if learns:
            self._cache.clear()
        if learns or torch.compiler.is_compiling() or torch.compiler.is_exporting():
            return compute()
        key = (what, self.rate, self.C.dtype, *((s.data_ptr(), s._version) for s in sources))
        place = "system" if what == "system" else "basis"
        if self._cache.get(place, (None,))[0] != key:
            with torch.no_grad():
                self._cache[place] = key, compute()
        found: T = self._cache[place][1]
        return found

    def kernel(self, length: int) -> Float[Tensor, "h m t"]:
        """Returns the convolution kernel ``C Ab^t Bb`` (Eq. 7)."""
        return self.C @ self._basis(length)

    # -- whole sequences -----------------------------------------------------------------------------------------------

    def forward(self, x: Float[Tensor, "b t h"], mask: Bool[Tensor, "b t"] | None = None) -> Float[Tensor, "b t h"]:
        """Maps `x` to the same shape; `mask` is True where a step exists."""
        u = x.transpose(1, 2)
        if mask is None:
            return self._out(self._convolved(u))
        place = _packed(mask)
        y = self._convolved(u.gather(2, place.unsqueeze(1).expand_as(u)) * mask.sort(1).values.unsqueeze(1))
        return self._out(y.gather(3, _unpacked(place)[:, None, None].expand_as(y)))

    def _convolved(self, u: Float[Tensor, "b h t"]) -> Float[Tensor, "b h m t"]:
        return causal_convolution(self.kernel(u.shape[-1]), u) + self.D.unsqueeze(-1) * u.unsqueeze(2)

    def _out(self, y: Float[Tensor, "b h m t"]) -> Float[Tensor, "b t h"]:
        return self.mix(self.dropout(F.gelu(y)).flatten(1, 2).transpose(1, 2))

    # -- pieces --------------------------------------------------------------------------------------------------------

    def initial_state(self, batch_size: int) -> Float[Tensor, "b h n"]:
        """Returns zeros: nothing has been."""
        return self.C.new_zeros(batch_size, self.C.shape[0], self.order)

    def scan(
        self, x: Float[Tensor, "b t h"], state: Float[Tensor, "b h n"], mask: Bool[Tensor, "b t"] | None = None
    ) -> tuple[Float[Tensor, "b t h"], Float[Tensor, "b h n"]]:
        """Maps a further piece of any length; see `rk.protocols.StatefulSequenceLayer`."""
        u, t = x.transpose(1, 2), x.shape[1]
        a, b = self.system()
        count, place = torch.full((len(x),), t, device=x.device), None
        if mask is not None:  # the steps that exist go to the end, with zeros before them
            count, place = mask.sum(1), _packed(mask)
            u = u.gather(2, place.unsqueeze(1).expand_as(u)) * mask.sort(1).values.unsqueeze(1)
        if t == 1:
            after = power_times(a, state, count, 1) + b * u
            y = torch.einsum("hmn,bhn->bhm", self.C, after).unsqueeze(-1) + self.D.unsqueeze(-1) * u.unsqueeze(2)
            return self._out(y), after
        basis = krylov(t, a, b)
        y = causal_convolution(self.C @ basis, u) + self.D.unsqueeze(-1) * u.unsqueeze(2)
        after = power_times(a, state, count, t) + torch.einsum("hnt,bht->bhn", basis, u.flip(-1))
        # what the state adds to the s-th step that exists: C Ab^(s+1) x
        left = torch.stack([krylov(t, a.mT, row) for row in (self.C @ a).unbind(1)], 1)  # (h, m, n, t)
        added = torch.einsum("hmnt,bhn->bhmt", left, state)
        if place is None:
            return self._out(y + added), after
        behind = (torch.arange(t, device=x.device) - (t - count).unsqueeze(1)).clamp(min=0)
        y = y + added.gather(3, behind[:, None, None].expand_as(added))
        return self._out(y.gather(3, _unpacked(place)[:, None, None].expand_as(y))), after


def _special(value: Tensor, lr_scale: float) -> nn.Parameter:
    """Returns a parameter that does not decay, with a learning rate of its own."""
    parameter = nn.Parameter(value)
    setattr(parameter, NO_WEIGHT_DECAY, True)
    parameter.lr_scale = lr_scale  # type: ignore[attr-defined]  # what `rk.Runtime.optimizer` looks for
    return parameter


def _packed(mask: Bool[Tensor, "b t"]) -> Tensor:
    """Returns the steps in an order in which those that exist are last, in their own order."""
    return mask.to(torch.uint8).argsort(dim=1, stable=True)


def _unpacked(place: Tensor) -> Tensor:
    """Returns the inverse of an order."""
    return place.argsort(dim=1)

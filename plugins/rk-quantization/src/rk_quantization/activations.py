"""Quantised activations: what a layer takes is rounded to few levels before the layer sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal

import torch
from torch import Tensor, nn

from rk_quantization.ranges import Histogram, Observer
from rk_quantization.scheme import Scheme
from rk_quantization.weights import Weight

NAME = "quantized_inputs"
"""Name of the child module that a learner with quantised activations has."""
Per = Literal["tensor", "token"]
_FOR_ONNX: ContextVar[bool] = ContextVar("for_onnx", default=False)


@contextmanager
def for_onnx() -> Iterator[None]:
    """While it lasts, graphs are traced with the operations that become QuantizeLinear and DequantizeLinear.

    Any other graph has arithmetic alone: a file with those operations cannot be loaded where they are not registered.
    """
    token = _FOR_ONNX.set(True)
    try:
        yield
    finally:
        _FOR_ONNX.reset(token)


def traced_for_onnx() -> bool:
    """Whether a graph is traced now that is to become an ONNX file."""
    return torch.compiler.is_exporting() and _FOR_ONNX.get()


def onnx_scheme(bits: int) -> Scheme:
    """Returns the scheme of activations: unsigned codes with a zero point, as in ONNX."""
    return Scheme(bits=bits, levels="affine", granularity="tensor")


class InputQuantizer(nn.Module):
    """Rounds a tensor to ``2**bits`` levels: r~ = S (clamp(round(r/S) + Z, 0, 2^b - 1) - Z).

    Args:
        bits: 2 to 8.
        dynamic: Whether scale and zero point are computed from each tensor that comes, not from calibration.
        per: What shares a scale, where `dynamic`: the `tensor`, or each `token` (a row along the last axis).

    Attributes:
        scale: Of one element; 0 until it is calibrated: then nothing is rounded.
        zero: Of one element, int32.
    """

    scale: Tensor
    zero: Tensor

    def __init__(self, bits: int, dynamic: bool = False, per: Per = "tensor") -> None:
        super().__init__()
        self.bits, self.dynamic, self.per = bits, dynamic, per
        self.register_buffer("scale", torch.zeros(()))
        self.register_buffer("zero", torch.zeros((), dtype=torch.int32))
        self.observing: Histogram | None = None
        self._plain = (0.0, 0)  # as of the last answer: while a graph is traced, buffers have no values

    @property
    def calibrated(self) -> bool:
        """Whether activations are rounded."""
        return self.dynamic or bool(self.scale > 0)

    def calibrate(self, low: float, high: float) -> None:
        """Takes a range, which is widened to contain 0."""
        from rk_quantization.grids import uniform

        grid = uniform(torch.tensor([[low]]), torch.tensor([[high]]), onnx_scheme(self.bits))
        self.scale.copy_(grid.scale[0, 0])
        self.zero.copy_(grid.zero[0, 0])

    def forward(self, x: Tensor) -> Tensor:
        if self.observing is not None:
            self.observing.add(x)
            return x
        last = 2**self.bits - 1
        if not self.dynamic:
            if not torch.compiler.is_exporting():
                self._plain = float(self.scale), int(self.zero)
            if not self._plain[0] > 0:
                return x
            if traced_for_onnx():
                return exported(x, *self._plain, last)
            scale, zero = self.scale, self.zero
        elif self.per == "tensor":
            scale, zero = _asymmetric(x.amin().clamp(max=0), x.amax().clamp(min=0), last)
        else:
            scale, zero = _asymmetric(
                x.amin(-1, keepdim=True).clamp(max=0), x.amax(-1, keepdim=True).clamp(min=0), last
            )
        return (((torch.round(x / scale) + zero).clamp(0, last)) - zero) * scale


def _asymmetric(low: Tensor, high: Tensor, last: int) -> tuple[Tensor, Tensor]:
    scale = (high - low) / last
    scale = torch.where(scale > torch.finfo(scale.dtype).tiny, scale, torch.ones_like(scale))
    return scale, (-torch.round(low / scale)).clamp(0, last)


def exported(x: Tensor, scale: float, zero: int, last: int) -> Tensor:
    """Returns the same in the operations that become QuantizeLinear and DequantizeLinear in ONNX."""
    import torch.ao.quantization.fx._decomposed

    ops = torch.ops.quantized_decomposed
    if last < 255:  # ONNX clips to eight bits: fewer are clipped before
        x = x.clamp((0 - zero) * scale, (last - zero) * scale)
    codes = ops.quantize_per_tensor(x, scale, zero, 0, 255, torch.uint8)
    quantized: Tensor = ops.dequantize_per_tensor(codes, scale, zero, 0, 255, torch.uint8)
    return quantized


class Inputs(nn.ModuleDict):
    """The input quantizers of a learner, by the names of the layers, with ``.`` replaced by ``-``."""

    @property
    def quantizers(self) -> dict[str, InputQuantizer]:
        """All of them, by the names of their layers."""
        return {name: q for name, q in self.items() if isinstance(q, InputQuantizer)}

    def of(self, module_name: str) -> InputQuantizer:
        """Returns that of a layer."""
        return self.quantizers[key(module_name)]

    def observe(self, on: bool) -> None:
        """Begins to count what comes, or ends it."""
        for quantizer in self.quantizers.values():
            quantizer.observing = Histogram() if on else None

    def take(self, observer: Observer, percentile: float) -> list[str]:
        """Calibrates by what was counted; returns the names of layers that were never called."""
        silent = []
        for name, quantizer in self.quantizers.items():
            seen = quantizer.observing
            if seen is None or seen.average is None:
                silent.append(name)
            else:
                quantizer.calibrate(*seen.range(observer, onnx_scheme(quantizer.bits), percentile))
        self.observe(False)
        return silent


def key(module_name: str) -> str:
    """Returns the name of a layer as a child's name."""
    return module_name.replace(".", "-") or "learner"


def attach(learner: nn.Module, weights: Iterable[Weight], bits: int, dynamic: bool, per: Per) -> Inputs:
    """Gives a learner input quantizers for the layers that own weights; embeddings take numbers and have none.

    The learner keeps its own names, and has one child more, `NAME`.
    """
    inputs, ids = Inputs(), {id(weight.parameter) for weight in weights}
    for name, module in learner.named_modules():
        owned = any(id(p) in ids for p in module.parameters(recurse=False))
        if owned and module is not learner and not isinstance(module, nn.Embedding | nn.EmbeddingBag):
            quantizer = InputQuantizer(bits, dynamic, per)
            inputs[key(name)] = quantizer
            module.register_forward_pre_hook(rounding(quantizer), with_kwargs=True)
    learner.add_module(NAME, inputs)
    return inputs


def rounding(quantizer: nn.Module) -> Callable[..., Any]:
    """Returns a hook that replaces the first floating-point tensor that a layer takes."""

    def hook(
        module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        for i, value in enumerate(args):
            if isinstance(value, Tensor) and value.is_floating_point():
                return (*args[:i], quantizer(value), *args[i + 1 :]), dict(kwargs)
        for name, value in kwargs.items():
            if isinstance(value, Tensor) and value.is_floating_point():
                return args, {**kwargs, name: quantizer(value)}
        return None

    return hook


@contextmanager
def inputs_of(modules: Mapping[str, nn.Module], take: Callable[[str, Tensor], None]) -> Iterator[None]:
    """Calls `take` with the name and the first floating-point input of each call of the modules, while it lasts."""

    def hook(name: str) -> Callable[..., None]:
        def see(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
            for value in (*args, *kwargs.values()):
                if isinstance(value, Tensor) and value.is_floating_point():
                    take(name, value.detach())
                    return

        return see

    handles = [m.register_forward_pre_hook(hook(n), with_kwargs=True) for n, m in modules.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()

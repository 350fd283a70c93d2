"""The model `quantized`: what the layers of any model take is clipped and rounded; the clipping is learned (PACT)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn

from rk import Data, Model, Runtime, UserError
from rk.binding import Bound
from rk.wrappers import ModelWrapper
from rk_quantization.activations import exported, key, rounding, traced_for_onnx
from rk_quantization.weights import quantizable


class ClippedInput(nn.Module):
    """Rounds a tensor to ``2**bits`` levels over [0, alpha], or [-alpha, alpha] where it has negative numbers.

    PACT (arXiv:1805.06085), Eq. 1, 2 and 3: y = clip(x, 0, alpha), rounded with S = alpha / (2^b - 1); the gradient
    passes the rounding, and dy/dalpha is 1 where x >= alpha, else 0. The optimizer's weight decay is PACT's L2 penalty
    on alpha.

    Args:
        bits: 2 to 8.

    Attributes:
        alpha: The clipping, of one element, learned. 0 until it is calibrated: then nothing is rounded.
        signed: Of one element: 1 where the range is two-sided.
    """

    signed: Tensor

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits
        self.alpha = nn.Parameter(torch.zeros(()))
        self.register_buffer("signed", torch.zeros(()))
        self.seen: list[tuple[float, float]] | None = None
        self._plain = (0.0, 0)

    def calibrate(self) -> None:
        """Takes the range that was seen; a layer that was never called is not rounded."""
        if self.seen:
            low, high = min(a for a, _ in self.seen), max(b for _, b in self.seen)
            with torch.no_grad():
                self.alpha.fill_(max(-low, high, 1e-6))
                self.signed.fill_(float(low < 0))
        self.seen = None

    def forward(self, x: Tensor) -> Tensor:
        if self.seen is not None:
            self.seen.append((float(x.detach().min()), float(x.detach().max())))
            return x
        half = 2 ** (self.bits - 1)
        if not torch.compiler.is_exporting():
            self._plain = float(self.alpha.detach()), int(self.signed)
        alpha, two_sided = self._plain  # while a graph is traced, tensors have no values
        if not alpha > 0:
            return x
        steps = half - 1 if two_sided else 2 * half - 1
        if traced_for_onnx():
            return exported(x.clamp(-alpha if two_sided else 0.0, alpha), alpha / steps, half * two_sided, 2 * half - 1)
        scale = self.alpha / steps
        y = torch.minimum(torch.maximum(x, -self.alpha * self.signed), self.alpha)
        return y + (torch.round(y / scale) * scale - y).detach()


class Quantized(ModelWrapper):
    """Any model with rounded activations: what each of its layers takes has few bits, in training and in answers.

    Each layer has a clipping that is learned with the weights (PACT); it begins at the range of a few training batches.
    With the callback `qat`, weights have few bits too.

    Args:
        base: The model.
        bits: Bits of what a layer takes.
        include: Regular expressions of names of weights: only the layers that own them.
        exclude: Regular expressions of names of weights: the layers that own them take what comes.
        samples: Batches for the first ranges.

    Examples:
        model: {name: quantized, base: {name: mlp, hidden_sizes: [128]}, bits: 4}

        >>> from rk.builtin.mlp import MLP
        >>> model = Quantized(MLP(num_features=8, num_classes=3), bits=4)
        >>> model(inputs=torch.rand(2, 8))["logits"].shape
        torch.Size([2, 3])
    """

    def __init__(
        self,
        base: Model,
        bits: Annotated[int, Ge(2), Le(8)] = 4,
        include: tuple[str, ...] = (),
        exclude: tuple[str, ...] = (),
        samples: Annotated[int, Ge(1)] = 4,
    ) -> None:
        super().__init__(base)
        self.samples = samples
        self.clips = nn.ModuleDict()
        module: Any = base
        try:
            chosen = {id(w.parameter) for w in quantizable(module, include, exclude).values()}
        except UserError as error:
            raise ValueError(error.message) from None
        for name, layer in module.named_modules():
            owned = any(id(p) in chosen for p in layer.parameters(recurse=False))
            if owned and layer is not module and not isinstance(layer, nn.Embedding | nn.EmbeddingBag):
                self.clips[key(name)] = clip = ClippedInput(bits)
                layer.register_forward_pre_hook(rounding(clip), with_kwargs=True)

    def begin(self, *, data: Data, runtime: Runtime) -> None:
        """Finds the first ranges, and lets the base look at the data, where it does."""
        first: Callable[..., None] | None = getattr(self.base, "begin", None)
        if first is not None:
            Bound(first)({"data": data, "runtime": runtime})
        clips = [clip for clip in self.clips.values() if isinstance(clip, ClippedInput)]
        for clip in clips:
            clip.seen = []
        training, forward = self.training, Bound(self.base.forward, self.base)
        self.eval()
        with torch.no_grad():
            for batch in runtime.batches(data, "train", self.samples):
                forward(batch)
        self.train(training)
        for clip in clips:
            clip.calibrate()

"""Model `nsr-images`: the machine with perception before it."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float, Int
from torch import Tensor

from rk.protocols import Factory
from rk_nsr.fields import AnyBatch, Explained
from rk_nsr.model import NSR
from rk_nsr.perception import Perception


class VisualNSR(NSR):
    """The Neural-Symbolic Recursive Machine on images (arXiv:2210.01603, Sec. 3.2): symbols are read first.

    Each place of a sentence has an image. Perception gives the probability of each symbol there; the likeliest one is
    parsed. Train it with `deduction-abduction`, which edits symbols too.

    Args:
        vocab_size: Symbols; a fact of the data.
        arities: Arguments of each symbol; a fact of the data.
        symbols: What each symbol is called; a fact of the data.
        input_shape: Height and width of images; a fact of the data.
        perception: Gives the scores of symbols for images.

    Examples:
        model: {name: nsr-images, dsl: peano-dsl, perception: symbol-cnn, use_arity: false}

        >>> import torch
        >>> from rk_programs.peano_dsl import PeanoDsl
        >>> from rk_nsr.perception import SymbolCnn
        >>> facts = {"vocab_size": 2, "arities": [0, 2], "symbols": ["1", "+"], "input_shape": (8, 8)}
        >>> model = VisualNSR(**facts, perception=SymbolCnn, dsl=PeanoDsl())
        >>> model(images=torch.zeros(1, 3, 8, 8), lengths=torch.tensor([3]))["perceived"].shape
        torch.Size([1, 3])
    """

    def __init__(
        self,
        vocab_size: int,
        arities: list[int],
        symbols: list[str],
        input_shape: tuple[int, ...],
        perception: Factory[Perception],
        **common: Any,
    ) -> None:
        super().__init__(vocab_size=vocab_size, arities=arities, symbols=symbols, **common)
        self.perception = perception(input_shape=input_shape, vocab_size=vocab_size)

    def forward(  # type: ignore[override]  # images in place of symbols
        self, *, images: Float[Tensor, "batch time height width"], lengths: Int[Tensor, "batch"]
    ) -> Explained:
        """Returns the answers, the likeliest symbols and trees; ``values_meta`` has the values of all nodes."""
        return self.answered(self._scores(images).argmax(-1), lengths)

    def seen(self, batch: AnyBatch) -> Tensor:
        """Returns the log-probability of each symbol at each place, (batch, time, symbols)."""
        return self._scores(batch["images"]).log_softmax(-1)

    def _scores(self, images: Tensor) -> Tensor:
        scores: Tensor = self.perception(images.flatten(0, 1))
        return scores.unflatten(0, images.shape[:2])

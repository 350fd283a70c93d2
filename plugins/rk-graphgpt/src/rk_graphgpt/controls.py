"""The callback `graph-controls`: the same questions with shuffled graph tokens, and without any."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from torch import Tensor

from rk import FitContext, UserError
from rk.protocols import Batch, Learner, Outputs
from rk_graphgpt.instructions import GraphInstructions, GraphTokens


class GraphControls:
    """Measures what graph tokens are worth: each metric also as ``@shuffled`` and ``@text-only``.

    ``shuffled`` has the graph of a random other node in place of the right one, and ``text-only`` no graph tokens. A
    method that uses the graph is better than both.

    Examples:
        callbacks: [graph-controls]
    """

    def fit_start(self, fit: FitContext) -> None:
        if not isinstance(fit.data, GraphInstructions):
            raise UserError("graph-controls needs the data graph-instructions")
        self._data = fit.data
        self._fit = fit

    def variants(self) -> dict[str, Callable[[Batch], Outputs]]:
        """Returns what is measured beside the learner."""
        return {
            "shuffled": lambda batch: self._answer("shuffled", batch),
            "text-only": lambda b: self._answer("none", b),
        }

    def _answer(self, graph_tokens: GraphTokens, batch: Batch) -> Outputs:
        place = batch["place_meta"]
        control = self._data.batch_with(graph_tokens, place["split"], place["i"])
        device = batch["x"].device
        moved = {name: v.to(device) if isinstance(v, Tensor) else v for name, v in control.items()}
        return cast(Learner, self._fit.learner).predict(moved)

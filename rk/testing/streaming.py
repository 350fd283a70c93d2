"""The check of layers that stream: pieces of a sequence give what the whole gives."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rk.capabilities import SupportsInitialState, supports
from rk.catalog import Catalog
from rk.plugins import Component
from rk.states import tensors_of
from rk.testing.broken import Broken, NotApplicable
from rk.testing.close import assert_close
from rk.values import Part

ROWS, WIDTH = 3, 16
PIECES = (1, 5, 1, 10)
"""Steps of each piece: one alone, as in decoding, at the start and in the middle."""


def streams(component: Component, catalog: Catalog) -> bool:
    """Returns whether a component is a layer that keeps a state, by its source."""
    return component.kind == "layer" and catalog.info(component).find("scan") is not None


def pieces_are_the_whole(component: Component, catalog: Catalog) -> None:
    """Checks that ``scan``, piece by piece, is ``forward``; that it changes no state; and that masked steps do not."""
    layer = _built(component, catalog)
    torch.manual_seed(0)
    x = torch.randn(ROWS, sum(PIECES), WIDTH, dtype=torch.float64)
    mask = torch.rand(ROWS, sum(PIECES)) > 0.3
    mask[:, 0] = True
    with torch.no_grad():
        for seen, what in ((None, ""), (mask, " of a masked sequence")):
            _compare(layer, x, seen, what)
        _skipped_steps_change_nothing(layer, x)


def _built(component: Component, catalog: Catalog) -> Any:
    needed = [p.name for p in catalog.signature(component).params if p.required]
    if needed != ["d_model"]:
        raise NotApplicable(f"a recipe must give {', '.join(n for n in needed if n != 'd_model') or 'its width'}")
    torch.manual_seed(0)
    layer = catalog.load(component)(d_model=WIDTH).double().eval()
    if not supports(layer, SupportsInitialState):
        raise Broken("it has scan(), but no initial_state()")
    return layer


def _compare(layer: Part, x: Tensor, mask: Tensor | None, what: str) -> None:
    state = layer.initial_state(ROWS)
    outputs, start = [], 0
    for steps in PIECES:
        _check_rows(state)
        piece = slice(start, start + steps)
        kept = [tensor.clone() for tensor in tensors_of(state)]
        out, after = layer.scan(x[:, piece], state, None if mask is None else mask[:, piece])
        if any(not torch.equal(a, b) for a, b in zip(kept, tensors_of(state), strict=True)):
            raise Broken("scan() changes the state that it is given: a caller may continue from there again")
        outputs.append(out)
        state, start = after, start + steps
    whole, pieces = layer(x, mask), torch.cat(outputs, 1)
    if mask is not None:  # outputs at masked steps are unspecified
        whole, pieces = whole[mask], pieces[mask]
    try:
        assert_close(pieces, whole, relative=1e-6)
    except AssertionError as difference:
        pieced = ", ".join(map(str, PIECES))
        raise Broken(f"scan() in pieces of {pieced} steps{what} differs from forward(): {difference}") from None


def _check_rows(state: object) -> None:
    for tensor in tensors_of(state):
        if tensor.dim() == 0 or len(tensor) != ROWS:
            shape = tuple(tensor.shape)
            raise Broken(f"a tensor of the state has shape {shape}: the batch, of {ROWS}, must be its first dimension")


def _skipped_steps_change_nothing(layer: Part, x: Tensor) -> None:
    nothing = torch.zeros(ROWS, 2, dtype=torch.bool)
    _, before = layer.scan(x[:, :5], layer.initial_state(ROWS))
    _, skipped = layer.scan(x[:, 5:7], before, nothing)
    after = layer.scan(x[:, 7:], skipped)[0]
    try:
        assert_close(after, layer.scan(x[:, 7:], before)[0], relative=1e-6)
    except AssertionError as difference:
        raise Broken(f"steps whose mask is False change what comes after them: {difference}") from None

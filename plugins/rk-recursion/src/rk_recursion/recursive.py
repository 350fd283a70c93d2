"""The model wrapper `recursive`: a model of many blocks as one that runs few of them several times."""

from __future__ import annotations

from typing import Annotated, Any

from annotated_types import Ge
from torch import Tensor, nn

from rk import Run, UserError
from rk.protocols import Layered, Model, Training
from rk.wrappers import ModelWrapper
from rk_recursion.initial import Initial, redraw
from rk_recursion.layouts import Layout, Sharing
from rk_recursion.relaxation import Start, relax
from rk_recursion.stack import initialise, tied


class Recursive(ModelWrapper):
    """A model whose blocks are tied: fewer of them run several times (Bae et al., arXiv:2410.20672).

    With a `source`, a trained run of the base's recipe, the blocks begin with the source's: layers at even distances,
    their mean, ... All other weights, such as the embedding and the head, are the source's. With a `rank`, each layer
    adds matrices of low rank of its own to the shared ones (relaxed recursion). A base that brings weights, such as
    `causal-lm`, is its own source. Without either, the base is tied as it is, with random weights.

    Every layer stays one of `blocks`: what runs, leaves early, prunes or streams the blocks of the base does so here.

    Args:
        base: The model, with the same parameters as the source's.
        num_loops: How often a shared block runs.
        sharing: Which layers share a block: see `rk_recursion.layouts.Layout`.
        initial: Which of the source's layers a block begins with: see `rk_recursion.initial.sources`.
        rank: Of the matrices that each layer adds to the shared ones; 0 for none.
        low_rank_initial: ``svd``: the best approximation of what the source's layer has beyond the shared block.
            ``zero``: nothing is added at first.
        tie_norms: Whether layers that share a block share its norms.
        source: The run without loops.
        seed: Of the choice ``random-layers``.

    Attributes:
        layout: Which block each layer runs.

    Raises:
        ValueError: When the loops do not divide the blocks.
        UserError: When the base has no blocks that can be repeated, or the source is another model.

    Examples:
        model: {name: recursive, base: {name: mlp, hidden_sizes: [64, 64, 64, 64]}, num_loops: 2, rank: 8}

        >>> import torch
        >>> from rk.builtin.mlp import MLP
        >>> model = Recursive(MLP(num_features=8, num_classes=3, hidden_sizes=(8, 8, 8, 8)), num_loops=2, seed=0)
        >>> model(inputs=torch.rand(2, 8))["logits"].shape, model.blocks[0] is model.blocks[2]
        (torch.Size([2, 3]), True)
    """

    def __init__(
        self,
        base: Model,
        seed: int,
        num_loops: Annotated[int, Ge(1)] = 2,
        sharing: Sharing = "cycle",
        initial: Initial = "stepwise",
        rank: Annotated[int, Ge(0)] = 0,
        low_rank_initial: Start = "svd",
        tie_norms: bool = True,
        source: Training[Run] | None = None,
    ) -> None:
        super().__init__(base)
        layered = layered_of(base)
        layers = list(layered.blocks)
        self.layout = Layout(len(layers), num_loops, sharing)
        states: list[dict[str, Tensor]] | None = None
        if source is not None:
            random = [_cloned(layer) for layer in layers]
            self.base.load_state_dict(_model_of(source, self.base).state_dict())
            states = [_cloned(layer) for layer in layers]
            for layer, weights in zip(layers, random, strict=True):  # for blocks that begin with no layer
                layer.load_state_dict(weights)
        elif getattr(layered, "has_weights", False):
            states = [_cloned(layer) for layer in layers]
            if initial == "random":
                redraw(layered.blocks, seed)
        shared = tied(layers, self.layout)
        if states is not None:
            initialise(shared, self.layout, states, initial, seed)
        start = states if low_rank_initial == "svd" else None
        layered.blocks = relax(shared, self.layout, rank, start, own_norms=not tie_norms)


def _cloned(layer: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in layer.state_dict().items()}


def layered_of(base: Any) -> Layered:
    """Returns the model that has the blocks, which may be wrapped. Raises `UserError` where none can run twice."""
    while isinstance(base, ModelWrapper):
        base = base.base
    if not isinstance(getattr(base, "blocks", None), nn.ModuleList) or not getattr(base, "keeps_shape", False):
        raise UserError(f"{type(base).__name__} has no blocks that keep the shape, so that none can run twice")
    layered: Layered = base
    return layered


def _model_of(source: Run, base: nn.Module) -> nn.Module:
    """Returns the source's model; raises `UserError` where its weights are not those of the base."""
    model: Any = getattr(source.learner, "model", None)
    if not isinstance(model, nn.Module):
        raise UserError(f"source must be a run of one model, got {source.folder.label}")
    own = {name: tuple(t.shape) for name, t in base.state_dict().items()}
    theirs = {name: tuple(t.shape) for name, t in model.state_dict().items()}
    if own != theirs:
        other = next(name for name in {**own, **theirs} if own.get(name) != theirs.get(name))
        raise UserError(
            f"source must be a run of the same model as base: {other} is {theirs.get(other, 'missing')} there and "
            f"{own.get(other, 'missing')} here",
            "give base the parameters of the source's recipe",
        )
    return model

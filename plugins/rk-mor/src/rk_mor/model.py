"""The model `mor`: a sequence model in which each token runs through a shared stack as often as a router says."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import torch
from annotated_types import Ge, Gt, Le
from jaxtyping import Bool, Float, Int
from rk_recursion.relaxation import relax
from rk_sequence.generation import continued
from rk_sequence.model import SequenceModel
from torch import Tensor, nn

from rk import UserError
from rk.protocols import Decode, Factory, SequenceLayer
from rk_mor.recursion import KV, Inference, Recursion, RouterKind, Rules, Straight, is_positioned
from rk_mor.route import Route
from rk_mor.routers import Gating, RouterFunction, RouterType

BILLION = 10**9
"""`capacity_slack` counts billionths: an integer is the same in every precision, and averages leave it alone."""


class MoROutputs(TypedDict):
    """Answers, and how often each token ran."""

    logits: Float[Tensor, "batch *positions outputs"]
    values: Float[Tensor, "batch *positions outputs"]
    depths: Int[Tensor, "batch time"]
    """How many recursions each token took."""
    routes: Bool[Tensor, "batch time recursions"]
    """Which recursions each token took."""
    candidates: Bool[Tensor, "batch time recursions"]
    """Which tokens each recursion chose from."""
    router_logits: NotRequired[Float[Tensor, "batch time recursions"]]
    """Scores for each recursion; only with a router per recursion."""
    aux_logits: NotRequired[Float[Tensor, "batch time recursions"]]
    """Scores of the auxiliary routers; only with `aux_router`."""
    depth_logits: NotRequired[Float[Tensor, "batch time recursions"]]
    """Scores of each number of recursions; only where tokens choose."""
    continuation: NotRequired[Int[Tensor, "batch new"]]
    """Present only if requested."""


class MoR(SequenceModel):
    """Mixture-of-Recursions (arXiv:2507.10524): the `sequence` model with shared layers and a router for each token.

    The shared layers run up to `num_recursions` times. In training, the router of each recursion takes the tokens with
    the highest scores (`expert`), or each token chooses its number of recursions before the first (`token`). Where a
    model answers, a router's score above one half decides, which needs no look at later tokens: so the model streams,
    and continues a text from its caches. Tokens that do not run are left out of the computation, not masked.

    Args:
        layer: What mixes the steps; one is built for each block. To share keys and values it must be attention.
        num_layers: Layers that run, of which those in the middle are shared.
        num_recursions: How often shared layers run at most; 1: a plain model without routers.
        sharing: ``middle-cycle``: the first and the last layer are not shared. ``cycle``: all are.
        router: ``expert``: recursions choose tokens. ``token``: tokens choose their number of recursions. ``random``:
            as ``expert``, but by random numbers. ``none``: every token takes all recursions.
        router_type: A matrix (``linear``) or two with a GELU between (``mlp``).
        router_func: Makes a gate of a score. ``softmax``, over the numbers of recursions, is for tokens that choose.
        alpha: What gates are multiplied by.
        temp: What scores are divided by.
        capacity: Share of the sequence that each recursion takes in training, not increasing; null: N/N, ..., 1/N.
        gating: What becomes of a token H whose layers give F, with the gate g: ``weighted``: H + g F. ``additive``:
            H + F. ``interpolate``: H + g (F - H).
        hierarchical: Whether a token that a recursion has left out is out of all later ones.
        kv: What the tokens of a recursion attend to. ``recursion``: those that run in it. ``share``: the keys and
            values of all tokens in the first recursion. ``hybrid``: the same, but of those that run, their new ones.
        inference: ``threshold``: a token runs if its score is above one half. ``top-k``: as in training, which looks at
            later tokens, so that the model does not stream.
        aux_router: Whether routers of their own, trained by the loss `mor-router`, decide where the model answers.
        rank: Of the matrices that each recursion adds to the shared ones (layer-wise LoRA); 0 for none.
        max_new_tokens: Length of a continuation.
        temperature: Divides the logits before a token is drawn; 0 for the likeliest alone.
        top_k: Draws among so many of the likeliest tokens; null: among all.

    Attributes:
        capacity_slack: int64, billionths by which capacities are moved towards 1; see the callback `capacity-warmup`.

    Raises:
        ValueError: When the recursions do not divide the layers that are shared, or options do not go together.

    Examples:
        model: {name: mor, layer: attention, num_layers: 8, num_recursions: 3, mlp_ratio: 4}

        >>> from rk_sequence.attention import Attention
        >>> facts = {"vocab_size": 5, "num_features": None, "num_outputs": 5, "readout": "step"}
        >>> model = MoR(layer=Attention, num_layers=4, num_recursions=2, **facts)
        >>> model(tokens=torch.tensor([[0, 1, 2, 3]]))["routes"].sum(1)  # the second recursion takes half of them
        tensor([[4, 2]])
    """

    capacity_slack: Tensor

    def __init__(
        self,
        *,
        layer: Factory[SequenceLayer],
        d_model: Annotated[int, Ge(1)] = 64,
        num_layers: Annotated[int, Ge(1)] = 4,
        num_recursions: Annotated[int, Ge(1)] = 2,
        sharing: Literal["cycle", "middle-cycle"] = "middle-cycle",
        router: RouterKind = "expert",
        router_type: RouterType = "linear",
        router_func: RouterFunction | None = None,
        alpha: float | None = None,
        temp: Annotated[float, Gt(0)] = 1.0,
        capacity: list[Annotated[float, Gt(0), Le(1)]] | None = None,
        gating: Gating = "weighted",
        hierarchical: bool = True,
        kv: KV = "recursion",
        inference: Decode[Inference] = "threshold",
        aux_router: bool = False,
        rank: Annotated[int, Ge(0)] = 0,
        max_new_tokens: Decode[Annotated[int, Ge(1)]] = 200,
        temperature: Decode[Annotated[float, Ge(0)]] = 1.0,
        top_k: Decode[Annotated[int, Ge(1)] | None] = None,
        **stack: Any,
    ) -> None:
        super().__init__(
            layer=layer, d_model=d_model, num_layers=num_layers, num_loops=num_recursions, sharing=sharing, **stack
        )
        self.max_new_tokens = max_new_tokens
        self.temperature = temperature
        self.top_k = top_k
        router = router if num_recursions > 1 else "none"
        self.rules = Rules(
            kind=router,
            function=router_func or ("softmax" if router == "token" else "sigmoid"),
            router_type=router_type,
            alpha=alpha if alpha is not None else 1.0 if router == "token" else 0.1,
            temp=temp,
            capacity=_capacities(capacity, num_recursions),
            gating=gating,
            hierarchical=hierarchical,
            kv=kv,
            inference=inference,
            aux_router=aux_router,
        )
        layers = list(relax(self.blocks, self.layout, rank))
        _check(self.rules, layers)
        self.blocks = nn.ModuleList(self._chain_of(layers))
        self.register_buffer("capacity_slack", torch.zeros((), dtype=torch.int64))
        self._last: weakref.ref[Route] | None = None

    def _chain_of(self, layers: list[nn.Module]) -> list[nn.Module]:
        first, shared = int(self.layout.has_ends), self.layout.num_shared
        chain: list[nn.Module] = [Straight(layers[:first])] if first else []
        for number in range(1, len(self.rules.capacity) + 1):
            start = first + (number - 1) * shared
            chain.append(Recursion(number, layers[start : start + shared], self.d_model, self.rules))
        return [*chain, Straight(layers[-1:])] if first else chain

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_last": None}  # a weak reference cannot be pickled

    def _load_from_state_dict(self, *args: Any, **more: Any) -> None:
        super()._load_from_state_dict(*args, **more)
        self.rules.slack = int(self.capacity_slack)

    def warm(self, slack: float) -> None:
        """Moves the capacities of training towards 1: by none of the way for 0, the whole for 1."""
        self.rules.slack = round(slack * BILLION)
        self.capacity_slack.fill_(self.rules.slack)

    def forward(
        self,
        *,
        tokens: Int[Tensor, "batch time"] | None = None,
        inputs: Float[Tensor, "batch time features"] | None = None,
        mask: Bool[Tensor, "batch time"] | None = None,
    ) -> MoROutputs:
        """Returns the answers of whole sequences, and the routes; `mask` is True where a step exists."""
        hidden = self.embed(tokens, inputs)
        route = self._route(hidden, mask)
        for block in self.blocks:
            hidden = block(hidden, mask, route)
        return self._answers(super().leave(hidden, mask=mask), route)

    def enter(
        self,
        *,
        tokens: Int[Tensor, "batch time"] | None = None,
        inputs: Float[Tensor, "batch time features"] | None = None,
        mask: Bool[Tensor, "batch time"] | None = None,
    ) -> tuple[Tensor, tuple[Any, ...]]:
        """Returns what the first block takes, and the mask and the pass that each block takes besides."""
        hidden = self.embed(tokens, inputs)
        route = self._route(hidden, mask)
        self._last = weakref.ref(route)  # the caller has it, in what each block takes
        return hidden, (mask, route)

    def leave(
        self, hidden: Float[Tensor, "batch time d_model"], *, mask: Bool[Tensor, "batch time"] | None = None
    ) -> MoROutputs:
        """Returns the answers, and the routes of the pass that `enter` began."""
        route = None if self._last is None else self._last()
        return self._answers(super().leave(hidden, mask=mask), self._route(hidden, mask) if route is None else route)

    def predict(
        self,
        *,
        tokens: Int[Tensor, "batch time"] | None = None,
        inputs: Float[Tensor, "batch time features"] | None = None,
        mask: Bool[Tensor, "batch time"] | None = None,
        continue_meta: bool = False,
    ) -> MoROutputs:
        """Returns the answers and the routes; with `continue_meta`, a continuation of the tokens."""
        if not continue_meta or tokens is None:
            return self.forward(tokens=tokens, inputs=inputs, mask=mask)
        last, drawn = continued(self, tokens, mask, self.max_new_tokens, self.temperature, self.top_k)
        routes = torch.ones(*last.shape[:2], len(self.rules.capacity), dtype=torch.bool, device=last.device)
        return {
            "logits": last,
            "values": last,
            "continuation": drawn,
            "depths": routes.sum(-1),
            "routes": routes,
            "candidates": routes,
        }

    def initial_state(self, batch_size: int) -> dict[str, Any]:
        """Returns the state before the first step.

        Raises:
            UserError: When a layer does not stream, or tokens are chosen by a look at later ones.
        """
        if self.rules.kind == "random" or (self.rules.kind == "expert" and self.rules.inference == "top-k"):
            what = "router: random" if self.rules.kind == "random" else "inference: top-k"
            raise UserError(f"a model with {what} does not stream: which tokens run depends on later ones")
        blocks: Any = self.blocks
        zeros = self.head.weight.new_zeros(batch_size, self.d_model + (self.readout == "mean"))
        return {
            "blocks": tuple(block.initial_state(batch_size) for block in blocks),
            "seen": torch.zeros(batch_size, dtype=torch.int64, device=self.head.weight.device),
            **({} if self.readout == "step" else {"pooled": zeros}),
        }

    def scan(
        self,
        *,
        state: dict[str, Any],
        tokens: Int[Tensor, "batch time"] | None = None,
        inputs: Float[Tensor, "batch time features"] | None = None,
        mask: Bool[Tensor, "batch time"] | None = None,
    ) -> tuple[MoROutputs, dict[str, Any]]:
        """Takes a further piece of each sequence; see `SequenceModel.scan`."""
        hidden = self.embed(tokens, inputs)
        route = self._route(hidden, mask, state["seen"])
        states = []
        blocks: Any = self.blocks
        for block, before in zip(blocks, state["blocks"], strict=True):
            hidden, after = block.scan(hidden, before, route)
            states.append(after)
        after = {**state, "blocks": tuple(states), "seen": route.positions[:, -1] + 1}
        outputs, after = self.leave_piece(hidden, after, mask)
        return self._answers(outputs, route), after

    def _route(
        self, hidden: Float[Tensor, "b t d"], mask: Bool[Tensor, "b t"] | None, seen: Int[Tensor, "b"] | None = None
    ) -> Route:
        counted = mask is None and seen is None
        steps = torch.arange(hidden.shape[1], device=hidden.device).expand(hidden.shape[:2])
        positions = steps if mask is None else mask.cumsum(1) - 1
        if seen is not None:
            positions = positions + seen.unsqueeze(1)
        return Route(mask, positions, counted, self.rules.in_place or torch.compiler.is_exporting())

    def _answers(self, outputs: Any, route: Route) -> MoROutputs:
        count = len(self.rules.capacity)
        routes = route.stacked(route.active, count)
        found: MoROutputs = {
            "logits": outputs["logits"],
            "values": outputs["values"],
            "depths": routes.sum(-1),
            "routes": routes,
            "candidates": route.stacked(route.candidates, count),
        }
        if route.depth_logits is not None:
            found["depth_logits"] = route.depth_logits
        if len(route.logits) == count:
            found["router_logits"] = torch.stack([route.logits[r] for r in range(1, count + 1)], -1)
        if len(route.auxiliary) == count:
            found["aux_logits"] = torch.stack([route.auxiliary[r] for r in range(1, count + 1)], -1)
        return found


def _capacities(capacity: Sequence[float] | None, num_recursions: int) -> tuple[float, ...]:
    if capacity is None:
        return tuple((num_recursions - r) / num_recursions for r in range(num_recursions))
    if len(capacity) != num_recursions:
        raise ValueError(f"capacity must have {num_recursions} numbers, one for each recursion, got {len(capacity)}")
    if list(capacity) != sorted(capacity, reverse=True):
        raise ValueError(f"capacity must not increase from one recursion to the next, got {list(capacity)}")
    return tuple(capacity)


def _check(rules: Rules, layers: list[nn.Module]) -> None:
    if (rules.function == "softmax") and rules.kind != "token":
        raise ValueError("router_func: softmax is over the numbers of recursions, for router: token")
    if rules.aux_router and rules.kind != "expert":
        raise ValueError("aux_router is for router: expert, whose choice looks at later tokens")
    if rules.kv == "recursion":
        return
    shared: list[Any] = [getattr(block, "layer", None) for block in layers]
    if not all(is_positioned(layer) for layer in shared):
        raise ValueError(f"kv: {rules.kv} needs the layer attention, whose keys and values other recursions can read")
    if any(getattr(layer, "window", None) is not None for layer in shared):
        raise ValueError(f"kv: {rules.kv} needs attention without a window")
    if rules.capacity[0] < 1 and not rules.hierarchical:
        raise ValueError(
            f"kv: {rules.kv} without hierarchical needs a first recursion that takes all: capacity [1, ...]"
        )

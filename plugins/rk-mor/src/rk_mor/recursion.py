"""One recursion: the shared layers, run on the tokens that are chosen for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeGuard

import torch
from jaxtyping import Bool, Float, Int
from rk_sequence.model import Block
from torch import Tensor, nn

from rk.states import map_states
from rk_mor.keys import Keys, KeyState, at_least_one, compacted, no_keys
from rk_mor.packing import Packed, Rows
from rk_mor.route import Route
from rk_mor.routers import Gating, Router, RouterFunction, RouterType, gate, gated, top_tokens

RouterKind = Literal["expert", "token", "random", "none"]
KV = Literal["recursion", "share", "hybrid"]
Inference = Literal["threshold", "top-k"]

# b batch, t time, k tokens that run, d width, n recursions, h heads, c width of a head


class PositionedLayer(Protocol):
    """A layer of attention: it takes positions, and its keys and values can be read by others."""

    def initial_state(self, batch_size: int) -> Any: ...

    def project(self, x: Tensor, positions: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]: ...

    def queries(self, x: Tensor, positions: Tensor) -> Tensor: ...

    def attend(self, query: Tensor, key: Tensor, value: Tensor, allowed: Tensor | None = None) -> Tensor: ...

    def scan_rows(self, x: Tensor, state: Any, rows: Tensor, positions: Tensor) -> tuple[Tensor, Any]: ...

    def compacted(self, state: Any) -> Any: ...


def is_positioned(layer: object) -> TypeGuard[PositionedLayer]:
    """Returns whether a layer takes positions and lets others read its keys and values."""
    names = ("project", "queries", "attend", "scan_rows", "compacted")
    return all(hasattr(layer, name) for name in names)


@dataclass
class Rules:
    """How tokens are chosen, and what becomes of them; the same for all recursions of a model.

    Attributes:
        kind: Of the router.
        function: Makes gates of scores.
        router_type: What makes the scores.
        alpha: What gates are multiplied by.
        temp: What scores are divided by.
        capacity: Share of a sequence that each recursion takes in training.
        slack: Billionths by which capacities are still moved towards 1, while they are warmed up.
        gating: How a token joins what it was before.
        hierarchical: Whether a token that was left out stays out.
        kv: What the tokens of a recursion attend to.
        inference: How experts choose when a model answers.
        aux_router: Whether a router of its own decides when a model answers.
        in_place: Masks tokens that do not run, instead of leaving them out.
    """

    kind: RouterKind
    function: RouterFunction
    router_type: RouterType
    alpha: float
    temp: float
    capacity: Sequence[float]
    gating: Gating
    hierarchical: bool
    kv: KV
    inference: Inference
    aux_router: bool
    slack: int = 0
    in_place: bool = False

    def share(self, number: int) -> float:
        """Returns the capacity of a recursion now."""
        final = self.capacity[number - 1]
        return final + (1 - final) * (self.slack / 10**9)


class TokenChoice(nn.Module):
    """Chooses the number of recursions of each token at once.

    Args:
        d_model: Width of a token.
        num_recursions: The highest number.
        rules: How gates are made.

    Attributes:
        bias: (n,), added to the gates when the highest is chosen; see the callback `loss-free-balance`.
        load: (n,) int64, how many tokens have chosen each number since they were last counted.
    """

    bias: Tensor
    load: Tensor

    def __init__(self, d_model: int, num_recursions: int, rules: Rules) -> None:
        super().__init__()
        self.router = Router(d_model, num_recursions, rules.router_type)
        self._rules = rules
        self.register_buffer("bias", torch.zeros(num_recursions))
        self.register_buffer("load", torch.zeros(num_recursions, dtype=torch.int64), persistent=False)

    def forward(
        self, x: Float[Tensor, "b t d"], exists: Bool[Tensor, "b t"] | None
    ) -> tuple[Float[Tensor, "b t n"], Int[Tensor, "b t"], Float[Tensor, "b t"]]:
        """Returns scores, the number of recursions of each token from 1, and the gate of that number."""
        logits = self.router(x) / self._rules.temp
        gates = gate(logits, self._rules.function, self._rules.alpha)
        chosen = (gates + self.bias).argmax(-1)
        if self.training:
            with torch.no_grad():
                counted = chosen if exists is None else chosen[exists]
                self.load += torch.bincount(counted.flatten(), minlength=len(self.load))
        return logits, chosen + 1, gates.gather(-1, chosen.unsqueeze(-1)).squeeze(-1)


class Straight(nn.Module):
    """Layers that all tokens run through once: the first and the last of a stack whose middle is shared.

    Args:
        layers: The layers.
    """

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(
        self, x: Float[Tensor, "b t d"], mask: Bool[Tensor, "b t"] | None = None, route: Route | None = None
    ) -> Float[Tensor, "b t d"]:
        for layer in self.layers:
            x = layer(x, mask)
        return x

    def initial_state(self, batch_size: int) -> tuple[Any, ...]:
        """Returns the states of the layers before the first step."""
        return tuple(layer.streaming.initial_state(batch_size) for layer in _blocks(self.layers))

    def scan(self, x: Float[Tensor, "b t d"], state: tuple[Any, ...], route: Route) -> tuple[Tensor, tuple[Any, ...]]:
        """Maps a further piece."""
        states = []
        for layer, before in zip(_blocks(self.layers), state, strict=True):
            x, after = layer.scan(x, before, route.exists)
            states.append(after)
        return x, tuple(states)


class Recursion(nn.Module):
    """The shared layers, for the tokens that take this recursion.

    Tokens that do not run are not computed: those that do are gathered into a shorter sequence, with the positions that
    they have in the whole, and put back.

    Args:
        number: Which recursion it is, from 1.
        layers: The layers; other recursions have the same, or twins of them.
        d_model: Width of a token.
        rules: How tokens are chosen.
    """

    def __init__(self, number: int, layers: Sequence[nn.Module], d_model: int, rules: Rules) -> None:
        super().__init__()
        self.number = number
        self.layers = nn.ModuleList(layers)
        self.rules = rules
        self.router: Router | None = None
        self.auxiliary: Router | None = None
        self.choice: TokenChoice | None = None
        if rules.kind in ("expert", "random"):
            self.router = Router(d_model, 1, rules.router_type)
            self.auxiliary = Router(d_model, 1, rules.router_type) if rules.aux_router else None
        elif rules.kind == "token" and number == 1:
            self.choice = TokenChoice(d_model, len(rules.capacity), rules)

    def forward(
        self, x: Float[Tensor, "b t d"], mask: Bool[Tensor, "b t"] | None, route: Route
    ) -> Float[Tensor, "b t d"]:
        """Runs the layers on the chosen tokens; what has been chosen is written into `route`."""
        return self._run(x, None, route)[0]

    def initial_state(self, batch_size: int) -> Any:
        """Returns what this recursion keeps between pieces, before the first step."""
        if self.rules.kv == "recursion":
            return tuple(layer.streaming.initial_state(batch_size) for layer in _blocks(self.layers))
        if self.number > 1 and self.rules.kv == "share":
            return ()
        layer: Any = next(_blocks(self.layers)).layer
        none = layer.initial_state(batch_size)[0]  # keys, of no step
        keys = no_keys(len(self.layers), none)
        return keys if self.number == 1 else {"own": keys, "covered": keys["exists"]}

    def scan(self, x: Float[Tensor, "b t d"], state: Any, route: Route) -> tuple[Float[Tensor, "b t d"], Any]:
        """Maps a further piece; the tokens of it that do not run leave the state as it is."""
        return self._run(x, state, route)

    def _run(self, x: Float[Tensor, "b t d"], past: Any, route: Route) -> tuple[Float[Tensor, "b t d"], Any]:
        packed, gates = self._chosen(x, route)
        if packed.empty and self.rules.kv == "recursion":
            return x, past
        single = past is not None and x.shape[1] == 1 and packed.index is not None and packed.exists is not None
        if single and (self.number > 1 or self.rules.kv == "recursion"):
            rows = Rows(packed)  # at a single step, those rows are left out whose token does not run
            before = rows.take(x)
            if self.rules.kv == "recursion":
                after, state = self._rows_alone(before, rows, past, route)
            else:
                after, state = self._layers(before, Packed(), map_states(rows.take, past), route.of_rows(rows))
                state = map_states(rows.put_grown, past, state)
                state = {**state, "own": compacted(state["own"])} if state else state
            return rows.put(x, self._joined(before, after, rows, gates, route)), state
        before = packed.take(x)
        after, state = self._layers(before, packed, past, route)
        return packed.put(x, self._joined(before, after, packed, gates, route)), state

    def _joined(
        self,
        before: Float[Tensor, "b k d"],
        after: Float[Tensor, "b k d"],
        taken: Packed | Rows,
        gates: Float[Tensor, "b t"] | None,
        route: Route,
    ) -> Float[Tensor, "b k d"]:
        """Returns what the tokens that ran are now."""
        if route.depths is None or route.gates is None or route.entered is None:
            return gated(before, after, None if gates is None else taken.take_numbers(gates), self.rules.gating)
        ended = gated(taken.take(route.entered), after, taken.take_numbers(route.gates), self.rules.gating)
        last = taken.take_numbers(route.depths) == self.number
        return torch.where(last.unsqueeze(-1), ended, after)

    # which tokens

    def _chosen(self, x: Float[Tensor, "b t d"], route: Route) -> tuple[Packed, Float[Tensor, "b t"] | None]:
        """Returns the tokens that run, and the gates of all, where this recursion has a router."""
        if self.choice is not None:
            route.depth_logits, route.depths, route.gates = self.choice(x, route.exists)
            route.entered = x
        if self.router is not None:
            return self._by_experts(self.router, x, route)
        active = route.exists
        if route.depths is not None and self.number > 1:
            active = route.depths >= self.number
            if route.exists is not None:
                active &= route.exists
        route.active[self.number], route.candidates[self.number] = active, route.exists
        return route.pack(active), None

    def _by_experts(
        self, router: Router, x: Float[Tensor, "b t d"], route: Route
    ) -> tuple[Packed, Float[Tensor, "b t"]]:
        rules, number = self.rules, self.number
        logits = router(x).squeeze(-1) / rules.temp
        gates = gate(logits, rules.function, rules.alpha)
        candidates = route.before(number) if rules.hierarchical else route.exists
        route.logits[number], route.candidates[number] = logits, candidates
        decides = logits
        if self.auxiliary is not None:
            decides = route.auxiliary[number] = self.auxiliary(x.detach()).squeeze(-1)
        share = rules.share(number)
        if share >= 1:
            active, packed = candidates, route.pack(candidates)
        elif self.training or rules.inference == "top-k" or rules.kind == "random":
            scores = torch.rand_like(logits) if rules.kind == "random" else logits.detach()
            index, exists = top_tokens(scores, candidates, route.exists, share)
            active = torch.zeros_like(route.positions, dtype=torch.bool)
            active = active.scatter(1, index, torch.ones_like(index, dtype=torch.bool) if exists is None else exists)
            packed = route.pack(active) if route.in_place else Packed(index, exists)
        else:
            active = decides >= 0  # sigmoid(z) >= 1/2: each token by itself, without a look at later ones
            active = active if candidates is None else active & candidates
            packed = route.pack(active)
        route.active[number] = active
        return packed, gates

    # the layers

    def _layers(
        self, x: Float[Tensor, "b k d"], packed: Packed, past: Any, route: Route
    ) -> tuple[Float[Tensor, "b k d"], Any]:
        if self.rules.kv == "recursion":
            return self._alone(x, packed, past, route)
        if self.number == 1 or route.keys is None:
            return self._first(x, packed, past, route)
        return self._reading(x, packed, past, route)

    def _alone(
        self, x: Float[Tensor, "b k d"], packed: Packed, past: Any, route: Route
    ) -> tuple[Float[Tensor, "b k d"], Any]:
        """Runs layers that see the tokens of this recursion alone: recursion-wise caching."""
        positions = packed.take_numbers(route.positions)
        plain = packed.index is None and packed.exists is None and route.counted
        states: list[Any] = []
        for number, block in enumerate(_blocks(self.layers)):
            layer: Any = block.layer
            more = {} if plain or not is_positioned(layer) else {"positions": positions}
            if past is None:
                mask = None if packed.right_padded and hasattr(layer, "scan") else packed.exists
                x = block.around(x, lambda n, layer=layer, mask=mask, more=more: layer(n, mask, **more))
                continue

            def mix(n: Tensor, layer: Any = block.streaming, before: Any = past[number], more: Any = more) -> Tensor:
                mixed, state = layer.scan(n, before, packed.exists, **more)
                ragged = packed.exists is not None and is_positioned(layer)
                states.append(layer.compacted(state) if ragged else state)
                return mixed

            x = block.around(x, mix)
        return x, tuple(states)

    def _rows_alone(
        self, x: Float[Tensor, "r 1 d"], rows: Rows, past: Any, route: Route
    ) -> tuple[Float[Tensor, "r 1 d"], Any]:
        """Runs the same for one step of some rows, whose states are among those of all."""
        positions = rows.take(route.positions)
        states: list[Any] = []
        for number, block in enumerate(_blocks(self.layers)):

            def mix(n: Tensor, layer: Any = block.streaming, before: Any = past[number]) -> Tensor:
                if is_positioned(layer) and getattr(layer, "window", None) is None:
                    mixed, state = layer.scan_rows(n, before, rows.rows, positions)
                    states.append(layer.compacted(state))
                    return mixed
                more = {"positions": positions} if is_positioned(layer) else {}
                mixed, state = layer.scan(n, map_states(rows.take, before), **more)
                states.append(map_states(rows.put_grown, before, state))
                return mixed

            x = block.around(x, mix)
        return x, tuple(states)

    def _first(
        self, x: Float[Tensor, "b k d"], packed: Packed, past: KeyState | None, route: Route
    ) -> tuple[Float[Tensor, "b k d"], KeyState | None]:
        """Runs layers whose keys and values later recursions read."""
        positions = packed.take_numbers(route.positions)
        hybrid = self.rules.kv == "hybrid"  # which notes by column what later recursions cover
        keys = route.keys = Keys(positions, packed.exists, past, compact=not hybrid)
        route.first = packed
        allowed = None
        if past is not None or not packed.right_padded:
            allowed = at_least_one(keys.seen_from(positions))
        for block in _blocks(self.layers):

            def mix(n: Tensor, layer: Any = block.layer) -> Tensor:
                query, key, value = layer.project(n, positions)
                keys.add(key, value)
                return _attended(layer, n, query, keys.keys[-1], keys.values[-1], allowed)

            x = block.around(x, mix)
        return x, None if past is None else keys.state()

    def _reading(
        self, x: Float[Tensor, "b k d"], packed: Packed, past: Any, route: Route
    ) -> tuple[Float[Tensor, "b k d"], Any]:
        """Runs layers that read the keys and values of the first recursion, or of their own where tokens run again."""
        shared = route.keys
        assert shared is not None
        positions = packed.take_numbers(route.positions)
        own: Keys | None = None
        covered = None
        same = past is None and packed.index is None and route.first.index is None and packed.exists is None
        allowed = None if same and shared.exists is None else shared.seen_from(positions)
        if self.rules.kv == "hybrid":
            own = Keys(positions, packed.exists, None if past is None else past["own"])
            covered = route.first.take_numbers(route.whole(route.active[self.number]))
            if past is not None:
                covered = torch.cat([past["covered"], covered], 1)
            if allowed is not None:
                allowed = torch.cat([allowed & ~covered.unsqueeze(1), own.seen_from(positions)], -1)
        if allowed is not None:
            allowed = at_least_one(allowed)
        for number, block in enumerate(_blocks(self.layers)):

            def mix(n: Tensor, layer: Any = block.layer, number: int = number) -> Tensor:
                key, value = shared.keys[number], shared.values[number]
                if own is None:
                    return _attended(layer, n, layer.queries(n, positions), key, value, allowed)
                query, *mine = layer.project(n, positions)
                own.add(*mine)
                if allowed is None:  # every token runs: nothing is read from the first recursion
                    return _attended(layer, n, query, own.keys[-1], own.values[-1], None)
                both = torch.cat([key, own.keys[-1]], 1), torch.cat([value, own.values[-1]], 1)
                return _attended(layer, n, query, *both, allowed)

            x = block.around(x, mix)
        if past is None:
            return x, None
        return x, () if own is None else {"own": own.state(), "covered": covered}


def _attended(
    layer: Any,
    x: Float[Tensor, "b k d"],
    query: Float[Tensor, "b k h c"],
    key: Float[Tensor, "b s h c"],
    value: Float[Tensor, "b s h c"],
    allowed: Bool[Tensor, "b k s"] | None,
) -> Float[Tensor, "b k d"]:
    if x.shape[1] == 0:  # no token runs
        return torch.zeros_like(x)
    answer: Tensor = layer.attend(query, key, value, allowed)
    return answer


def _blocks(layers: nn.ModuleList) -> Any:
    """Yields the layers, which are blocks of a `sequence` model."""
    return (layer for layer in layers if isinstance(layer, Block))

"""Continuous depth-wise batching: sequences at different loops of the same blocks (arXiv:2410.20672, Fig. 3).

A step runs the shared blocks once for all slots, each at its own loop. What has left, early or at the end, gives a
token and begins its next one at the first loop; the slot of a finished sequence is given to the next one at once.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from jaxtyping import Float
from rk_recursion.layouts import Layout
from rk_recursion.recursive import layered_of
from rk_sequence.language_model import LanguageModel
from rk_sequence.model import Block
from torch import Tensor, nn

from rk import UserError
from rk.blocks import run_exits
from rk_relaxed_recursive.exit_stats import oracle_exits
from rk_relaxed_recursive.grouped import Groups, SharedBlock
from rk_relaxed_recursive.slots import GrowingSlots, Room, slots_for

Order = Literal["depth", "sequence"]
"""When slots begin a token: see `Batcher`."""
Missing = Literal["lazy", "copy"]
"""Where the keys and values of loops that a token has left out come from: see `Batcher`."""


@dataclass
class Request:
    """A sequence to be continued.

    Attributes:
        prompt: Its tokens, one at least.
        new_tokens: So many are added.
        exits: The loop after which each of them is given, from 0; None: the rule of the batcher decides.
    """

    prompt: list[int]
    new_tokens: int
    exits: list[int] | None = None


@dataclass
class Slot:
    """A place in the batch.

    Attributes:
        number: Of the request that has it.
        request: That request.
        loop: At which it runs next, from 0.
        tokens: What it has given so far.
        pending: By loop, the hidden states that have not been there: the newest token's, and before it, in their order,
            those of tokens that had left.
    """

    number: int
    request: Request
    loop: int
    tokens: list[int]
    pending: list[list[Tensor]]

    @property
    def is_behind(self) -> bool:
        """Whether tokens before the newest one have not been at its loop."""
        waiting = self.pending[self.loop]
        return len(waiting) > 1 or len(waiting[0]) > 1

    @property
    def known_exit(self) -> int | None:
        """The loop after which its next token is given, where the request gives it."""
        return None if self.request.exits is None else self.request.exits[len(self.tokens)]


@dataclass
class Result:
    """What a batch of requests has come to.

    Attributes:
        tokens: The new tokens of each request.
        exits: The loop after which each of them was given, from 0.
        steps: How often the shared blocks have run.
        rows: Slots that ran in these steps, together.
        seconds: For all of it, prompts included.
    """

    tokens: list[list[int]]
    exits: list[list[int]]
    steps: int = 0
    rows: int = 0
    seconds: float = 0.0
    began: float = field(default_factory=time.perf_counter, repr=False)

    @property
    def tokens_per_second(self) -> float:
        """New tokens in a second."""
        return sum(map(len, self.tokens)) / self.seconds


class Batcher:
    """Continues many texts at once, each with the likeliest tokens, on a language model whose blocks run in loops.

    Args:
        model: A `language-model` whose layers stream and whose layout cycles, or `recursive` around one.
        slots: Sequences that run at once.
        threshold: Leaves after the first loop whose likeliest token has so much probability; None: after the last loop.
        order: ``depth``: a slot begins its next token as soon as it has given one. ``sequence``: when all slots have,
            as batches of whole models do: slots that have left wait for the deepest.
        missing: A later token that goes deeper than an earlier one needs keys and values that were not computed.
            ``lazy``: they are computed then, in one piece, from the hidden states with which tokens have left. The
            tokens are those of a model that computes all loops. ``copy``: those of the loop at which the token left
            are taken for them, at once; only for attention without a window.

    Raises:
        rk.UserError: When the model has no blocks that run in loops, or they cannot be one batch.
    """

    def __init__(
        self,
        model: nn.Module,
        slots: int,
        threshold: float | None = None,
        order: Order = "depth",
        missing: Missing = "lazy",
    ) -> None:
        inner: object = layered_of(model)
        layout = getattr(model, "layout", None)
        if not isinstance(inner, LanguageModel) or not isinstance(layout, Layout) or layout.num_loops == 1:
            raise UserError("depth-wise batching needs a language-model whose blocks run in loops", "num_loops: 2")
        if not layout.sharing.endswith("cycle"):
            raise UserError(f"depth-wise batching needs blocks that cycle, got sharing {layout.sharing}")
        self.model: LanguageModel = inner
        self.layout, self.slots = layout, slots
        self.threshold, self.order, self.missing = threshold, order, missing
        blocks: Any = inner.blocks  # Any: each is a `Block`
        first = int(layout.has_ends)
        self.shared = [
            SharedBlock([blocks[layer] for layer in layout.layers(first + number)])
            for number in range(layout.num_shared)
        ]
        self.first: Block | None = blocks[0] if layout.has_ends else None
        self.last: Block | None = blocks[-1] if layout.has_ends else None
        if missing == "copy" and (layout.has_ends or not isinstance(self._room(self._shared(0), 1), GrowingSlots)):
            raise UserError("missing: copy needs attention without a window, and blocks that all cycle", "missing=lazy")

    def _shared(self, number: int) -> Block:
        block: Any = self.shared[number].block
        found: Block = block
        return found

    def _room(self, block: Block, capacity: int) -> Room:
        return slots_for(block, self.slots * self.layout.num_loops, capacity)

    @torch.inference_mode()
    def run(self, requests: Sequence[Request]) -> Result:
        """Continues all requests.

        Raises:
            ValueError: When a prompt is empty, or nothing is to be added to it.
        """
        if any(not r.prompt or r.new_tokens < 1 for r in requests):
            raise ValueError("a request must have one token or more, and ask for one or more")
        capacity = max(len(r.prompt) + r.new_tokens for r in requests)
        self.rooms = [self._room(self._shared(number), capacity) for number in range(self.layout.num_shared)]
        self.first_room = None if self.first is None else self._room(self.first, capacity)
        self.last_room = None if self.last is None else self._room(self.last, capacity)
        result = Result([[] for _ in requests], [[] for _ in requests])
        queue = deque(enumerate(requests))
        self.occupied: dict[int, Slot] = {}
        while queue or self.occupied:
            if self.order == "depth" or all(slot.loop == 0 for slot in self.occupied.values()):
                for place in [place for place in range(self.slots) if place not in self.occupied][: len(queue)]:
                    self._enter(place, *queue.popleft(), result)
            self._step(result)
        result.seconds = time.perf_counter() - result.began
        return result

    def _enter(self, place: int, number: int, request: Request, result: Result) -> None:
        """Gives a slot to a request: reads all of its prompt but the last token, whose first loop is the next step."""
        device = self.model.head.weight.device
        if len(request.prompt) > 1:
            tokens = torch.tensor([request.prompt[:-1]], device=device)
            _, state = self.model.scan(state=self.model.initial_state(1), tokens=tokens)
        else:
            state = self.model.initial_state(1)
        layers = state["layers"]
        for layer, (block, loop) in enumerate(zip(self.layout.blocks, self.layout.loops, strict=True)):
            room, row = self._place(block, loop, place)
            room.fill(row, layers[layer])
        pending: list[list[Tensor]] = [[] for _ in range(self.layout.num_loops)]
        pending[0] = [self._embedded(request.prompt[-1])]
        self.occupied[place] = Slot(number, request, 0, result.tokens[number], pending)

    def _place(self, block: int, loop: int, slot: int) -> tuple[Room, int]:
        if self.first_room is not None and block == 0:
            return self.first_room, slot
        if self.last_room is not None and block == self.layout.num_blocks - 1:
            return self.last_room, slot
        return self.rooms[block - self.layout.has_ends], loop * self.slots + slot

    def _embedded(self, token: int) -> Float[Tensor, "1 d"]:
        tokens = torch.tensor([[token]], device=self.model.head.weight.device)
        return self.model.embed(tokens)[0]

    def _step(self, result: Result) -> None:
        """Runs the shared blocks once, and takes what comes out."""
        deepest = max(slot.loop for slot in self.occupied.values())
        running = [(p, s) for p, s in self.occupied.items() if self.order == "depth" or s.loop == deepest]
        result.steps += 1
        result.rows += len(running)
        by_length: dict[bool, list[tuple[int, Slot]]] = {}
        for one in running:  # long pieces apart: short ones would be padded to their length
            by_length.setdefault(one[1].is_behind, []).append(one)
        for rows in by_length.values():
            self._advance(sorted(rows, key=lambda one: one[1].loop), result)

    def _advance(self, running: list[tuple[int, Slot]], result: Result) -> None:
        """Runs the shared blocks for some slots, sorted by their loops, and takes what comes out."""
        places, slots = [place for place, _ in running], [slot for _, slot in running]
        pieces = [torch.cat(slot.pending[slot.loop]) for slot in slots]
        lengths = torch.tensor([len(piece) for piece in pieces])
        x = nn.utils.rnn.pad_sequence(pieces, batch_first=True)
        mask = None
        if int(lengths.min()) < x.shape[1]:
            mask = (torch.arange(x.shape[1]) < lengths.unsqueeze(1)).to(x.device)
        x = self._run(x, places, [slot.loop for slot in slots], mask)
        tokens = self._leaving(x[torch.arange(len(slots)), lengths - 1], slots)
        for i, (place, slot) in enumerate(running):
            self._take(place, slot, x[i, : lengths[i]], tokens.get(i), result)

    def _run(
        self, x: Float[Tensor, "rows time d"], places: list[int], loops: list[int], mask: Tensor | None
    ) -> Float[Tensor, "rows time d"]:
        """Runs rows, sorted by their loops, through the shared blocks, and before or behind them those at the ends."""
        sizes = [loops.count(loop) for loop in range(self.layout.num_loops)]
        at = torch.tensor(places, device=x.device)
        x = self._alone(self.first, self.first_room, x, at, mask, slice(0, sizes[0]))
        rows, groups = at + torch.tensor(loops, device=x.device) * self.slots, Groups(sizes)
        for number, (shared, room) in enumerate(zip(self.shared, self.rooms, strict=True)):
            shared.groups = groups
            x = room.scan(self._shared(number), x, rows, mask)
        return self._alone(self.last, self.last_room, x, at, mask, slice(len(loops) - sizes[-1], len(loops)))

    @staticmethod
    def _alone(
        block: Block | None, room: Room | None, x: Tensor, at: Tensor, mask: Tensor | None, span: slice
    ) -> Float[Tensor, "rows time d"]:
        """Runs some of the rows through a block that no other layer shares, where there is one."""
        if block is None or room is None or span.start == span.stop:
            return x
        y = room.scan(block, x[span], at[span], None if mask is None else mask[span])
        return torch.cat([x[: span.start], y, x[span.stop :]])

    def _leaving(self, newest: Float[Tensor, "rows d"], slots: list[Slot]) -> dict[int, int]:
        """Returns the tokens of the slots that leave after this loop, by their place among the rows."""
        final = self.layout.num_loops - 1
        by_rule = self.threshold is not None
        asked = [i for i, slot in enumerate(slots) if by_rule or slot.loop == final or slot.loop == slot.known_exit]
        if not asked:
            return {}
        logits = self.model.decode(newest if len(asked) == len(slots) else newest[asked])
        tokens: list[int] = logits.argmax(-1).tolist()
        if self.threshold is None:
            return dict(zip(asked, tokens, strict=True))
        sure = (logits.softmax(-1).amax(-1) >= self.threshold).tolist()
        return {i: tokens[i] for i in asked if sure[i] or slots[i].loop == final}

    def _take(self, place: int, slot: Slot, hidden: Tensor, token: int | None, result: Result) -> None:
        """Takes the hidden states of a slot after a loop, and its token where it leaves."""
        loop, final = slot.loop, self.layout.num_loops - 1
        slot.pending[loop] = []
        if loop < final and (token is None or self.missing == "lazy"):
            slot.pending[loop + 1].append(hidden)
        if token is None:
            slot.loop += 1
            return
        if self.missing == "copy":
            self._copy(place, loop)
        slot.tokens.append(token)
        result.exits[slot.number].append(loop)
        if len(slot.tokens) == slot.request.new_tokens:
            del self.occupied[place]
            return
        slot.loop, slot.pending[0] = 0, [self._embedded(token)]

    def _copy(self, place: int, loop: int) -> None:
        """Gives the loops that a token leaves out its keys and values of the loop at which it leaves."""
        for room in self.rooms:
            for later in range(loop + 1, self.layout.num_loops):
                if isinstance(room, GrowingSlots):
                    rows = torch.tensor([loop, later]) * self.slots + place
                    room.copy_last(rows[:1], rows[1:])


@torch.inference_mode()
def oracle(model: nn.Module, prompt: Sequence[int], tokens: Sequence[int]) -> list[int]:
    """Returns after which loop each token of a continuation could have been given, from 0 (arXiv:2410.20672, Fig. 8).

    Args:
        model: The model, with a layout that cycles.
        prompt: Tokens before the continuation.
        tokens: The likeliest tokens, as the whole model gives them.
    """
    whole: Any = model  # Any: a model of blocks with a layout
    text = torch.tensor([[*prompt, *tokens][:-1]], device=next(model.parameters()).device)
    logits = [
        outputs["logits"][0, len(prompt) - 1 :] for _, outputs in run_exits(whole, {"tokens": text}, whole.layout.exits)
    ]
    found: list[int] = oracle_exits(logits).tolist()
    return found

"""Pointer Networks (Vinyals, Fortunato and Jaitly, 2015; arXiv:1506.03134), with the paper's two baselines.

Written from the paper; the key of END, which it leaves open, is learned, as in gchaperon/pointer-networks.
"""

# b batch, n points, m steps, k beams, w input width, h hidden, c choices = END and n points

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

import torch
from annotated_types import Ge, Gt
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from rk import UserError
from rk.protocols import Decode
from rk_pointer_net.attention import AdditivePointer, DotPointer
from rk_pointer_net.constraints import CONSTRAINTS
from rk_pointer_net.decode import State, beam, greedy
from rk_pointer_net.decoders import AttentionDecoder, Pointer, PointerDecoder, Seq2SeqDecoder


class PointerOutputs(TypedDict):
    """Scores of every choice at every step: choice 0 is END, choice j is point j."""

    logits: Float[Tensor, "batch steps choices"]


class PointerAnswers(TypedDict):
    """Answers as point numbers from 1, padded with 0 from END on, and their log-probabilities."""

    pointers: Int[Tensor, "batch answers"]
    log_probs: Float[Tensor, "batch"]


class Reading(NamedTuple):
    """The encoder's output for the decoder."""

    table: Float[Tensor, "b c w"]
    """The decoder's input after each choice: START in the place of END, which nothing follows, then the points."""
    state: tuple[Tensor, ...]
    """The decoder's first state."""
    memory: Any
    """Whatever the decoder looks at, in every step."""
    exists: Bool[Tensor, "b n"] | None
    """Which points are real; None when all are."""


class PointerNet(nn.Module):
    """An LSTM reads points and a second one answers by pointing at them, until it points at END.

    The answer may be as long as it needs and the input may be longer than any seen in training. The two baselines of
    the paper differ in one point: they choose from a fixed dictionary of point numbers.

    Args:
        max_points: Most points of an example in training. The dictionary of the baselines; `ptr` needs none.
        input_size: Coordinates of a point.
        hidden_size: Width of the encoder, the decoder and the pointer.
        mode: `ptr` points with its attention; `attention` attends and then chooses from a dictionary; `seq2seq`
            chooses from a dictionary.
        attention: How a point is scored: `additive` as in the paper, or `dot`, a scaled product.
        embedding_size: Width of a learned linear embedding of the points; null feeds raw coordinates as the paper does.
        init_range: All weights start uniform in +-init_range; null leaves torch's defaults.
        beam_size: Beginnings that are kept while decoding; 1 is greedy.
        constraint: What an answer is held to while decoding: `tour` (every point once, from point 1), `hull` (a convex
            polygon, counter-clockwise), `triangulation` (different triples of ascending numbers) or `none`.
        max_answer: Most steps of an answer, END included; null allows what the constraint does, and every point once
            without one.
        chunk_elements: Largest tensor of the additive attention, in elements; bounds memory, not what is computed.

    Examples:
        model: {name: pointer-net, hidden_size: 128, beam_size: 3, constraint: hull}

        >>> net = PointerNet(max_points=5, hidden_size=8)
        >>> net(points=torch.rand(2, 5, 2), targets=torch.tensor([[1, 2, 3, 0]] * 2))["logits"].shape
        torch.Size([2, 4, 6])
    """

    def __init__(
        self,
        *,
        max_points: Annotated[int, Ge(1)],
        input_size: Annotated[int, Ge(1)] = 2,
        hidden_size: Annotated[int, Ge(1)] = 128,
        mode: Literal["ptr", "attention", "seq2seq"] = "ptr",
        attention: Literal["additive", "dot"] = "additive",
        embedding_size: Annotated[int, Ge(1)] | None = None,
        init_range: Annotated[float, Gt(0)] | None = 0.08,
        beam_size: Decode[Annotated[int, Ge(1)]] = 1,
        constraint: Decode[Literal["none", "tour", "hull", "triangulation"]] = "none",
        max_answer: Decode[Annotated[int, Ge(1)] | None] = None,
        chunk_elements: Annotated[int, Ge(1)] = 2**21,
    ) -> None:
        super().__init__()
        self.mode = mode
        self.max_points = max_points
        self.beam_size = beam_size
        self.constraint = constraint
        self.max_answer = max_answer

        width = embedding_size or input_size
        self.embedding = nn.Linear(input_size, width) if embedding_size else nn.Identity()
        self.start = nn.Parameter(torch.zeros(width))  # the decoder's first input
        self.encoder = nn.LSTM(width, hidden_size, batch_first=True)
        self.decoder: PointerDecoder | AttentionDecoder | Seq2SeqDecoder
        if mode == "seq2seq":
            self.decoder = Seq2SeqDecoder(width, hidden_size, max_points + 1)
        else:
            if attention == "additive":
                pointer: Pointer = AdditivePointer(hidden_size, hidden_size, hidden_size, chunk_elements)
            else:
                pointer = DotPointer(hidden_size, hidden_size, hidden_size)
            if mode == "ptr":
                self.decoder = PointerDecoder(width, hidden_size, pointer)
            else:
                self.decoder = AttentionDecoder(width, hidden_size, pointer, max_points + 1)
        if init_range is not None:
            for parameter in self.parameters():
                nn.init.uniform_(parameter, -init_range, init_range)

    def forward(
        self,
        *,
        points: Float[Tensor, "batch points size"],
        targets: Int[Tensor, "batch steps"],
        lengths: Int[Tensor, "batch"] | None = None,
    ) -> PointerOutputs:
        """Scores every step of known answers.

        Args:
            points: The inputs, in the order in which answers number them.
            targets: Point numbers from 1, then END (0), then padding (-100).
            lengths: How many points of an example are real; all of them when left out.
        """
        read = self._read(points, lengths)
        # p(C_i | C_1 ... C_i-1, P): step i is fed the point C_i-1 itself, not its encoding; after END anything will do
        previous = torch.cat([torch.zeros_like(targets[:, :1]), targets[:, :-1].clamp(min=0)], 1)
        logits = self.decoder(_look_up(read.table, previous), read.state, read.memory)
        return {"logits": _among(logits, points.shape[1], read.exists)}

    @torch.no_grad()
    def predict(
        self, *, points: Float[Tensor, "batch points size"], lengths: Int[Tensor, "batch"] | None = None
    ) -> PointerAnswers:
        """Answers, each step fed with the point that the last one chose.

        Args:
            points: The inputs, in the order in which answers number them.
            lengths: How many points of an example are real; all of them when left out.
        """
        read = self._read(points, lengths)

        def step(previous: Int[Tensor, "b k"], state: State) -> tuple[Float[Tensor, "b k c"], State]:
            logits, state = self.decoder.step(_look_up(read.table, previous), state, read.memory)
            return _among(logits, points.shape[1], read.exists), state

        rule, longest = CONSTRAINTS[self.constraint]
        allowed = None if rule is None else partial(rule, points, read.exists)
        max_steps = self.max_answer or longest(points.shape[1])
        if self.beam_size == 1:
            pointers, log_probs = greedy(step, read.state, max_steps, allowed=allowed)
        else:
            pointers, log_probs = beam(step, read.state, max_steps, self.beam_size, allowed=allowed)
        return {"pointers": pointers, "log_probs": log_probs}

    def _read(self, points: Float[Tensor, "b n size"], lengths: Int[Tensor, "b"] | None) -> Reading:
        b, n, _ = points.shape
        if self.mode != "ptr" and n > self.max_points:
            raise UserError(
                f"{n} points: this {self.mode} model was built for at most {self.max_points} points",
                hint="its dictionary has a fixed size; mode ptr has no such limit",
            )
        embedded = self.embedding(points)
        table = torch.cat([self.start.expand(b, 1, -1), embedded], 1)
        if lengths is None:
            exists = None
            encoded, state = self.encoder(embedded)
        else:  # packed, so that the last state is that of the last real point
            exists = torch.arange(n, device=points.device) < lengths.unsqueeze(1)
            packed = pack_padded_sequence(embedded, lengths.cpu(), batch_first=True, enforce_sorted=False)
            encoded, state = self.encoder(packed)
            encoded, _ = pad_packed_sequence(encoded, batch_first=True, total_length=n)
        state = tuple(tensor.transpose(0, 1) for tensor in state)  # (layers, b, h) -> (b, 1, h): one beam
        remember: Callable[..., Any] = self.decoder.memory  # Any: each kind of decoder has a memory of its own
        return Reading(table, state, remember(encoded, exists), exists)


def _look_up(table: Float[Tensor, "b c w"], choices: Int[Tensor, "b m"]) -> Float[Tensor, "b m w"]:
    return table.gather(1, choices.unsqueeze(-1).expand(-1, -1, table.shape[-1]))


def _among(logits: Float[Tensor, "b m c"], n: int, exists: Bool[Tensor, "b n"] | None) -> Float[Tensor, "b m choices"]:
    """Leaves END and the n points there are: a dictionary may have more words, a padded batch has fewer points."""
    logits = logits[..., : n + 1]
    if exists is None:
        return logits
    return logits.masked_fill(~nn.functional.pad(exists, (1, 0), value=True).unsqueeze(1), -torch.inf)

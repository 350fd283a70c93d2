"""The same things once more, slow and plain: what the tests and the benchmark compare with."""

# b batch, n points, m steps, h hidden

import math

import torch
from jaxtyping import Float, Int
from scipy.spatial import Delaunay
from torch import Tensor, nn

from rk_pointer_net.attention import AdditivePointer
from rk_pointer_net.model import PointerNet


def forced_logits(
    model: PointerNet, points: Float[Tensor, "b n size"], targets: Int[Tensor, "b m"]
) -> Float[Tensor, "b m choices"]:
    """Teacher forcing one step at a time, with everything computed where it is needed; no padded points."""
    points = model.embedding(points)
    b, n, _ = points.shape
    hidden = cell = context = points.new_zeros(b, model.encoder.hidden_size)
    encoded = []
    for j in range(n):
        hidden, cell = _cell(model.encoder, points[:, j], hidden, cell)
        encoded.append(hidden)

    logits = []
    x = model.start.expand(b, -1)
    for i in range(targets.shape[1]):
        if model.mode == "attention":
            x = torch.cat([x, context], -1)
        hidden, cell = _cell(model.decoder.lstm, x, hidden, cell)
        if model.mode == "ptr":
            keys = [model.decoder.end.expand(b, -1), *encoded]
            scores = torch.stack([_score(model.decoder.pointer, key, hidden) for key in keys], 1)
        elif model.mode == "attention":
            weights = torch.stack([_score(model.decoder.pointer, key, hidden) for key in encoded], 1).softmax(1)
            context = sum(weights[:, j, None] * encoded[j] for j in range(n))
            scores = model.decoder.dictionary(torch.cat([hidden, context], -1))[:, : n + 1]
        else:
            scores = model.decoder.dictionary(hidden)[:, : n + 1]
        logits.append(scores)
        chosen = targets[:, i].tolist()
        x = torch.stack([points[e, j - 1] if j > 0 else model.start for e, j in enumerate(chosen)])
    return torch.stack(logits, 1)


def beam_answer(
    model: PointerNet, points: Float[Tensor, "n size"], size: int, max_steps: int
) -> tuple[list[int], float]:
    """Beam search over one example that runs the whole decoder again for every beginning and every step."""
    beams = [([], 0.0)]
    for _ in range(max_steps):
        longer = []
        for choices, total in beams:
            if choices and choices[-1] == 0:
                longer.append((choices, total))
                continue
            so_far = torch.tensor([[*choices, 0]])  # the last one is only asked for, never fed
            log_probs = forced_logits(model, points[None], so_far)[0, -1].log_softmax(-1)
            longer += [([*choices, c], total + log_prob) for c, log_prob in enumerate(log_probs.tolist())]
        beams = sorted(longer, key=lambda beam: -beam[1])[:size]
        if all(choices[-1] == 0 for choices, _ in beams):
            break
    return beams[0]


def convex_hull(points: list[tuple[float, float]]) -> list[int]:
    """Andrew's monotone chain over one set; point numbers from 1, counter-clockwise from the lowest."""
    order = sorted(range(len(points)), key=lambda i: (*points[i], i))
    order = [i for k, i in enumerate(order) if k == 0 or points[i] != points[order[k - 1]]]
    if len(order) == 1:
        return [order[0] + 1]
    chain = []
    for way in (order, order[::-1]):
        part = []
        for i in way:
            while len(part) > 1 and not _turns_left(points[part[-2]], points[part[-1]], points[i]):
                part.pop()
            part.append(i)
        chain += part[:-1]  # the last point begins the other half
    first = chain.index(min(chain))
    return [i + 1 for i in chain[first:] + chain[:first]]


def triangulation(points: list[tuple[float, float]]) -> list[int]:
    """Qhull's triangles of one set, ascending inside and ordered by incenter; point numbers from 1."""

    def incenter(triangle: list[int]) -> tuple[float, float]:
        a, b, c = (points[i] for i in triangle)
        sides = math.dist(b, c), math.dist(c, a), math.dist(a, b)
        x, y = (sum(s * v for s, v in zip(sides, axis, strict=True)) for axis in zip(a, b, c, strict=True))
        return x / sum(sides), y / sum(sides)

    triangles = sorted((sorted(triangle) for triangle in Delaunay(points).simplices.tolist()), key=incenter)
    return [i + 1 for triangle in triangles for i in triangle]


def _cell(lstm: nn.LSTM, x: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    weights = lstm.weight_ih_l0, lstm.weight_hh_l0, lstm.bias_ih_l0, lstm.bias_hh_l0
    return torch.lstm_cell(x, (hidden, cell), *weights)  # what nn.LSTMCell calls


def _score(pointer: nn.Module, key: Float[Tensor, "b h"], query: Float[Tensor, "b h"]) -> Float[Tensor, "b"]:
    if isinstance(pointer, AdditivePointer):
        return torch.tanh(pointer.key(key) + pointer.query(query)) @ pointer.v
    return (pointer.key(key) * pointer.query(query)).sum(-1) / key.shape[-1] ** 0.5


def _turns_left(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]) > 0

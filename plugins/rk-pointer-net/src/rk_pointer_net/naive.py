"""Slow and plain versions of the algorithms, which tests and the benchmark compare with."""

# b batch, n points, m steps, h hidden

import math
from collections.abc import Sequence
from itertools import combinations, pairwise, permutations

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial import Delaunay
from torch import Tensor, nn

from rk_pointer_net.attention import AdditivePointer
from rk_pointer_net.constraints import Name
from rk_pointer_net.decoders import AttentionDecoder, Pointer, PointerDecoder, lstm_weights
from rk_pointer_net.hull import are_simple
from rk_pointer_net.model import PointerNet

Points = list[tuple[float, float]]
Table = np.ndarray
"""Distances between points, (n, n)."""


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
        decoder = model.decoder
        hidden, cell = _cell(decoder.lstm, x, hidden, cell)
        if isinstance(decoder, PointerDecoder):
            keys = [decoder.end.expand(b, -1), *encoded]
            scores = torch.stack([_score(decoder.pointer, key, hidden) for key in keys], 1)
        elif isinstance(decoder, AttentionDecoder):
            weights = torch.stack([_score(decoder.pointer, key, hidden) for key in encoded], 1).softmax(1)
            context = torch.stack([weights[:, j, None] * encoded[j] for j in range(n)]).sum(0)
            scores = decoder.dictionary(torch.cat([hidden, context], -1))[:, : n + 1]
        else:
            scores = decoder.dictionary(hidden)[:, : n + 1]
        logits.append(scores)
        chosen = targets[:, i].tolist()
        x = torch.stack([points[e, j - 1] if j > 0 else model.start for e, j in enumerate(chosen)])
    return torch.stack(logits, 1)


def beam_answer(
    model: PointerNet, points: Float[Tensor, "n size"], size: int, max_steps: int, constraint: Name = "none"
) -> tuple[list[int], float]:
    """Beam search over one example that runs the whole decoder again for every beginning and every step."""
    places = [tuple(place) for place in points.tolist()]
    beams: list[tuple[list[int], float]] = [([], 0.0)]
    for _ in range(max_steps):
        longer = []
        for choices, total in beams:
            if choices and choices[-1] == 0:
                longer.append((choices, total))
                continue
            so_far = torch.tensor([[*choices, 0]])  # the last one is only predicted, never fed
            next_ones = allowed(constraint, places, choices) or [0]
            log_probs = forced_logits(model, points[None], so_far)[0, -1, next_ones].log_softmax(-1)
            longer += [([*choices, c], total + p) for c, p in zip(next_ones, log_probs.tolist(), strict=True)]
        beams = sorted(longer, key=lambda beam: -beam[1])[:size]
        if all(choices[-1] == 0 for choices, _ in beams):
            break
    return beams[0]


def allowed(constraint: Name, points: Points, chosen: list[int]) -> list[int]:
    """Returns the choices after which the answer can still be finished: all continuations are tried."""
    return [c for c in range(len(points) + 1) if _can_be_finished(constraint, points, [*chosen, c])]


def _can_be_finished(constraint: Name, points: Points, choices: list[int]) -> bool:
    n = len(points)
    if constraint == "none":
        return True
    *body, last = choices
    if constraint == "tour":
        whole = sorted(body) == list(range(1, n + 1))
        return whole if last == 0 else choices[0] == 1 and len(set(choices)) == len(choices)
    if constraint == "hull":
        if last == 0:
            return len(body) >= 3
        if len(choices) >= 3:
            return _is_convex(points, choices)
        others = set(range(1, n + 1)) - set(choices)
        tails = permutations(others, 3 - len(choices))
        return len(set(choices)) == len(choices) and any(_is_convex(points, [*choices, *tail]) for tail in tails)
    if last == 0:
        return len(body) % 3 == 0 and len(body) > 0
    cut = len(choices) - len(choices) % 3
    triples = [tuple(choices[i : i + 3]) for i in range(0, cut, 3)]
    rest = tuple(choices[cut:])
    every = list(combinations(range(1, n + 1), 3))
    fits = all(triple in every for triple in triples) and len(set(triples)) == len(triples) <= 2 * n - 5
    left = [triple for triple in every if triple not in triples and triple[: len(rest)] == rest]
    return fits and (not rest or (bool(left) and len(triples) < 2 * n - 5))


def _is_convex(points: Points, numbers: list[int]) -> bool:
    """Whether the polygon turns left at every corner and never meets itself."""
    corners = [points[j - 1] for j in numbers]
    turns = all(_turns_left(corners[i - 2], corners[i - 1], corners[i]) for i in range(len(corners)))
    return turns and bool(are_simple(torch.tensor([points]), torch.tensor([[*numbers, 0]])))


def shortest_tour(d: Table) -> list[int]:
    """Tries all tours over one set; point numbers from 1."""
    others = permutations(range(1, len(d)))
    return _numbers(min(((0, *tour) for tour in others), key=lambda tour: _length(d, tour)))


def held_karp(d: Table) -> list[int]:
    """Held and Karp's dynamic programme over one set in numpy, subset by subset."""
    n = len(d)
    ways = {(1 << j, j): (d[0, j], 0) for j in range(1, n)}
    for size in range(2, n):
        for subset in combinations(range(1, n), size):
            bits = sum(1 << j for j in subset)
            for j in subset:
                befores = [k for k in subset if k != j]
                lengths = np.array([ways[bits ^ (1 << j), k][0] for k in befores]) + d[befores, j]
                ways[bits, j] = lengths.min(), befores[int(lengths.argmin())]
    bits = 2**n - 2
    last = min(range(1, n), key=lambda j: ways[bits, j][0] + d[j, 0])
    tour = [0]
    while last:
        tour.append(last)
        bits, last = bits ^ (1 << last), ways[bits, last][1]
    return _numbers(tour)


def a1(d: Table) -> list[int]:
    """Greedy edges over one set."""
    return _numbers(_greedy_edges(d))


def a2(d: Table) -> list[int]:
    """Greedy edges and 2-opt over one set."""
    return _numbers(_two_opt(d, _greedy_edges(d)))


def a3(d: Table) -> list[int]:
    """The best of three beginnings and 2-opt over one set."""
    begun = (_greedy_edges(d), _nearest_neighbours(d), _farthest_insertion(d))
    return _numbers(min((_two_opt(d, tour) for tour in begun), key=lambda tour: _length(d, tour)))


def _greedy_edges(d: Table) -> list[int]:
    paths = [[i] for i in range(len(d))]
    while len(paths) > 1:
        joints = [(d[a[-1], b[0]], a, b) for one, two in permutations(paths, 2) for a in _ways(one) for b in _ways(two)]
        _, a, b = min(joints, key=lambda joint: joint[0])
        paths = [path for path in paths if path[0] not in (a[0], a[-1], b[0], b[-1])] + [a + b]
    return paths[0]


def _nearest_neighbours(d: Table) -> list[int]:
    tour, left = [0], set(range(1, len(d)))
    while left:
        tour.append(min(sorted(left), key=lambda j: d[tour[-1], j]))
        left.remove(tour[-1])
    return tour


def _farthest_insertion(d: Table) -> list[int]:
    tour = [0]
    while len(tour) < len(d):
        new = max((j for j in range(len(d)) if j not in tour), key=lambda j: min(d[i, j] for i in tour))
        tour = min(([*tour[:k], new, *tour[k:]] for k in range(1, len(tour) + 1)), key=lambda tour: _length(d, tour))
    return tour


def _two_opt(d: Table, tour: list[int]) -> list[int]:
    while True:
        turned = [tour[:i] + tour[i:j][::-1] + tour[j:] for i, j in combinations(range(1, len(tour) + 1), 2)]
        best = min(turned, key=lambda other: _length(d, other))
        if _length(d, best) > _length(d, tour) - 1e-12 * d.max():
            return tour
        tour = best


def _ways(path: list[int]) -> list[list[int]]:
    return [path, path[::-1]]


def _length(d: Table, tour: Sequence[int]) -> float:
    return sum(d[i, j] for i, j in pairwise((*tour, tour[0])))


def _numbers(tour: Sequence[int]) -> list[int]:
    """Begins with the first point, goes the way whose second number is lower, and counts from 1."""
    start = tour.index(0)
    tour = [i + 1 for i in (*tour[start:], *tour[:start])]
    return tour if tour[1] < tour[-1] else [1, *tour[:0:-1]]


def convex_hull(points: Points) -> list[int]:
    """Andrew's monotone chain over one set; point numbers from 1, counter-clockwise from the lowest."""
    order = sorted(range(len(points)), key=lambda i: (*points[i], i))
    order = [i for k, i in enumerate(order) if k == 0 or points[i] != points[order[k - 1]]]
    if len(order) == 1:
        return [order[0] + 1]
    chain = []
    for way in (order, order[::-1]):
        part: list[int] = []
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
    return torch.lstm_cell(x, (hidden, cell), *lstm_weights(lstm))  # what nn.LSTMCell calls


def _score(pointer: Pointer, key: Float[Tensor, "b h"], query: Float[Tensor, "b h"]) -> Float[Tensor, "b"]:
    if isinstance(pointer, AdditivePointer):
        return torch.tanh(pointer.key(key) + pointer.query(query)) @ pointer.v
    return (pointer.key(key) * pointer.query(query)).sum(-1) / key.shape[-1] ** 0.5


def _turns_left(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]) > 0

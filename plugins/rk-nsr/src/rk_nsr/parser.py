"""The transition parser: a network that chooses, and all sentences of a batch parsed in lock-step.

arXiv:2210.01603, Sec. 3.2: a greedy arc-standard parser (Chen and Manning, EMNLP 2014).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

LEFT, RIGHT, SHIFT = 0, 1, 2
"""Transitions: the top of the stack becomes the head of the second, or the other way round; a word is shifted."""
FEATURES = 18
"""Words that a transition is chosen from."""


class Parsed(NamedTuple):
    """Trees of a batch of sentences.

    Attributes:
        heads: (batch, time): the head of each word, -1 for the root and for padding.
        order: (batch, time): the words in an order in which dependents come before heads; -1 for padding.
        features: (batch, steps, 18): what each transition was chosen from.
        transitions: (batch, steps): what was chosen; -1 after a sentence's last one.
        log_probability: (batch,): of all its transitions.
    """

    heads: Int[Tensor, "batch time"]
    order: Int[Tensor, "batch time"]
    features: Int[Tensor, "batch steps features"]
    transitions: Int[Tensor, "batch steps"]
    log_probability: Float[Tensor, "batch"]


class TransitionNet(nn.Module):
    """Embedding, one hidden layer, three transitions (Sec. 3.2).

    The first layer is linear in each feature's embedding, so its products with all words are made once per call, and a
    sentence adds 18 rows of them (Chen and Manning's precomputation).

    Args:
        num_symbols: Words; one more stands for no word.
        embed_dim: Width of an embedding.
        hidden_size: Width of the hidden layer.
        dropout: Share of the hidden layer that is dropped; it is what makes the parser explore.
    """

    def __init__(self, num_symbols: int, embed_dim: int, hidden_size: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_symbols + 1, embed_dim)
        self.hidden = nn.Linear(FEATURES * embed_dim, hidden_size)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(hidden_size, 3)

    def table(self) -> Float[Tensor, "rows hidden"]:
        """Returns (18 (symbols + 1), hidden): what each word adds in the place of each feature."""
        weight = self.hidden.weight.unflatten(1, (FEATURES, -1))
        return torch.einsum("we,hfe->fwh", self.embedding.weight, weight).flatten(0, 1)

    def forward(
        self, features: Int[Tensor, "batch features"], table: Tensor | None = None
    ) -> Float[Tensor, "batch transitions"]:
        """Returns scores of (batch, 3)."""
        words = self.embedding.num_embeddings
        rows = features + torch.arange(FEATURES, device=features.device) * words
        added = functional.embedding_bag(rows, self.table() if table is None else table, mode="sum")
        scores: Tensor = self.out(self.dropout(functional.relu(added + self.hidden.bias)))
        return scores


def parse(
    net: TransitionNet,
    tokens: Int[Tensor, "batch time"],
    lengths: Int[Tensor, "batch"],
    arities: Int[Tensor, "symbols"] | None,
    choose: Callable[[Float[Tensor, "batch transitions"]], Int[Tensor, "batch"]] | None = None,
) -> Parsed:
    """Parses all sentences of a batch, one transition of each at a time (Sec. 3.2).

    Args:
        net: Scores transitions.
        tokens: (batch, time): words, anything behind the end.
        lengths: (batch,): words of each sentence, from 1.
        arities: Arguments of each symbol; None where the legal transitions do not depend on them.
        choose: Takes log-probabilities of (batch, 3), -inf where a transition is illegal, and returns transitions of
            (batch,). None: the likeliest one.
    """
    state = Stacks(tokens, lengths, net.embedding.num_embeddings - 1, arities)
    table = net.table()
    steps = 2 * int(lengths.max()) - 1
    all_features, all_transitions = [], []
    total = torch.zeros(len(tokens), dtype=table.dtype)
    for _ in range(steps):
        features, legal, live = state.features(), state.legal(), state.live()
        scores = net(features, table).masked_fill(~legal, -torch.inf)
        log_probabilities = scores.log_softmax(-1)
        chosen = log_probabilities.argmax(-1) if choose is None else choose(log_probabilities)
        total += log_probabilities.gather(1, chosen[:, None])[:, 0].masked_fill(~live, 0)
        chosen = chosen.masked_fill(~live, -1)
        all_features.append(features)
        all_transitions.append(chosen)
        state.take(chosen)
    state.close()
    return Parsed(state.heads, state.order, torch.stack(all_features, 1), torch.stack(all_transitions, 1), total)


class Stacks:
    """Stacks, buffers and arcs of a batch of sentences.

    Args:
        tokens: (batch, time).
        lengths: (batch,).
        nothing: The number that stands for no word.
        arities: As for `parse`.
    """

    def __init__(self, tokens: Tensor, lengths: Tensor, nothing: int, arities: Tensor | None) -> None:
        batch, time = tokens.shape
        self.lengths, self.arities = lengths, arities
        self.rows = torch.arange(batch)
        inside = torch.arange(time) < lengths[:, None]
        # column 0 stands for no word, so that a missing child or stack item is an index like any other
        self.words = functional.pad(tokens.masked_fill(~inside, nothing), (1, 3), value=nothing)
        self.stack = torch.zeros(batch, time + 4, dtype=torch.long)
        self.depth = torch.zeros(batch, dtype=torch.long)
        self.next = torch.zeros(batch, dtype=torch.long)
        self.children = torch.zeros(4, batch, time + 1, dtype=torch.long)
        """Outermost child on the left, on the right, the second outermost on the left, on the right; 0 for none."""
        self.heads = torch.full((batch, time), -1)
        self.order = torch.full((batch, time), -1)
        self.finished = torch.zeros(batch, dtype=torch.long)
        if arities is not None:
            needs = torch.where(inside, arities[tokens.masked_fill(~inside, 0)], 0)
            self.left_over = functional.pad(needs, (1, 0))
            # arguments that the buffer's words from a place on need
            self.needed = functional.pad(needs.flip(1).cumsum(1).flip(1), (0, 1))

    def top(self, k: int) -> Int[Tensor, "batch"]:
        """Returns the word's place, from 1, that is `k` below the top; 0 for none."""
        found = self.stack.gather(1, (self.depth - 1 - k).clamp(min=0)[:, None])[:, 0]
        return found.masked_fill(self.depth <= k, 0)

    def live(self) -> Bool[Tensor, "batch"]:
        """Returns which sentences are not yet one tree."""
        return (self.next < self.lengths) | (self.depth > 1)

    def features(self) -> Int[Tensor, "batch features"]:
        """Returns (batch, 18): three words of the stack, the lowest first, three of the buffer, twelve children."""
        s0, s1, s2 = self.top(0), self.top(1), self.top(2)
        ahead = [(self.next + 1 + k).clamp(max=self.words.shape[1] - 1) for k in range(3)]
        places = [s2, s1, s0, *ahead]
        for head in (s0, s1):
            left, right, left2, right2 = self.children[:, self.rows, head]
            places += [left, right, left2, right2]
            places += [self.children[0, self.rows, left], self.children[1, self.rows, right]]
        return self.words.gather(1, torch.stack(places, 1))

    def legal(self) -> Bool[Tensor, "batch transitions"]:
        """Returns (batch, 3): arcs need two words on the stack; a shift needs a word in the buffer.

        With arities, nothing is shifted behind a word that has all its arguments while the buffer has words to spare.
        """
        waiting = self.lengths - self.next
        shift = waiting > 0
        if self.arities is not None:
            top = self.top(0)
            full = (self.depth > 0) & (self.left_over[self.rows, top] == 0)
            spare = waiting - self.needed[self.rows, self.next.clamp(max=self.needed.shape[1] - 1)] > 0
            shift = shift & ~(full & spare)
        arcs = self.depth >= 2
        return torch.stack([arcs, arcs, shift | ~arcs], 1)

    def take(self, chosen: Int[Tensor, "batch"]) -> None:
        """Makes a transition in each sentence, none where it is -1."""
        shift = chosen == SHIFT
        rows = self.rows[shift & (self.next < self.lengths)]
        self.stack[rows, self.depth[rows]] = self.next[rows] + 1
        self.depth[rows] += 1
        self.next[rows] += 1
        s0, s1 = self.top(0), self.top(1)
        for side, (name, heads, dependents) in enumerate(((LEFT, s0, s1), (RIGHT, s1, s0))):
            rows = self.rows[chosen == name]
            head, dependent = heads[rows], dependents[rows]
            self.heads[rows, dependent - 1] = head - 1
            self.order[rows, self.finished[rows]] = dependent - 1
            self.finished[rows] += 1
            self.children[side + 2, rows, head] = self.children[side, rows, head]
            self.children[side, rows, head] = dependent
            self.depth[rows] -= 1
            self.stack[rows, self.depth[rows] - 1] = head
            if self.arities is not None:
                self.left_over[rows, head] -= 1

    def close(self) -> None:
        """Writes the roots, the last words of `order`."""
        self.order[self.rows, self.finished] = self.top(0) - 1


def oracle(heads: Sequence[int], late: Collection[int] = ()) -> list[int]:
    """Returns the transitions that make a tree (arXiv:2210.01603, Sec. 3.2).

    Args:
        heads: The head of each word, -1 for the root: a projective tree.
        late: Words that become the left children of their heads only when these have all their right children. An
            opening bracket whose group is not yet read has to wait: where it belongs, no parser can know before.

    Raises:
        ValueError: When no transitions make it.
    """
    waiting = [sum(head == i for head in heads) for i in range(len(heads))]
    stack: list[int] = []
    made: list[int] = []
    at = 0
    while at < len(heads) or len(stack) > 1:
        wait = len(stack) > 1 and stack[-2] in late and stack[-1] in heads[at:]
        if len(stack) > 1 and heads[stack[-2]] == stack[-1] and not waiting[stack[-2]] and not wait:
            made.append(LEFT)
            waiting[stack[-1]] -= 1
            del stack[-2]
        elif len(stack) > 1 and heads[stack[-1]] == stack[-2] and not waiting[stack[-1]]:
            made.append(RIGHT)
            waiting[stack[-2]] -= 1
            del stack[-1]
        elif at < len(heads):
            made.append(SHIFT)
            stack.append(at)
            at += 1
        else:
            raise ValueError(f"the tree with heads {list(heads)} is not projective")
    return made

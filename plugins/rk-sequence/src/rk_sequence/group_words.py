"""Task `group-words`: after each factor, which element of a group is the product so far?"""

from __future__ import annotations

import itertools
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from rk.fields import IGNORED
from rk.protocols import Batch
from rk_sequence import groups
from rk_sequence.task import TokenTask, integers


class GroupWords(TokenTask):
    """The word problem of a finite group: the target of step t is the product ``x_1 x_2 ... x_t``.

    Elements are drawn uniformly. Permutation groups show which layers can track a state: S3 is the smallest that is not
    abelian, A5 and S5 are not solvable (arXiv:2404.08819, arXiv:2502.10297).

    Args:
        group: ``S5`` (all permutations of 5), ``A5`` (the even ones), ``Z60`` (cyclic), or a product like ``A5xZ2``.
        length: Factors of a word in ``train``, ``val`` and ``test``.
        max_moved: Draws only permutations that move so many points at most: 2 for swaps alone. Null: all elements.
        merged: So many factors are multiplied into one input, and as many identities less one follow it; the products
            are asked for that much later. 1 for plain words.
        tokens_per_element: Each factor is followed by fillers up to so many tokens; the answer is due at the last.
        filler: What fills: one `special` token, or the factor itself, `repeat`.
        bos: Puts one more token in front, which has no target.
        skew: Trains on words of few elements beside words of all: each draws a number e from 0 to `skew`, and its
            elements with chances r^-e, where r is an element's rank in a fixed order. The first two reach the whole
            group, where two can. ``val`` and tests draw all elements alike. 0: all alike in training too.

    Raises:
        ValueError: When there is no such group, or the variants do not go together.

    Examples:
        data: {name: group-words, group: S3, length: 24, test_lengths: [24, 48]}
    """

    def __init__(
        self,
        *,
        group: str = "S3",
        length: Annotated[int, Ge(1)] = 24,
        max_moved: Annotated[int, Ge(2)] | None = None,
        merged: Annotated[int, Ge(1)] = 1,
        tokens_per_element: Annotated[int, Ge(1)] = 1,
        filler: Literal["special", "repeat"] = "special",
        bos: bool = False,
        skew: Annotated[float, Ge(0)] = 0.0,
        **common: Any,
    ) -> None:
        super().__init__(length=length, **common)
        self._group = groups.group(group)
        self.group = group
        drawn = self._group.moved <= (self._group.moved.max() if max_moved is None else max_moved)
        self._drawn_elements = drawn.nonzero().flatten()
        if max_moved is not None and "Z" in group:
            raise ValueError(f"max_moved: only permutations move points, not the numbers of {group}")
        if len(self._drawn_elements) < 2:
            limit = "" if max_moved is None else f" with max_moved {max_moved}"
            raise ValueError(f"{group}{limit} has only the identity")
        if merged > 1 and tokens_per_element > 1:
            raise ValueError("merged and tokens_per_element exclude each other: leave one out")
        self.merged = merged
        self.tokens_per_element = tokens_per_element
        self.filler = filler
        self.bos = bos
        self.skew = skew
        self._ranks = _ranks(self._drawn_elements, self._group.table) if skew else None

    @property
    def num_outputs(self) -> int:
        """The group's elements."""
        return len(self._group.table)

    @property
    def vocab_size(self) -> int:
        """The group's elements, and the special tokens in use: the filler, then the beginning."""
        return self.num_outputs + (self.tokens_per_element > 1 and self.filler == "special") + self.bos

    def draw(self, rows: int, length: int, random: torch.Generator) -> Batch:
        return self._asked(integers(len(self._drawn_elements), (rows, length), random))

    def draw_to_train(self, rows: int, length: int, random: torch.Generator) -> Batch:
        if self._ranks is None:
            return self.draw(rows, length, random)
        exponents = self.skew * torch.rand(rows, 1, generator=random)
        return self._asked(
            torch.multinomial(torch.pow(self._ranks, -exponents), length, replacement=True, generator=random)
        )

    def _asked(self, chosen: Int[Tensor, "b t"]) -> Batch:
        """Returns words of these elements, as numbers among those that are drawn, and their answers."""
        tokens = self._drawn_elements[chosen]
        if self.merged > 1:
            tokens, targets = self._merge(tokens)
        else:
            targets = running_products(tokens, self._group.table)
        if self.tokens_per_element > 1:
            tokens, targets = self._fill(tokens, targets)
        if self.bos:
            tokens = F.pad(tokens, (1, 0), value=self.vocab_size - 1)
            targets = F.pad(targets, (1, 0), value=IGNORED)
        return {"tokens": tokens, "targets": targets}

    def _merge(self, factors: Int[Tensor, "b t"]) -> tuple[Int[Tensor, "b t"], Int[Tensor, "b t"]]:
        """Returns words in which the first of every `merged` inputs stands for all of them, and late answers."""
        t = factors.shape[1]
        padded = F.pad(factors, (0, -t % self.merged)).unflatten(1, (-1, self.merged))
        blocks = running_products(padded.flatten(0, 1), self._group.table)[:, -1].unflatten(0, padded.shape[:2])
        tokens = torch.zeros_like(padded)
        tokens[:, :, 0] = blocks
        tokens = tokens.flatten(1)[:, :t]
        late = F.pad(running_products(tokens, self._group.table), (self.merged - 1, 0))  # the identity until then
        return tokens, late[:, :t]

    def _fill(self, factors: Int[Tensor, "b t"], products: Tensor) -> tuple[Int[Tensor, "b s"], Int[Tensor, "b s"]]:
        """Returns `tokens_per_element` tokens for each factor, with its answer at the last of them."""
        k = self.tokens_per_element
        tokens = factors.unsqueeze(-1).repeat(1, 1, k)
        if self.filler == "special":
            tokens[..., 1:] = self.num_outputs
        targets = torch.full_like(tokens, IGNORED)
        targets[..., -1] = products
        return tokens.flatten(1), targets.flatten(1)


def _ranks(elements: Int[Tensor, "k"], table: Int[Tensor, "order order"]) -> Float[Tensor, "k"]:
    """Returns the rank of each of `elements`, from 1, in an order that is random but always the same.

    Two elements that generate as much as all of them come first, where there are such: a model that knows these two has
    all that the others need to be learned, the group's elements as states.
    """
    order = torch.randperm(len(elements), generator=torch.Generator().manual_seed(0)).argsort()
    whole = groups.generated(table, elements)
    for pair in itertools.combinations(range(len(order)), 2):
        if groups.generated(table, elements[order[[*pair]]]) == whole:
            order = order[[*pair, *(k for k in range(len(order)) if k not in pair)]]
            break
    ranks = torch.empty(len(order))
    ranks[order] = torch.arange(1.0, len(order) + 1)
    return ranks


def running_products(factors: Int[Tensor, "b t"], table: Int[Tensor, "order order"]) -> Int[Tensor, "b t"]:
    """Returns ``x_1 ... x_t`` for each t.

    Products of the last 1, 2, 4, ... factors are joined: log2(t) lookups, as multiplication is associative.
    """
    products, reach = factors, 1
    while reach < factors.shape[1]:
        joined = table.take(products[:, :-reach] * len(table) + products[:, reach:])
        products = torch.cat([products[:, :reach], joined], 1)
        reach *= 2
    return products

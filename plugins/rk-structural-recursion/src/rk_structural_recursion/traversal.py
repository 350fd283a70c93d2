"""Data `tree-traversal`: binary trees and the lists of their labels, at once or step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge, Gt, Le, Lt
from jaxtyping import Float, Int
from rk_sequence.pairs import END_WORD, PairBatch, PairData
from rk_sequence.seq2seq import END
from torch import Tensor

from rk import UserError
from rk.fields import IGNORED
from rk.protocols import Batch
from rk.sampling import generator
from rk_structural_recursion.forest import CALL, LABEL, LEAF, WORDS, Forest
from rk_structural_recursion.numbers import Groups, random_shares
from rk_structural_recursion.programs import UNBOUNDED, traversal_program
from rk_structural_recursion.shapes import chains, random_insertion_shapes, uniform_shapes
from rk_structural_recursion.tree_files import TREEBANKS, parse_tree, read_trees, shapes_of

MOST = 64
"""Most nodes of a tree."""
TRIES = 200
"""Draws without a tree of the split, after which there is none."""


class TreeTraversal(PairData):
    """A binary tree and its labels in pre-order, in-order or post-order (arXiv:2401.12947).

    A tree is ``( label LEFT RIGHT )``, a leaf ``.``. With `mode` full the answer is the list of labels; with `step`,
    the state after one more step of the reduction, which unfolds the leftmost call, ``UNROLL`` and a tree: the
    callback `emulate` iterates it. With `trace` the answer is what each step unfolds, a label or ``.``, then ``=`` and
    the list. The depth of an example is the height of its tree.

    Splits are by value: no tree of ``val`` or ``test`` is trained on, with these labels. ``test-depth`` has trees of
    each height alike, and ``test-N`` those of N nodes.

    Args:
        order: Of the traversal.
        mode: What the answer is.
        min_nodes: Fewest nodes of a tree.
        max_nodes: Most nodes of a tree; each number from `min_nodes` on is drawn alike.
        shape: How trees are drawn: each shape with the same probability, as search trees with keys in random order, or
            as the dependency trees of English sentences (UD EWT), with first dependent and next sibling as children.
        num_labels: Labels.
        distinct: Whether the labels of a tree differ.
        edge_oversample: Share of the training trees that are chains, the deepest trees of their size.
        held_out: Share of the trees that is not trained on; half of it is validated.
        test_nodes: A further split ``test-N`` for each of these numbers of nodes; null for none.
        eval_examples: Examples of ``val``, ``test`` and ``test-N``.
        examples_per_depth: Most examples of each height in ``test-depth``.
        file: Trees of your own, one on each line, with your own labels; or dependency trees (.conllu) for the shapes.

    Raises:
        ValueError: When `min_nodes` is above `max_nodes`, or there are fewer labels than nodes and they must differ.

    Examples:
        data: {name: tree-traversal, order: in, max_nodes: 8}
    """

    depth_name = "height of the tree"
    programs: ClassVar[Mapping[str, tuple[str, ...]]] = {"asm": (), "input-order": (), "bounded": ("levels",)}
    """The programs that `run_program` has, and the limits of each."""

    def __init__(
        self,
        order: Literal["pre", "in", "post"] = "pre",
        mode: Literal["full", "step", "trace"] = "full",
        min_nodes: Annotated[int, Ge(1)] = 1,
        max_nodes: Annotated[int, Ge(1), Le(MOST)] = 8,
        shape: Literal["uniform", "random-insertion", "ud-english-ewt"] = "uniform",
        num_labels: Annotated[int, Ge(1)] = 10,
        distinct: bool = True,
        edge_oversample: Annotated[float, Ge(0), Le(1)] = 0.0,
        held_out: Annotated[float, Gt(0), Lt(1)] = 0.2,
        test_nodes: list[Annotated[int, Ge(1), Le(MOST)]] | None = None,
        eval_examples: Annotated[int, Ge(1)] = 512,
        examples_per_depth: Annotated[int, Ge(1)] = 64,
        file: Path | None = None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        if min_nodes > max_nodes:
            raise ValueError(f"min_nodes must be <= max_nodes {max_nodes}, got {min_nodes}")
        most = max([max_nodes, *(test_nodes or [])])
        if distinct and num_labels < most:
            raise ValueError(f"num_labels must be >= {most}, the most nodes, with distinct labels, got {num_labels}")
        self.order: Literal["pre", "in", "post"] = order
        self.mode = mode
        self.min_nodes, self.max_nodes = min_nodes, max_nodes
        self.shape = shape
        self.num_labels = num_labels
        self.distinct = distinct
        self.edge_oversample = edge_oversample
        self.held_out = held_out
        self.test_nodes = list(dict.fromkeys(test_nodes or []))
        self.eval_examples = eval_examples
        self.examples_per_depth = examples_per_depth
        self.file = file
        self._names: list[str] = []

    @property
    def splits(self) -> tuple[str, ...]:
        return ("train", "val", "test", "test-depth", *(f"test-{n}" for n in self.test_nodes))

    @property
    def label_words(self) -> list[str]:
        """The labels."""
        return self._names or [str(k) for k in range(self.num_labels)]

    @property
    def source_words(self) -> list[str]:
        """The marks of trees and states, then the labels."""
        return [*WORDS, *self.label_words]

    @property
    def answer_words(self) -> list[str]:
        """The token that ends an answer, then those of inputs; in traces, ``=`` has the place of the calls' mark."""
        marks = [word if word != "UNROLL" or self.mode == "step" else "=" for word in WORDS]
        return [END_WORD, *marks, *self.label_words]

    # -- trees ---------------------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        self._factors = torch.randint(1, 1 << 40, (2, 2 * MOST + 1), generator=generator(self.seed, "parts"))
        self._shapes: Tensor | None = None
        self._own: dict[str, Forest] = {}
        if self.file is not None and not self.file.name.removesuffix(".gz").endswith(".conllu"):
            self._read_own(self.file)
        elif self.file is not None or self.shape in TREEBANKS:
            paths = [self.file] if self.file is not None else [source.path() for source in TREEBANKS[self.shape]]
            self._shapes = _padded(shapes_of(paths, self.min_nodes, self.max_nodes), -1)
        self._evaluated: dict[str, Forest] = {}
        for split in ("val", "test"):
            self._evaluated[split] = self._of_split(split, self.eval_examples, generator(self.seed, split))
        many = self._of_split("test", 16 * self.examples_per_depth, generator(self.seed, "test-depth"))
        self._evaluated["test-depth"] = many.rows(
            Groups(torch.arange(len(many.items)), many.heights).first(self.examples_per_depth)
        )
        for n in self.test_nodes:
            random = generator(self.seed, f"test-{n}")
            drawn = self._drawn(torch.full((self.eval_examples,), n), random, None)
            self._evaluated[f"test-{n}"] = drawn

    def _read_own(self, path: Path) -> None:
        trees = read_trees(path)
        if (most := max(tree.nodes for tree in trees)) > MOST:
            raise UserError(f"{path}: a tree has {most} nodes", f"at most {MOST} can be read")
        self._names = list(dict.fromkeys(label for tree in trees for label in tree.labels if label))
        if mixed := set(self._names) & {*WORDS, "="}:
            raise UserError(f"{path}: {min(mixed)!r} cannot be a label", "it is a mark of trees and states")
        number = {name: k for k, name in enumerate(self._names)} | {"": 0}
        items = _padded([tree.items for tree in trees], -1)
        labels = _padded([[number[label] for label in tree.labels] for tree in trees], 0)
        forest = Forest(items, labels)
        parts = self._parts(forest)
        for split in ("train", "val", "test"):
            self._own[split] = forest.rows(parts == self._part_of(split))
            if not len(self._own[split].items):
                raise UserError(f"{path}: there are too few trees: none is left for {split}", "give more")

    def _of_split(self, split: str, count: int, random: torch.Generator) -> Forest:
        """Returns so many trees of a split."""
        if self._own:
            forest = self._own[split]
            return forest.rows(torch.randint(len(forest.items), (count,), generator=random))
        found: list[Forest] = []
        missing, tries = count, 0
        while missing:
            drawn = self._drawn(self._sizes(count, random), random, split)
            chosen = (self._parts(drawn) == self._part_of(split)).nonzero()[:missing, 0]
            if len(chosen):
                found.append(drawn.rows(chosen))
            missing -= len(chosen)
            tries = 0 if len(chosen) else tries + 1
            if tries == TRIES:
                raise UserError(f"there is no tree for {split}", "take more nodes or labels: data.max_nodes")
        return Forest(_joined([f.items for f in found], -1), _joined([f.labels for f in found], 0))

    def _sizes(self, count: int, random: torch.Generator) -> Int[Tensor, "b"]:
        return torch.randint(self.min_nodes, self.max_nodes + 1, (count,), generator=random)

    def _drawn(self, nodes: Int[Tensor, "b"], random: torch.Generator, split: str | None) -> Forest:
        """Returns random trees of so many nodes; of a treebank, of any number of nodes, unless no split is given."""
        if self._shapes is not None and split is not None:
            items = self._shapes[torch.randint(len(self._shapes), nodes.shape, generator=random)]
        elif self.shape == "random-insertion":
            items = random_insertion_shapes(nodes, random)
        else:
            items = uniform_shapes(nodes, random)
        if split == "train" and self.edge_oversample:
            edges = torch.rand(len(nodes), generator=random) < self.edge_oversample
            sizes = (items == 1).sum(1)
            items = torch.where(edges.unsqueeze(1), _widened(chains(sizes, random), items.shape[1], -1), items)
        return Forest(items, self._labels(items, random))

    def _labels(self, items: Int[Tensor, "b i"], random: torch.Generator) -> Int[Tensor, "b i"]:
        many = len(self.label_words)
        if not self.distinct:
            return torch.randint(many, items.shape, generator=random)
        orders = torch.rand(len(items), many, generator=random).argsort(1)
        rank = ((items == 1).cumsum(1) - 1).clamp(min=0)
        return orders.gather(1, rank.clamp(max=many - 1))

    def _parts(self, forest: Forest) -> Float[Tensor, "b"]:
        """Returns the split of each tree: 2 trained, 1 validated, 0 tested; a function of the tree and the seed."""
        width = forest.items.shape[1]
        factors = self._factors[:, :width]
        digest = (factors[0] * (forest.items + 1)).sum(1) + (factors[1] * (forest.labels * forest.is_node)).sum(1)
        share = random_shares(digest, self.seed)
        return (share >= self.held_out / 2).long() + (share >= self.held_out).long()

    def _part_of(self, split: str) -> int:
        return {"train": 2, "val": 1, "test": 0}[split]

    # -- batches -------------------------------------------------------------------------------------------------------

    def count(self, split: str) -> int:
        """Returns the examples of a split that is evaluated."""
        return len(self._evaluated[split].items)

    def trees(self, split: str, i: int) -> Forest:
        """Returns the trees of batch `i` of a split."""
        if split == "train":
            return self._of_split("train", self.batch_size, generator(self.seed, "train", i))
        span = self.span(split, i)
        return self._evaluated[split].rows(torch.arange(span.start, span.stop))

    def batch(self, split: str, i: int, stage: int = 0) -> PairBatch:
        forest = self.trees(split, i)
        if self.mode != "step":
            tokens, lengths = forest.texts()
            return self._fields(tokens, lengths, self._answered(forest), forest)
        share = torch.rand(len(forest.items), generator=generator(self.seed, "steps", split, i))
        steps = (share * (2 * forest.nodes + 1)).long()
        tokens, lengths = forest.states(steps, self.order)
        return self._fields(tokens, lengths, self._as_answers(*forest.states(steps + 1, self.order)), forest)

    def _fields(self, tokens: Tensor, lengths: Tensor, targets: Tensor, forest: Forest) -> PairBatch:
        return {"tokens": tokens, "lengths": lengths, "targets": targets, "depth": forest.heights}

    def _answered(self, forest: Forest) -> Int[Tensor, "b s"]:
        labels, counts = forest.traversals(self.order)
        if self.mode == "full":
            return self._as_answers(LABEL + labels, counts)
        unfolded = torch.where(forest.is_node, LABEL + forest.labels, LEAF)
        size = forest.there.sum(1, keepdim=True)
        place = torch.arange(int((size[:, 0] + 1 + counts).max()))
        behind = (LABEL + labels).gather(1, (place - size - 1).clamp(min=0, max=labels.shape[1] - 1))
        front = unfolded.gather(1, place.expand(len(size), -1).clamp(max=unfolded.shape[1] - 1))
        tokens = torch.where(place < size, front, torch.where(place == size, CALL, behind))
        return self._as_answers(tokens, size[:, 0] + 1 + counts)

    def _as_answers(self, tokens: Int[Tensor, "b t"], counts: Int[Tensor, "b"]) -> Int[Tensor, "b s"]:
        """Returns tokens as answers: from 1, `END` behind them, padded with -100."""
        place = torch.arange(tokens.shape[1] + 1)
        wide = torch.nn.functional.pad(tokens + 1, (0, 1))
        answers = torch.where(place < counts.unsqueeze(1), wide, IGNORED)
        return answers.scatter(1, counts.unsqueeze(1), END)[:, : int(counts.max()) + 1]

    # -- reduction -----------------------------------------------------------------------------------------------------

    def beginnings(self, split: str, i: int) -> PairBatch:
        """Returns batch `i` of a split with each tree's first state, and the list that the reduction ends with."""
        forest = self.trees(split, i)
        labels, counts = forest.traversals(self.order)
        tokens, lengths = forest.states(torch.zeros_like(forest.nodes), self.order)
        return self._fields(tokens, lengths, self._as_answers(LABEL + labels, counts), forest)

    def has_calls(self, tokens: Int[Tensor, "b t"]) -> Tensor:
        """Returns which states have a call that is still to be unfolded."""
        return (tokens == CALL).any(1)

    # -- a user's own trees --------------------------------------------------------------------------------------------

    def words_of(self, line: str, place: str) -> list[str]:
        """Returns the tokens of a tree; with steps, of a state, or of the first state of a tree."""
        words = line.split()
        if self.mode == "step" and words[:1] != ["("]:
            return words
        parse_tree(words, place)
        return ["UNROLL", *words] if self.mode == "step" else words

    def state_dict(self) -> dict[str, Any]:
        """Returns the labels of a file: a run answers without it."""
        return {"names": list(self._names)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._names = list(state["names"])

    # -- the machine ---------------------------------------------------------------------------------------------------

    def run_program(self, batch: Batch, program: str, limits: Mapping[str, int]) -> Int[Tensor, "b s"]:
        """Returns what a program writes, as answers.

        Args:
            batch: Inputs.
            program: A name in `programs`.
            limits: Of `bounded`: the levels of a tree that it recurses into.

        Raises:
            UserError: With another mode than full.
        """
        if self.mode != "full":
            raise UserError("the programs of tree-traversal write lists", "set data.mode=full")
        forest = forest_of(batch["tokens"].cpu(), batch["lengths"].cpu())
        labels, counts = traversal_program(forest, self.order, program, limits.get("levels", UNBOUNDED))
        return self._as_answers(LABEL + labels, counts)

    def limits(self, batch: Batch) -> dict[str, int]:
        """Returns the limit from which on `bounded` is exact."""
        return {"levels": int(batch["depth"].max())}


def forest_of(tokens: Int[Tensor, "b t"], lengths: Int[Tensor, "b"]) -> Forest:
    """Returns the trees that texts are, as `Forest.texts` gives them."""
    there = torch.arange(tokens.shape[1]) < lengths.unsqueeze(1)
    is_node, is_leaf = there & (tokens >= LABEL), there & (tokens == LEAF)
    order = (~(is_node | is_leaf)).long().argsort(dim=1, stable=True)
    most = int((is_node | is_leaf).sum(1).max())
    order = order[:, :most]
    items = torch.where(is_node, 1, torch.where(is_leaf, 0, -1)).gather(1, order)
    return Forest(items, (tokens - LABEL).clamp(min=0).gather(1, order))


def _padded(rows: Sequence[Sequence[int]], fill: int) -> Int[Tensor, "b i"]:
    most = max(len(row) for row in rows)
    return torch.tensor([[*row, *[fill] * (most - len(row))] for row in rows])


def _widened(x: Int[Tensor, "b i"], width: int, fill: int) -> Int[Tensor, "b w"]:
    return torch.nn.functional.pad(x, (0, width - x.shape[1]), value=fill)


def _joined(parts: Sequence[Tensor], fill: int) -> Int[Tensor, "b i"]:
    width = max(part.shape[1] for part in parts)
    return torch.cat([_widened(part, width, fill) for part in parts])

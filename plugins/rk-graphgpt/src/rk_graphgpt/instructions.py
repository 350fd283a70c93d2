"""The data `graph-instructions`: questions about nodes of a graph of texts, with graph tokens in the prompt."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

import torch
from annotated_types import Ge, Gt, Lt
from jaxtyping import Float, Int
from rk_graphs.graph import both_ways
from torch import Tensor

from rk import UserError
from rk.builtin.metrics import Accuracy
from rk.protocols import Batch, Outputs
from rk.sampling import batch_count, generator, rows
from rk_graphgpt.ego import EgoGraphs, graph_key
from rk_graphgpt.own_graph import read_own_graph
from rk_graphgpt.prompts import (
    LETTERS,
    LINK_ANSWERS,
    TEMPLATES,
    Instruction,
    Task,
    check_template,
    listed,
    orders,
    without_graphs,
)  # fmt: skip
from rk_graphgpt.text_nodes import HasTexts, TextGraph

GraphTokens = Literal["real", "shuffled", "none"]
OTHER_TEXTS = 3
"""Texts of other nodes among which a node's own is looked for."""


class InstructionBatch(TypedDict):
    """Prompts with their graphs, flat, and the number of the right answer among the possible ones."""

    x: Float[Tensor, "nodes features"]
    edge_index: Int[Tensor, "2 edges"]
    graph_index: Int[Tensor, "nodes"]
    graph_sizes: Int[Tensor, "batch"]
    graph_keys: Int[Tensor, "batch"]
    targets: Int[Tensor, "batch"]
    instructions_meta: list[Instruction]


class Question(NamedTuple):
    """What is asked about one or two nodes.

    Attributes:
        nodes: The nodes.
        answer: The number of the right answer; -1 where it is drawn with the question.
    """

    nodes: tuple[int, ...]
    answer: int


class Put(NamedTuple):
    """A question in words with its graphs.

    Attributes:
        instruction: The words.
        answer: The number of the right answer among the choices.
        x: (nodes, features) of the graphs.
        edge_index: (2, edges) of the graphs.
    """

    instruction: Instruction
    answer: int
    x: Tensor
    edge_index: Tensor


def flat(put: Sequence[Put]) -> InstructionBatch:
    """Returns questions as one batch, whose graphs are one after the other."""
    sizes = torch.tensor([len(each.x) for each in put])
    starts = sizes.cumsum(0) - sizes
    return {
        "x": torch.cat([each.x for each in put]),
        "edge_index": torch.cat([each.edge_index + start for each, start in zip(put, starts, strict=True)], 1),
        "graph_index": torch.repeat_interleave(sizes),
        "graph_sizes": sizes,
        "graph_keys": torch.tensor([graph_key(each.x, each.edge_index) for each in put]),
        "targets": torch.tensor([each.answer for each in put]),
        "instructions_meta": [each.instruction for each in put],
    }


class GraphInstructions:
    """Questions about nodes of a graph of texts, whose prompts have tokens of the graphs around these nodes.

    Tasks: `node` asks for the class of a node, among the names of classes, which the prompt lists in a random order;
    ``test-unseen`` asks about classes that are in no other split. `link` asks whether two nodes are linked: these
    links are left out of all graphs. `matching` gives the texts of a graph's nodes in a random order, and asks for
    that of the tokens. `text` asks for the text of the node itself, and is measured among four: its own and those of
    random other nodes. These two need no labels, and their training has nodes of unseen classes too.

    Args:
        graph: Data that is a graph of texts.
        seed: Orders the training questions, and draws the orders within prompts.
        task: What is asked.
        hops: Steps from the node to the farthest one in its graph.
        fanout: Neighbours of a node that are drawn.
        max_nodes: Nodes of a graph; of `matching`, the number of all of its graphs.
        template: The prompt, with `<graph>` in place of each graph, and the fields in braces that the default has;
            null: the default of the task.
        graph_tokens: `real`; `shuffled`: those of a random other node, as a control; `none`: text alone.
        batch_size: Questions of a batch.
        links: Of the task `link`, the share of all links that is asked about.

    Examples:
        data: {name: graph-instructions, graph: text-graph, task: node, hops: 2, fanout: 10, max_nodes: 32}
    """

    splits = ("train", "val", "test", "test-unseen")
    metrics: Mapping[str, Any] = {"accuracy": Accuracy}  # Any: classes

    def __init__(
        self,
        graph: HasTexts,
        seed: int,
        task: Task = "node",
        hops: Annotated[int, Ge(1)] = 2,
        fanout: Annotated[int, Ge(1)] = 10,
        max_nodes: Annotated[int, Ge(1)] = 32,
        template: str | None = None,
        graph_tokens: GraphTokens = "real",
        batch_size: Annotated[int, Ge(1)] = 32,
        links: Annotated[float, Gt(0), Lt(1)] = 0.4,
    ) -> None:
        if task == "matching" and not 2 <= max_nodes <= 5:
            raise ValueError(f"matching scores every order: max_nodes must be from 2 to 5, got {max_nodes}")
        self.template = TEMPLATES[task] if template is None else template
        check_template(self.template, task)
        self.base = graph
        self.seed = seed
        self.task: Task = task
        self.ego = (hops, fanout, max_nodes)
        self.max_nodes = max_nodes
        self.graph_tokens: GraphTokens = graph_tokens
        self.batch_size = batch_size
        self.links = links

    def prepare(self) -> None:
        self.base.prepare()
        graph = self._graph = self.base.text_graph()
        self._classes = graph.labels[: graph.seen]
        seen = (graph.targets < graph.seen).nonzero().flatten().tolist()
        others = (graph.targets >= graph.seen).nonzero().flatten().tolist()
        self._groups = (seen, others)  # by whether their classes are unseen
        edges, asked = graph.edge_index, None
        if self.task == "link":
            edges, asked = self._hide_links(graph)
        self._x = self.base.features(graph.texts)
        self._egos = EgoGraphs(edges, graph.num_nodes, *self.ego)
        self._questions = {split: self._asked(split, asked) for split in self.splits}
        for split, questions in self._questions.items():
            if not questions:
                raise UserError(f"there is no question for the split {split}", "more nodes, or other fractions")

    # -- what is asked ---------------------------------------------------------------------------------------------

    def _asked(self, split: str, links: Int[Tensor, "2 links"] | None) -> list[Question]:
        """Returns the questions of a split."""
        parts = self.base.parts
        nodes = torch.cat([parts["train"], parts["unseen"]] if self._unlabelled(split) else [parts[split]])
        if links is not None:
            return self._pairs(split, links)
        if self.task == "matching":
            return [Question((n,), -1) for n in nodes.tolist() if len(self._egos.around(n)[0]) == self.max_nodes]
        first = 0 if split != "test-unseen" else self._graph.seen
        return [Question((n,), int(self._graph.targets[n]) - first) for n in nodes.tolist()]

    def _unlabelled(self, split: str) -> bool:
        """Whether nodes of unseen classes are trained on: where nothing is learned about classes."""
        return split == "train" and self.task in ("matching", "text")

    def _hide_links(self, graph: TextGraph) -> tuple[Int[Tensor, "2 kept"], Int[Tensor, "2 asked"]]:
        """Returns the edges that graphs have, and the links that are asked about."""
        once = graph.edge_index[:, graph.edge_index[0] < graph.edge_index[1]]
        order = torch.randperm(once.shape[1], generator=generator("links that are asked about"))
        count = round(self.links * once.shape[1])
        kept = once[:, order[count:]]
        return torch.cat([kept, kept.flip(0)], 1), once[:, order[:count]]

    def _pairs(self, split: str, links: Int[Tensor, "2 links"]) -> list[Question]:
        """Returns links of a split, and as many pairs of nodes that are not linked, of the same graph."""
        graph = self._graph
        unseen = graph.targets[links[0]] >= graph.seen
        mine = links[:, unseen if split == "test-unseen" else ~unseen]
        if split != "test-unseen":
            count = mine.shape[1]
            ends = {"train": (0, 0.6), "val": (0.6, 0.8), "test": (0.8, 1.0)}[split]
            mine = mine[:, round(ends[0] * count) : round(ends[1] * count)]
        nodes = ((graph.targets >= graph.seen) == (split == "test-unseen")).nonzero().flatten().tolist()
        linked = set(map(tuple, graph.edge_index.T.tolist()))
        chance = random.Random(f"pairs without a link {split}")
        found: list[Question] = []
        for pair in mine.T.tolist():
            found.append(Question(tuple(pair), 1))
            while True:
                one, other = chance.choices(nodes, k=2)
                if one != other and (one, other) not in linked:
                    break
            found.append(Question((one, other), 0))
        return found

    # -- batches ---------------------------------------------------------------------------------------------------

    def batches(self, split: str) -> int:
        return batch_count(len(self._questions[split]), self.batch_size)

    def batch(self, split: str, i: int, stage: int = 0) -> InstructionBatch:
        return self.batch_with(self.graph_tokens, split, i)

    def batch_with(self, graph_tokens: GraphTokens, split: str, i: int) -> InstructionBatch:
        """Returns batch `i` with other graph tokens, and the same questions: a control."""
        questions = self._questions[split]
        chosen = rows(len(questions), self.batch_size, i, seed=self.seed, shuffle=split == "train").tolist()
        pool = [question.nodes[0] for question in questions]
        chance = random.Random(f"prompts {self.seed} {split} {i}")
        put: list[Put] = []
        for question in (questions[number] for number in chosen):
            centres: tuple[int, ...] = () if graph_tokens == "none" else question.nodes
            if graph_tokens == "shuffled":
                centres = tuple(self._other(node, pool) for node in centres)
            egos = [self._egos.around(node) for node in centres]
            instruction, answer = self._put(question, tuple(len(nodes) for nodes, _ in egos), chance)
            put.append(Put(instruction, answer, *self._together(egos)))
        batch = flat(put)
        batch["place_meta"] = {"split": split, "i": i}  # type: ignore[typeddict-unknown-key]  # an entry in _meta
        return batch

    def _other(self, node: int, pool: list[int]) -> int:
        """Returns another node, of those that the split asks about: always the same one for a node."""
        chance = random.Random(f"other node {node}")
        while True:
            other = chance.choice(pool)
            if other != node or len(set(pool)) == 1:
                return other

    def _together(self, egos: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """Returns the graphs of a prompt as one graph without edges between them."""
        xs, edges, start = [self._x[:0]], [torch.zeros(2, 0, dtype=torch.int64)], 0
        for nodes, edge_index in egos:
            xs.append(self._x[nodes])
            edges.append(edge_index + start)
            start += len(nodes)
        return torch.cat(xs), torch.cat(edges, 1)

    # -- prompts ---------------------------------------------------------------------------------------------------

    def _put(self, question: Question, sizes: tuple[int, ...], chance: random.Random) -> tuple[Instruction, int]:
        """Returns a question in words, and the number of its answer among the choices."""
        template = self.template if sizes else without_graphs(self.template)
        texts = self._graph.texts
        if self.task == "node":
            names = self._graph.classes_beside(int(self._graph.targets[question.nodes[0]]))
            shown = chance.sample(names, len(names))
            prompt = template.format(text=texts[question.nodes[0]], classes=" , ".join(shown))
            return Instruction(prompt, sizes, names[question.answer], names), question.answer
        if self.task == "link":
            prompt = template.format(text=texts[question.nodes[0]], other=texts[question.nodes[1]])
            return Instruction(prompt, sizes, LINK_ANSWERS[question.answer], LINK_ANSWERS), question.answer
        if self.task == "text":
            return self._put_text(template, question.nodes[0], sizes, chance)
        nodes = self._egos.around(question.nodes[0])[0].tolist()
        order = chance.sample(range(len(nodes)), len(nodes))
        prompt = template.format(texts=listed([texts[nodes[place]] for place in order]))
        answer = " ".join(LETTERS[order.index(place)] for place in range(len(nodes)))
        choices = orders(len(nodes))
        return Instruction(prompt, sizes, answer, choices), choices.index(answer)

    def _put_text(
        self, template: str, node: int, sizes: tuple[int, ...], chance: random.Random
    ) -> tuple[Instruction, int]:
        """Returns the question for a node's text, and the place of its own among four texts."""
        own, group = self._graph.texts[node], self._groups[bool(self._graph.targets[node] >= self._graph.seen)]
        others: list[str] = []
        while len(others) < OTHER_TEXTS:
            if (text := self._graph.texts[chance.choice(group)]) not in (own, *others):
                others.append(text)
        answer = chance.randrange(OTHER_TEXTS + 1)
        return Instruction(template, sizes, own, (*others[:answer], own, *others[answer:])), answer

    def read(self, path: Path) -> Batch:
        """Reads a user's own graph: which class its first node has. Of other tasks there is nothing to read.

        Raises:
            UserError: When the file has another form, or the task is another one.
        """
        if self.task != "node":
            raise UserError(f"files are read for the task node; this run has the task {self.task}")
        own = read_own_graph(path)
        nodes, edges = torch.arange(len(own.texts)), torch.tensor(own.edges, dtype=torch.int64).reshape(-1, 2).T
        egos = EgoGraphs(both_ways(edges, len(nodes)), len(nodes), *self.ego)
        chosen, edge_index = egos.around(0)
        x = self.base.features(own.texts)[chosen]
        names = own.classes or self._classes
        template = self.template if self.graph_tokens != "none" else without_graphs(self.template)
        prompt = template.format(text=own.texts[0], classes=" , ".join(names))
        sizes: tuple[int, ...] = (len(x),)
        if self.graph_tokens == "none":
            x, edge_index, sizes = x[:0], edge_index[:, :0], ()
        batch: dict[str, Any] = {**flat([Put(Instruction(prompt, sizes, "", names), 0, x, edge_index)])}
        del batch["targets"]
        return batch

    def state_dict(self) -> dict[str, Any]:
        """Returns what a loaded run needs to answer: what the graph's data needs, and the names of the seen classes."""
        return {"graph": self.base.state_dict(), "classes": list(self._classes)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.base.load_state_dict(state["graph"])
        self._classes = tuple(state["classes"])

    def answers(self, batch: Batch, outputs: Outputs) -> list[dict[str, Any]]:
        """Returns for each question the most probable of its answers and, where it is known, the one that is right."""
        rows = []
        for each, scores in zip(batch["instructions_meta"], outputs["logits"], strict=True):
            shares, place = scores[: len(each.choices)].softmax(-1).max(-1)
            row = {"prompt": each.prompt, "answer": each.choices[int(place)], "probability": round(float(shares), 4)}
            rows.append({**row, "expected": each.answer} if each.answer else row)
        return rows

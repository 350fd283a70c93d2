"""The data `graph-documents`: what a language model reads before it meets a graph: texts, questions and answers."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Annotated, Any

import torch
from annotated_types import Ge, Le
from rk_sequence.fields import Readout
from rk_sequence.text import Perplexity, TextBatch
from rk_sequence.vocabulary import LINE, Vocabulary

from rk.builtin.metrics import Accuracy
from rk.fields import IGNORED
from rk_graphgpt.prompts import GRAPH, LETTERS, LINK_ANSWERS, TEMPLATES, Task, listed, without_graphs
from rk_graphgpt.text_nodes import HasTexts


class AnswerAccuracy(Accuracy):
    """Share of the steps with a target whose token is the most probable one."""

    def __init__(self) -> None:
        super().__init__(ignore_index=IGNORED)


class GraphDocuments:
    """Documents of words: the questions of `graph-instructions`, with words, or nothing, in the place of graphs.

    The words are of texts of related nodes: of the same class, and in `matching` of a text each. So the model knows
    what words in this place mean, and has seen no graph token. Texts are new ones of generated data, and else those of
    nodes that are neither validated nor tested. All classes occur, unseen ones too: a pretrained language model knows
    their names as well.

    Args:
        graph: Data that is a graph of texts.
        seed: Draws the documents of training.
        tasks: Which questions there are.
        vocab_limit: Most words of texts that are known; null: all.
        batch_size: Documents of a batch.
        most_words: Most words in the place of a graph.
        plain: Share of the documents without words there.
        related: Share of the words that are of a text of the same class; the others are of any class.
        matched: Words in the place of a graph in the task `matching`, each of one of two to so many texts.
        answers_only: Whether only the answers are learned, or all of each document.
        eval_batches: Batches that are validated, and tested.

    Examples:
        data: {name: graph-documents, graph: text-graph, tasks: [node]}
    """

    splits = ("train", "val", "test")
    metrics: Mapping[str, Any] = {"accuracy": AnswerAccuracy, "perplexity": Perplexity}  # Any: classes
    vocab_size: int
    num_outputs: int
    num_features: None = None
    readout: Readout = "step"

    def __init__(
        self,
        graph: HasTexts,
        seed: int,
        tasks: tuple[Task, ...] = ("node",),
        vocab_limit: Annotated[int, Ge(1)] | None = None,
        batch_size: Annotated[int, Ge(1)] = 32,
        most_words: Annotated[int, Ge(1)] = 12,
        plain: Annotated[float, Ge(0), Le(1)] = 0.3,
        related: Annotated[float, Ge(0), Le(1)] = 0.9,
        matched: Annotated[int, Ge(2), Le(5)] = 4,
        answers_only: bool = False,
        eval_batches: Annotated[int, Ge(1)] = 8,
    ) -> None:
        if not tasks:
            raise ValueError("tasks must have at least one task")
        self.base = graph
        self.seed = seed
        self.tasks = tasks
        self.vocab_limit = vocab_limit
        self.batch_size = batch_size
        self.most_words = most_words
        self.shares = (plain, related)
        self.matched = matched
        self.answers_only = answers_only
        self.eval_batches = eval_batches

    def prepare(self) -> None:
        self.base.prepare()
        graph = self._graph = self.base.text_graph()
        rest = [*graph.labels, *LETTERS, *LINK_ANSWERS, LINE, ";", ",", ":"]
        for template in TEMPLATES.values():
            rest += [word for word in template.split() if word != GRAPH and "{" not in word]
        self._note_words(list(dict.fromkeys([*rest, *self.base.words()[: self.vocab_limit]])))

    def _note_words(self, words: list[str]) -> None:
        self._vocabulary = Vocabulary(words, "word")
        self.vocab_size = self.num_outputs = len(self._vocabulary)

    def batches(self, split: str) -> int | None:
        return None if split == "train" else self.eval_batches

    def batch(self, split: str, i: int, stage: int = 0) -> TextBatch:
        chance = random.Random(f"documents {self.seed if split == 'train' else 0} {split} {i}")
        written = [self.document(chance) for _ in range(self.batch_size)]
        found = [
            (self._vocabulary.encode(prompt.split()), self._vocabulary.encode([*answer.split(), LINE]))
            for prompt, answer in written
        ]
        longest = max(len(prompt) + len(answer) for prompt, answer in found)
        tokens = torch.zeros(len(found), longest - 1, dtype=torch.int64)
        targets = torch.full_like(tokens, IGNORED)
        only = self.answers_only or split != "train"
        for row, (prompt, answer) in enumerate(found):
            whole = torch.cat([prompt, answer])
            first = len(prompt) - 1 if only else 0
            tokens[row, : len(whole) - 1] = whole[:-1]
            targets[row, first : len(whole) - 1] = whole[first + 1 :]
        return {"tokens": tokens, "targets": targets}

    def document(self, chance: random.Random) -> tuple[str, str]:
        """Returns a prompt without graph tokens, and its answer."""
        task = chance.choice(self.tasks)
        write = {"node": self._node, "link": self._link, "matching": self._matching, "text": self._text}
        return write[task](chance)

    def _class(self, chance: random.Random, of: int | None = None) -> int:
        """Returns a class: of all, each graph as often as it has classes; or one of the graph of the class `of`."""
        graph = self._graph
        if of is None:
            return chance.randrange(len(graph.labels))
        names = graph.classes_beside(of)
        return graph.labels.index(chance.choice(names))

    def _node(self, chance: random.Random) -> tuple[str, str]:
        graph = self._graph
        number = self._class(chance)
        names = graph.classes_beside(number)
        shown = chance.sample(names, len(names))
        template = self._filled(TEMPLATES["node"], (number,), chance)
        text = self.base.draw_text(number, chance)
        return template.format(text=text, classes=" , ".join(shown)), graph.labels[number]

    def _link(self, chance: random.Random) -> tuple[str, str]:
        linked = chance.randrange(2)
        one = self._class(chance)
        other = one if linked and chance.random() < self.shares[1] else self._class(chance, one)
        template = self._filled(TEMPLATES["link"], (one, other), chance)
        text, second = (self.base.draw_text(number, chance) for number in (one, other))
        return template.format(text=text, other=second), LINK_ANSWERS[linked]

    def _matching(self, chance: random.Random) -> tuple[str, str]:
        texts = self._texts(chance)
        places = [chance.randrange(len(texts)) for _ in range(self.matched)]
        words = " ".join(self._word(texts[place], chance) for place in places)
        template = TEMPLATES["matching"].replace(GRAPH, words)
        return template.format(texts=listed(texts)), " ".join(LETTERS[place] for place in places)

    def _text(self, chance: random.Random) -> tuple[str, str]:
        number = self._class(chance)
        return self._filled(TEMPLATES["text"], (number,), chance), self.base.draw_text(number, chance)

    def _texts(self, chance: random.Random) -> list[str]:
        """Returns two to `matched` texts, most of one class."""
        one = self._class(chance)
        count = chance.randint(2, self.matched)
        return [self.base.draw_text(self._related(one, chance), chance) for _ in range(count)]

    def _filled(self, template: str, classes: tuple[int, ...], chance: random.Random) -> str:
        """Returns a template with words of related texts in the place of each graph, or with nothing there."""
        plain, _ = self.shares
        if chance.random() < plain:
            return without_graphs(template)
        for number in classes:
            count = chance.randint(1, self.most_words)
            words = [
                self._word(self.base.draw_text(self._related(number, chance), chance), chance) for _ in range(count)
            ]
            template = template.replace(GRAPH, " ".join(words), 1)
        return template

    def _related(self, number: int, chance: random.Random) -> int:
        """Returns the class itself, most often, or any one of its graph."""
        return number if chance.random() < self.shares[1] else self._class(chance, number)

    def _word(self, text: str, chance: random.Random) -> str:
        return chance.choice(text.split())

    def preprocessing(self) -> dict[str, Any]:
        """Returns how a text becomes ``tokens``."""
        return {
            "field": "tokens",
            "from": "text",
            "encoding": "utf-8",
            "unit": "word",
            "vocabulary": list(self._vocabulary.tokens),
            "unknown": 0,
            "line": LINE,
        }

    def state_dict(self) -> dict[str, Any]:
        """Returns the words, which a loaded run needs."""
        return {"words": self._vocabulary.tokens[1:]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._note_words(state["words"])

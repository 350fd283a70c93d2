"""The data `babi`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

import torch
from annotated_types import Ge, Le
from jaxtyping import Bool, Int
from torch import Tensor

from rk import UserError
from rk.builtin.metrics import Accuracy
from rk.protocols import Batch, Outputs
from rk.reading import read_text
from rk.sampling import batch_count, generator
from rk_rrn.babi_files import file_names, read_files
from rk_rrn.stories import Question, parse_stories

ACCEPTED = "a sentence a line; a line with a question mark is a question about the sentences before it"
UNKNOWN = 1
"""The token of a word that no training question has; 0 is padding."""
SPLITS = {"train": "train", "val": "valid", "test": "test"}
"""Our split -> that of the files."""


class StoriesBatch(TypedDict):
    """Facts as words, their places in the story, and the question; the class of the answer."""

    facts: Int[Tensor, "batch nodes words"]
    positions: Int[Tensor, "batch nodes"]
    node_mask: Bool[Tensor, "batch nodes"]
    query: Int[Tensor, "batch time"]
    targets: Int[Tensor, "batch"]


class Encoded(NamedTuple):
    """Questions as numbers, one row each: their facts and themselves as rows of a table of sentences; the classes."""

    facts: Int[Tensor, "questions max_facts"]
    query: Int[Tensor, "questions"]
    targets: Int[Tensor, "questions"]


class BAbI:
    """The bAbI tasks (Weston et al., arXiv:1502.05698): questions about short stories; each fact is a node.

    Tasks are learned together: each example is of a task drawn uniformly. Split `test-qa2` tests task 2. An answer of
    several words is a class of its own.

    `rk predict` takes text: a sentence a line; a line with a question mark is a question about the sentences before it.

    Args:
        tasks: Numbers of the tasks, from 1 to 20; null takes all.
        max_facts: Of a longer story, the last so many facts are read.
        batch_size: Questions of a batch.
        limit: Most questions of a task in validation and in each test; null takes all, about 1,000.
        seed: Every batch is a function of it.

    Examples:
        data: {name: babi, tasks: [1, 2, 6, 15]}
    """

    level: Literal["graph"] = "graph"
    metrics = {"accuracy": Accuracy}
    text_ending = (".txt",)

    def __init__(
        self,
        *,
        seed: int,
        tasks: list[Annotated[int, Ge(1), Le(20)]] | None = None,
        max_facts: Annotated[int, Ge(1)] = 20,
        batch_size: Annotated[int, Ge(1)] = 128,
        limit: Annotated[int, Ge(1)] | None = None,
    ) -> None:
        self._seed = seed
        self._tasks = list(range(1, 21)) if tasks is None else tasks
        if not self._tasks or len(set(self._tasks)) < len(self._tasks):
            raise ValueError(f"tasks must be different numbers, at least one, got {self._tasks}")
        self._max_facts = max_facts
        self._batch_size = batch_size
        self._limit = limit
        self._parts: dict[str, list[Encoded]] = {}
        self._sentences = torch.zeros(1, 1, dtype=torch.long)
        self._words: list[str] = []
        self.labels: tuple[str, ...] = ()

    @property
    def splits(self) -> tuple[str, ...]:
        return ("train", "val", *(f"test-qa{task}" for task in self._tasks))

    @property
    def vocab_size(self) -> int:
        """Words of the training questions, padding, and one for all other words."""
        return len(self._words) + 2

    @property
    def num_classes(self) -> int:
        """Answers of the training questions."""
        return len(self.labels)

    @property
    def max_positions(self) -> int:
        """Places of facts: twice as many as there are, because training begins at a random one."""
        return 2 * self._max_facts

    def prepare(self) -> None:
        """Reads the tasks, and collects the words and answers of the training questions."""
        names = {(task, split): file_names(task)[file] for task in self._tasks for split, file in SPLITS.items()}
        texts = read_files(list(names.values()))
        found = {key: parse_stories(texts[name], self._max_facts) for key, name in names.items()}
        training = [question for (_, split), rows in found.items() if split == "train" for question in rows]
        sentences = {s for question in training for s in (*question.facts, question.question)}
        self._words = sorted({word for sentence in sentences for word in sentence})
        self.labels = tuple(sorted({str(question.answer) for question in training}))
        for split in SPLITS:
            kept = None if split == "train" else self._limit
            found |= {(task, split): found[task, split][:kept] for task in self._tasks}
        self._sentences, encoded = self._encoded(list(found.values()))
        parts = dict(zip(found, encoded, strict=True))
        self._parts = {split: [parts[task, split] for task in self._tasks] for split in SPLITS}

    def _encoded(self, lists: Sequence[Sequence[Question]]) -> tuple[Int[Tensor, "sentences words"], list[Encoded]]:
        """Returns all sentences as words, number 0 the empty one, and each list of questions as numbers.

        An answer that no training question has is the class -1, which no model gives.
        """
        words = {word: number for number, word in enumerate(self._words, UNKNOWN + 1)}
        classes = {label: number for number, label in enumerate(self.labels)}
        place: dict[tuple[str, ...], int] = {(): 0}
        encoded = []
        for questions in lists:
            facts = [[place.setdefault(fact, len(place)) for fact in question.facts] for question in questions]
            padded = [row + [0] * (self._max_facts - len(row)) for row in facts]
            query = [place.setdefault(question.question, len(place)) for question in questions]
            targets = [classes.get(str(question.answer), -1) for question in questions]
            encoded.append(Encoded(*(torch.tensor(rows) for rows in (padded, query, targets))))
        longest = max(map(len, place))
        rows = [[words.get(w, UNKNOWN) for w in sentence] + [0] * (longest - len(sentence)) for sentence in place]
        return torch.tensor(rows), encoded

    def batches(self, split: str) -> int | None:
        return None if split == "train" else batch_count(self._rows(split), self._batch_size)

    def _chosen(self, split: str) -> list[Encoded]:
        if split.startswith("test-"):
            return [self._parts["test"][self._tasks.index(int(split.removeprefix("test-qa")))]]
        return self._parts[split]

    def _rows(self, split: str) -> int:
        return sum(len(part.targets) for part in self._chosen(split))

    def batch(self, split: str, i: int, stage: int = 0) -> StoriesBatch:
        parts, rows = self._chosen(split), self._batch_size
        offsets = torch.zeros(1, 1, dtype=torch.long)
        if split == "train":
            random = generator(self._seed, i)
            sizes = torch.tensor([len(part.targets) for part in parts])
            task = torch.randint(len(parts), (rows,), generator=random)
            row = (torch.rand(rows, generator=random) * sizes[task]).long()
            chosen = [(parts[t], r) for t, r in zip(task.tolist(), row.tolist(), strict=True)]
            offsets = torch.randint(self._max_facts, (rows, 1), generator=random)
        else:
            i %= batch_count(self._rows(split), rows)
            every = [(part, r) for part in parts for r in range(len(part.targets))]
            chosen = every[i * rows : (i + 1) * rows]
        joined = Encoded(*(torch.stack([part[k][r] for part, r in chosen]) for k in range(3)))
        fields = stories(self._sentences, joined, offsets)
        return {**fields, "targets": joined.targets}  # type: ignore[typeddict-item]  # the rest is that of `stories`

    def read(self, path: Path) -> Batch:
        """Reads stories and questions from text. Raises `rk.UserError` where there is no question."""
        found = parse_stories(read_text(path, ACCEPTED), self._max_facts)
        if not found:
            raise UserError(f"{path}: expected a question, got none", ACCEPTED)
        for question in found:
            if not question.facts:
                raise UserError(f"{path}:{question.line}: expected a sentence before the question, got none", ACCEPTED)
        sentences, (encoded,) = self._encoded([found])
        return {**stories(sentences, encoded, torch.zeros(1, 1, dtype=torch.long)), "questions_meta": found}

    def answers(self, batch: Batch, outputs: Outputs) -> list[dict[str, Any]]:
        """Returns the answer to each question, how sure the network is, and what each step would have answered."""
        sure, chosen = outputs["logits"].softmax(-1).max(-1)
        steps = outputs["step_logits"].argmax(-1).tolist() if "step_logits" in outputs else [[]] * len(chosen)
        found = [
            {"answer": self.labels[label], "confidence": round(p, 4), "steps": [self.labels[step] for step in each]}
            for label, p, each in zip(chosen.tolist(), sure.tolist(), steps, strict=True)
        ]
        for answer, question in zip(found, batch.get("questions_meta", ()), strict=False):
            answer["question"] = " ".join(question.question)
            answer["unknown_words"] = sorted(
                {w for s in (*question.facts, question.question) for w in s} - {*self._words}
            )
        return found

    def state_dict(self) -> dict[str, Any]:
        """Returns the words and the answers: a run answers without the tasks."""
        return {"words": list(self._words), "labels": list(self.labels)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._words, self.labels = list(state["words"]), tuple(state["labels"])


def stories(
    sentences: Int[Tensor, "sentences words"], questions: Encoded, offsets: Int[Tensor, "rows 1"]
) -> dict[str, Tensor]:
    """Returns the fields of a batch, as wide as its longest story and its longest sentences.

    Args:
        sentences: Words of each sentence, padded with 0.
        questions: The rows.
        offsets: The place of the first fact of each row.
    """
    mask = questions.facts > 0
    nodes = max(1, int(mask.sum(1).max()))
    facts, query = sentences[questions.facts[:, :nodes]], sentences[questions.query]
    return {
        "facts": facts[..., : max(1, int((facts > 0).sum(2).max()))],
        "positions": torch.arange(nodes).unsqueeze(0).expand(len(query), -1) + offsets,
        "node_mask": mask[:, :nodes],
        "query": query[:, : max(1, int((query > 0).sum(1).max()))],
    }

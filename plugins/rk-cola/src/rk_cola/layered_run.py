"""A trained run whose model is a chain of blocks (`rk.Layered`), with the examples of its data as questions."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Any, Literal, cast

import torch
from jaxtyping import Bool, Int
from rk_lm.items import Scores
from rk_lm.layered import Path
from rk_lm.load import Reference
from rk_lm.load import digest as digest_of
from rk_lm.question import Question
from rk_lm.questions import shuffled_gold
from rk_lm.sweep import Sweep
from torch import Tensor, nn

from rk import UserError
from rk.binding import Bound
from rk.blocks import layered_of, run_blocks
from rk.fields import IGNORED
from rk.protocols import Batch, Data, Layered, Run
from rk_cola.evaluations import Evaluations, Target
from rk_cola.run_paths import example_digests
from rk_cola.subject import digest

Positions = Literal["all", "last"]
"""Which answers of an example have to be right."""

_FAR = 1e-3
"""Largest difference of the logits of an example in two batches, as a share of their mean size and one."""


class BlockRows:
    """Examples of one batch, or of several of the same shapes, that run as one batch (`rk_lm.sweep.Group`).

    Args:
        model: The blocks.
        batch: What `model.enter` takes; the first axis of every tensor is the example.
        members: The number of each example.
    """

    def __init__(self, model: Layered, batch: Batch, members: list[int]) -> None:
        self.model = model
        self.members = members
        self.fields = {name: value for name, value in batch.items() if isinstance(value, Tensor)}
        with torch.inference_mode():
            self._hidden, self._context = Bound(model.enter)(self.fields)
        if len(self._hidden) != len(members):
            raise UserError(
                f"{type(model).__name__} runs {len(self._hidden)} rows for the {len(members)} examples of a batch",
                "cola needs a model whose blocks take one row per example",
            )
        self.tokens = self._hidden[0, ..., 0].numel() or 1

    def first(self, row: int) -> Tensor:
        hidden: Tensor = self._hidden[row]
        return hidden

    def layer(self, i: int, rows: list[int], hidden: Tensor) -> Tensor:
        index = torch.tensor(rows, device=hidden.device)
        out: Tensor = self.model.blocks[i](hidden, *(self._of(one, index) for one in self._context))
        return out

    def states(self, layers: int) -> list[Tensor]:
        """Returns each example's states after the first `layers` blocks, (time, width).

        A vector is one step; of an image the channels are the width. Steps that do not exist are left out.
        """
        hidden = self._hidden
        rows = [*range(len(self.members))]
        for i in range(layers):
            hidden = self.layer(i, rows, hidden)
        if hidden.ndim > 3:
            hidden = hidden.flatten(2).transpose(1, 2)
        steps = hidden.unsqueeze(1) if hidden.ndim == 2 else hidden
        mask = self.fields.get("mask")
        if mask is None or mask.shape != steps.shape[:2]:
            return [*steps.float().cpu()]
        return [row[there].float().cpu() for row, there in zip(steps, mask, strict=True)]

    def leave(self, rows: list[int], hidden: Tensor) -> Tensor:
        """Returns the logits of some rows from their final states."""
        index = torch.tensor(rows, device=hidden.device)
        leave = Bound(self.model.leave)
        fields = {name: self._of(self.fields[name], index) for name in leave.names if name in self.fields}
        logits: Tensor = self.model.leave(hidden, **fields)["logits"]
        return logits

    def _of(self, value: Any, index: Tensor) -> Any:  # Any: whatever a block takes besides its input
        by_row = isinstance(value, Tensor) and value.ndim and len(value) == len(self.members)
        return value.index_select(0, index) if by_row else value


class BlockSweep(Sweep[Scores]):
    """Scores examples under paths: whether the target, and the control's, is the argmax, and its log-probability.

    Args:
        groups: The examples, numbered from 0.
        wanted: Of each example its target and the control's, (continuations, positions), `IGNORED` where none counts.
        settings: As `rk_lm.sweep.Sweep` takes them.
    """

    def __init__(self, groups: Sequence[BlockRows], wanted: Sequence[Tensor], **settings: int) -> None:
        self.rows = list(groups)
        self.wanted = wanted
        super().__init__(groups, batch_tokens=settings["batch_tokens"], cache_bytes=settings["cache_bytes"])

    def read(self, states: list[tuple[int, Tensor]]) -> list[Scores]:
        """Returns the scores of final states; all of one call are of one group."""
        group, _ = self._place[states[0][0]]
        logits = self.rows[group].leave([self._place[i][1] for i, _ in states], torch.stack([h for _, h in states]))
        self.counts.head_rows += len(states)
        wanted = torch.stack([self.wanted[i] for i, _ in states]).to(logits.device)
        greedy, log_probs = judged(by_position(logits), wanted)
        return [Scores(*pair) for pair in zip(greedy.cpu(), log_probs.cpu(), strict=True)]


def by_position(logits: Tensor) -> Tensor:
    """Returns logits of (rows, *positions, classes) as (rows, positions, classes)."""
    return logits.unsqueeze(1) if logits.ndim == 2 else logits.flatten(1, -2)


def judged(
    logits: Tensor, wanted: Int[Tensor, "rows continuations positions"]
) -> tuple[Bool[Tensor, "rows continuations"], Tensor]:
    """Returns whether each continuation is the argmax at all of its positions, and its log-probability.

    Args:
        logits: (rows, positions, classes).
        wanted: Classes; `IGNORED` where a position does not count.
    """
    ignored = wanted == IGNORED
    best = logits.argmax(-1).unsqueeze(1)
    log_probs = logits.float().log_softmax(-1).unsqueeze(1).expand(-1, wanted.shape[1], -1, -1)
    found = log_probs.gather(-1, wanted.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    return ((best == wanted) | ignored).all(-1), found.masked_fill(ignored, 0).sum(-1)


class RunSubject:
    """A trained run and the examples of a split of its data.

    An example is answered right when the argmax of the logits is the target: at every position that has a target, or
    at the last one. An example of the control has the targets of another one, drawn among those with as many.

    Args:
        run: The run.
        data: Its data, or other data that its model takes.
        split: The split; None: the first one for tests, else for validation.
        positions: Which targets of an example have to be reached.
        seed: Of the control's answers.
        limit: Takes the first so many examples; None takes all.

    Raises:
        rk.UserError: When the run's model is not a chain of blocks that keep their shape, or there is no such split.
    """

    def __init__(
        self, run: Run, data: Data, split: str | None, positions: Positions, seed: int, limit: int | None
    ) -> None:
        found = layered_of(run.learner)
        if found is None:
            raise UserError(
                f"the model of the run {run.recipe.name} is not a chain of blocks (rk.Layered)",
                "cola needs a run whose model has blocks, enter and leave: language-model or sequence, for example",
            )
        if not found.keeps_shape:
            raise UserError(
                f"the blocks of {type(found).__name__} change the shape: none can be skipped or repeated",
                "give a run whose blocks keep it",
            )
        self.model = found
        self.data = data
        self.split = split or usual_split(data)
        if self.split not in data.splits:
            raise UserError(f"unknown split {self.split!r}", f"splits: {', '.join(data.splits)}")
        self.positions = positions
        self.seed = seed
        self.limit = limit
        self.depth = len(found.blocks)
        module = cast(nn.Module, found)
        self.device = next(iter(module.parameters())).device
        self.reference = Reference(
            asked=run.recipe.name,
            source=str(run.folder.path),
            revision=None,
            digest=digest_of(module),
            parameters=sum(p.numel() for p in module.parameters()),
            random=False,
        )
        self._wanted: list[Tensor] = []
        self._questions: list[Question] = []
        self._wrong: list[str | None] = []
        self._groups: list[tuple[Batch, list[int]]] = []

    # -- examples --------------------------------------------------------------------------------------------------

    @property
    def questions(self) -> list[Question]:
        if not self._questions:
            self._read()
        return self._questions

    def _read(self) -> None:
        """Reads the examples, as many as `limit` says."""
        batches: list[Batch] = []
        total = self.data.batches(self.split)
        if total is None and self.limit is None:
            raise UserError(f"the split {self.split} has no end", "--limit gives the number of examples to take")
        i = number = 0
        while (total is None or i < total) and (self.limit is None or number < self.limit):
            batch = {name: value for name, value in self.data.batch(self.split, i).items() if isinstance(value, Tensor)}
            wanted = asked_targets(batch, self.positions)
            if not all(value.ndim and len(value) == len(wanted) for value in batch.values()):
                raise self._one_by_one()
            rows = len(wanted) if self.limit is None else min(len(wanted), self.limit - number)
            batches.append(_rows(batch, range(rows)))
            for row in wanted[:rows]:
                self._wanted.append(row)
                self._questions.append(_question(row, f"{self.split} {number}"))
                number += 1
            i += 1
        self._wrong = shuffled_gold(self._questions, self.seed)
        self._groups = [*_grouped(batches)]

    def wrong(self, number: int) -> str | None:
        return self._wrong[number] if 0 <= number < len(self.questions) else None

    def prepare(self, count: int) -> None:
        if self.questions:
            self._check_rows()

    def digests(self, numbers: Sequence[int]) -> list[bytes]:
        """Returns the digest by which each of these examples is known again."""
        found: dict[int, bytes] = {}
        for batch, members in self._groups:
            found |= zip(members, example_digests(batch), strict=True)
        return [found[number] for number in numbers]

    def targets(self, number: int) -> tuple[Target, Target | None]:
        return Target(0), None if self.wrong(number) is None else Target(1)

    def _continuations(self, number: int) -> Int[Tensor, "continuations positions"]:
        """Returns the targets of an example, and those of the control at the same positions."""
        right, other = self._wanted[number], self.wrong(number)
        if other is None:
            return right.unsqueeze(0)
        places = right != IGNORED
        wrong = right.clone()
        classes = torch.tensor([*map(int, other.split())], dtype=right.dtype)
        wrong[places] = classes if len(classes) == int(places.sum()) else classes[0]
        return torch.stack([right, wrong])

    def head(self) -> dict[str, str]:
        asked = [[(q.prompt, q.answer) for q in self.questions], self._wrong, self.positions]
        return {"model": self.reference.digest, "questions": digest(asked)}

    # -- running ---------------------------------------------------------------------------------------------------

    def scorer(self, numbers: Sequence[int], batch_tokens: int, cache_bytes: int) -> BlockSweep:
        sweep = BlockSweep(
            self._rows_of(numbers),
            [self._continuations(number) for number in numbers],
            batch_tokens=batch_tokens,
            cache_bytes=cache_bytes,
        )
        sweep.pin(tuple(range(self.depth)))
        return sweep

    def _rows_of(self, numbers: Sequence[int]) -> list[BlockRows]:
        """Returns groups of these examples, which they number by their places."""
        place = {number: i for i, number in enumerate(numbers)}
        found = []
        for batch, members in self._groups:
            chosen = [row for row, number in enumerate(members) if number in place]
            if chosen:
                rows = {name: value.to(self.device) for name, value in _rows(batch, chosen).items()}
                found.append(BlockRows(self.model, rows, [place[members[row]] for row in chosen]))
        return found

    @torch.inference_mode()
    def answers(self, path: Path, numbers: Sequence[int], evaluations: Evaluations) -> list[Hashable]:
        """Returns the classes that the model gives at the positions that have a target."""
        found: dict[int, Hashable] = {}
        for group in self._rows_of(numbers):
            best = by_position(run_blocks(self.model, group.fields, path)["logits"]).argmax(-1).cpu()
            for row, place in zip(best, group.members, strict=True):
                wanted = self._wanted[numbers[place]]
                found[place] = tuple(row[wanted != IGNORED].tolist())
        return [found[place] for place in range(len(numbers))]

    @torch.inference_mode()
    def states(self, numbers: Sequence[int], layers: int) -> list[Tensor]:
        found: dict[int, Tensor] = {}
        for group in self._rows_of(numbers):
            found |= zip(group.members, group.states(layers), strict=True)
        return [found[place] for place in range(len(numbers))]

    @torch.inference_mode()
    def states_asked(self, asked: Batch, layers: int) -> list[Tensor]:
        return self._asked(asked).states(layers)

    @torch.inference_mode()
    def answers_asked(self, asked: Batch, paths: Sequence[Path]) -> list[dict[str, Any]]:
        """Returns the class, or those of all positions."""
        fields = self._asked(asked).fields
        found = []
        for row, path in enumerate(paths):
            one = {name: value[row : row + 1] for name, value in fields.items()}
            best = by_position(run_blocks(self.model, one, path)["logits"]).argmax(-1)[0].tolist()
            found.append({"answer": best[0] if len(best) == 1 else best})
        return found

    def _asked(self, asked: Batch) -> BlockRows:
        fields = {name: value.to(self.device) for name, value in asked.items() if isinstance(value, Tensor)}
        return BlockRows(self.model, fields, [*range(len(next(iter(fields.values()))))])

    def right(self, number: int) -> Hashable:
        wanted = self._wanted[number]
        return tuple(wanted[wanted != IGNORED].tolist())

    @torch.inference_mode()
    def _check_rows(self) -> None:
        """Raises `rk.UserError` when an example is answered otherwise in a batch of others."""
        batch = {name: value.to(self.device) for name, value in self._groups[0][0].items()}
        few = {name: value[: (len(value) + 1) // 2] for name, value in batch.items()}
        whole, alone = (run_blocks(self.model, fields)["logits"] for fields in (batch, few))
        if (alone - whole[: len(alone)]).abs().max() > _FAR * (1 + whole.abs().mean()):
            raise self._one_by_one()

    def _one_by_one(self) -> UserError:
        return UserError(
            f"the examples of a batch of {type(self.data).__name__} cannot be run one by one",
            "cola needs data whose examples do not depend on each other: texts, images or rows, not nodes of a graph",
        )


def usual_split(data: Data) -> str:
    """Returns the first split for tests, else for validation, else the first one."""
    for begin in ("test", "val", ""):
        for split in data.splits:
            if split.startswith(begin):
                return split
    raise UserError(f"{type(data).__name__} has no split")


def asked_targets(batch: Batch, positions: Positions) -> Int[Tensor, "rows positions"]:
    """Returns the targets that have to be reached, `IGNORED` elsewhere.

    Args:
        batch: One with ``targets``, class numbers of (batch, *positions).
        positions: All that there are, or each example's last one.

    Raises:
        rk.UserError: When the targets are not class numbers, or an example has none.
    """
    targets = batch.get("targets")
    if not isinstance(targets, Tensor) or targets.is_floating_point() or not targets.ndim:
        raise UserError(
            "cola needs targets that are class numbers: the argmax of the logits is what it rewards",
            "give a run of a classification, or of a language model",
        )
    wanted = targets.flatten(1).clone() if targets.ndim > 1 else targets.unsqueeze(1).clone()
    counts = wanted != IGNORED
    if not counts.any(1).all():
        raise UserError("an example without a target cannot be searched", "leave such examples out of the split")
    if positions == "last":
        place = torch.arange(wanted.shape[1])
        last = torch.where(counts, place, -1).amax(1, keepdim=True)
        wanted[place != last] = IGNORED
    return wanted


def _question(wanted: Tensor, prompt: str) -> Question:
    return Question(prompt, " ".join(map(str, wanted[wanted != IGNORED].tolist())))


def _rows(batch: Batch, chosen: Sequence[int]) -> dict[str, Tensor]:
    """Returns some rows of the tensors of a batch."""
    return {name: value[list(chosen)] for name, value in batch.items()}


def _grouped(batches: Sequence[Batch]) -> Iterator[tuple[Batch, list[int]]]:
    """Yields batches with the numbers of their examples; those of the same shapes are one."""
    alike: dict[Hashable, list[tuple[Batch, int]]] = {}
    start = 0
    for batch in batches:
        shapes = tuple((name, tuple(value.shape[1:])) for name, value in sorted(batch.items()))
        alike.setdefault(shapes, []).append((batch, start))
        start += len(batch["targets"])
    for parts in alike.values():
        fields = {name: torch.cat([part[name] for part, _ in parts]) for name in parts[0][0]}
        yield fields, [first + row for part, first in parts for row in range(len(part["targets"]))]
